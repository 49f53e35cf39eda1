"""One window of a headless Chromium, by WebDriver.

What the page says on its console, and every request it makes, is in Chromium's log of itself
(`goog:loggingPrefs`).
"""

import base64
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from tests.patience import PATIENCE_S

ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"
"""WebDriver's key of a reference to an element."""

ARGUMENTS: Final = (
    "--headless=new",
    "--no-sandbox",  # CI is root in a container
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)

TAB: Final = "\ue004"
"""The key, as WebDriver writes it."""

ENTER: Final = "\ue007"


class DriverError(Exception):
    """WebDriver refused a command."""


class Browser:
    """A session of a driver that listens on a port of the loopback."""

    def __init__(self, port: int, folder: Path, *arguments: str, has_script: bool = True) -> None:
        """`folder` is for its profile. Without `has_script` pages run none."""
        self._root = f"http://127.0.0.1:{port}"
        options: dict[str, Any] = {
            "args": [*ARGUMENTS, f"--user-data-dir={folder}", *arguments],
        }
        if not has_script:
            options["prefs"] = {"profile.managed_default_content_settings.javascript": 2}
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        made = self._call("POST", "/session", capabilities={"alwaysMatch": wanted})
        self._session = f"/session/{made['sessionId']}"
        self.log: list[dict[str, Any]] = []
        """What its network and its security said so far."""

    def close(self) -> None:
        """End it."""
        self._call("DELETE", self._session)

    def size(self, width: int, height: int, *, is_dark: bool = False) -> None:
        """The size of what is seen, in CSS pixels, and the theme."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        theme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[theme])

    def open(self, url: str) -> None:
        """Go there, and wait for the page."""
        self._call("POST", f"{self._session}/url", url=url)

    @property
    def address(self) -> str:
        """Where it is."""
        return str(self._call("GET", f"{self._session}/url"))

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns, run in the page."""
        return self._call(
            "POST", f"{self._session}/execute/sync", script=script, args=list(arguments)
        )

    def text(self, selector: str) -> str:
        """What an element says, as it is in the document; empty for none."""
        found = self.run("return document.querySelector(arguments[0])?.textContent", selector)
        return str(found or "")

    def texts(self, selector: str) -> list[str]:
        """What all such elements say."""
        return list(
            self.run(
                "return [...document.querySelectorAll(arguments[0])].map((it) => it.textContent)",
                selector,
            )
        )

    def press(self, keys: str) -> None:
        """Keys, one after the other, to whatever has the focus."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        actions = [{"type": "key", "id": "keyboard", "actions": strokes}]
        self._call("POST", f"{self._session}/actions", actions=actions)

    def point(self, selector: str) -> None:
        """Move the pointer over an element."""
        box = self.run(
            "const box = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]",
            selector,
        )
        move = {"type": "pointerMove", "x": round(box[0]), "y": round(box[1]), "duration": 0}
        actions = [{"type": "pointer", "id": "mouse", "actions": [move]}]
        self._call("POST", f"{self._session}/actions", actions=actions)

    def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of Chromium's own protocol."""
        path = f"{self._session}/goog/cdp/execute"
        return self._call("POST", path, cmd=command, params=parameters)

    def picture(self, *, is_whole: bool = False) -> bytes:
        """What is seen as PNG; the whole page down to its end."""
        shot = self.devtools("Page.captureScreenshot", captureBeyondViewport=is_whole)
        return base64.b64decode(shot["data"])

    def complaints(self) -> list[str]:
        """What its console got since this was asked before, warnings and errors alone."""
        rows = self._call("POST", f"{self._session}/se/log", type="browser")
        return [row["message"] for row in rows if row["level"] in {"WARNING", "SEVERE"}]

    def requests(self) -> list[str]:
        """The addresses of all requests since this was asked before."""
        rows = self._call("POST", f"{self._session}/se/log", type="performance")
        found = []
        for row in rows:
            message = json.loads(row["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return found

    def until(self, script: str, *arguments: Any) -> Any:
        """Wait for a script to return something true; what it returns."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not (found := self.run(script, *arguments)):
            assert time.monotonic() < deadline_s, f"never true: {script}"
            time.sleep(0.05)
        return found

    def _call(self, method: str, path: str, **members: Any) -> Any:
        data = None if method != "POST" else json.dumps(members).encode()
        request = urllib.request.Request(self._root + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise DriverError(error.read().decode()[:2_000]) from None
