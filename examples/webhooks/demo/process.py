"""The router as a child process, started and steered as a user does it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
SECRET = "a-made-up-secret-for-the-demo"

console = Console(highlight=False)


class Router:
    """One router on one data folder; it keeps its addresses over a kill."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.template = template
        self.data = folder / "data"
        self.ready = folder / "ready.json"
        self.log = folder / "router.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.addresses: dict[str, str] = {}
        self.listen = ["127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"]
        self.parameters: dict[str, str] = {}

    def start(self) -> None:
        """Start and wait until it is ready."""
        self.ready.unlink(missing_ok=True)
        api, ingress, ops = self.listen
        command = [
            BIN / "router", "run", self.template, "--data", self.data,
            "--api", api, "--ingress", ingress, "--ops", ops, "--ready-file", self.ready,
            *self._given(),
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=_environment()
            )
        deadline = time.monotonic() + 30
        while not self.ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                console.print(f"[red]the router did not start; the end of {self.log}:[/red]")
                console.print(self.log.read_text("utf-8", "replace")[-3000:], markup=False)
                raise SystemExit(1)
            time.sleep(0.02)
        self.addresses = json.loads(self.ready.read_text("utf-8"))
        # After a kill the router comes back where the senders still look for it.
        self.listen = [self.addresses[name].split("//")[1] for name in ("api", "ingress", "ops")]

    def apply(self, **parameters: str) -> None:
        """Bring the running router to other parameters of the template, with `router apply`."""
        self.parameters |= parameters
        command = [
            BIN / "router", "apply", self.template, "--data", self.data, *self._given(),
        ]  # fmt: skip
        done = subprocess.run(
            command, env=_environment(), check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            console.print(f"[red]router apply ended with {done.returncode}:[/red]")
            console.print(done.stdout + done.stderr, markup=False)
            raise SystemExit(1)

    def kill(self) -> None:
        """`kill -9`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def _given(self) -> list[str]:
        return [
            part
            for name, value in self.parameters.items()
            for part in ("--parameter", f"{name}={value}")
        ]


def _environment() -> dict[str, str]:
    return {**os.environ, "ROUTER_SECRET_GITHUB": SECRET, "ROUTER_LOG_FORMAT": "json"}
