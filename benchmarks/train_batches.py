"""The pairs that `train_step.py` trains on, and what a batch of them costs at least.

Pairs are (docstring, function) of the packages installed beside the benchmark, whose versions peers.txt fixes, shuffled once. A batch
is chosen by the lengths of its texts, because that decides how much of a plain step is spent on padding: there, each side of the
pairs is padded to its longest text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

HALF = 0.5
PASSES = 3  # forward, and twice as much backward: what an exact gradient takes that keeps all its activations

Pair = tuple[str, str]


def harvested(limit: int) -> list[Pair]:
    """So many (docstring, function) pairs of the installed packages, fewer where there are fewer, in an order of no meaning."""
    from nearfar.data.code_pairs import harvest
    from nearfar.data.order import order

    found = harvest(limit=limit).pairs
    return [(found[i].query, found[i].code) for i in order(len(found), seed=0, epoch=0)]


def padding(lengths: np.ndarray) -> float:
    """The share of padding in a batch with lengths [n 2] whose two sides are each padded to their longest text."""
    return 1 - lengths.sum() / padded(lengths)


def padded(lengths: np.ndarray) -> int:
    """Tokens of such a batch, padding included."""
    return int(len(lengths) * lengths.max(0).sum())


def as_they_come(lengths: np.ndarray, batch: int) -> np.ndarray:
    """The numbers [batch] of the first pairs."""
    return np.arange(min(batch, len(lengths)))


def half_padding(lengths: np.ndarray, batch: int) -> np.ndarray:
    """The first pairs whose queries have at most so many tokens that half of the batch is padding, or as near to that as can be.

    A few long queries make most of the padding: the functions are long and docstrings short.
    """
    below = [np.flatnonzero(lengths[:, 0] <= cap)[:batch] for cap in np.unique(lengths[:, 0])]
    full = [numbers for numbers in below if len(numbers) == batch]
    return min(full, key=lambda numbers: abs(padding(lengths[numbers]) - HALF))


def hardly_any_padding(lengths: np.ndarray, batch: int) -> np.ndarray:
    """Pairs of the longest functions, and of these the ones with queries of like length: where sorting by length wins nothing."""
    longest = np.flatnonzero(lengths[:, 1] >= np.sort(lengths[:, 1])[-4 * batch :][0])
    alike = longest[np.argsort(lengths[longest, 0], kind="stable")]
    first = (len(alike) - batch) // 2
    return alike[first : first + batch]


CHOICES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "as they come": as_they_come,
    "half padding": half_padding,
    "hardly any padding": hardly_any_padding,
}


def multiply_adds(lengths: np.ndarray, *, width: int, inner: int, layers: int) -> float:
    """Multiply-adds of one exact gradient of texts with these lengths, of a transformer, with no token of padding.

        3 layers (sum over texts of (4 width^2 + 2 width inner) length + 2 width length^2)

    per layer four products for queries, keys, values and output, two for the feed-forward part (12 width^2 a token, where inner is
    four times the width), and the two products of attention. Three: forward, and backward for inputs and for weights. A step in
    micro-batches goes forward twice, so it takes four of these where this counts three: it can reach three quarters of the limit.
    """
    length = lengths.astype(np.float64)
    per_layer = (4 * width**2 + 2 * width * inner) * length.sum() + 2 * width * (length**2).sum()
    return float(PASSES * layers * per_layer)


def chosen_batches(pairs: Sequence[Pair], encoder: Any, names: Sequence[str], batch: int) -> dict[str, dict[str, Any]]:
    """For each way to choose: the pairs of a batch, its tokens without and with padding, and its multiply-adds."""
    sides: list[Any] = [encoder.prepare(list(texts)) for texts in zip(*pairs, strict=True)]
    lengths = np.stack([side.lengths.numpy() for side in sides], 1)
    config = encoder.model.config
    sizes = {
        "width": config.hidden_size,
        "inner": config.intermediate_size,
        "layers": config.num_hidden_layers,
    }
    made = {}
    for name in names:
        numbers = CHOICES[name](lengths, batch)
        made[name] = {
            "pairs": [pairs[i] for i in numbers],
            "tokens": int(lengths[numbers].sum()),
            "padded": padded(lengths[numbers]),
            "multiply_adds": multiply_adds(lengths[numbers], **sizes),
        }
    return made
