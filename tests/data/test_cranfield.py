"""The data set cranfield: its parts, and judgements that point to documents."""

import pytest

from nearfar.core.errors import ResourceError
from nearfar.data.dataset import VARIABLE
from nearfar.datasets.cranfield import cranfield


def test_without_the_folder_the_variable_is_named(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(ResourceError, match=VARIABLE):
        cranfield()


def test_parts(real_data):
    found = cranfield()
    assert {name: len(part) for name, part in found.parts.items()} == {
        "train": 1398,
        "documents": 1400,
        "dev": 113,
        "test": 112,
    }
    relevant, gain = (found.part("dev").columns[name] for name in ("relevant", "gain"))
    assert ((relevant >= 0) == (gain > 0)).all()
    assert relevant.max() < 1400
    assert gain.max() == 4
    first = found.part("dev").fields["query"][0]
    assert first.startswith("what similarity laws")
    assert 183 in relevant[0].tolist()  # the file's document 184
    assert not set(found.part("dev").fields["query"]) & set(found.part("test").fields["query"])
