"""Every encoder of the catalogue with tiny settings and records: the table that the contract is checked on, and nothing else.

An encoder that is not in it fails the contract, so a new one is checked from its first day: add a line to `CASES`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from image_world import photographs
from nearfar.core.graph import Graph, Graphs
from nearfar.core.ragged import Ragged
from nearfar.core.tokens import Tokens
from tiny_models import TEXTS

CHANCE, NUMBERS = random.Random(0), np.random.default_rng(0)


@dataclass(frozen=True)
class Case:
    """An encoder, what it reads, and what it must refuse.

    part     its name in the catalogue
    records  at least six, of unequal length where that can be
    bad      a record that cannot be used
    options  of `fit`
    folder   the kind of model that the option `folder` needs, or ""
    spoilt   inputs in which records touch each other: the wrong variant. None: the mean of the batch is taken off each vector
    still    parameters that no gradient reaches, with the reason in a comment
    """

    part: str
    records: Sequence[Any]
    bad: Any
    options: dict[str, Any] = field(default_factory=dict)
    folder: str = ""
    spoilt: Callable[[Any], Any] | None = None
    still: tuple[str, ...] = ()


def graphs(count: int = 8, features: int = 5, seed: int = 0, directed: bool = True) -> list[Graph]:
    """Graphs of 1 to 9 nodes with loops, edges listed twice, and nodes that no edge leads to."""
    draws = torch.Generator().manual_seed(seed)
    made = []
    for number in range(count):
        n = 1 + number % 9
        edges = torch.randint(0, n, (2, 2 * n), generator=draws)
        if not directed:
            edges = torch.cat([edges, edges.flip(0)], 1)
        made.append(Graph(torch.randn(n, features, generator=draws), edges, ids=torch.arange(n) + 100 * number))
    return made


def crossing(inputs: Graphs) -> Graphs:
    """Edges of the second graph and of all later ones lead into the first."""
    return Graphs(inputs.x, inputs.edges % int(inputs.nodes[1]), inputs.nodes, inputs.ends, inputs.ids)


def padded_tokens(inputs: Tokens) -> Tokens:
    """Every record is made as long as the longest, and what was added counts."""
    ids, mask = inputs.padded(0)
    return Tokens(ids.flatten(), torch.arange(len(mask) + 1) * mask.shape[1])


def padded_steps(inputs: Ragged) -> Ragged:
    """Every record is made as long as the longest, and what was added counts."""
    values, mask = inputs.padded()
    return Ragged(values.flatten(0, 1), torch.arange(len(mask) + 1) * mask.shape[1])


QUERIES = [
    "parse the date from a string",
    "download a file",
    "parse a date",
    "close the file, and then close it again because nobody knows",
    "sum of two numbers",
    "",
    "caf\u00e9 \u6c34\u5728\u6d41 \U0001f600",
]
SEQUENCES = [[CHANCE.randint(1, 20) for _ in range(k)] for k in (5, 1, 9, 3, 12, 2)]
GRAPHS = graphs()
IMAGES = photographs(10)
TABLE = list(NUMBERS.normal([5, -2000, 0, 7], [3, 0.01, 1e6, 0], size=(30, 4)))
SERIES = [NUMBERS.normal(5, 3, size=(t, 2)) for t in (40, 1, 7, 23, 3, 40, 18)]
WAVES = [NUMBERS.normal(size=t).astype(np.float32) for t in (400, 33, 1, 161, 90, 12)]
SPEECH = [NUMBERS.normal(size=t).astype(np.float32) for t in (300, 1000, 300, 777, 40, 500)]
HOLES = [np.where(NUMBERS.random(s.shape) < 0.2, np.nan, s) for s in SERIES]

TRANSFORMER = {"dimension": 16, "depth": 2, "heads": 2, "vocabulary": 320, "max_tokens": 24}
VISION = {"dimension": 16, "depth": 2, "heads": 2, "size": 16, "patch": 4}
CONVOLUTION = {"dimension": 6, "hidden": 16, "layers": 3}

CASES = {
    "static": Case("static", QUERIES, 3, {"dimension": 8, "buckets": 16, "min_count": 1}),
    "word_ngrams": Case("word_ngrams", QUERIES, 3, {"dimension": 8, "buckets": 16, "min_count": 1}),
    "transformer": Case("transformer", QUERIES, 3, TRANSFORMER, spoilt=padded_tokens),
    "transformer, first": Case("transformer", QUERIES, 3, TRANSFORMER | {"pooling": "cls"}, spoilt=padded_tokens),
    "transformer, last": Case("transformer", QUERIES, 3, TRANSFORMER | {"pooling": "last"}, spoilt=padded_tokens),
    "gru": Case("gru", SEQUENCES, [21], {"dimension": 8}, spoilt=padded_tokens),
    "gru, two layers": Case("gru", SEQUENCES, [21], {"dimension": 8, "depth": 2}, spoilt=padded_tokens),
    "self_attention": Case("self_attention", SEQUENCES, [], {"dimension": 8, "heads": 2}, spoilt=padded_tokens),
    "gcn": Case("gcn", GRAPHS, "a text", {"dimension": 4, "hidden": 6, "layers": 3}, spoilt=crossing),
    "gcn, mean": Case("gcn", GRAPHS, "a text", {"dimension": 4, "hidden": 6, "pooling": "mean"}, spoilt=crossing),
    "node_mlp": Case("node_mlp", GRAPHS, "a text", {"dimension": 4, "hidden": 6}),
    "node_mlp, sum": Case("node_mlp", GRAPHS, "a text", {"dimension": 4, "hidden": 6, "pooling": "sum"}),
    "gin": Case("gin", GRAPHS, {"x": 1}, {"dimension": 4, "hidden": 6}, spoilt=crossing),
    "gin, nodes": Case("gin", GRAPHS, {"x": 1}, {"dimension": 4, "hidden": 6, "pooling": "nodes"}, spoilt=crossing),
    "convolutional": Case("convolutional", IMAGES, "nowhere.png", {"width": 8, "stages": 2, "size": 16}),
    "convolutional, linear": Case(
        "convolutional", IMAGES, "nowhere.png", {"width": 8, "stages": 2, "size": 16, "dimension": 5}
    ),
    "montage_network": Case("montage_network", IMAGES, "nowhere.png", {"width": 8, "stages": 2, "size": 16}),
    "place_network": Case("place_network", IMAGES, "nowhere.png", {"width": 8, "stages": 2, "size": 16}),
    "vision_transformer": Case("vision_transformer", IMAGES, np.zeros(3), VISION),
    "vision_transformer, token": Case("vision_transformer", IMAGES, np.zeros(3), VISION | {"pooling": "cls"}),
    "mlp": Case("mlp", TABLE, [1.0, np.nan, 0.0, 7.0], {"dimension": 5, "hidden": 8}),
    "mlp, norm": Case("mlp", TABLE, [1.0], {"dimension": 5, "layer_norm": True, "activation": "gelu"}),
    "mlp, linear": Case("mlp", TABLE, "a text", {"dimension": 5, "layers": 1}),
    "mlp, deep": Case("mlp", TABLE, 3.0, {"dimension": 5, "layers": 5, "activation": "tanh"}),
    "residual_adapter": Case("residual_adapter", TABLE, [1.0, np.nan, 0.0, 7.0], {"reduction": 2}),
    "recurrent_series": Case(
        "recurrent_series", SERIES, np.zeros((3, 5)), {"dimension": 6, "strides": (3, 2)}, spoilt=padded_steps
    ),
    "recurrent_series, waves": Case(
        "recurrent_series", WAVES, [1.0, np.nan], {"dimension": 6, "strides": (5, 4)}, spoilt=padded_steps
    ),
    "convolution_1d": Case("convolution_1d", SERIES, np.full((3, 2), np.inf), CONVOLUTION, spoilt=padded_steps),
    "convolution_1d, mean": Case(
        "convolution_1d", SERIES, np.zeros((3, 5)), CONVOLUTION | {"pooling": "mean"}, spoilt=padded_steps
    ),
    "convolution_1d, waves": Case(
        "convolution_1d", WAVES, None, CONVOLUTION | {"strides": (4, 3), "pooling": "mean"}, spoilt=padded_steps
    ),
    "convolution_1d, holes": Case("convolution_1d", HOLES, "a text", CONVOLUTION | {"hidden": 12}, spoilt=padded_steps),
    "pretrained": Case("pretrained", TEXTS, 3, {"dimension": 8}, "text", padded_tokens),
    "character_model": Case(
        "character_model", QUERIES, 3, {"dimension": 8, "depth": 2, "heads": 2, "max_tokens": 20}, spoilt=padded_tokens
    ),
    "pretrained_image": Case("pretrained_image", photographs(6, 40), "nowhere.png", {"dimension": 8}, "vision"),
    "pretrained_audio": Case(
        "pretrained_audio",
        SPEECH,
        np.zeros(19),
        {"dimension": 8},
        "speech",
        padded_steps,
        still=("model.masked_spec_embed",),  # what SpecAugment, which is off, writes over frames
    ),
}

# Parts in the folder of the encoders that are none.
NO_ENCODERS = {"sentence_transformer": "reads and writes folders of another library; what it reads is `pretrained`"}
