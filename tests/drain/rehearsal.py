"""A router replaced as Kubernetes does it, under load: nothing lost, nothing twice, nobody cut off.

200 records a second come by a signed webhook, half of them on connections that are kept, and
callers wait for answers of a function's URL. The pod is deleted and started again some times.
"""

import time
from dataclasses import dataclass, field

from tests.drain.kubelet import Ending, Kubelet, Service
from tests.drain.traffic import Told, Traffic
from tests.integration.bed import (
    Bed,
    assert_in_order,
    function,
    mapping,
    template,
    until,
    webhook,
)

KEYS = 20
PER_SECOND = 200
DRAIN_S = 25.0

ANSWERING = '''"""Answers with the path it was called by, after a while."""

import time


def handler(event, context):
    time.sleep(2)
    return {"path": event["rawPath"]}
'''

URL = """
  Answers:
    Type: AWS::Lambda::Function
    Properties:
      FunctionName: answers
      Role: arn:aws:iam::000000000000:role/worker
      Code: answering
      Handler: app.handler
      Runtime: python3.11
      Timeout: 20
  Url:
    Type: AWS::Lambda::Url
    Properties: {TargetFunctionArn: !Ref Answers, AuthType: NONE}
"""

DEDUPLICATED = "      Deduplicate: {Key: header.X-GitHub-Delivery}\n"


@dataclass
class Report:
    """What became of everything."""

    told: Told
    endings: list[Ending]
    handled: list[tuple[str, int]]
    seconds: float
    gaps_s: list[float] = field(default_factory=list)
    """From a pod's last endpoint to the next one's first."""

    def line(self) -> str:
        told, drained = self.told, [end.ended_at - end.signalled_at for end in self.endings]
        return (
            f"{len(told.accepted)} records accepted in {self.seconds:.1f} s, "
            f"{len(set(told.accepted) - set(self.handled))} lost, "
            f"{len(self.handled) - len(set(self.handled))} twice; {told.called} calls answered; "
            f"{len(told.refusals)} told to come again, {told.turned_away} turned away, "
            f"{dict(told.broken) or 'none'} without an answer; "
            f"drained in {', '.join(f'{it:.1f}' for it in drained)} s, "
            f"nobody to talk to for {', '.join(f'{it:.1f}' for it in self.gaps_s)} s"
        )

    def check(self) -> None:
        """S1, with the numbers of `docs/contracts/reliability.md` 10."""
        told = self.told
        for end in self.endings:
            assert (end.status, end.was_killed) == (0, False), end
        assert set(told.accepted) == set(self.handled), "lost"
        assert len(self.handled) == len(set(self.handled)), "twice"
        assert_in_order(self.handled)
        for said in told.refusals:
            assert said.status == 503, said
            assert int(said.headers["retry-after"]) >= 1
            began = [end for end in self.endings if end.signalled_at <= said.at]
            assert began, "refused before the pod was told to end"
        cut = {who: count for who, count in told.broken.items() if "new" in who or "caller" in who}
        assert not cut, cut


def prepare(bed: Bed) -> None:
    """Template, code, and where the function's URL is."""
    bed.write(
        template(
            webhook(shards=2) + DEDUPLICATED,
            function(timeout=20),
            mapping(BatchSize=10, ParallelizationFactor=4),
            URL,
        )
    )
    bed.code()
    bed.code(ANSWERING, folder="answering")


def rehearse(bed: Bed, rounds: int, round_s: float) -> Report:
    """Replace the pod so many times, each after it has served a while."""
    prepare(bed)
    service = Service()
    kubelet = Kubelet(bed, service, DRAIN_S)
    kubelet.start()
    url_host = bed.host_of_url("answers")
    endings, gaps_s = [], []
    began = time.monotonic()
    with Traffic(bed, service, url_host, KEYS, PER_SECOND) as told:
        for _ in range(rounds):
            _serve(told, round_s)
            endings.append(kubelet.delete())
            kubelet.start()
            gaps_s.append(time.monotonic() - endings[-1].signalled_at)
        seconds = time.monotonic() - began
    until(lambda: set(told.accepted) <= set(bed.ear.handled()), what="every record handled")
    assert bed.stop() == 0
    return Report(told, endings, bed.ear.records(), seconds, gaps_s)


def _serve(told: Told, at_least_s: float) -> None:
    """Until the pod has served so long, and everybody's requests."""
    accepted, called = len(told.accepted), told.called
    time.sleep(at_least_s)
    until(lambda: len(told.accepted) > accepted + KEYS and told.called > called, what="traffic")
