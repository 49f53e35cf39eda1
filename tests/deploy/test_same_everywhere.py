"""Names, ports and variables are the same in the image, compose, Kubernetes and systemd."""

import re

import yaml

from deploy.rootfs.build import DOCKERFILE
from deploy.rootfs.dockerfile import parse
from router import config
from tests.deploy.tools import ROOT

PORTS = {"api": "9470", "ingress": "8080", "ops": "9464"}
DATA, SECRETS = "/var/lib/router", "/etc/router/secrets"


def settings_of_image():
    return dict(pair.split("=", 1) for pair in parse(DOCKERFILE.read_text())[-1].config["Env"])


def settings_of_compose():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return services["router"]["environment"]


def settings_of_unit():
    text = (ROOT / "deploy/systemd/router.service").read_text()
    return dict(re.findall(r"^Environment=(ROUTER_\w+)=(.*)$", text, re.MULTILINE))


def settings_of_pods():
    told = yaml.safe_load((ROOT / "k8s/base/kustomization.yaml").read_text())
    (generator,) = (part for part in told["configMapGenerator"] if "environment" in part["name"])
    return dict(text.split("=", 1) for text in generator["literals"])


def test_every_place_has_the_same_folders_and_ports():
    places = [settings_of_image(), settings_of_compose(), settings_of_unit(), settings_of_pods()]
    for given in places:
        settings = config.load({name: text for name, text in given.items() if "$" not in text})
        assert (settings.data, settings.secrets_dir) == (DATA, SECRETS)
        for listener, port in PORTS.items():
            assert getattr(settings, listener).rpartition(":")[2] == port
    defaults = config.Settings()
    assert {name: getattr(defaults, name).rpartition(":")[2] for name in PORTS} == PORTS


def test_runtimes_that_are_mapped_are_in_the_image():
    """By the link that every base has."""
    for given in (settings_of_image(), settings_of_compose(), settings_of_pods()):
        settings = config.load(given)
        assert set(settings.runtimes.values()) == {"/opt/router/bin/python"}


def test_pods_have_the_images_user_and_ports():
    pod = next(
        part for part in yaml.safe_load_all((ROOT / "k8s/base/stateful-set.yaml").read_text())
        if part["kind"] == "StatefulSet"
    )["spec"]["template"]["spec"]  # fmt: skip
    (container,) = pod["containers"]
    assert {part["name"]: str(part["containerPort"]) for part in container["ports"]} == PORTS
    image = parse(DOCKERFILE.read_text())[-1].config
    who = pod["securityContext"]
    assert f"{who['runAsUser']}:{who['runAsGroup']}" == image["User"]
    assert container["args"][:2] == image["Cmd"]
    seen = {part["mountPath"] for part in container["volumeMounts"]}
    assert {DATA, "/tmp", "/etc/router", SECRETS} <= seen
