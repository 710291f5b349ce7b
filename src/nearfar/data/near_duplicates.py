"""Near duplicates among texts, by the share of token runs that two of them have in common.

Two functions copied between packages differ in a comment, an import or a renamed module, not in most of their runs of
five tokens. The Jaccard similarity of the two sets of runs is estimated by MinHash (Broder, 1997): the probability that
the smallest of all hashed runs is the same in both sets is their Jaccard similarity, so `PERMUTATIONS` independent
hashes estimate it with standard error sqrt(J (1 - J) / PERMUTATIONS), at most 0.09. Candidates come from banding (Indyk
and Motwani, 1998), so that nothing is compared with everything.

Imports nothing but the standard library and numpy: signatures are computed in worker processes that never load torch.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

PERMUTATIONS = 32
BANDS = 8  # of 4 hashes: a pair of similarity 0.8 shares a band with probability 0.985, one of 0.3 with 0.06
SHINGLE = 5
THRESHOLD = 0.75

_TOKEN = re.compile(r"\w+|[^\w\s]")
_ROWS = PERMUTATIONS // BANDS
# Fixed odd multipliers and offsets: a signature must be the same in every process and on every machine.
# Raw draws, because the methods of numpy's generators may change between versions.
_DRAW = np.random.PCG64(20_260_101)
_MULTIPLIERS = _DRAW.random_raw((PERMUTATIONS, 1)) | np.uint64(1)
_OFFSETS = _DRAW.random_raw((PERMUTATIONS, 1))
_POWERS = [np.uint64(pow(1_000_003, i, 2**64)) for i in range(SHINGLE)]


@lru_cache(maxsize=200_000)
def _token_hash(token: str) -> int:
    """Stable hash of one token: Python's own `hash` of a string differs from process to process."""
    data = token.encode("utf-8", "surrogatepass")
    return (zlib.crc32(data) << 32) | zlib.adler32(data)


def signature(text: str) -> np.ndarray:
    """MinHash signature of a text: uint32 [PERMUTATIONS], a pure function of its tokens, not of white space."""
    tokens = [_token_hash(token) for token in _TOKEN.findall(text)] or [0]
    hashes = np.array(tokens, dtype=np.uint64)
    size = max(len(hashes) - SHINGLE + 1, 1)
    runs = np.zeros(size, dtype=np.uint64)
    for offset, power in enumerate(_POWERS[: len(hashes)]):  # a text shorter than a shingle is one run
        runs += hashes[offset : offset + size] * power
    runs ^= runs >> np.uint64(31)
    mixed = runs[None, :] * _MULTIPLIERS + _OFFSETS
    return (mixed >> np.uint64(32)).min(axis=1).astype(np.uint32)


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """Estimated Jaccard similarity of two texts from their signatures, in [0, 1]."""
    return float(np.count_nonzero(a == b)) / PERMUTATIONS


def first_of_each(signatures: Sequence[np.ndarray], *, threshold: float = THRESHOLD) -> list[bool]:
    """Whether each text is unlike every kept text before it: True = keep. Depends on the order, on nothing else.

    A text is compared with kept texts only, so a chain of gradual changes is not thinned to its first link.
    """
    bands: list[dict[bytes, list[int]]] = [{} for _ in range(BANDS)]
    keep: list[bool] = []
    for index, current in enumerate(signatures):
        pieces = [current[b * _ROWS : (b + 1) * _ROWS].tobytes() for b in range(BANDS)]
        candidates = {other for table, piece in zip(bands, pieces, strict=True) for other in table.get(piece, ())}
        fresh = all(similarity(current, signatures[other]) < threshold for other in candidates)
        keep.append(fresh)
        if fresh:
            for table, piece in zip(bands, pieces, strict=True):
                table.setdefault(piece, []).append(index)
    return keep
