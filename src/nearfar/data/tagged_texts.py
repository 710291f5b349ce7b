"""Tagged texts: texts that have several tags each, as records for contrast of texts with the texts of tags.

        (text, [a, b, c])  ->  query text, document a, further documents b and c, and the ids of all three

A tag is a text too, so that one that nobody has seen can be found. Kin: `array_records`, for one label a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.core.ids import string_ids
from nearfar.data.array_records import array_records
from nearfar.data.records import Records

CARD = Card(
    name="tagged_texts",
    summary="texts with several tags each, as records",
    related=("decoupled_softmax", "soft_top_k"),
)


def tagged_texts(texts: Sequence[str], tags: Sequence[Sequence[Any]]) -> Records:
    """Records with the fields `query`, `document` (the first tag) and `documents` (its other tags), and the column `tags` [n m], ids of all
    tags, padded with -1.

    A tag that a text has twice counts once. Raises DataError for unequal lengths, a text without tags, and tags that are no texts.

    >>> made = tagged_texts(["fish soup", "apple pie"], [["soup", "fish"], ["cake"]])
    >>> made.fields["document"], made.fields["documents"], made.columns["tags"].shape
    (['soup', 'cake'], [['fish'], []], (2, 2))
    """
    if len(texts) != len(tags):
        raise DataError(
            f"{len(tags)} lists of tags for {len(texts)} texts", where="tags", remedy="give one list a text"
        )
    own: list[list[str]] = []
    for number, mine in enumerate(tags):
        if isinstance(mine, str) or not len(mine) or not all(isinstance(tag, str) for tag in mine):
            raise DataError(
                "a text needs a list of one tag or more, each a text",
                where=f"tags[{number}]",
                remedy='give ["soup", "fish"]; leave out texts without tags',
            )
        own.append(list(dict.fromkeys(mine)))
    ids = np.full((len(own), max(map(len, own), default=1)), -1, np.int64)
    for row, mine in zip(ids, own, strict=True):
        row[: len(mine)] = string_ids(mine)
    return array_records(
        query=list(texts),
        document=[mine[0] for mine in own],
        documents=[mine[1:] for mine in own],
        tags=ids,
        columns=("tags",),
    )
