"""The router as a child process, started and steered as a user does it."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

READY_S_MAX = 120
"""Longest start, on a machine busy with other things."""

IN_USE = "Address already in use"

console = Console(highlight=False)


class Router:
    """One router on one data folder; it keeps its addresses over a kill."""

    def __init__(
        self, folder: Path, template: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """`environment`: more variables for it, secrets among them."""
        self.template = template
        self.environment = {**os.environ, "ROUTER_LOG_FORMAT": "json", **(environment or {})}
        self.data = folder / "data"
        self.ready = folder / "ready.json"
        self.log = folder / "router.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.addresses: dict[str, str] = {}
        self.listen = ["127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"]
        self.parameters: dict[str, str] = {}

    def start(self) -> None:
        """Start and wait until it is ready."""
        deadline = time.monotonic() + READY_S_MAX
        while not self._is_started(deadline):
            # Somebody's connection was given one of its ports meanwhile; connections end.
            time.sleep(0.2)
        self.addresses = json.loads(self.ready.read_text("utf-8"))
        # After a kill the router comes back where the senders still look for it.
        self.listen = [self.addresses[name].split("//")[1] for name in ("api", "ingress", "ops")]

    def _is_started(self, deadline: float) -> bool:
        """Whether it is ready; or it cannot have a port just now."""
        self.ready.unlink(missing_ok=True)
        api, ingress, ops = self.listen
        command = [
            BIN / "router", "run", self.template, "--data", self.data,
            "--api", api, "--ingress", ingress, "--ops", ops, "--ready-file", self.ready,
            *self._given(),
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment
            )
        while not self.ready.exists():
            has_ended = self.process.poll() is not None
            if has_ended or time.monotonic() > deadline:
                text = self.log.read_text("utf-8", "replace")[-3000:]
                if has_ended and IN_USE in text[-300:] and time.monotonic() < deadline:
                    return False
                console.print(f"[red]the router did not start; the end of {self.log}:[/red]")
                console.print(text, markup=False)
                raise SystemExit(1)
            time.sleep(0.02)
        return True

    def apply(self, **parameters: str) -> None:
        """Bring the running router to other parameters of the template, with `router apply`."""
        self.parameters |= parameters
        self.command("apply", str(self.template), *self._given())

    def command(self, *words: str) -> str:
        """What a command of `router` prints about this one."""
        done = subprocess.run(
            [BIN / "router", *words, "--data", self.data],
            env=self.environment, check=False, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            console.print(f"[red]router {words[0]} ended with {done.returncode}:[/red]")
            console.print(done.stdout + done.stderr, markup=False)
            raise SystemExit(1)
        return done.stdout

    def kill(self) -> None:
        """`kill -9`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        if self.process is None:
            return 0
        if (status := self.process.poll()) is not None:
            return status
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(READY_S_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def _given(self) -> list[str]:
        return [
            part
            for name, value in self.parameters.items()
            for part in ("--parameter", f"{name}={value}")
        ]


async def kill_and_start(router: Router) -> None:
    """SIGKILL, then a start on the same data."""
    router.kill()
    console.print("[yellow]killed the router with SIGKILL; starting it again[/yellow]")
    await asyncio.to_thread(router.start)


def fresh_folder(name: str) -> Path:
    """An empty folder below `.router`. SIGTERM ends a demo as Ctrl-C does: with its children."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    folder = ROOT / ".router" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def wait_for_user(router: Router) -> None:
    """Leave it running until Ctrl-C."""
    assert router.process is not None
    console.print(f"\nstill running as process {router.process.pid}; Ctrl-C stops it")
    with contextlib.suppress(KeyboardInterrupt):
        router.process.wait()
