"""Variables of Services are told from settings by name, value and kin together."""

import pytest

from router import config
from router.config.kubernetes import is_service_variable
from router.model.errors import ConfigError


def variables_of(service: str, port: int = 9470, host: str = "10.96.0.7") -> dict[str, str]:
    """As kubelet adds them for a Service with one named port."""
    start = service.upper().replace("-", "_")
    bracketed = f"[{host}]" if ":" in host else host
    url = f"tcp://{bracketed}:{port}"
    return {
        f"{start}_SERVICE_HOST": host,
        f"{start}_SERVICE_PORT": str(port),
        f"{start}_SERVICE_PORT_HTTP": str(port),
        f"{start}_PORT": url,
        f"{start}_PORT_{port}_TCP": url,
        f"{start}_PORT_{port}_TCP_PROTO": "tcp",
        f"{start}_PORT_{port}_TCP_PORT": str(port),
        f"{start}_PORT_{port}_TCP_ADDR": host,
    }


SERVICES = ("router", "router-api", "router-ingress", "router-ops", "router-store", "router-port")


@pytest.mark.parametrize("host", ["10.96.0.7", "fd00::7"])
def test_services_called_as_ours_change_nothing(host: str) -> None:
    environ: dict[str, str] = {}
    for service in SERVICES:
        environ |= variables_of(service, host=host)
    assert all(is_service_variable(name, environ) for name in environ)
    assert config.load(environ) == config.load({})


def test_settings_beside_them_are_settings() -> None:
    environ = variables_of("router-api") | {"ROUTER_API": "0.0.0.0:9470"}
    assert config.load(environ).api == "0.0.0.0:9470"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ROUTER_API_PORT", "9470"),
        ("ROUTER_API_SERVICE_PORT", "http"),
        ("ROUTER_API_SERVICE_HOST", "router.example.com"),
        ("ROUTER_API_PORT_9470_TCP_ADDR", "somewhere"),
        ("ROUTER_OPS_PORT", "tcp://10.96.0.7:9464"),
    ],
)
def test_what_only_looks_like_one_is_refused(name: str, text: str) -> None:
    """Somebody wrote it, and meant a setting: other values, or without its kin."""
    environ = variables_of("router-api") | {name: text}
    with pytest.raises(ConfigError, match="unknown environment variable ROUTER_"):
        config.load(environ)


def test_alone_it_is_no_service() -> None:
    assert not is_service_variable("ROUTER_API_SERVICE_PORT", {"ROUTER_API_SERVICE_PORT": "9470"})
    with pytest.raises(ConfigError, match="ROUTER_API_SERVICE_PORT"):
        config.load({"ROUTER_API_SERVICE_PORT": "9470"})


def test_no_setting_can_be_taken_for_one() -> None:
    """Else a Service could keep it from being set."""
    from router.config.load import variables

    environ = dict.fromkeys(variables(), "10.96.0.7")
    assert not [name for name in environ if is_service_variable(name, environ)]
