"""docker-compose.yml: its schema, and that what it says fits to everything it names."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from deploy.rootfs.build import DOCKERFILE
from deploy.rootfs.dockerfile import parse
from router import config
from tests.deploy.tools import ROOT, passes, tool

FILE = ROOT / "docker-compose.yml"
CLOSING_S = 5
"""What a router may take to close, after `ROUTER_DRAIN_S`."""


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load(FILE.read_text())


@pytest.fixture(scope="module")
def services(compose):
    return compose["services"]


@pytest.fixture(scope="module")
def about_image():
    return parse(DOCKERFILE.read_text())[-1].config


def routers(services):
    """Name and service of those that are built here."""
    return {name: service for name, service in services.items() if "build" in service}


def variables(service) -> dict[str, str]:
    """Those of a service, the defaults of the shell's filled in."""
    return {name: filled_in(str(text)) for name, text in service["environment"].items()}


def filled_in(text: str) -> str:
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def bound(service) -> dict[str, Path]:
    """Target → the folder or file of the project that is seen there."""
    found = {}
    for volume in service.get("volumes", []):
        source, target, *_ = filled_in(volume).split(":")
        if source.startswith("."):
            found[target] = ROOT / source
    return found


def test_the_schema():
    passes(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", FILE)


def test_each_profile_has_its_router_and_nothing_starts_unasked(services):
    by_profile: dict[str, set[str]] = {}
    for name, service in services.items():
        (profile,) = service["profiles"]
        by_profile.setdefault(profile, set()).add(name)
    assert by_profile["alone"] == {"alone"}
    assert by_profile["orders"] == {"router", "kafka", "topics", "prometheus", "grafana"}


def test_everything_it_mounts_is_there_and_read_only(services):
    for service in services.values():
        for target, source in bound(service).items():
            assert source.exists(), source
            (volume,) = (text for text in service["volumes"] if f":{target}:" in text)
            assert volume.endswith(":ro")


def test_every_volume_is_declared_and_used(compose, services):
    used = {
        volume.split(":")[0]
        for service in services.values()
        for volume in service.get("volumes", [])
        if not volume.startswith((".", "$"))
    }
    assert used == set(compose["volumes"])


def test_nobody_outside_reaches_it_and_nobody_inside_gains_privileges(services):
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    for service in routers(services).values():
        assert service["read_only"] is True
        assert service["user"] == "10001:10001"


def test_every_variable_of_the_router_is_a_setting_with_a_value_it_takes(services, about_image):
    """`config.load` refuses unknown names and wrong values."""
    config.load(dict(pair.split("=", 1) for pair in about_image["Env"]))
    for service in routers(services).values():
        settings = config.load(variables(service))
        keys = tomllib.loads(bound(service)["/etc/router/router.toml"].read_text())
        assert set(keys) == {"access_keys"}
        assert not settings.insecure
        assert set(settings.isolation.require) == {"landlock", "seccomp"}


def test_ports_and_places_are_those_of_the_image(services, about_image):
    for service in routers(services).values():
        settings = config.load(variables(service))
        inside = {
            where.rpartition(":")[2] for where in (settings.api, settings.ingress, settings.ops)
        }
        assert inside == {port.partition("/")[0] for port in about_image["ExposedPorts"]}
        assert {port.rpartition(":")[2] for port in service["ports"]} == inside
        assert settings.data in about_image["Volumes"]
        assert service["command"][:2] == about_image["Cmd"]
        assert service["user"] == about_image["User"]
        assert about_image["WorkingDir"] == "/etc/router"  # where router.toml is looked for


def test_templates_find_their_code_their_runtimes_and_their_time(services):
    for service in routers(services).values():
        text = bound(service)["/etc/router/template.yaml"].read_text()
        for folder in re.findall(r"CodeUri: \./(\w+)", text):
            assert f"/etc/router/{folder}" in bound(service)
        settings = config.load(variables(service))
        assert set(re.findall(r"Runtime: (\S+)", text)) <= set(settings.runtimes)
        longest_s = max(map(int, re.findall(r"\bTimeout: (\d+)", text)))
        assert longest_s <= settings.drain_s
        assert int(service["stop_grace_period"].rstrip("s")) >= settings.drain_s + CLOSING_S
        for name in re.findall(r"resolve:secretsmanager:(\w+)", text):
            assert f"ROUTER_SECRET_{name.upper()}" in service["environment"]


def test_parameters_are_the_templates_own(services):
    command = services["router"]["command"]
    parameters = {text.removeprefix("--parameter=").partition("=")[0] for text in command[2:]
                  if text.startswith("--parameter=")}  # fmt: skip
    text = bound(services["router"])["/etc/router/template.yaml"].read_text()
    for name in parameters:
        assert f"\n  {name}:\n" in text.partition("Resources:")[0]


def test_dependencies_are_services_of_the_same_profile(services):
    for service in services.values():
        for name, how in service.get("depends_on", {}).items():
            assert services[name]["profiles"] == service["profiles"]
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[name]


def test_prometheus_and_grafana_look_where_they_are(services):
    """Targets and data sources are names and ports of services here."""
    answering = {"router:9464", "prometheus:9090", "localhost:9090"}
    prometheus = ROOT / "deploy/prometheus/prometheus.yml"
    for job in yaml.safe_load(prometheus.read_text())["scrape_configs"]:
        for target in job["static_configs"][0]["targets"]:
            assert target in answering
    for file in (ROOT / "deploy/grafana/provisioning/datasources").glob("*.yml"):
        for source in yaml.safe_load(file.read_text())["datasources"]:
            assert source["url"].removeprefix("http://") in answering
    seen = bound(services["grafana"])
    for file in (ROOT / "deploy/grafana/provisioning/dashboards").glob("*.yml"):
        for provider in yaml.safe_load(file.read_text())["providers"]:
            assert list(seen[provider["options"]["path"]].glob("*.json"))


def test_kafka_is_where_the_router_looks(services):
    kafka = services["kafka"]["environment"]
    assert "PLAINTEXT://kafka:9092" in kafka["KAFKA_ADVERTISED_LISTENERS"]
    assert "--parameter=BootstrapServers=kafka:9092" in services["router"]["command"]
    assert json.dumps(services["topics"]["command"]).count("kafka:9092") == 1
    text = bound(services["router"])["/etc/router/template.yaml"].read_text()
    (topic,) = re.findall(r"Topics: \[(\w+)\]", text)
    command = services["topics"]["command"]
    assert command[command.index("--topic") + 1] == topic
    assert services["topics"]["image"] == services["kafka"]["image"]
