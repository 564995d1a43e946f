"""A headless Chromium that is driven through the pipe of its DevTools protocol, without a further package."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PATIENCE = 60.0


def chromium() -> str:
    """The browser, or a skipped test."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("needs Chromium or Chrome")
    return found


class Browser:
    """One tab. `problems` collects exceptions, errors and warnings of the console, and requests to the network."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._buffer, self._number = b"", 0
        self.problems: list[str] = []
        target = self._call("Target.createTarget", {"url": "about:blank"}, session=None)["targetId"]
        attached = self._call("Target.attachToTarget", {"targetId": target, "flatten": True}, session=None)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        return self._call(method, params, session=self._session)

    def open(self, url: str, *, width: int = 1280, height: int = 900, is_dark: bool = False) -> float:
        """Open a page and wait until its plot is drawn; gives the seconds that this took."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url="about:blank")
        self.problems.clear()
        start = perf_counter()
        self.call("Page.navigate", url=url)
        is_drawn = "document.querySelector('#plot[data-ready]') !== null"
        has_none = "document.readyState === 'complete' && !document.querySelector('#plot')"
        self.wait_for(f"{is_drawn} || {has_none}")
        return perf_counter() - start

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, promises awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true."""
        stop = perf_counter() + _PATIENCE
        while not self.evaluate(f"Boolean({expression})"):
            if perf_counter() > stop:
                raise AssertionError(f"{expression} is not true after {_PATIENCE} s; {self.problems}")

    def screenshot(self, path: Path, *, is_full: bool = False) -> None:
        """Write what is seen, or the whole page, as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=is_full)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _call(self, method: str, params: dict[str, Any], *, session: str | None) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._read, 1 << 20)
            if not part:
                raise AssertionError("Chromium ended")
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.problems.append(f"console.{params['type']}: {params['args']}")
            case "Log.entryAdded":
                self.problems.append(params["entry"]["text"])
            case "Page.javascriptDialogOpening":
                self.problems.append(f"dialog: {params['message']}")
            case "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("file:", "about:", "data:", "blob:")):
                    self.problems.append(f"request: {url}")


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A tab of a new browser, whose profile is in `folder`."""
    program = chromium()
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    arguments = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
        *("--remote-debugging-pipe", f"--user-data-dir={folder}"),
    ]
    # The protocol reads descriptor 3 and writes 4.
    command = f'exec "$0" "$@" 3<&{to_read} 4>&{from_write}'
    process = subprocess.Popen(
        ["bash", "-c", command, program, *arguments],
        pass_fds=(to_read, from_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(from_write)
    try:
        tab = Browser(to_write, from_read)
        yield tab
        tab._call("Browser.close", {}, session=None)
    finally:
        os.close(to_write)
        os.close(from_read)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
