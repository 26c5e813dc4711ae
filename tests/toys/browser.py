"""A real browser for pages: headless Chromium through chromedriver.

Where either is missing a test that needs them is skipped, and `make test` lists it with the reason;
with REQUIRE_BROWSER=1, as .ci/run sets it where they are, it fails.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium_and_driver() -> tuple[str, str]:
    """Paths of the browser and its driver; skips the test, or fails it, without them."""
    browser = next(filter(None, map(shutil.which, _NAMES)), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        missing = "chromium" if browser is None else "chromedriver"
        stop = pytest.fail if os.environ.get("REQUIRE_BROWSER") == "1" else pytest.skip
        stop(f"no {missing} on this machine: the page was not tried in a browser")
    return browser, driver


@contextlib.contextmanager
def open_browser(width: int = 1200, height: int = 900) -> Iterator:
    """A selenium driver whose console is recorded, with a window of that size and no network."""
    path, driver_path = chromium_and_driver()
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = path
    for argument in (
        "headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run",
        "disable-background-networking", "disable-component-update", "disable-sync",
        "host-resolver-rules=MAP * ~NOTFOUND", f"window-size={width},{height}",
    ):  # fmt: skip
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(driver_path)
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


def phone(driver, width: int = 390, height: int = 844) -> None:
    """Lets the page see a phone's screen."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True},
    )
