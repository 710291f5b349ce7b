"""`encode_shard`: the vectors of one of n equal runs of a corpus, so that n machines encode it without knowing of each other.

Which records a shard has is a function of its number alone. It is worked on in chunks, each of which stays on the disk when it is done: a
killed process is simply run again, loses a chunk at most, and leaves the same bytes as one that was never killed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.core.files import ensure_directory
from nearfar.core.model import Model
from nearfar.core.work_folder import WorkFolder
from nearfar.data.records import Records
from nearfar.search.shard_files import ShardFiles, ShardNumber, differing, read_shard

CHUNK = 2048  # records encoded at once, and lost by a kill at most
JOINED = "vectors.npy"
DESCRIBED = "shard.json"


class Made(NamedTuple):
    """The shard, and whether it was there already."""

    files: ShardFiles
    there: bool


def encode_shard(
    model: Model,
    records: Records,
    column: str,
    directory: str | Path,
    shard: ShardNumber,
    *,
    side: str | None = None,
    precision: str = "float32",
    chunk: int = CHUNK,
    command: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Made:
    """Write `shard` of the vectors of a column's records into a directory, where the other shards may come too.

    records   as `lazy_records` or `image_folder` give them: read when asked for, known by a digest
    side      of the model; the first one unless given
    chunk     records encoded at once; another one rounds the last bits of vectors differently
    command   what to type for another shard, with its number left out: told by a merge that misses one
    progress  called with (records done, records of the shard)

    A complete shard of the same data, model and settings is left as it is; a damaged one is made again. The records are all looked at
    before the first is encoded.

    Errors: UsageError, which names what differs, for a shard that is there and was made otherwise, and for more shards than
    records; DataError, with the place, for a record that cannot be used and for a vector that is not finite; ResourceError where
    nothing can be written.
    """
    total, of = len(records), shard.of
    if total < of:
        raise UsageError(f"{of:,} shards of {total:,} records", where="shard", remedy="ask for fewer shards")
    if chunk < 1:
        raise UsageError(f"chunk is {chunk}", where="chunk", remedy="give 1 or more")
    common = {
        "model": model.fingerprint,
        "data": records.fingerprint,
        "column": column,
        "side": next(iter(model.sides)) if side is None else side,
        "precision": precision,
        "total": total,
    }
    run, place = shard.records(total), Path(directory)
    records.many(column, run[:1])  # a column that is not there is told as that
    ensure_directory(place)
    there = _complete(place, shard, common)
    if there is not None:
        return Made(there, True)
    work = WorkFolder(place / f"{shard.stem}.work", {**common, "shard": str(shard), "chunk": chunk}, resume=True)
    chunks = [run[start : start + chunk] for start in range(0, len(run), chunk)]
    _look(records, column, chunks)
    for number, some in enumerate(chunks):
        if not work.has(_piece(number)):
            vectors = model.encode(records.many(column, some), side=common["side"], precision=precision)
            work.write_array(_piece(number), _finite(vectors, some))
        if progress is not None:
            progress(some.stop - run.start, len(run))
    shape = (len(run), model.dimension)
    digest = _join(work, [(_piece(number), len(some)) for number, some in enumerate(chunks)], shape)
    made = ShardFiles(shard.number, of, run.start, run.stop, model.dimension, digest, common, command)
    work.write(DESCRIBED, made.json().encode())
    work.publish(JOINED, place / f"{shard.stem}.npy")
    work.publish(DESCRIBED, place / f"{shard.stem}.json")
    work.remove()
    return Made(made, False)


def _complete(place: Path, shard: ShardNumber, common: dict[str, Any]) -> ShardFiles | None:
    """The shard if it is there and whole; UsageError if it is whole and of something else."""
    path = place / f"{shard.stem}.json"
    if not path.exists():
        return None
    try:
        there = read_shard(path)
        for _ in there.blocks(place):
            pass
    except DataError:
        return None
    odd = differing(there.common, common, "{} then, {} now")
    if odd:
        raise UsageError(
            f"shard {shard} is there and was made otherwise: {'; '.join(odd)}",
            where=str(path),
            remedy="choose another folder, or delete the shards in this one",
        )
    return there


def _look(records: Records, column: str, chunks: list[range]) -> None:
    """Read every record once, so that a bad one is named now and not after hours of encoding."""
    for some in chunks:
        records.many(column, some)


def _piece(number: int) -> str:
    return f"{number:06}.npy"


def _finite(vectors: np.ndarray, some: range) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(vectors).all(1))
    if len(bad):
        raise DataError(
            f"the vector of record {some[int(bad[0])] + 1:,} is not finite (NaN or infinite)",
            where="vectors",
            remedy="look at that record, and whether training diverged",
        )
    return vectors


def _join(work: WorkFolder, pieces: list[tuple[str, int]], shape: tuple[int, int]) -> str:
    """All pieces, of so many vectors each, as one array; the digest of its numbers."""
    digest = hashlib.sha256()
    with work.writing(JOINED) as file:
        np.lib.format.write_array_header_1_0(file, header(shape))
        for name, count in pieces:
            vectors = work.array(name)
            if vectors.shape != (count, shape[1]) or vectors.dtype != np.float32:
                raise DataError(
                    f"a finished piece is {list(vectors.shape)} of {vectors.dtype}, not {[count, shape[1]]} of float32",
                    where=os.fspath(work.path / name),
                    remedy="delete this file and go on",
                )
            content = vectors.tobytes()
            digest.update(content)
            file.write(content)
    return digest.hexdigest()


def header(shape: tuple[int, int]) -> dict[str, Any]:
    """What an .npy file of float32 vectors [n d] says about itself."""
    return {"descr": "<f4", "fortran_order": False, "shape": shape}
