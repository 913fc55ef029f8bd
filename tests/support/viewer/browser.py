"""Headless Chromium over its DevTools protocol: open a page, ask it, click in it, look at it."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from websocket import WebSocket, create_connection

from tests.support.peers.processes import process, require

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    # The viewer draws segmentations with WebGL only: in software where there is no GPU.
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-port=0",
)
WIDTH, HEIGHT = 1500, 900
CALL_S = 90.0

Picture = NDArray[np.uint8]


class PageFailed(Exception):
    """The page threw an error, or what was waited for did not come."""


@dataclass
class Page:
    """One tab."""

    socket: WebSocket
    errors: list[str] = field(default_factory=list)
    """What the page's programs threw without catching, or reported as errors."""
    _number: int = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result.

        Raises
        ------
        PageFailed
            The browser answered with an error.
        """
        self._number += 1
        self.socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self._number:
                if "error" in message:
                    raise PageFailed(f"{method}: {message['error']}")
                return dict(message["result"])
            self._note(message)

    def open(self, url: str) -> None:
        """Go to a URL."""
        self.errors.clear()
        self.call("Page.navigate", url=url)

    def ask(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited.

        Raises
        ------
        PageFailed
            The expression threw.
        """
        outcome = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in outcome:
            details = outcome["exceptionDetails"]
            raise PageFailed(details.get("exception", {}).get("description", details.get("text", "")))
        return outcome["result"].get("value")

    def wait(self, expression: str, *, timeout_s: float = 60.0) -> Any:
        """Wait until an expression gives something true, and return it; an error counts as not yet.

        Raises
        ------
        PageFailed
            It did not within the time.
        """
        deadline = time.monotonic() + timeout_s
        said: object = None
        while time.monotonic() < deadline:
            try:
                said = self.ask(expression)
            except PageFailed as error:
                said = error
            if said and not isinstance(said, PageFailed):
                return said
            time.sleep(0.1)
        raise PageFailed(f"not within {timeout_s} s: {expression} (last: {said}; errors of the page: {self.errors})")

    def wait_for_error(self, *, timeout_s: float = 60.0) -> str:
        """Wait until one of the page's programs fails, and return what it threw.

        Raises
        ------
        PageFailed
            None did within the time.
        """
        deadline = time.monotonic() + timeout_s
        while not self.errors:
            if time.monotonic() > deadline:
                raise PageFailed(f"no error within {timeout_s} s")
            self.ask("0")  # what the page reports is read with the answer
            time.sleep(0.1)
        return self.errors[0]

    def click(self, x: float, y: float, *, times: int = 1) -> None:
        """Click at a point of the page, in CSS pixels."""
        for count in range(1, times + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=count)

    def picture(self) -> Picture:
        """Return what is seen, (rows, columns, 3) uint8 RGB, one pixel for each CSS pixel."""
        shot = self.call("Page.captureScreenshot", format="png")
        with Image.open(io.BytesIO(base64.b64decode(shot["data"]))) as image:
            return np.asarray(image.convert("RGB"))

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            details = message["params"]["exceptionDetails"]
            self.errors.append(str(details.get("exception", {}).get("description", details.get("text")))[:500])
        elif message.get("method") == "Runtime.consoleAPICalled" and message["params"]["type"] == "error":
            parts = [part.get("description", part.get("value", "")) for part in message["params"]["args"]]
            self.errors.append(" ".join(map(str, parts))[:500])


@contextlib.contextmanager
def page(folder: Path) -> Iterator[Page]:
    """Start Chromium with an empty profile in `folder` and yield its tab; skips where it is not installed."""
    program, profile = require("chromium"), folder / "profile"
    active = profile / "DevToolsActivePort"
    folder.mkdir(parents=True, exist_ok=True)
    command = [program, *OPTIONS, f"--window-size={WIDTH},{HEIGHT}", f"--user-data-dir={profile}", "about:blank"]
    with process(command, log=folder / "chromium.log", ready=lambda: active.exists() and active.read_text().strip()):
        port = active.read_text().split()[0]
        with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as answer:
            (tab,) = [target for target in json.load(answer) if target["type"] == "page"]
        socket = create_connection(tab["webSocketDebuggerUrl"], timeout=CALL_S, suppress_origin=True)
        try:
            made = Page(socket)
            made.call("Page.enable")
            made.call("Runtime.enable")
            made.call(
                "Emulation.setDeviceMetricsOverride", width=WIDTH, height=HEIGHT, deviceScaleFactor=1, mobile=False
            )
            yield made
        finally:
            socket.close()
