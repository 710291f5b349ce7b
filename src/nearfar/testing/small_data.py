"""Small made-up records of every modality, with something in them to learn: what smokes and tests of recipes run on.

Every kind has records around a few hidden kinds, which the column `label` names. Nothing here is real; for claims there are
`nearfar.datasets`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from nearfar.core.errors import UsageError
from nearfar.core.graph import Graph
from nearfar.data.array_records import array_records
from nearfar.data.records import Records
from nearfar.data.tagged_texts import tagged_texts

KINDS = 4


def small_data(kind: str, n: int = 48, seed: int = 0) -> Records:
    """`n` records of a kind. Raises UsageError for a kind that is not there.

    >>> records = small_data("pairs", 8)
    >>> sorted(records.fields), records.columns["label"].tolist()
    (['document', 'query'], [0, 1, 2, 3, 0, 1, 2, 3])
    """
    if kind not in MAKERS:
        raise UsageError(f"there is no small data of the kind {kind!r}", remedy=f"there are {', '.join(MAKERS)}")
    return MAKERS[kind](np.random.default_rng(seed), np.arange(n) % KINDS)


def _images(chance: np.random.Generator, label: np.ndarray) -> Records:
    """Stripes of four directions [16 16], at random places, with noise."""
    y, x = np.mgrid[0:16, 0:16]
    waves = np.stack([y, x, x + y, x - y])[label]
    phase = chance.uniform(0, 6, (len(label), 1, 1))
    pixels = 128 + 90 * np.sin(waves + phase) + chance.normal(0, 10, waves.shape)
    return array_records(image=pixels.clip(0, 255).astype(np.uint8), label=label)


def _words(chance: np.random.Generator, label: np.ndarray, length: int = 6) -> list[str]:
    """Sentences of words of their kind and of words that all share."""
    own = chance.integers(0, 12, (len(label), length))
    shared = chance.integers(0, 30, (len(label), length // 2))
    return [
        " ".join([*(f"kind{k}word{w}" for w in mine), *(f"common{w}" for w in all_)])
        for k, mine, all_ in zip(label, own.tolist(), shared.tolist(), strict=True)
    ]


def _pairs(chance: np.random.Generator, label: np.ndarray) -> Records:
    """A query and a document of one kind, which share a word of their own."""
    query, document = _words(chance, label), _words(chance, label)
    numbered = [(f"{q} name{i}", f"{d} name{i}") for i, (q, d) in enumerate(zip(query, document, strict=True))]
    return array_records(query=[q for q, _ in numbered], document=[d for _, d in numbered], label=label)


def _texts(chance: np.random.Generator, label: np.ndarray) -> Records:
    return array_records(text=[f"{t} {i}" for i, t in enumerate(_words(chance, label))], label=label)


def _tagged_texts(chance: np.random.Generator, label: np.ndarray) -> Records:
    """Texts with one to three tags: their kind, whether it is even, and one that a third of them have."""
    tags = [
        [f"kind{kind}", *(["even"] if kind % 2 == 0 else []), *(["third"] if number % 3 == 0 else [])]
        for number, kind in enumerate(label.tolist())
    ]
    return tagged_texts(_words(chance, label), tags).with_columns(label=label)


def _rows(chance: np.random.Generator, label: np.ndarray) -> Records:
    """Tables: eight numbers around the centre of their kind."""
    centres = 2 * chance.normal(size=(KINDS, 8))
    return array_records(
        row=(centres[label] + 0.5 * chance.normal(size=(len(label), 8))).astype(np.float32), label=label
    )


def _patches(chance: np.random.Generator, label: np.ndarray) -> Records:
    """Rows of a table, eight of each `scene`; the last two of each are background, whose label is -1."""
    place = np.arange(len(label)) % 8
    rows = _rows(chance, label).fields["row"]
    return array_records(
        row=np.stack([rows[i] for i in range(len(label))]),
        label=np.where(place < 6, label, -1),
        scene=np.arange(len(label)) // 8,
    )


def _series(chance: np.random.Generator, label: np.ndarray) -> Records:
    """Sines [64 1] of four frequencies."""
    time = np.linspace(0, 1, 64)
    angle = 2 * np.pi * (3 + 3 * label[:, None]) * time + chance.uniform(0, 6, (len(label), 1))
    return array_records(
        series=(np.sin(angle) + 0.2 * chance.normal(size=angle.shape)).astype(np.float32)[..., None], label=label
    )


def _sequences(chance: np.random.Generator, label: np.ndarray) -> Records:
    """Items bought one after the other, of a shelf of their kind: numbers 1 to 40."""
    items = 1 + label[:, None] * 10 + chance.integers(0, 10, (len(label), 12))
    lengths = chance.integers(6, 13, len(label)).tolist()
    return array_records(items=[row[:size] for row, size in zip(items, lengths, strict=True)], label=label)


def _subsequences(chance: np.random.Generator, label: np.ndarray) -> Records:
    """Histories and what came next, one of each of the sequences; of every kind three items come next."""
    sequences = _sequences(chance, label).fields["items"]
    following = 1 + label * 10 + chance.integers(0, 3, len(label))
    return array_records(items=list(sequences), next=following, label=label)


def _graphs(chance: np.random.Generator, label: np.ndarray) -> Records:
    """Rings of ten nodes with chords, as many as their kind says."""
    graphs = []
    for kind in label.tolist():
        ring = [(i, (i + 1) % 10) for i in range(10)]
        chords = [tuple(sorted(chance.choice(10, 2, replace=False).tolist())) for _ in range(3 * kind)]
        edges = torch.tensor([*ring, *chords]).T
        both = torch.cat([edges, edges.flip(0)], 1)
        features = torch.eye(10)[torch.bincount(edges.flatten(), minlength=10).clamp(max=9)]
        graphs.append(Graph(features, both))
    return array_records(graph=graphs, label=label)


def _captions(chance: np.random.Generator, label: np.ndarray) -> Records:
    """Pictures and sentences of the same kind."""
    pictures = _images(chance, label)
    return array_records(image=pictures.many("image", range(len(label))), text=_words(chance, label), label=label)


def _class_vectors(chance: np.random.Generator, label: np.ndarray) -> Records:
    """Vectors of pictures [8] and those of the texts of their kinds, as a frozen pair of encoders gives them."""
    texts = chance.normal(size=(KINDS, 8))
    pictures = texts[label] + chance.normal(size=(len(label), 8))
    return array_records(image=pictures.astype(np.float32), text=texts[label].astype(np.float32), label=label)


MAKERS: dict[str, Callable[[np.random.Generator, np.ndarray], Records]] = {
    "images": _images,
    "pairs": _pairs,
    "texts": _texts,
    "tagged_texts": _tagged_texts,
    "rows": _rows,
    "patches": _patches,
    "series": _series,
    "sequences": _sequences,
    "subsequences": _subsequences,
    "graphs": _graphs,
    "captions": _captions,
    "class_vectors": _class_vectors,
}
