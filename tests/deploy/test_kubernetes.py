"""k8s/ is valid for three versions of Kubernetes, and its parts fit each other and the router."""

import ipaddress
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import kubernetes
from router import __version__, config
from router.cli.run import serve
from router.mapping.kinds.kafka import FINISH_S_MAX
from router.template.desired import DesiredState
from router.template.load import load_template
from tests.deploy.manifests import K8S, Manifests, copy, kustomize, render
from tests.deploy.tools import ROOT, tool

VERSIONS = ("1.33", "1.35", "1.37")
TEMPLATES = {"dev": "dev", "kafka": "kafka", "kafka-scale-out": "kafka"}
"""Every overlay, and whose template it has."""

OVERLAYS = tuple(TEMPLATES)

CUSTOM_KINDS = {"ServiceMonitor", "PrometheusRule", "ScaledObject", "TriggerAuthentication"}
"""Kinds of operators: no schema comes with Kubernetes."""

PRE_STOP_S = 5
"""In which endpoints go away (`docs/contracts/reliability.md` 10)."""

CLOSE_S = 5
"""In which the router closes everything when it has drained."""

OWN_BYTES = 512 << 20
"""Router, ingress process, zygotes, and what they hold of records and requests."""


@pytest.fixture(scope="session")
def k8s(tmp_path_factory) -> Path:
    return copy(tmp_path_factory.mktemp("k8s"))


@pytest.fixture(scope="session")
def rendered(k8s) -> dict[str, Manifests]:
    return {name: render(k8s / "overlays" / name) for name in OVERLAYS}


@pytest.fixture(params=OVERLAYS)
def it(request, rendered) -> Manifests:
    return rendered[request.param]


@pytest.fixture
def settings(it, tmp_path) -> config.Settings:
    """What the router in the container takes its settings for."""
    file = tmp_path / "router.toml"
    file.write_bytes(it.at("/etc/router")["router.toml"])
    return config.load(it.environment, file=file)


@pytest.fixture(scope="session")
def desired(k8s) -> dict[str, DesiredState]:
    """What the templates say."""
    read = {
        folder: load_template(k8s / "overlays" / folder / "template.yaml")
        for folder in set(TEMPLATES.values())
    }
    return {name: read[folder] for name, folder in TEMPLATES.items()}


# Valid


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_of_its_schema(rendered, tmp_path, version):
    is_valid, said = _validate(tmp_path, version, *(it.text for it in rendered.values()))
    assert is_valid, said
    unknown = set(re.findall(r"Couldn't find schema for kind (\w+)", said))
    assert unknown == CUSTOM_KINDS


def test_a_field_that_does_not_exist_is_found(rendered, tmp_path):
    text = rendered["dev"].text.replace("publishNotReadyAddresses", "publishUnreadyAddresses")
    is_valid, said = _validate(tmp_path, VERSIONS[0], text)
    assert not is_valid
    assert "publishUnreadyAddresses" in said


def _validate(folder: Path, version: str, *texts: str) -> tuple[bool, str]:
    """Whether every object has the shape that version of Kubernetes wants; what was said."""
    files = [folder / f"{number}.yaml" for number, _ in enumerate(texts)]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    done = subprocess.run(
        [tool("kubernetes-validate"), "--kubernetes-version", version, "--strict", *files],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_without_the_users_secrets_nothing_is_rendered_and_the_file_is_named(tmp_path, overlay):
    folder = copy(tmp_path, secrets={}) / "overlays" / overlay
    done = kustomize(folder)
    assert done.returncode != 0
    assert not done.stdout
    assert "/secrets/" in done.stderr


def test_no_secret_is_kept_with_the_manifests():
    ignored = (K8S.parent / ".gitignore").read_text().splitlines()
    assert "/k8s/overlays/*/secrets/" in ignored
    for path in K8S.rglob("*.yaml"):
        if "secrets" not in path.parts:
            assert not re.search(r"^kind: Secret$", path.read_text(), re.MULTILINE), path


# Parts fit each other


def test_every_object_is_in_the_overlays_namespace_and_has_a_name_of_its_own(it):
    (namespace,) = it.of("Namespace")
    names = [(obj["kind"], obj["metadata"]["name"]) for obj in it.all]
    assert len(names) == len(set(names))
    for obj in it.all:
        if obj is not namespace:
            assert obj["metadata"]["namespace"] == namespace["metadata"]["name"], obj


def _selectors(it: Manifests) -> dict[str, dict[str, str]]:
    """Everything that selects the router's pods."""
    found = {"StatefulSet": it.stateful_set["selector"]["matchLabels"]}
    for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
        for obj in it.of(kind):
            spec = obj["spec"]
            chosen = {
                "Service": lambda spec: spec["selector"],
                "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
                "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
            }[kind](spec)
            found[f"{kind} {obj['metadata']['name']}"] = chosen
    for number, constraint in enumerate(it.pod["topologySpreadConstraints"]):
        found[f"topology {number}"] = constraint["labelSelector"]["matchLabels"]
    return found


def test_every_selector_selects_the_router(it):
    for name, selector in _selectors(it).items():
        assert selector, name
        assert selector.items() <= it.pod_labels.items(), name


def test_each_listener_has_a_service_and_every_port_exists(it):
    services = {obj["metadata"]["name"]: obj["spec"] for obj in it.of("Service")}
    assert services.keys() == {"router", "router-api", "router-ingress", "router-ops"}
    for name, spec in services.items():
        for port in spec["ports"]:
            assert it.ports[port["targetPort"]] == port["port"], name
            assert name == "router" or name == f"router-{port['targetPort']}"
    assert it.stateful_set["serviceName"] == "router"
    assert services["router"]["clusterIP"] == "None"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert it.container[probe]["httpGet"]["port"] == "ops"


def test_every_mounted_file_exists(it):
    volumes = {volume["name"] for volume in it.pod["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in it.stateful_set["volumeClaimTemplates"]}
    assert volumes == {mount["name"] for mount in it.container["volumeMounts"]}
    for volume in it.pod["volumes"]:
        if "emptyDir" not in volume:
            assert it.files(volume)  # each ConfigMap, Secret and key, else a KeyError


def test_the_arguments_are_the_routers_and_what_they_name_is_mounted(it):
    command, template, *options = it.container["args"]
    serve.make_context(command, [template, *options])  # else it says what is wrong
    files = it.at("/etc/router")
    assert command == "serve"
    assert template.removeprefix("/etc/router/") in files
    assert "--watch" in options
    (file,) = [text.removeprefix("--settings=") for text in options if "--settings=" in text]
    assert file.removeprefix("/etc/router/") in files


def test_template_and_code_change_under_way_and_settings_roll_the_router(it):
    """A hash in a name changes the pods; without one the files in the volume are swapped."""
    suffix = re.compile(r"-[a-z0-9]{10}$")
    hashed = {
        obj["metadata"]["name"]: bool(suffix.search(obj["metadata"]["name"]))
        for kind in ("ConfigMap", "Secret")
        for obj in it.of(kind)
    }
    seen = {suffix.sub("", name): is_hashed for name, is_hashed in hashed.items()}
    assert {name for name, is_hashed in seen.items() if is_hashed} == {
        "router-environment", "router-keys",
    }  # fmt: skip
    assert {"router-secrets", "router-template", "router-functions"} <= seen.keys()
    # A file mounted by its subPath never changes.
    assert not any("subPath" in mount for mount in it.container["volumeMounts"])


# Parts fit the router


def test_every_variable_is_a_setting_with_a_value_it_takes(it, settings):
    assert all(name.startswith("ROUTER_") for name in it.environment)
    assert settings.access_keys, "it serves the API to others"
    assert not settings.insecure
    assert settings.secrets_dir == "/etc/router/secrets"
    # Kubernetes would add variables for each Service: ROUTER_API_PORT and the like.
    assert it.pod["enableServiceLinks"] is False


def test_ports_and_folders_are_those_of_the_settings(it, settings):
    listeners = {"api": settings.api, "ingress": settings.ingress, "ops": settings.ops}
    assert it.ports == {name: int(text.rpartition(":")[2]) for name, text in listeners.items()}
    assert {text.rpartition(":")[0] for text in listeners.values()} == {"0.0.0.0"}
    mounts = {mount["mountPath"]: mount for mount in it.container["volumeMounts"]}
    assert mounts.keys() == {settings.data, settings.secrets_dir, "/etc/router", "/tmp"}
    assert mounts[settings.data]["name"] == "data"
    assert not mounts[settings.data].get("readOnly")


def test_the_image_is_the_one_that_is_built_here(it):
    """What starts it, as whom, what it may write, and where its Python is."""
    lines = (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
    user, group = (it.pod["securityContext"][name] for name in ("runAsUser", "runAsGroup"))
    assert f"USER {user}:{group}" in lines
    assert 'ENTRYPOINT ["router"]' in lines
    assert "command" not in it.container
    assert f'VOLUME ["{it.environment["ROUTER_DATA"]}"]' in lines
    runtimes = f"ROUTER_RUNTIMES={it.environment['ROUTER_RUNTIMES']}"
    assert any(line.strip(" \\") == runtimes for line in lines)
    assert it.container["image"] == f"event-router:{__version__}"


def test_a_pod_has_the_time_its_drain_takes(it, settings, desired, request):
    """S1: preStop, the drain, closing; the drain is as long as any function may run."""
    grace_s = it.pod["terminationGracePeriodSeconds"]
    assert it.container["lifecycle"] == {"preStop": {"sleep": {"seconds": PRE_STOP_S}}}
    assert grace_s >= PRE_STOP_S + settings.drain_s + CLOSE_S
    functions = desired[request.node.callspec.params["it"]].functions
    assert functions
    assert settings.drain_s >= max(function.timeout_s for function in functions)


def test_the_store_fits_its_volume(it, settings):
    (claim,) = it.stateful_set["volumeClaimTemplates"]
    volume_bytes = _bytes(claim["spec"]["resources"]["requests"]["storage"])
    assert settings.store.bytes_max <= 0.8 * volume_bytes


def test_functions_fit_the_pods_memory(it, settings, desired, request):
    """Else the kernel ends every process of the container, the router's with them."""
    functions = desired[request.node.callspec.params["it"]].functions
    needed_bytes = settings.concurrency_max * max(one.memory_mb for one in functions) << 20
    limit = it.container["resources"]["limits"]["memory"]
    assert needed_bytes + OWN_BYTES <= _bytes(limit)


def test_what_functions_need_is_there(it, settings, desired, request):
    """Runtimes are mapped, and every secret a template names is a file."""
    name = request.node.callspec.params["it"]
    state = desired[name]
    assert {function.runtime for function in state.functions} <= settings.runtimes.keys()
    secrets = it.at("/etc/router/secrets").keys()
    folder = K8S / "overlays" / TEMPLATES[name]
    text = (folder / "template.yaml").read_text()
    named = set(re.findall(r"\{\{resolve:secretsmanager:([^}]+)\}\}", text))
    named |= {access.uri for mapping in state.mappings for access in mapping.source_access}
    assert named
    assert named <= secrets
    files = it.at("/etc/router").keys()
    for function in state.functions:
        code = Path(function.code_path).relative_to(Path(state.template_path).parent)
        own = {str(path.relative_to(folder)) for path in (folder / code).rglob("*.py")}
        assert own
        assert own <= files, "every file of a function is in the volume"


def test_one_router_for_one_store_and_its_node_can_be_emptied(it):
    assert it.stateful_set.get("replicas", 1) == 1
    budget = it.one("PodDisruptionBudget", "router")["spec"]
    assert budget["maxUnavailable"] == 1
    assert "minAvailable" not in budget
    retention = it.stateful_set["persistentVolumeClaimRetentionPolicy"]
    assert set(retention.values()) == {"Retain"}


# Locked in


def test_the_pod_is_restricted(it):
    """Every rule of the Pod Security Standard `restricted`, by hand: there is no cluster here."""
    (namespace,) = it.of("Namespace")
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    pod, container = it.pod, it.container
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        assert not pod.get(name)
    assert not any("hostPort" in port for port in container["ports"])
    assert not any("host" in probe["httpGet"] for probe in _probes(container))
    kinds = {key for volume in pod["volumes"] for key in volume if key != "name"}
    assert kinds <= {
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
        "projected", "secret",
    }  # fmt: skip
    whole = pod["securityContext"]
    assert whole["runAsNonRoot"] is True
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (whole["runAsUser"], whole["runAsGroup"], whole["fsGroup"]) == (10001, 10001, 10001)
    assert "sysctls" not in whole
    own = container["securityContext"]
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert it.one("ServiceAccount", "router")["automountServiceAccountToken"] is False
    assert not pod.keys() & {"initContainers", "ephemeralContainers"}


def _probes(container: dict[str, Any]) -> list[dict[str, Any]]:
    return [container[name] for name in ("startupProbe", "readinessProbe", "livenessProbe")]


def test_functions_are_kept_apart_by_rung_two_or_the_router_does_not_start(settings):
    assert set(settings.isolation.require) == {"landlock", "seccomp"}
    assert settings.isolation.rung == "auto"


def test_only_data_and_tmp_can_be_written(it):
    writable = {
        mount["mountPath"] for mount in it.container["volumeMounts"] if not mount.get("readOnly")
    }
    assert writable == {"/var/lib/router", "/tmp"}


def test_what_is_used_is_bounded(it):
    resources = it.container["resources"]
    assert resources["requests"].keys() >= {"cpu", "memory", "ephemeral-storage"}
    assert resources["limits"].keys() == {"memory", "ephemeral-storage"}, "a CPU limit stalls all"
    assert resources["limits"]["memory"] == resources["requests"]["memory"]
    assert "sizeLimit" in it.volume("tmp")["emptyDir"]


# Who reaches whom


def _comes_in(it: Manifests, port: str) -> list[Any]:
    """Who may reach a port: each `from`, None for everybody."""
    found: list[Any] = []
    for obj in it.of("NetworkPolicy"):
        for rule in obj["spec"].get("ingress", []):
            if any(one["port"] in {port, it.ports[port]} for one in rule["ports"]):
                found += rule.get("from", [None])
    return found


def test_nothing_comes_in_but_what_a_policy_allows(it):
    deny = it.one("NetworkPolicy", "router-deny")["spec"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert not deny.keys() & {"ingress", "egress"}
    for obj in it.of("NetworkPolicy"):
        spec = obj["spec"]
        assert {name.lower() for name in spec["policyTypes"]} >= spec.keys() & {"ingress", "egress"}
        for rule in spec.get("ingress", []) + spec.get("egress", []):
            assert rule["ports"], "a rule without ports allows all"
        for rule in spec.get("ingress", []):
            assert {one["port"] for one in rule["ports"]} <= it.ports.keys()
    assert _comes_in(it, "ingress") == [None]
    assert _comes_in(it, "api") == [{"podSelector": {}}], "this namespace"
    assert _comes_in(it, "ops") == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    ]


def _goes_out(it: Manifests, port: int, protocol: str = "TCP") -> list[dict[str, Any]]:
    """Where the router may connect to on a port."""
    return [
        peer
        for obj in it.of("NetworkPolicy")
        for rule in obj["spec"].get("egress", [])
        if {"protocol": protocol, "port": port} in rule["ports"]
        for peer in rule["to"]
    ]


def test_names_and_https_go_out_but_not_to_the_nodes_metadata(it):
    for protocol in ("UDP", "TCP"):
        system = {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}
        assert {"namespaceSelector": system} in _goes_out(it, 53, protocol)
    blocks = [peer["ipBlock"] for peer in _goes_out(it, 443)]

    def is_open(address: str) -> bool:
        asked = ipaddress.ip_address(address)
        return any(
            asked in ipaddress.ip_network(block["cidr"])
            and not any(asked in ipaddress.ip_network(one) for one in block.get("except", []))
            for block in blocks
        )

    assert is_open("203.0.113.7")
    assert is_open("2001:db8::7")
    assert not is_open("169.254.169.254")
    assert not is_open("fd00:ec2::254")


def test_brokers_can_be_reached(rendered, desired):
    servers = [
        server for mapping in desired["kafka"].mappings for server in mapping.bootstrap_servers
    ]
    assert servers
    for server in servers:
        host, _, port = server.rpartition(":")
        _service, namespace, kind = host.split(".")
        assert kind == "svc"
        peer = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
        assert {"namespaceSelector": peer} in _goes_out(rendered["kafka"], int(port))


# Watched


def test_the_operator_of_prometheus_scrapes_the_ops_listener_as_job_router(rendered):
    it = rendered["kafka"]
    monitor = it.one("ServiceMonitor", "router")["spec"]
    chosen = [
        obj
        for obj in it.of("Service")
        if monitor["selector"]["matchLabels"].items() <= obj["metadata"]["labels"].items()
    ]
    (service,) = chosen
    assert service["metadata"]["name"] == "router-ops"
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "router"
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"
    assert service["spec"]["publishNotReadyAddresses"], "one that is not ready is watched, too"


def test_rules_and_dashboards_are_those_of_deploy(rendered):
    """What the copies come to, once rendered; `tests/tidy` compares the files."""
    objects = rendered["kafka"].of("PrometheusRule")
    groups = [group for obj in objects for group in obj["spec"]["groups"]]
    own = [
        group
        for path in sorted(kubernetes.RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    assert own
    assert groups == own
    maps = [
        text
        for obj in rendered["kafka"].of("ConfigMap")
        if obj["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
        for text in obj["data"].values()
    ]
    assert sorted(maps) == sorted(path.read_text() for path in kubernetes.DASHBOARDS.iterdir())
    assert all(len(text) < 1 << 20 for text in maps), "what a ConfigMap holds"


# Several routers


def test_routers_are_added_by_lag_and_never_taken_away_by_it(rendered, desired):
    """What one still has to deliver is on its volume, and waits there when the router goes."""
    it = rendered["kafka-scale-out"]
    spec = it.one("ScaledObject", "router")["spec"]
    target = it.one(spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"])
    assert "replicas" not in target["spec"], "applied again it would take routers away"
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"] == {"selectPolicy": "Disabled"}
    assert 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]
    authentication = it.one("TriggerAuthentication", "router-kafka-lag")["spec"]
    for reference in authentication["secretTargetRef"]:
        assert reference["key"] in it.one("Secret", reference["name"])["data"]
    mappings = {mapping.consumer_group: mapping for mapping in desired["kafka"].mappings}
    (trigger,) = spec["triggers"]
    assert trigger["authenticationRef"] == {"name": "router-kafka-lag"}
    asked = trigger["metadata"]
    assert asked["allowIdleConsumers"] == "false"
    mapping = mappings[asked["consumerGroup"]]
    assert [asked["topic"]] == list(mapping.topics)
    assert asked["bootstrapServers"] == ",".join(mapping.bootstrap_servers)


def test_what_several_routers_run_is_nothing_but_kafka(desired):
    """Queues, webhooks and URLs are in one router's store; a rebalance waits 18 s for a batch."""
    state = desired["kafka-scale-out"]
    assert not state.queues + state.webhooks + state.urls
    for mapping in state.mappings:
        assert mapping.bootstrap_servers
        assert mapping.consumer_group
        assert mapping.destination_arn.startswith("kafka://")
    assert all(function.timeout_s <= FINISH_S_MAX for function in state.functions)


def _bytes(text: str) -> int:
    number, unit = text[:-2], text[-2:]
    return int(number) << {"Ki": 10, "Mi": 20, "Gi": 30}[unit]
