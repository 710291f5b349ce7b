"""`merge_shards`: the vectors of all shards of a corpus as one array, once none is missing, foreign or damaged.

Every problem is named with the command that mends it, all missing shards at once: a merge is run when a thousand jobs have ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nearfar.core.errors import DataError
from nearfar.core.files import ensure_directory
from nearfar.core.work_folder import WorkFolder
from nearfar.search.encode_shard import header
from nearfar.search.shard_files import COMMON, ShardFiles, differing, read_shard

MERGED = "vectors.npy"


class Shards(NamedTuple):
    """All shards of one corpus, in their order."""

    directory: Path
    files: tuple[ShardFiles, ...]

    @property
    def first(self) -> ShardFiles:
        """The first one; what it has in `common`, all have."""
        return self.files[0]

    @property
    def shape(self) -> tuple[int, int]:
        """[n d] of all vectors."""
        return sum(map(len, self.files)), self.first.dimension

    def rows(self) -> Iterator[np.ndarray]:
        """The vectors [d] in the order of the records, after all were looked at: raises DataError as `blocks` does."""
        for _ in self.blocks():
            pass
        return (row for block in self.blocks() for row in block)

    def blocks(self) -> Iterator[np.ndarray]:
        """All vectors in the order of the records, some thousand at a time.

        Raises DataError, after the others were looked at too, that names all damaged shards.
        """
        damaged: list[DataError] = []
        for shard in self.files:
            try:
                yield from shard.blocks(self.directory)
            except DataError as error:
                damaged.append(error)
        if damaged:
            numbers = [s.number for s in self.files if any(s.shard.stem in error.where for error in damaged)]
            also = f", and {len(damaged) - 1} more are damaged" if len(damaged) > 1 else ""
            raise DataError(damaged[0].what + also, where=damaged[0].where, remedy=_again(self.first, numbers))


def all_shards(directory: str | Path) -> Shards:
    """The shards in a directory, after it was seen that they are all there and fit together; their vectors are not read yet.

    Errors: DataError for no shards, for missing ones, which it names all, for damaged descriptions, for shards of several corpora.
    """
    place = Path(directory)
    if place.is_file():
        raise DataError(
            "this is a file, and shards are a folder of files",
            where=str(place),
            remedy="give the folder: encode's --out",
        )
    found = [read_shard(path) for path in sorted(place.glob("shard-*-of-*.json"))]
    if not found:
        begun = len(list(place.glob("shard-*-of-*.work")))
        raise DataError(
            f"there is no complete shard; {begun} are begun"
            if begun
            else ("there are no shards" if place.is_dir() else "there is no such folder"),
            where=str(place),
            remedy="write them: nearfar encode MODEL --data FILE --column NAME --shard 1/16 --out DIR, up to 16/16",
        )
    _of_one_corpus(found, place)
    first = found[0]
    missing = sorted(set(range(1, first.of + 1)) - {s.number for s in found})
    if missing:
        begun = [n for n in missing if (place / f"{first.shard._replace(number=n).stem}.work").exists()]
        raise DataError(
            f"of {first.of:,} shards {len(missing):,} {'is' if len(missing) == 1 else 'are'} missing: {_list(missing)}"
            + (f"; begun, but not done: {_list(begun)}" if begun else ""),
            where=str(place),
            remedy=_again(first, missing),
        )
    return Shards(place, tuple(found))


def merge_shards(directory: str | Path, out: str | Path, progress: Callable[[int, int], None] | None = None) -> Shards:
    """Write the vectors of all shards in a directory into one .npy file [n d] float32, in the order of the records.

    They pass through some thousand at a time. A file there is replaced once the new one is complete.

    Errors: those of `all_shards`; DataError that names all shards whose vectors are damaged; ResourceError where it cannot be written.
    """
    shards, target = all_shards(directory), Path(out)
    ensure_directory(target.parent)
    work = WorkFolder(target.with_name(target.name + ".work"), {"merged": target.name}, resume=True)
    try:
        with work.writing(MERGED) as file:
            np.lib.format.write_array_header_1_0(file, header(shards.shape))
            done = 0
            for block in shards.blocks():
                file.write(block.tobytes())
                done += len(block)
                if progress is not None:
                    progress(done, shards.shape[0])
        work.publish(MERGED, target)
    finally:
        work.remove()
    return shards


def _of_one_corpus(found: Sequence[ShardFiles], place: Path) -> None:
    by_number = defaultdict(list)
    for shard in found:
        by_number[shard.of].append(shard.number)
    if len(by_number) > 1:
        each = " and ".join(f"shards of {of} ({_list(numbers)})" for of, numbers in sorted(by_number.items()))
        raise DataError(f"{each} lie here together", where=str(place), remedy="delete those that you do not want")
    first = found[0]
    odd = [shard for shard in found if shard.common != first.common or shard.dimension != first.dimension]
    if odd:
        ways = differing(first.common, odd[0].common) or [f"dimension {first.dimension} and {odd[0].dimension}"]
        same = [shard.number for shard in found if shard not in odd]
        raise DataError(
            f"the shards do not fit together: {'; '.join(ways)}, in shards {_list(same)} and {_list([s.number for s in odd])}",
            where=str(place),
            remedy=f"delete those that are wrong and make them again; all must have the same {', '.join(COMMON.values())}",
        )


def _again(first: ShardFiles, numbers: Sequence[int]) -> str:
    """The command that makes these shards."""
    command = first.command or "nearfar encode MODEL --data FILE --column NAME --out DIR"
    if len(numbers) == 1:
        return f"{command} --shard {numbers[0]}/{first.of}"
    return f"for n in {' '.join(map(str, numbers))}; do {command} --shard $n/{first.of}; done"


def _list(numbers: Sequence[int]) -> str:
    """Numbers as people write them: runs as runs.

    >>> _list([1, 2, 3, 7, 9, 10])
    '1-3, 7, 9, 10'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(parts)
