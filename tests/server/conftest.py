"""One small index for all tests of this folder; who writes takes a copy."""

import pytest

from server import served


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """An index in `index` and its model in `model`."""
    evil = [("evil", {"name": served.EVIL, "file": "zoo/<b>.md", "line": 1, "text": f"a hostile fox {served.EVIL}"})]
    return served.built(tmp_path_factory.mktemp("served"), more=evil)


@pytest.fixture(scope="session")
def other(tmp_path_factory):
    """The same records by another model."""
    return served.built(tmp_path_factory.mktemp("other"), dimension=48, seed=7)
