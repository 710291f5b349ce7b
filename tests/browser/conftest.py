"""One browser for all tests of this folder; where there is none they are left out, and the summary of all tests counts them."""

import os

import pytest

from browser.chromium import Chromium, browser

LEFT_OUT = "no Chromium with its driver is installed; apt-get install chromium chromium-driver, then: make test-browser"


def pytest_collection_modifyitems(items):
    """Every test here needs the browser. With NEARFAR_BROWSER=1 (`make test-browser`) a missing one is a failure."""
    if browser() is None and not os.environ.get("NEARFAR_BROWSER"):
        for item in items:
            if "chromium" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason=f"not run: {LEFT_OUT}"))


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A headless Chromium with a profile of its own."""
    assert browser() is not None, LEFT_OUT
    window = Chromium(tmp_path_factory.mktemp("profile"))
    yield window
    window.close()
