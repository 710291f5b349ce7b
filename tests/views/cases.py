"""Every view of the catalogue with records and options under which it does something: the table that the contract is checked on.

A view that is not in it fails the contract, so a new one is checked from its first day: add a line to `CASES`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nearfar.core.graph import Graph
from nearfar.core.parts import find

CHANCE, NUMBERS = random.Random(0), np.random.default_rng(0)


@dataclass(frozen=True)
class Case:
    """A view, what it looks at, and what it must refuse.

    part     its name in the catalogue
    records  at least four, which the view changes
    bad      what is no record of its kind; for views of inputs, no batch of them
    options  of the function that makes it
    bind     records that the view is shown before
    """

    part: str
    records: Sequence[Any] | Tensor
    bad: Any
    options: dict[str, Any] = field(default_factory=dict)
    bind: Sequence[Any] | None = None

    def made(self, **more: Any) -> Any:
        """The view."""
        view = find(self.part, "views").load()(**self.options | more)
        return view if self.bind is None else view.bind(self.bind)


def random_graph(n: int, seed: int, features: int = 8, edges: int = 3) -> Graph:
    """A graph whose edges go both ways, with features above zero."""
    draw = torch.Generator().manual_seed(seed)
    half = torch.randint(0, n, (2, edges * n), generator=draw)
    return Graph(torch.rand(n, features, generator=draw) + 0.5, torch.cat([half, half.flip(0)], 1))


def smooth_pictures() -> Tensor:
    """[12 3 16 20]: smooth, each another one."""
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(20.0), indexing="ij")
    n = torch.arange(12.0)[:, None, None]
    channels = [torch.sin(x / 5 + n), torch.cos(y / 4 - n), torch.sin((x + y) / 6 + 2 * n)]
    return (0.5 + 0.45 * torch.stack(channels, 1)).float()


WORDS = [f"w{i}" for i in range(40)]
TEXTS = [" ".join(CHANCE.choices(WORDS, k=k)) for k in (30, 12, 7, 40, 25, 18)]
SYNONYMS = {word: [f"{word}{letter}" for letter in "abc"] for word in WORDS}
CODE = [
    f"def f{i}(width, height):\n    low = {i}\n    high = width + {i}\n    middle = height\n    top = 4\n    return low, high, middle, top"
    for i in range(6)
]
SEQUENCES = [[CHANCE.randint(1, 99) for _ in range(k)] for k in (30, 12, 7, 40, 25, 18)]
ARRAYS = [np.array(sequence, np.int32) for sequence in SEQUENCES]
GRAPHS = [random_graph(n, n) for n in (12, 30, 7, 25, 18, 40)]
PICTURES = smooth_pictures()
PATHS = [f"{letter}.png" for letter in "abcdefghijklmnopqrstuvwxyz"]
WAVES = [NUMBERS.normal(size=t) for t in (300, 41, 128)] + [np.sin(np.arange(200) / 4)]
SERIES = [NUMBERS.normal(3, 2, size=shape) for shape in ((60, 3), (17, 3), (40,), (33, 1))]
HOLES = [np.where(NUMBERS.random(s.shape) < 0.2, np.nan, s) for s in SERIES]
TABLE = NUMBERS.normal(size=(200, 10))

BYTES = (PICTURES * 255).byte()
CASES = {
    "word_deletion": Case("word_deletion", TEXTS, None, {"share": 0.3}),
    "word_blanking": Case("word_blanking", TEXTS, None, {"share": 0.3}),
    "word_crop": Case("word_crop", TEXTS, None),
    "word_swap": Case("word_swap", TEXTS, None, {"share": 0.3}),
    "word_repetition": Case("word_repetition", TEXTS, None),
    "synonyms": Case("synonyms", TEXTS, None, {"table": SYNONYMS, "share": 0.3}),
    "rename_identifiers": Case("rename_identifiers", CODE, None),
    "reorder_statements": Case("reorder_statements", CODE, None),
    "item_crop": Case("item_crop", SEQUENCES, "1 2 3"),
    "item_mask": Case("item_mask", SEQUENCES, "1 2 3"),
    "item_reorder": Case("item_reorder", SEQUENCES, "1 2 3"),
    "item_crop, arrays": Case("item_crop", ARRAYS, []),
    "item_mask, arrays": Case("item_mask", ARRAYS, []),
    "item_reorder, arrays": Case("item_reorder", ARRAYS, []),
    "edge_drop": Case("edge_drop", GRAPHS, "a text", {"share": 0.3}),
    "feature_mask": Case("feature_mask", GRAPHS, "a text", {"share": 0.3}),
    "node_drop": Case("node_drop", GRAPHS, "a text", {"share": 0.3}),
    "subgraph": Case("subgraph", GRAPHS, "a text", {"share": 0.6}),
    "random_resized_crop": Case("random_resized_crop", PICTURES, BYTES),
    "random_resized_crop, size": Case("random_resized_crop", PICTURES, BYTES, {"size": 8}),
    "horizontal_flip": Case("horizontal_flip", PICTURES, BYTES),
    "colour_jitter": Case("colour_jitter", PICTURES, BYTES),
    "greyscale": Case("greyscale", PICTURES, BYTES, {"probability": 0.4}),
    "gaussian_blur": Case("gaussian_blur", PICTURES, BYTES),
    "solarise": Case("solarise", PICTURES, BYTES),
    "picture_bag": Case("picture_bag", PATHS[:6], 3.0, {"size": 4}, bind=PATHS),
    "rotation": Case("rotation", PICTURES, BYTES, {"probability": 0.5}),
    "speed": Case("speed", WAVES, np.ones((4, 2))),
    "noise": Case("noise", WAVES, "wave.wav"),
    "time_mask": Case("time_mask", WAVES, np.ones(0), {"share": 0.3}),
    "jitter": Case("jitter", SERIES, np.ones((4, 2, 2))),
    "scaling": Case("scaling", SERIES, "series"),
    "series_crop": Case("series_crop", SERIES, 3.0),
    "frequency_mask": Case("frequency_mask", SERIES, np.ones((0, 2)), {"share": 0.4}),
    "jitter, holes": Case("jitter", HOLES, None),
    "scaling, holes": Case("scaling", HOLES, None),
    "series_crop, holes": Case("series_crop", HOLES, None),
    "frequency_mask, holes": Case("frequency_mask", HOLES, None, {"share": 0.4}),
    "marginal_swap": Case("marginal_swap", list(TABLE[:20]), "row", {"share": 0.6}, bind=list(TABLE)),
    "uniform_replacement": Case(
        "uniform_replacement", torch.tensor(TABLE[:12]).float(), torch.ones(3, 10, dtype=torch.long), {"share": 0.3}
    ),
    "marginal_swap, reference": Case("marginal_swap", list(TABLE[:20]), np.zeros(3), {"reference": TABLE}),
}
