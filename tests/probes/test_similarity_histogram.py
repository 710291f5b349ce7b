"""Counts of cosines against loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.similarity_histogram import similarity_histogram


@pytest.mark.parametrize("tile_bytes", [1, 64 << 20])
def test_equals_loops(tile_bytes: int):
    generator = torch.Generator().manual_seed(0)
    queries, documents = torch.randn(20, 6, generator=generator), torch.randn(30, 6, generator=generator)
    relevant = torch.randperm(30, generator=generator)[:20]
    found = similarity_histogram(queries, documents, relevant, bins=10, tile_bytes=tile_bytes)
    cosines = torch.cosine_similarity(queries[:, None], documents[None], dim=-1).numpy()
    own = np.zeros((20, 30), bool)
    own[np.arange(20), relevant.numpy()] = True
    assert found.positives == tuple(np.histogram(cosines[own], bins=10, range=(-1, 1))[0])
    assert found.negatives == tuple(np.histogram(cosines[~own], bins=10, range=(-1, 1))[0])
    assert found.negatives != tuple(np.histogram(cosines, bins=10, range=(-1, 1))[0])


def test_separation():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(300, 16, generator=generator)
    near, random = x + 0.3 * torch.randn(300, 16, generator=generator), torch.randn(300, 16, generator=generator)
    assert similarity_histogram(x, near).separation > 0.99
    assert similarity_histogram(x, random).separation == pytest.approx(0.5, abs=0.05)
    assert similarity_histogram(x, -near).separation < 0.01
    collapsed = similarity_histogram(torch.ones(9, 4), torch.ones(9, 4))
    assert collapsed.separation == 0.5
    assert collapsed.positives[-1] == 9


@pytest.mark.parametrize("tile_bytes", [1, 64 << 20])
def test_labels_equal_loops(tile_bytes: int):
    x, y = torch.randn(20, 6), torch.randn(30, 6)
    a, b = np.arange(20) % 3, np.arange(30) % 5
    cosines = torch.cosine_similarity(x[:, None], y[None], dim=-1).numpy()
    alike = a[:, None] == b[None, :]
    found = similarity_histogram(x, y, labels=(a, b), bins=10, tile_bytes=tile_bytes)
    assert found.positives == tuple(np.histogram(cosines[alike], bins=10, range=(-1, 1))[0])
    assert found.negatives == tuple(np.histogram(cosines[~alike], bins=10, range=(-1, 1))[0])
    own = torch.cosine_similarity(x[:, None], x[None], dim=-1).numpy()
    alike, others = a[:, None] == a[None, :], ~np.eye(20, dtype=bool)
    among = similarity_histogram(x, x, labels=(a, a), bins=10, tile_bytes=tile_bytes)
    assert among.positives == tuple(np.histogram(own[alike & others], bins=10, range=(-1, 1))[0])
    assert among.positives != tuple(np.histogram(own[alike], bins=10, range=(-1, 1))[0])
    assert among.negatives == tuple(np.histogram(own[~alike], bins=10, range=(-1, 1))[0])


def test_errors_of_labels():
    x = torch.eye(4)
    with pytest.raises(UsageError, match="twice"):
        similarity_histogram(x, x, [0, 1, 2, 3], labels=([0] * 4, [0] * 4))
    with pytest.raises(DataError, match="labels of shapes"):
        similarity_histogram(x, x, labels=([0] * 3, [0] * 4))
    for labels in ([0, 0, 0, 0], [0, 1, 2, 3]):
        with pytest.raises(DataError, match="pairs are positive"):
            similarity_histogram(x, x, labels=(labels, labels))


def test_errors():
    with pytest.raises(DataError, match="NaN"):
        similarity_histogram(torch.full((2, 3), torch.nan), torch.ones(2, 3))
    with pytest.raises(DataError, match="rows name"):
        similarity_histogram(torch.ones(2, 3), torch.ones(2, 3), [0, 2])
