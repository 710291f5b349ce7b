"""The vectors of one stream, ready for cosines."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nearfar.core.errors import DataError, UsageError


def stream_vectors(vectors: Mapping[str, np.ndarray], stream: str = "") -> np.ndarray:
    """Vectors [n d] float32 of unit length (zero ones stay) of a stream, of the first unless it is named.

    Errors: UsageError for a stream that is not there, DataError for a vector that is not finite.

    >>> stream_vectors({"x": np.array([[3.0, 4.0]])}).round(1).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    name = stream or next(iter(vectors), "")
    if name not in vectors:
        raise UsageError(
            f"there is no stream {name!r}", where="stream", remedy=f"there are {', '.join(vectors) or 'none'}"
        )
    exact = np.asarray(vectors[name], dtype=np.float64)
    length = np.sqrt(np.einsum("nd,nd->n", exact, exact))
    bad = np.flatnonzero(~np.isfinite(length))
    if len(bad):
        raise DataError(
            f"the vector is not finite; {len(bad):,} of {len(exact):,} are bad",
            where=f"stream {name!r}, record {bad[0]}",
            remedy="look at what was encoded there, and whether training diverged",
        )
    return (exact / np.where(length > 0, length, 1)[:, None]).astype(np.float32)
