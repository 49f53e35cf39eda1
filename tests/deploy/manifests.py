"""What k8s/ comes to: an overlay rendered with made-up secrets, and how to look into it."""

import base64
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.kubectl import Missing, kubectl
from tests.deploy.tools import ROOT
from tests.servers.base import unavailable

K8S = ROOT / "k8s"

SECRETS = {
    "dev": {
        "router.toml": '[access_keys]\n"AKIDMADEUP" = "made-up-key"\n',
        "greetings": "made-up-hook\n",
    },
    "kafka": {
        "router.toml": '[access_keys]\n"AKIDMADEUP" = "made-up-key"\n',
        "kafka": '{"username": "made-up", "password": "made-up"}',
        "kafka-ca": "made-up certificate",
    },
    "kafka-scale-out": {"username": "made-up", "password": "made-up", "ca": "made-up"},
}
"""What the user of each overlay brings, as files of its folder `secrets`."""


def copy(folder: Path, secrets: dict[str, dict[str, str]] | None = None) -> Path:
    """k8s/ as its user has it, with files of secrets; nobody's own are taken along."""
    target = folder / "k8s"
    shutil.copytree(K8S, target, ignore=shutil.ignore_patterns("secrets"))
    for overlay, files in (SECRETS if secrets is None else secrets).items():
        (target / "overlays" / overlay / "secrets").mkdir()
        for name, text in files.items():
            (target / "overlays" / overlay / "secrets" / name).write_text(text)
    return target


def kustomize(folder: Path) -> subprocess.CompletedProcess[str]:
    """`kubectl kustomize`, which is what `kubectl apply -k` applies."""
    try:
        program = kubectl()
    except Missing as error:
        unavailable(str(error))
    return subprocess.run(
        [program, "kustomize", folder], check=False, capture_output=True, text=True
    )


@dataclass
class Manifests:
    """Objects of one overlay."""

    text: str

    def __post_init__(self) -> None:
        self.all: list[dict[str, Any]] = list(yaml.safe_load_all(self.text))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [it for it in self.all if it["kind"] == kind]

    def one(self, kind: str, name: str) -> dict[str, Any]:
        (found,) = [it for it in self.of(kind) if it["metadata"]["name"] == name]
        return found

    @property
    def stateful_set(self) -> dict[str, Any]:
        return self.one("StatefulSet", "router")["spec"]

    @property
    def pod(self) -> dict[str, Any]:
        return self.stateful_set["template"]["spec"]

    @property
    def pod_labels(self) -> dict[str, str]:
        return self.stateful_set["template"]["metadata"]["labels"]

    @property
    def container(self) -> dict[str, Any]:
        (found,) = self.pod["containers"]
        return found

    @property
    def ports(self) -> dict[str, int]:
        """Ports of the container by name."""
        return {it["name"]: it["containerPort"] for it in self.container["ports"]}

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the container."""
        found: dict[str, str] = {}
        for source in self.container["envFrom"]:
            found |= self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        return found | {it["name"]: it["value"] for it in self.container.get("env", [])}

    def files(self, volume: dict[str, Any]) -> dict[str, bytes]:
        """What the kubelet puts in a volume of ConfigMaps and Secrets: path → content."""
        if "projected" in volume:
            found: dict[str, bytes] = {}
            for source in volume["projected"]["sources"]:
                found |= self._files_of(source)
            return found
        return self._files_of(volume)

    def _files_of(self, source: dict[str, Any]) -> dict[str, bytes]:
        if "configMap" in source:
            it = source["configMap"]
            data = self.one("ConfigMap", it["name"])["data"]
            content = {key: text.encode() for key, text in data.items()}
        else:
            it = source["secret"]
            data = self.one("Secret", it.get("name") or it["secretName"])["data"]
            content = {key: base64.b64decode(text) for key, text in data.items()}
        if "items" in it:
            return {item["path"]: content[item["key"]] for item in it["items"]}
        return content

    def volume(self, name: str) -> dict[str, Any]:
        (found,) = [it for it in self.pod["volumes"] if it["name"] == name]
        return found

    def at(self, mount_path: str) -> dict[str, bytes]:
        """Files the container sees under a path where a volume of this kind is mounted."""
        (mount,) = [it for it in self.container["volumeMounts"] if it["mountPath"] == mount_path]
        return self.files(self.volume(mount["name"]))


def render(folder: Path) -> Manifests:
    done = kustomize(folder)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr, done.stderr
    return Manifests(done.stdout)
