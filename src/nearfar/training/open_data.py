"""From what a user has to `Records`, by what the recipe says its records are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.core.ids import string_ids
from nearfar.core.recipe import Recipe
from nearfar.core.stage import Fit
from nearfar.data.array_records import array_records
from nearfar.data.audio_folder import audio_folder
from nearfar.data.bad_records import BadRecords
from nearfar.data.image_folder import image_folder
from nearfar.data.lazy import lazy_pairs, lazy_records
from nearfar.data.order import draws
from nearfar.data.pair_table import PairTable
from nearfar.data.pairs import pairs
from nearfar.data.readers import column_names
from nearfar.data.records import Records
from nearfar.data.sources import SOURCE
from nearfar.data.split import split
from nearfar.training.several import LARGE, are_files, is_several, open_several

FIELDS = {"images": "image", "audio": "audio", "texts": "text"}  # what the records of a kind are called
FEWEST = 20  # records below which none is held out


@dataclass(frozen=True)
class Opened:
    """Training and held-out records, and the whole; `names` are the columns of the source that were read.

    `sources`: of several data sets, what reading each of them again takes.
    """

    records: Records
    held_out: Records | None
    whole: Records
    names: tuple[str, ...]
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def open_data(
    recipe: Recipe,
    data: Any,
    columns: str | Sequence[str] | None = None,
    *,
    on_bad: Literal["raise", "skip"] = "raise",
    bad_records: Path | None = None,
    bad_share: float = BadRecords.share,
    held_out: Any = None,
) -> Opened:
    """Records of a recipe's kind, and what is held out of them. Several data sets of pairs are a mapping of their names.

    `held_out` records (or a PairTable) of one's own replace the random share. Above `bad_share` of the records skipping bad ones
    is an error too. Raises DataError for data that cannot be used,
    UsageError for data of another kind than the recipe's.
    """
    if data is None:
        raise UsageError(
            "there is no data to train on", where="data", remedy="pass a file, a list of pairs, arrays, or a DataFrame"
        )
    policy = BadRecords(on_bad, bad_records, bad_share)
    if is_several(data) and (recipe.data == "pairs" or are_files(data)):
        return _several(recipe, data, columns, policy, held_out)
    numbers = [] if isinstance(data, Records) else _numbers(recipe, data)
    if recipe.data == "pairs" and not isinstance(data, Records) and not _is_large(data):
        table = pairs(data, columns, numbers=numbers, on_bad=on_bad, bad_records=bad_records, bad_share=bad_share)
        return _pairs(recipe, table, held_out)
    bad = policy if on_bad == "skip" else None
    records = data if isinstance(data, Records) else _opened(recipe, data, columns, numbers, bad)
    names = _names(columns)
    if recipe.data == "pairs" and not names:  # found in the file: a resumed run reads the same ones
        names = tuple(name for field in records.fields.values() for name in getattr(field, "columns", ()))
    if held_out is not None:
        own = held_out.records() if isinstance(held_out, PairTable) else held_out
        return Opened(records, own, records, names)
    rest, part = split_records(records, recipe.held_out, recipe.held_out_seed)
    return Opened(rest, part, records, names)


def _numbers(recipe: Recipe, data: Any) -> list[str]:
    """The columns of the data that become arrays: those the recipe asks for, and those of its batches that the data have."""
    there = set(column_names(data) if recipe.batching_columns else ())
    if recipe.data == "texts":
        there -= {feed.field for feed in recipe.streams}  # what is embedded brings its ids with it
    return list(dict.fromkeys([*recipe.columns, *(name for name in recipe.batching_columns if name in there)]))


def _pairs(recipe: Recipe, table: PairTable, held_out: Any) -> Opened:
    if held_out is not None:
        part = held_out.records() if isinstance(held_out, PairTable) else held_out
        return Opened(table.records(), part, table.records(), table.columns)
    if recipe.held_out <= 0 or len(table) < FEWEST:
        return Opened(table.records(), None, table.records(), table.columns)
    try:
        rest, part = split(table, recipe.held_out, recipe.held_out_seed)
    except DataError:  # all hang together by shared texts: everything is for training, and nothing is measured
        return Opened(table.records(), None, table.records(), table.columns)
    return Opened(rest.records(), part.records(), table.records(), table.columns)


def _several(
    recipe: Recipe,
    data: Mapping[str, Any],
    columns: str | Sequence[str] | None,
    policy: BadRecords,
    held_out: Any,
) -> Opened:
    if recipe.data != "pairs":
        raise UsageError(
            f"{recipe.name} learns from {recipe.data}, and several data sets are for recipes of pairs",
            where="data",
            remedy="give one data set",
        )
    for stage in recipe.fits:
        _check_weights(stage.batching.weights, data, f"{stage.name}.batching.weights")
    records, about = open_several(data, columns, lambda one: _numbers(recipe, one), policy=policy)
    if held_out is not None:
        rest, part = records, held_out.records() if isinstance(held_out, PairTable) else held_out
    else:
        rest, part = split_records(records, recipe.held_out, recipe.held_out_seed)
    for stage in recipe.fits:
        _check_sizes(stage, rest, about)
    return Opened(rest, part, records, (), about)


def _check_weights(weights: Any, data: Mapping[str, Any], where: str) -> None:
    """Before anything is read; the order of the records knows the names of their sources no more."""
    if not isinstance(weights, Mapping):
        return
    names = ", ".join(map(str, data))
    for name in weights:
        if name not in data:
            raise UsageError(f"there is no data set {name!r}", where=where, remedy=f"there are {names}")
    for name in data:
        if name not in weights:
            raise UsageError(
                f"the data set {name!r} has no weight",
                where=where,
                remedy=f"give one to each of {names}, or none to any",
            )


def _check_sizes(stage: Fit, records: Records, names: Iterable[str]) -> None:
    """Whether each data set fills a batch of its own, where it must."""
    batching, batch = stage.batching, min(stage.batch_size, len(records))
    if not batching.one_source or batching.last != "drop" or batching.sources != SOURCE:
        return
    sizes = [int((records.columns[SOURCE] == number).sum()) for number in string_ids(names)]
    size, name = min(zip(sizes, names, strict=True))
    if size < batch:
        raise UsageError(
            f"the data set {name!r} has {size:,} records to train on, which fill no batch of {batch:,}",
            where=f"{stage.name}.batch_size",
            remedy=f"choose a smaller one, or mixed batches: --set {stage.name}.batching.one_source=false",
        )


def _opened(
    recipe: Recipe, data: Any, columns: str | Sequence[str] | None, numbers: Sequence[str], bad: BadRecords | None
) -> Records:
    kind, read = recipe.data, {feed.field for feed in recipe.streams}
    path = Path(data) if isinstance(data, (str, os.PathLike)) else None
    if kind == "pairs":
        return lazy_pairs(data, columns, numbers=numbers, bad=bad)
    if kind == "images" and path is not None:
        return image_folder(path, _names(columns) or None, bad=bad)
    if kind == "audio" and path is not None:
        return audio_folder(path, _names(columns) or None, bad=bad)
    field = FIELDS.get(kind) or (next(iter(read)) if len(read) == 1 else "record")
    if path is not None or hasattr(data, "column_names"):  # a data set of the library `datasets`
        ids = _text_ids(kind, data, columns, numbers)
        return _named(lazy_records(data, _names(columns) or None, ids=ids, numbers=numbers, bad=bad), field)
    if isinstance(data, Mapping):
        return array_records(**{str(name): values for name, values in data.items()})
    in_hand: Any = data
    if hasattr(data, "columns"):  # a DataFrame
        return array_records(**{str(name): in_hand[name] for name in in_hand.columns})
    if isinstance(data, (list, tuple)) or hasattr(data, "shape"):
        return array_records(**{field: in_hand})
    raise UsageError(
        f"a {type(data).__name__} cannot be read as {kind}",
        where="data",
        remedy='pass a path, or arrays by field: {"image": images, "label": labels}',
    )


def _text_ids(kind: str, data: Any, columns: str | Sequence[str] | None, numbers: Sequence[str]) -> tuple[str, ...]:
    """Texts have ids, so that equal ones are known."""
    if kind != "texts":
        return ()
    names = _names(columns) or tuple(name for name in column_names(data) if name not in numbers)
    return (FIELDS[kind],) if FIELDS[kind] in names else names[:1] if len(names) == 1 or columns is not None else ()


def _named(records: Records, field: str) -> Records:
    """A single field under the name that the recipe's streams read, whatever the file calls it."""
    if field in records.fields or len(records.fields) != 1:
        return records
    name = next(iter(records.fields))
    columns = {field if key == name else key: values for key, values in records.columns.items()}
    return replace(records, fields={field: records.fields[name]}, columns=columns)


def split_records(records: Records, share: float, seed: int) -> tuple[Records, Records | None]:
    """(training records, held-out records or None): by a draw a record. Records that share the id of a text stay together, and are
    all for training where they are more than the share.
    """
    n = len(records)
    if share <= 0 or n < FEWEST:
        return records, None
    group = np.arange(n)
    for name in ("query", "document", "text"):
        ids = records.columns.get(name)
        if ids is not None and ids.ndim == 1 and ids.dtype.kind == "i":
            group = _joined(group, ids)
    first = np.unique(group, return_inverse=True)[1]
    sizes = np.bincount(first)
    drawn = draws(len(sizes), seed, "split", 0) < share * 2.0**64
    chosen = (drawn & (sizes <= max(1.0, share * n)))[first]
    if not chosen.any() or chosen.all():
        return records, None
    return records.take(np.flatnonzero(~chosen)), records.take(np.flatnonzero(chosen))


def _joined(group: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Groups joined where they share an id: the smallest number of all that hang together."""
    while True:
        _, inverse = np.unique(ids, return_inverse=True)
        least = np.full(int(inverse.max()) + 1, np.iinfo(np.int64).max)
        np.minimum.at(least, inverse, group)
        lower = least[inverse]
        members = np.full(int(group.max()) + 1, np.iinfo(np.int64).max)
        np.minimum.at(members, group, lower)
        following = members[group]
        if np.array_equal(following, group):
            return group
        group = following


def _names(columns: str | Sequence[str] | None) -> tuple[str, ...]:
    if columns is None:
        return ()
    return tuple(c.strip() for c in columns.split(",")) if isinstance(columns, str) else tuple(columns)


def _is_large(data: Any) -> bool:
    try:
        return isinstance(data, (str, os.PathLike)) and Path(data).is_file() and Path(data).stat().st_size > LARGE
    except OSError:
        return False
