"""Which column is the query's side, which the document's, which hold hard negatives: said by the user or found.

Found only when there is no doubt: well-known pairs of names, or exactly two columns of text. Anything else is an error
that lists the columns, because a wrong guess trains a wrong model without a word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nearfar.core.errors import DataError, UsageError
from nearfar.data.cells import Kind, is_null

KNOWN = (  # tried in this order; names are compared without regard to case
    ("anchor", "positive"),
    ("query", "document"),
    ("query", "positive"),
    ("query", "passage"),
    ("question", "answer"),
    ("text1", "text2"),
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
)
NEGATIVE = re.compile(r"(hard_)?negatives?(_?\d+)?", re.IGNORECASE)
NO_TEXT = re.compile(
    r"(.*_)?(id|ids|uuid|url|label|labels|class|category|score|split|source|lang|language)|", re.IGNORECASE
)


class PairColumns(NamedTuple):
    """Names of the two sides and of the columns of explicit hard negatives."""

    query: str
    document: str
    negatives: tuple[str, ...] = ()

    def kinds(self) -> dict[str, Kind]:
        """What each column must hold."""
        kinds: dict[str, Kind] = dict.fromkeys(self.negatives, "texts")
        kinds[self.query] = kinds[self.document] = "text"
        return kinds


def given_columns(columns: str | Sequence[str]) -> PairColumns:
    """The columns that a user named, `"question,answer"` or a sequence: query, document, then hard negatives.

    Errors: UsageError for fewer than two names, an empty one, or one named twice.
    """
    names = [n.strip() for n in columns.split(",")] if isinstance(columns, str) else [str(n) for n in columns]
    if len(names) < 2 or not all(names):
        raise UsageError(
            f"pairs need two columns, not {', '.join(names) or 'none'}",
            where="columns",
            remedy='name the query side first, then the document side: columns="question,answer"',
        )
    if len(set(names)) < len(names):
        raise UsageError(f"a column is named twice: {', '.join(names)}", where="columns", remedy="name each once")
    return PairColumns(names[0], names[1], tuple(names[2:]))


def found_columns(sample: Mapping[str, Any], where: str) -> PairColumns:
    """The columns of a source that nobody named; `sample` holds each column's first value that is not null.

    Errors: DataError that lists the columns if there is any doubt.
    """
    folded = {str(name).casefold(): name for name in sample}
    negatives = tuple(name for name in sample if NEGATIVE.fullmatch(name))
    for query, document in KNOWN:
        if query in folded and document in folded:
            return PairColumns(folded[query], folded[document], negatives)
    text = [n for n, value in sample.items() if n not in negatives and not NO_TEXT.fullmatch(n) and _is_text(value)]
    if len(text) == 2:
        return PairColumns(text[0], text[1], negatives)
    listed = ", ".join(sample) or "none"
    raise DataError(
        f"it is not clear which two columns are the pairs; the columns are {listed}",
        where=where,
        remedy=f'say it: columns="{",".join(text[:2]) if len(text) > 2 else "question,answer"}" (query side first)',
    )


def first_values(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each column's first value that is not null, in the order in which the columns appear."""
    sample: dict[str, Any] = {}
    for values in records:
        for name, value in values.items():
            if name not in sample or is_null(sample[name]):
                sample[name] = value
    return sample


def _is_text(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        float(value)  # csv holds numbers as text; a column of them is no side of a pair
    except ValueError:
        return True
    return False
