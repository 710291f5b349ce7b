"""STS Benchmark in English: pairs of sentences with people's judgement of how much they mean the same: stsb_multi/ under NEARFAR_DATA.

Parts: train, some 10,000 sentences to learn from without any judgement (field `text`), each once and none that dev or test hold; dev
(1,500) and test (1,379), pairs (fields `first` and `second`) with a `score` from 0, nothing in common, to 5, the same; and `pairs`, the
5,749 judged pairs of the training part, for methods that learn from judgements.
Source: Cer et al. 2017, "SemEval-2017 Task 1" (arXiv 1708.00055; CC BY-SA 4.0 for the scores, texts of mixed origin), in the
collection stsb-multi-mt of Philip May.
"""

from __future__ import annotations

from nearfar.core.card import Card
from nearfar.core.optional import needed
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset, data_folder
from nearfar.data.records import Records

CARD = Card(name="stsb", summary="pairs of sentences with graded similarity, and sentences alone (STS Benchmark)")


def stsb() -> Dataset:
    """The parts. Raises ResourceError where NEARFAR_DATA is not set or has no such file."""
    parquet = needed("pyarrow.parquet", "parquet")
    columns = ["split", "sentence1", "sentence2", "score"]
    path = data_folder("stsb_multi", "stsb_multi.parquet")
    rows = parquet.read_table(path, columns=columns, filters=[("lang", "=", "en")]).to_pylist()
    parts = {}
    for split, part in (("train", "pairs"), ("dev", "dev"), ("test", "test")):
        mine = [row for row in rows if row["split"] == split]
        parts[part] = array_records(
            first=[row["sentence1"] for row in mine],
            second=[row["sentence2"] for row in mine],
            score=[float(row["score"]) for row in mine],
        )
    held_out = {text for part in ("dev", "test") for text in _texts(parts[part])}
    alone = list(dict.fromkeys(text for text in _texts(parts["pairs"]) if text not in held_out))
    return Dataset("stsb", {"train": array_records(text=alone), **parts})


def _texts(records: Records) -> list[str]:
    return [*records.fields["first"], *records.fields["second"]]
