"""Headless Chromium by its DevTools protocol: just enough to open a page, use it, and see what it asks for."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 60.0  # seconds


def found() -> str | None:
    """Return the browser's path: $TIDE_BROWSER, or the first of the usual names."""
    return os.environ.get("TIDE_BROWSER") or next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One tab. ``requests`` holds the addresses asked for, ``complaints`` what the console reported as an error."""

    def __init__(self, binary: str, profile: Path, *, width: int = 1280, height: int = 900) -> None:
        from websockets.sync.client import connect

        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._number = 0
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run"]
        self._open = ExitStack()
        self._process = subprocess.Popen(
            [binary, *flags, f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port = self._wait_for(profile / "DevToolsActivePort")
            address = f"ws://127.0.0.1:{port[0]}{port[1]}"
            self._socket = self._open.enter_context(connect(address, max_size=None))
            target = self("Target.createTarget", url="about:blank")["targetId"]
            self._session: str | None = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Network", "Runtime", "Log"):
                self(f"{domain}.enable")
        except BaseException:
            self._process.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the browser end its own processes."""
        self._session = None
        try:
            self("Browser.close")
            self._process.wait(PATIENCE)
        finally:
            self._open.close()
            self._process.kill()
            self._process.wait()

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; events that come in between are noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if getattr(self, "_session", None) is not None:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(PATIENCE))
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer.get("method"), answer.get("params", {}))

    def _note(self, method: str | None, event: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(event["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = event["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "assert"):
            self.complaints.append(str(event["args"]))
        elif method == "Log.entryAdded" and event["entry"]["level"] == "error":
            self.complaints.append(event["entry"]["text"])

    def open(self, address: str) -> None:
        """Go to a page."""
        self("Page.navigate", url=address)

    def value(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript, once its promise is fulfilled."""
        answer = self("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + PATIENCE
        while not self.value(condition):
            assert time.monotonic() < until, (condition, self.complaints)
            time.sleep(0.05)

    def drag(self, *points: tuple[float, float]) -> None:
        """Press the mouse at the first point, move over the others, release at the last."""
        for number, (x, y) in enumerate(points):
            kind = "mouseMoved" if number else "mousePressed"
            self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
        x, y = points[-1]
        self("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left", clickCount=1)

    def screen(self, width: int, height: int, *, dark: bool = False, mobile: bool = False, scale: float = 1) -> None:
        """Take another size of screen, and a light or dark scheme."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])
        self("Emulation.setScrollbarsHidden", hidden=True)

    def shot(self, path: Path, *, whole: bool = False) -> None:
        """Save a picture of the screen, or of the whole page."""
        picture = self("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(picture["data"]))

    @staticmethod
    def _wait_for(path: Path) -> list[str]:
        until = time.monotonic() + PATIENCE
        while not (path.is_file() and len(lines := path.read_text().split()) == 2):
            assert time.monotonic() < until, "the browser did not start"
            time.sleep(0.05)
        return lines
