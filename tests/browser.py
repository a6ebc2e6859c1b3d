"""Headless Chromium, driven through chromedriver by the WebDriver protocol (w3.org/TR/webdriver2), which is HTTP and JSON."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio"]


class Browser:
    def __init__(self, address: str, session: str) -> None:
        self._root = f"{address}/session/{session}"

    def open(self, url: str) -> None:
        self._ask("POST", "/url", {"url": url})

    def run(self, script: str) -> Any:
        """The value that JavaScript returns."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": []})

    def wait(self, script: str, timeout_s: float = 20.0) -> float:
        """Until the script returns something true; after how many seconds."""
        began = time.monotonic()
        while not self.run(script):
            assert time.monotonic() - began < timeout_s, f"waited {timeout_s:g} s for {script}"
            time.sleep(0.02)
        return time.monotonic() - began

    def size(self, width: int, height: int) -> None:
        """Of the page, also narrower than a window can be."""
        self._command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def dark(self) -> None:
        self._command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])

    def messages(self) -> list[str]:
        """Warnings and errors of the console so far: of scripts, the policy, the network."""
        return [row["message"] for row in self._ask("POST", "/se/log", {"type": "browser"})]

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))

    def close(self) -> None:
        self._ask("DELETE", "")

    def _command(self, name: str, **params: Any) -> None:
        self._ask("POST", "/goog/cdp/execute", {"cmd": name, "params": params})

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        return ask(method, self._root + path, body)


def ask(method: str, url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["value"]


@contextlib.contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Skips the test where there is no Chromium. folder: for its profile."""
    driver, program = shutil.which("chromedriver"), shutil.which("chromium") or shutil.which("google-chrome")
    if driver is None or program is None:
        pytest.skip("no Chromium with chromedriver here: apt-get install chromium chromium-driver")
    process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        line = next((text for text in process.stdout if "started successfully on port" in text), "")
        assert line, "chromedriver has ended"
        address = f"http://127.0.0.1:{line.split()[-1].rstrip('.')}"
        options = {"binary": program, "args": [*_ARGUMENTS, f"--user-data-dir={folder / 'profile'}"]}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
        browser = Browser(address, ask("POST", f"{address}/session", {"capabilities": wanted})["sessionId"])
        try:
            yield browser
        finally:
            browser.close()
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
