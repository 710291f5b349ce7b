"""One browser for all tests of this folder; where there is none they are left out, and the summary counts them."""

import os

import pytest

from browser.chromium import Chromium, browser

LEFT_OUT = "no Chromium with its driver is installed"


def pytest_collection_modifyitems(items):
    """Every test here needs the browser. With NEARFAR_BROWSER=1 (`make test-browser`) a missing one is a failure."""
    if browser() is None and not os.environ.get("NEARFAR_BROWSER"):
        for item in items:
            if "chromium" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason=LEFT_OUT))


def pytest_terminal_summary(terminalreporter):
    """The last line of `make test` says what was not looked at."""
    reports = terminalreporter.stats.get("skipped", [])
    count = sum(LEFT_OUT in str(report.longrepr) for report in reports)
    if count:
        terminalreporter.write_line(
            f"NOT RUN: {count} tests of the report in a browser ({LEFT_OUT}); "
            "apt-get install chromium chromium-driver, then: make test-browser"
        )


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A headless Chromium with a profile of its own."""
    assert browser() is not None, f"{LEFT_OUT}; install the Debian packages chromium and chromium-driver"
    window = Chromium(tmp_path_factory.mktemp("profile"))
    yield window
    window.close()
