"""From records to the arrays that an exported graph takes: what `prepare` of the encoder does, without torch.

Each feed is made of what `onnx.json` says under "reads" and of one file beside it, and gives for every input one array a record;
`padded` makes a batch of them. A feed belongs to a kind of encoder, not to one: "tokens", "units", "items" or "pixels".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.core.errors import DataError
from nearfar.core.optional import needed
from nearfar.core.text_fields import check_texts
from nearfar.encoders.shared.tokenizing import Vocabulary

Arrays = dict[str, list[np.ndarray]]  # of each input, one array a record
Feed = Callable[[Sequence[Any], str], Arrays]
READER = "an exported model of texts"
TOKENIZER, UNITS = "tokenizer.json", "units.json"


def feed_of(described: Mapping[str, Any], folder: Path) -> Feed:
    """The feed that `described` names, with its file in `folder`. Raises KeyError, TypeError or ValueError for what makes none."""
    return {"tokens": _tokens, "units": _units, "items": _items, "pixels": _pixels}[described["kind"]](
        described, folder
    )


def padded(arrays: Sequence[np.ndarray], fill: float = 0) -> np.ndarray:
    """[n t ...] of n arrays [t_i ...], with `fill` behind the shorter ones.

    >>> padded([np.array([1, 2]), np.array([3])]).tolist()
    [[1, 2], [3, 0]]
    """
    longest = max(1, *map(len, arrays))
    made = np.full((len(arrays), longest, *arrays[0].shape[1:]), fill, arrays[0].dtype)
    for row, array in zip(made, arrays, strict=True):
        row[: len(array)] = array
    return made


def _tokens(described: Mapping[str, Any], folder: Path) -> Feed:
    library = needed("tokenizers", "text")
    try:
        tokenizer = library.Tokenizer.from_str((folder / TOKENIZER).read_text("utf-8"))
    except Exception as error:  # the library raises Exception itself
        raise ValueError(f"the tokenizer: {error}") from error
    prompts: Mapping[str, str] = dict(described["prompts"])

    def feed(records: Sequence[Any], side: str) -> Arrays:
        check_texts(records, READER)
        prompt = prompts.get(side, "")
        # Halves of surrogate pairs, which JSON can hold and UTF-8 cannot, become question marks.
        texts = [(prompt + text).encode("utf-8", "replace").decode("utf-8") for text in records]
        ids = [np.array(found.ids, np.int64) for found in tokenizer.encode_batch_fast(texts)]
        for number, found in enumerate(ids):
            if not len(found):
                raise DataError(
                    "the tokenizer makes no token of this text, so there is nothing to encode",
                    where=f"record {number}",
                    remedy="fill it, or leave the record out",
                )
        return _with_mask(ids)

    return feed


def _units(described: Mapping[str, Any], folder: Path) -> Feed:
    known = json.loads((folder / UNITS).read_text("utf-8"))
    vocabulary, head_weight = Vocabulary(known, int(described["buckets"])), float(described["head_weight"])

    def feed(records: Sequence[Any], side: str) -> Arrays:  # noqa: ARG001 - sides are treated alike
        check_texts(records, READER)
        found = vocabulary.weigh(records, head_weight)
        cuts = found.offsets[1:-1]
        return {"units": np.split(found.ids.astype(np.int64), cuts), "amounts": np.split(found.amounts, cuts)}

    return feed


def _items(described: Mapping[str, Any], folder: Path) -> Feed:  # noqa: ARG001 - there is no file
    highest, most = int(described["items"]), int(described["most"])

    def feed(records: Sequence[Any], side: str) -> Arrays:  # noqa: ARG001 - sides are treated alike
        return _with_mask([_sequence(record, number, highest)[-most:] for number, record in enumerate(records)])

    return feed


def _sequence(record: Any, number: int, highest: int) -> np.ndarray:
    """The items of a record, without padding."""
    found = np.asarray(record)
    if found.ndim != 1 or found.dtype.kind not in "iu" or not found.any() or found.min() < 0 or found.max() > highest:
        raise DataError(
            "this is no sequence of items",
            where=f"record {number}",
            remedy=f"give a list of whole numbers from 1 to {highest:,}",
        )
    return found[found != 0].astype(np.int64)


def _pixels(described: Mapping[str, Any], folder: Path) -> Feed:  # noqa: ARG001 - there is no file
    shape = tuple(int(described[name]) for name in ("channels", "height", "width"))

    def feed(records: Sequence[Any], side: str) -> Arrays:  # noqa: ARG001 - sides are treated alike
        for number, record in enumerate(records):
            if np.shape(record) != shape or np.asarray(record).dtype != np.uint8:
                raise DataError(
                    f"an image is an array of bytes {list(shape)}, not {list(np.shape(record))}",
                    where=f"record {number}",
                    remedy="crop and resize it before, or take what `prepare` of the encoder makes",
                )
        return {"pixels": [np.asarray(record) for record in records]}

    return feed


def _with_mask(ids: list[np.ndarray]) -> Arrays:
    return {"input_ids": ids, "attention_mask": [np.ones(len(found), np.int64) for found in ids]}
