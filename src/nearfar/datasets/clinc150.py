"""What people ask an assistant for, 150 intents, some of them kept for the end: clinc150/clinc150.tsv.gz under NEARFAR_DATA.

For zero-shot classification: no intent stands in two parts. Train has 20 utterances of each of 100 intents, dev 20 of 25 others,
test 30 of 25 others again, each part of its own split of the file; the intents are drawn once. A record is an utterance `text` and
its `label`, the place of its intent in the fact `intents` (all 150 names as written in the file). The part `texts` has the 15,000
utterances of the file's training split, of all intents and without labels, for what is trained beforehand on plain text. The parts
`known_train`, `known_dev` and `known_test` have 30, 5 and 10 utterances of every intent. The fact `domains` names the domain of
each intent. Utterances out of scope are left out.
Source: Larson et al. 2019, "An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction" (arXiv 1909.02027; CC BY 3.0).
"""

from __future__ import annotations

import csv
import gzip

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset, data_folder

CARD = Card(
    name="clinc150", summary="utterances to an assistant, 150 intents, 50 of them unseen in training (CLINC150)"
)

# Of each part: the split it is from, its intents, and utterances of each.
PARTS = {"train": ("train", 100, 20), "dev": ("val", 25, 20), "test": ("test", 25, 30)}
KNOWN = {"known_train": ("train", 30), "known_dev": ("val", 5), "known_test": ("test", 10)}


def clinc150() -> Dataset:
    """The seven parts. Raises ResourceError where NEARFAR_DATA is not set or has no such file, DataError for one with too few utterances."""
    path = data_folder("clinc150", "clinc150.tsv.gz")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["intent"] != "oos"]
    domains = {row["intent"]: row["domain"] for row in rows}
    intents = sorted(domains)
    order = np.random.default_rng(0).permutation(len(intents))
    ends = np.cumsum([count for _, count, _ in PARTS.values()])
    chosen = {
        name: (split, np.sort(order[end - count : end]).tolist(), each)
        for (name, (split, count, each)), end in zip(PARTS.items(), ends, strict=True)
    }
    chosen |= {name: (split, list(range(len(intents))), each) for name, (split, each) in KNOWN.items()}
    parts = {"texts": array_records(text=[row["text"] for row in rows if row["split"] == "train"])}
    for name, (split, numbers, each) in chosen.items():
        said: dict[str, list[str]] = {intents[number]: [] for number in numbers}
        for row in rows:
            if row["split"] == split and len(said.get(row["intent"], range(each))) < each:
                said[row["intent"]].append(row["text"])
        texts = [text for mine in said.values() for text in mine]
        if len(texts) < each * (len(numbers) if name in KNOWN else PARTS[name][1]):
            raise DataError(f"{len(texts)} utterances for {name}", where=str(path), remedy="give the whole file")
        parts[name] = array_records(text=texts, label=np.repeat(numbers, each))
    return Dataset("clinc150", parts, {"intents": intents, "domains": [domains[name] for name in intents]})
