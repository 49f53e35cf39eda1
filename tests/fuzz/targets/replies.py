"""What a handler answers about its batch: one first byte of options, then the reply."""

from router.model.outcome import Failed, PartlySucceeded, Succeeded
from router.outcomes.interpret import interpret
from tests.unit.mapping.play import record, spec_of

REPORTING = spec_of(is_reporting_failures=True)
SILENT = spec_of(is_reporting_failures=False)
BATCH = [record(9), record(10), record(11)]
STATE_BYTES_MAX = 1_000


def one_input(data):
    options, reply = data[:1] or b"\0", bytes(data[1:])
    spec = REPORTING if options[0] & 1 else SILENT
    state_max = STATE_BYTES_MAX if options[0] & 2 else None
    outcome = interpret(reply, None, spec, BATCH, state_bytes_max=state_max)
    assert isinstance(outcome, Succeeded | PartlySucceeded | Failed)
    if isinstance(outcome, PartlySucceeded):
        assert spec is REPORTING
        failed = list(outcome.failed)
        assert failed
        assert len(set(failed)) == len(failed)
        assert set(failed) <= set(range(len(BATCH)))
    if not isinstance(outcome, Failed):
        assert (outcome.state is None) == (state_max is None)
        assert outcome.state is None or len(outcome.state) <= STATE_BYTES_MAX
