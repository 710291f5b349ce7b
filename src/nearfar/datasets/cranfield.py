"""Abstracts on aerodynamics, questions about them, and which abstracts answer each, by degree: cranfield/ under NEARFAR_DATA.

Parts: train, the 1,398 abstracts that are not empty, without any question (field `text`); `documents`, all 1,400, which a search
ranks; dev and test, every second question each (113 and 112, field `query`), with columns `relevant` [n k], the places of their abstracts among
`documents` (-1: no more), and `gain` [n k], 1 (of little interest) to 4 (a complete answer). What is not listed is not relevant.
Train and `documents` hold the same texts, as a collection that is searched may also be learned from; questions and judgements are kept.
Source: the Cranfield 1400 collection (Cleverdon 1967), no licence stated, free for research.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict

import numpy as np

from nearfar.core.card import Card
from nearfar.core.optional import needed
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset, data_folder

CARD = Card(
    name="cranfield", summary="abstracts on aerodynamics, questions, and which abstracts answer them (Cranfield)"
)


def cranfield() -> Dataset:
    """The parts. Raises ResourceError where NEARFAR_DATA is not set or has no such files."""
    parquet = needed("pyarrow.parquet", "parquet")
    documents = parquet.read_table(data_folder("cranfield", "docs.parquet")).to_pylist()
    place = {document["doc_id"]: i for i, document in enumerate(documents)}
    judged: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in _table("qrels.tsv.gz"):
        judged[row["query_id"]].append((place[row["doc_id"]], int(row["relevance"])))
    texts = [document["text"] for document in documents]
    parts = {"train": array_records(text=[text for text in texts if text]), "documents": array_records(text=texts)}
    questions = _table("queries.tsv.gz")
    longest = max(map(len, judged.values()))
    for start, part in enumerate(("dev", "test")):
        mine = questions[start::2]
        pairs = np.full((len(mine), longest, 2), (-1, 0))
        for i, question in enumerate(mine):
            answers = judged[question["query_id"]]
            pairs[i, : len(answers)] = answers
        parts[part] = array_records(
            query=[question["text"] for question in mine],
            relevant=pairs[..., 0],
            gain=pairs[..., 1],
            columns=("relevant", "gain"),
        )
    return Dataset("cranfield", parts)


def _table(name: str) -> list[dict[str, str]]:
    with gzip.open(data_folder("cranfield", name), "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))
