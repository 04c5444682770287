"""A headless Chromium for tests, axe-core for what it finds, and what was shown and asked for."""

import base64
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

AXE = "axe-core@4.14.1"
PROGRAMS = ("chromium", "google-chrome")
WAIT = 60
"""Seconds that a page may take for a step, on any machine: axe-core, for the leaderboard, took over
20 on a busy one."""
SERIOUS = ("serious", "critical")
HERE = ("file", "data", "blob", "about", "chrome")
"""Schemes of addresses that ask nothing of the network."""


def chromium() -> Any:
    """Start a headless Chromium, or skip and say what is missing."""
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        pytest.skip("no selenium: pip install -e '.[test]'")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    driver = shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("no Chromium: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for word in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(word)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # as Chromium demands of root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    started.set_script_timeout(WAIT)
    return started


def axe_core(cache: Path) -> str:
    """Return the script of axe-core, fetched once by npm, or skip and say what is missing."""
    held = cache / f"{AXE.replace('@', '-')}.js"
    if not held.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("no axe-core: npm is not installed")
        cache.mkdir(parents=True, exist_ok=True)
        words = [npm, "pack", AXE, "--silent"]
        done = subprocess.run(words, cwd=cache, capture_output=True, text=True, timeout=120)
        if done.returncode:
            pytest.skip(f"no axe-core: npm pack {AXE} failed: {done.stderr.strip()[-200:]}")
        with tarfile.open(cache / done.stdout.split()[-1]) as archive:
            member = archive.extractfile("package/axe.min.js")
            assert member is not None
            held.write_bytes(member.read())
    return held.read_text("utf-8")


class Shown:
    """A page in a browser.

    Args:
        browser: of `chromium`.

    """

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def open(self, path: Path, fragment: str = "") -> None:
        """Open a file at a fragment, as a new visit."""
        self.browser.get("about:blank")
        self.browser.get(f"{path.as_uri()}#{fragment}")
        self.settle()

    def go(self, fragment: str) -> None:
        """Change the fragment alone."""
        self.run("location.hash = arguments[0]", fragment)
        self.settle()

    def run(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(script, *arguments)

    def settle(self) -> None:
        """Wait until all parts that are shown are painted."""
        self.browser.execute_async_script(
            "const done = arguments[0]; const look = () => "
            "document.querySelector('#main[data-waiting=true]') "
            "? setTimeout(look, 20) : done(); setTimeout(look, 50);"
        )

    def all(self, selector: str) -> list[Any]:
        """Return the elements of a selector that are shown."""
        found = self.browser.find_elements("css selector", selector)
        return [one for one in found if one.is_displayed()]

    def texts(self, selector: str) -> list[str]:
        return [one.text for one in self.all(selector)]

    def click(self, selector: str, text: str = "") -> None:
        """Click the first shown element of a selector that has a text."""
        wanted = next(one for one in self.all(selector) if text in one.text)
        self.run("arguments[0].scrollIntoView({block: 'center'})", wanted)
        wanted.click()
        self.settle()

    def choose(self, tool: str, value: str) -> None:
        """Choose a value in a list above the charts."""
        self.run(
            "const tool = document.getElementById(`tool-${arguments[0]}`);"
            "tool.value = arguments[1]; tool.dispatchEvent(new Event('change'))",
            tool,
            value,
        )
        self.settle()

    @property
    def fragment(self) -> dict[str, str]:
        """The settings in the address; of a repeated one the last."""
        return dict(parse_qsl(urlsplit(self.browser.current_url).fragment, keep_blank_values=True))

    def media(self, scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.settle()

    def width(self, width: int, height: int = 900) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.settle()

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.browser.get_screenshot_as_base64()))

    def pdf(self) -> bytes:
        asked = {"printBackground": True, "paperWidth": 8.27, "paperHeight": 11.69}
        return base64.b64decode(self.browser.execute_cdp_cmd("Page.printToPDF", asked)["data"])

    def violations(self, axe: str) -> list[str]:
        """Return what axe-core finds that is serious or critical."""
        self.browser.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
        found = self.browser.execute_async_script(
            "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']})"
            ".then((told) => done(told.violations.map((one) => "
            "[one.impact, one.id, one.nodes[0].html])))"
        )
        return [f"{rule}: {html}" for impact, rule, html in found if impact in SERIOUS]

    def complaints(self) -> list[str]:
        """Return the messages on the console since the last call."""
        return [one["message"] for one in self.browser.get_log("browser")]

    def asked_for(self) -> list[str]:
        """Return the addresses outside the file that were asked for since the last call."""
        events = [
            json.loads(one["message"])["message"] for one in self.browser.get_log("performance")
        ]
        sent = [one["params"] for one in events if one["method"] == "Network.requestWillBeSent"]
        addresses = [one["request"]["url"] for one in sent]
        return [one for one in addresses if urlsplit(one).scheme not in HERE]
