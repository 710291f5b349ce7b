"""Texts with several tags: every tag once, ids that say whose it is, and what is refused."""

import pytest

import nearfar as nf
from nearfar.core.errors import DataError
from nearfar.core.ids import string_ids


def test_every_tag_once_and_its_id():
    made = nf.tagged_texts(["a", "b", "c"], [["x", "y", "x"], ["y"], ["z", "x"]])
    assert made.fields["query"] == ["a", "b", "c"]
    assert made.fields["document"] == ["x", "y", "z"]
    assert made.fields["documents"] == [["y"], [], ["x"]]
    x, y, z = string_ids(["x", "y", "z"]).tolist()
    assert made.columns["tags"].tolist() == [[x, y], [y, -1], [z, x]]
    assert made.columns["document"].tolist() == [x, y, z]


@pytest.mark.parametrize("tags", [[["x"]], [["x"], []], [["x"], "y"], [["x"], [1]]])
def test_what_is_no_list_of_tags_is_refused(tags):
    with pytest.raises(DataError):
        nf.tagged_texts(["a", "b"], tags)
