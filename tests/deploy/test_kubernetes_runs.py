"""The pod of the overlay `dev`, as far as there is one without a cluster, and what changes in it.

The router is started with the arguments, the variables and the files that the manifests come to;
only paths, ports and the interpreter are this machine's.
"""

import contextlib
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.manifests import SECRETS, Manifests, copy, render
from tests.deploy.mounted import MountedVolume
from tests.integration.bed import ROUTER, WAIT_S, Reply, call, until
from tests.ports import lasting_port

APP = "functions/greet/app.py"


class Pod:
    """One container in a folder of its own."""

    def __init__(self, folder: Path, it: Manifests) -> None:
        self.folder = folder
        self.log = folder / "router.log"
        self.files = it.at("/etc/router")
        self.config = MountedVolume(folder / "etc/router", self.files)
        self.secrets = MountedVolume(folder / "etc/secrets", it.at("/etc/router/secrets"))
        listen = {name.upper(): f"127.0.0.1:{lasting_port()}" for name in it.ports}
        self.urls = {name: f"http://{where}" for name, where in listen.items()}
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("ROUTER_")},
            **it.environment,
            **{f"ROUTER_{name}": where for name, where in listen.items()},
            "ROUTER_DATA": str(folder / "data"),
            "ROUTER_SECRETS_DIR": str(self.secrets.folder),
            "ROUTER_RUNTIMES": f"python3.11={sys.executable}",
        }
        self.arguments = [
            text.replace("/etc/router/", f"{self.config.folder}/") for text in it.container["args"]
        ]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Until `/ready` says so; then until it has ended in good order."""
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [ROUTER, *self.arguments],
                env=self.environment, cwd=self.folder, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            until(lambda: self._is_ready(process), what="a ready router")
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_S) == 0
        finally:
            process.kill()
            process.wait()
            print(self.log.read_text()[-6000:])

    def _is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError):
            return call(self.urls["OPS"], "/ready").status == 200
        return False

    def greet(self, name: str, secret: str = SECRETS["dev"]["greetings"]) -> Reply:
        body = json.dumps({"name": name}).encode()
        digest = hmac.new(secret.strip().encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={digest}"}
        return call(self.urls["INGRESS"], "/greetings", body, headers)

    def told(self) -> str:
        """What functions have written."""
        files = (path for path in (self.folder / "data" / "logs").rglob("*") if path.is_file())
        return "".join(path.read_text() for path in files)

    def lines(self, event: str) -> list[dict[str, object]]:
        whole, _, _ = self.log.read_text().rpartition("\n")
        rows = [json.loads(line) for line in whole.splitlines()]
        return [row for row in rows if row["event"] == event]


@pytest.fixture
def pod(tmp_path) -> Pod:
    return Pod(tmp_path / "pod", render(copy(tmp_path) / "overlays" / "dev"))


def test_it_runs_and_takes_up_what_changes_in_the_config_map(pod):
    with pod.running():
        assert pod.greet("Ada").status == 202
        until(lambda: "hello, Ada" in pod.told(), what="the function's line")
        assert call(pod.urls["API"], "/2015-03-31/functions").status == 403, "there are keys"

        for greeting in (b"good morning,", b"good night,"):  # each swap makes the next one's place
            applied = len(pod.lines("template_applied"))
            code = pod.files[APP].replace(b"hello,", greeting)
            assert code != pod.files[APP]
            pod.config.put(pod.files | {APP: code})
            until(lambda applied=applied: len(pod.lines("template_applied")) > applied)
            name = greeting.split()[1].decode()
            assert pod.greet(name).status == 202
            said = f"{greeting.decode()} {name}"
            until(lambda said=said: said in pod.told(), what=said)

        broken = pod.files["template.yaml"].replace(b"BatchSize: 20", b"BatchSize: many")
        pod.config.put(pod.files | {"template.yaml": broken})
        until(lambda: pod.lines("template_not_applied"), what="a line that names it")
        assert "BatchSize" in str(pod.lines("template_not_applied")[0]["error"])
        assert pod.greet("Grace").status == 202
        until(lambda: "Grace" in pod.told(), what="what ran before runs on")

        pod.secrets.put({"greetings": b"another"})
        until(lambda: pod.greet("Grace", "another").status == 202, what="the new secret")
        assert pod.greet("Grace").status == 401
