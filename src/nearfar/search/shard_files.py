"""A shard of vectors on disk: two files, and all that must be true of them before anything is made of them.

    shard-00003-of-00016.npy     float32 [n d], the vectors of a run of records
    shard-00003-of-00016.json    which records of what data, by which model and settings, and a digest of the vectors

The description is written last: where it stands, the shard is complete.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.core.files import read_json

FORMAT, VERSION = "nearfar-shard", 1
MOST = 99_999  # shards: what five digits hold
BLOCK = 16_384  # vectors read at once
# What all shards of one corpus have in common, and how it is called where it differs.
COMMON = {
    "model": "model",
    "data": "data",
    "column": "column",
    "side": "side",
    "precision": "precision",
    "total": "number of records",
}
DIGESTS = ("model", "data")  # of which twelve digits are shown


class ShardNumber(NamedTuple):
    """Shard `number` of `of`; they are counted from 1.

    >>> third = ShardNumber.parse("3/4")
    >>> third.records(10), third.stem
    (range(5, 7), 'shard-00003-of-00004')
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> ShardNumber:
        """From "3/16". Raises UsageError for anything else."""
        found = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text, re.ASCII)
        number, of = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= of <= MOST:
            from_zero = found is not None and number == 0 and of > 0
            raise UsageError(
                f"there is no shard {text.strip()}" if found else f"{text!r} is no shard",
                where="shard",
                remedy="shards are counted from 1"
                + (f": from 1/{of} to {of}/{of}" if from_zero else f", up to {MOST}; the third of sixteen is 3/16"),
            )
        return cls(number, of)

    def records(self, total: int) -> range:
        """The records of the shard, of `total`, counted from 0: a run; two shards differ by one record at most."""
        return range(total * (self.number - 1) // self.of, total * self.number // self.of)

    @property
    def stem(self) -> str:
        """What the names of its files have in common."""
        return f"shard-{self.number:05}-of-{self.of:05}"

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True)
class ShardFiles:
    """The description of a complete shard.

    number, of    as `ShardNumber`
    first, stop   its records, counted from 0; `stop` is the first of the next shard
    dimension     length of a vector
    sha256        of the vectors' bytes
    common        what it must have in common with the other shards: model, data, column, side, precision, total
    command       what made it, without its number: shown where another shard is missing
    """

    number: int
    of: int
    first: int
    stop: int
    dimension: int
    sha256: str
    common: Mapping[str, Any]
    command: str = ""

    @property
    def shard(self) -> ShardNumber:
        """Which one it is."""
        return ShardNumber(self.number, self.of)

    def __len__(self) -> int:
        return self.stop - self.first

    def json(self) -> str:
        """The text of the description."""
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, indent=1) + "\n"

    def blocks(self, directory: Path) -> Iterator[np.ndarray]:
        """The vectors, some thousand at a time. Raises DataError, with the file, for others than were described; once all have come."""
        path = directory / f"{self.shard.stem}.npy"
        digest = hashlib.sha256()
        try:
            vectors = np.lib.format.open_memmap(path, mode="r")  # unlike np.load it knows no pickles
        except (OSError, ValueError, TypeError, SyntaxError) as error:
            raise _damaged(path, f"the vectors cannot be read ({str(error)[:120]})") from None
        described = (len(self), self.dimension)
        if vectors.dtype != np.float32 or vectors.shape != described or not vectors.flags.c_contiguous:
            raise _damaged(
                path, f"the array is {list(vectors.shape)} of {vectors.dtype}, not {list(described)} of float32"
            )
        for start in range(0, len(vectors), BLOCK):
            block = np.array(vectors[start : start + BLOCK])
            digest.update(block.tobytes())
            yield block
        if digest.hexdigest() != self.sha256:
            raise _damaged(path, "the vectors are not those that were written (digest)")


def read_shard(path: Path) -> ShardFiles:
    """The description in a file. Raises DataError for one that is damaged, of another version, or not of its name."""
    values = read_json(path, format=FORMAT, version=VERSION)
    kinds = {
        "number": int,
        "of": int,
        "first": int,
        "stop": int,
        "dimension": int,
        "sha256": str,
        "common": dict,
        "command": str,
    }
    wrong = [name for name, kind in kinds.items() if type(values.get(name)) is not kind]
    if wrong:
        raise _damaged(path, f"{wrong[0]} is missing or of a wrong kind")
    made = ShardFiles(**{name: values[name] for name in kinds})
    numbers = all(type(made.common.get(name)) is (int if name == "total" else str) for name in COMMON)
    if not numbers or set(made.common) != set(COMMON) or made.dimension < 1:
        raise _damaged(path, "it does not say all of how it was made")
    if not 1 <= made.number <= made.of <= MOST or path.stem != made.shard.stem:
        raise _damaged(path, f"it says that it is shard {made.shard}")
    if range(made.first, made.stop) != made.shard.records(made.common["total"]):
        raise _damaged(path, f"it holds records {made.first} to {made.stop}, which are not those of shard {made.shard}")
    return made


def differing(one: Mapping[str, Any], other: Mapping[str, Any], told: str = "{} and {}") -> list[str]:
    """What two shards, which should be of one corpus, have not in common, in words.

    >>> mine = {"model": "a" * 32, "data": "b", "column": "text", "side": "document", "precision": "float32", "total": 9}
    >>> differing(mine, mine | {"side": "query"}, "{} then, {} now")
    ['side document then, query now']
    """
    odd = [name for name in COMMON if one[name] != other[name]]
    if "column" in odd and "data" in odd:
        odd.remove("data")  # the digest is of the column: that another one was read says enough
    return [f"{COMMON[name]} {told.format(_shown(name, one[name]), _shown(name, other[name]))}" for name in odd]


def _shown(name: str, value: Any) -> str:
    return str(value)[:12] if name in DIGESTS else f"{value:,}" if isinstance(value, int) else str(value)


def _damaged(path: Path, how: str) -> DataError:
    return DataError(
        f"the shard is damaged: {how}", where=str(path), remedy="make it again: what is damaged is replaced"
    )
