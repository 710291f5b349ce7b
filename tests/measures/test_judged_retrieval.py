"""Recall of judged documents by counting, by cosine and by products, with documents of no query among the candidates."""

import numpy as np
import pytest
import torch

from nearfar.core.model import Model
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset
from nearfar.encoders.static import Static
from nearfar.measures.judged_retrieval import judged_retrieval

DOCUMENTS = [f"word{i} word{(i * 7) % 50} common" for i in range(150)]
QUERIES = ["word1 word2", "common word9 word9"]
RELEVANT = np.array([[1, 2, 149], [140, -1, -1]])


def dataset():
    gain = np.array([[3, 1, 1], [4, 0, 0]])
    dev = array_records(query=QUERIES, relevant=RELEVANT, gain=gain, columns=("relevant", "gain"))
    return Dataset("made up", {"documents": array_records(text=DOCUMENTS), "dev": dev})


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_recall_by_counting(similarity):
    torch.manual_seed(0)
    encoder = Static.fit({"text": DOCUMENTS}, dimension=8, buckets=64, min_count=1)
    with torch.no_grad():
        encoder.table.mul_(torch.rand(len(encoder.table), 1) * 5)
    model = Model({"text": encoder}, similarity)
    queries, documents = (np.asarray(encoder(encoder.prepare(t)).vectors.detach()) for t in (QUERIES, DOCUMENTS))
    if similarity == "cosine":
        documents = documents / np.linalg.norm(documents, axis=1, keepdims=True)
    best = np.argsort(-(queries @ documents.T), 1)[:, :100]
    recalls = [np.isin(row[row >= 0], top).mean() for row, top in zip(RELEVANT, best, strict=True)]
    found = judged_retrieval(model, dataset(), "dev")
    assert found.main == "recall@100"
    assert found.figure("recall@100") == pytest.approx(np.mean(recalls))
    assert 0 < np.mean(recalls) < 1
