"""A router is replaced as Kubernetes does it, and who talks to it hardly notices (S1, S2, L5)."""

from tests.drain.rehearsal import rehearse


def test_s1_a_pod_that_is_replaced_under_load_loses_and_repeats_nothing(bed):
    report = rehearse(bed, rounds=2, round_s=1.0)
    print(report.line())
    report.check()
