"""A headless Chromium, driven through Debian's chromedriver by the WebDriver protocol: JSON over HTTP to this machine."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

BROWSERS, DRIVER = ("chromium", "chromium-browser", "google-chrome"), "chromedriver"
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
# What the browser itself does with a key, such as closing a dialog, goes by its number.
CODES = {"Escape": 27}
# Straight to this machine, whatever proxy the environment names.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def browser():
    """The browser's path, None where it or its driver is missing."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found if shutil.which(DRIVER) else None


class Chromium:
    """One window. `close` ends browser and driver."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.driver = subprocess.Popen(
            [shutil.which(DRIVER), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.url, self.session = f"http://127.0.0.1:{port}", ""
        try:
            self._ready()
            chrome = {"binary": browser(), "args": [*OPTIONS, f"--user-data-dir={folder}"]}
            wanted = {"goog:chromeOptions": chrome, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
            made = self._send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        except BaseException:
            self.driver.kill()
            raise
        self.session = f"/session/{made['sessionId']}"

    def _ready(self):
        for _ in range(200):
            try:
                if self._send("GET", "/status")["ready"]:
                    return
            except OSError:
                time.sleep(0.05)
        raise TimeoutError("chromedriver did not start")

    def _send(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with OPENER.open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def command(self, name, **parameters):
        """A command of the DevTools protocol."""
        return self._send("POST", f"{self.session}/goog/cdp/execute", {"cmd": name, "params": parameters})

    def open(self, path, *, dark=False, width=1280, height=900):
        """Show a file, or an address; what was logged before is forgotten."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        self.messages(), self.requests()
        self._send(
            "POST", f"{self.session}/url", {"url": path if "://" in str(path) else Path(path).resolve().as_uri()}
        )
        self.settle()

    def run(self, script, *given):
        """The value of a JavaScript function's body."""
        return self._send("POST", f"{self.session}/execute/sync", {"script": script, "args": list(given)})

    def settle(self):
        """Wait until what was asked for is drawn."""
        draw = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done(1)))"
        self._send("POST", f"{self.session}/execute/async", {"script": draw, "args": []})

    def until(self, script, *given, seconds=10):
        """The value of a JavaScript function's body as soon as it is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(script, *given)):
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds} seconds: {script}")
            time.sleep(0.02)
        return value

    def messages(self):
        """What the console said since the last call."""
        return self._send("POST", f"{self.session}/se/log", {"type": "browser"})

    def requests(self):
        """Addresses asked for since the last call."""
        entries = [
            json.loads(e["message"])["message"]
            for e in self._send("POST", f"{self.session}/se/log", {"type": "performance"})
        ]
        return [e["params"]["request"]["url"] for e in entries if e["method"] == "Network.requestWillBeSent"]

    def mouse(self, kind, x, y, **more):
        """One event of the mouse at a place of the window."""
        self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x, y):
        """Move there, press, let go."""
        self.mouse("mouseMoved", x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)
        self.settle()

    def key(self, key, text=""):
        """Press a key of the focused element."""
        code = {"windowsVirtualKeyCode": CODES[key]} if key in CODES else {}
        more = code | ({"text": text} if text else {})
        self.command("Input.dispatchKeyEvent", type="keyDown", key=key, **more)
        self.command("Input.dispatchKeyEvent", type="keyUp", key=key, **code)
        self.settle()

    def screenshot(self, path, whole=False):
        """A picture of the window, or of the whole page."""
        taken = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        Path(path).write_bytes(base64.b64decode(taken["data"]))

    def close(self):
        """End the session, then the driver."""
        try:
            self._send("DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait(10)
