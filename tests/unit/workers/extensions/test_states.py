"""What an extension may do next, and in which words Lambda refuses the rest (8.3)."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.workers.extensions.states import EXTENSIONS_MAX, Extension, Refused, Registry

CALLS = {
    "register": lambda one: one.register(["INVOKE"]),
    "ask": lambda one: one.ask(),
    "init": lambda one: one.fail_init("A.B"),
    "exit": lambda one: one.fail_exit("A.B"),
}
WANTED = {"register": "Registered", "ask": "Ready", "init": "InitError", "exit": "Exited"}

TABLE = {
    ("Started", "register"): "Registered",
    ("Registered", "ask"): "Ready",
    ("Registered", "init"): "InitError",
    ("Registered", "exit"): "ExitError",
    ("Ready", "exit"): "ExitError",
    ("Running", "ask"): "Ready",
    ("Running", "exit"): "ExitError",
    ("InitError", "init"): "InitError",
    ("ExitError", "exit"): "ExitError",
}
"""State and call → state; whatever is not here is refused."""

STATES = (
    *("Started", "Registered", "Ready", "Running", "InitError", "ExitError", "Exited"),
    "LaunchError",
)


def in_state(state: str) -> Extension:
    extension = Extension("name", "some-id", is_external=True)
    extension.state = state
    return extension


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("state", STATES)
def test_the_table(state: str, call: str):
    extension = in_state(state)
    if (state, call) in TABLE:
        CALLS[call](extension)
        assert extension.state == TABLE[state, call]
        return
    with pytest.raises(Refused) as caught:
        CALLS[call](extension)
    who = "name" if call == "register" else "some-id"
    assert caught.value.error_type == "Extension.InvalidExtensionState"
    assert str(caught.value) == (
        f"State transition from {state} to {WANTED[call]} failed for extension {who}. "
        "Error: State transition is not allowed"
    )
    assert extension.state == state


def refused(registry: Registry, name: str, *events: str) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        registry.register(name, events, "new")
    return caught.value.error_type, str(caught.value)


def test_who_may_register():
    registry = Registry()
    registry.expect("outside", "1")
    assert not registry.are_registered
    assert refused(registry, "outside", "INVOKE", "invoke") == (
        "Extension.InvalidEventType",
        "invoke: ErrorInvalidEventType",
    )
    assert registry.register("outside", ["INVOKE", "SHUTDOWN", "INVOKE"], "").identifier == "1"
    assert registry.named("outside").events == ("INVOKE", "SHUTDOWN")
    assert registry.are_registered
    assert refused(registry, "inside", "SHUTDOWN") == (
        "Extension.InvalidEventType",
        "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension",
    )
    assert not registry.register("inside", ["INVOKE"], "2").is_external
    assert refused(registry, "inside", "INVOKE") == (
        "Extension.InvalidExtensionState",
        "Extension with this name already registered",
    )
    registry.close()
    assert refused(registry, "late", "INVOKE") == (
        "Extension.RegistrationClosed",
        "Extension registration closed already",
    )
    assert refused(registry, "outside", "INVOKE")[0] == "Extension.InvalidExtensionState"


def test_no_more_than_ten():
    registry = Registry()
    for number in range(EXTENSIONS_MAX):
        registry.register(str(number), [], str(number))
    assert refused(registry, "one more") == (
        "Extension.TooManyExtensions",
        "Extension limit (10) reached",
    )


STEPS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from([*CALLS, "event"])), max_size=30
)


@given(STEPS)
def test_whatever_they_call_the_registry_stays_true(steps):
    """Ready is who has asked and was given nothing since; only they get an event."""
    registry = Registry()
    for name in ("a", "b"):
        registry.expect(name, str(uuid.uuid4()))
    waiting: set[str] = set()
    for name, step in steps:
        if step == "event":
            for one in registry.wanting("INVOKE"):
                assert one.name in waiting
                one.hand_out()
                waiting.discard(one.name)
            continue
        one = next((one for one in registry.all if one.name == name), None)
        before = one.state if one is not None else None
        try:
            if step == "register":
                registry.register(name, ["INVOKE"], str(uuid.uuid4()))
            elif one is not None:
                CALLS[step](one)
        except Refused:
            assert one is None or one.state == before
            continue
        if one is not None and step == "ask":
            waiting.add(name)
        if step in {"init", "exit"}:
            waiting.discard(name)
    ready = {one.name for one in registry.all if one.state == "Ready"}
    assert ready == waiting
    assert registry.are_ready == (ready == {one.name for one in registry.all})
    assert len(registry.all) <= EXTENSIONS_MAX
