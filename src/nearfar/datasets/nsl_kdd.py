"""NSL-KDD, records of network connections, normal ones and attacks: nsl_kdd/nsl_kdd.parquet under NEARFAR_DATA.

Parts: train, 3,000 normal connections and no attack; dev, 1,000 further normal ones and as many with a third of their features taken
from other normal ones, so that nothing is chosen by attacks; test, 4,000 records of the test file in their proportions, attacks among
them that the training file does not have. A record is a `row` of numbers with the columns `anomalous` (0 or 1) and `attack`, the number of
its kind (fact `attacks` lists them; dev's made-up ones have -1, as have normal ones).
The row leaves out the three features that are words (protocol, service, flag) and those that do not vary in the training part;
counts, bytes and durations are log(1 + x), for their largest are thousands of times their mean.
Source: Tavallaee et al. 2009 (doi 10.1109/CISDA.2009.5356528), after KDD Cup 99; free for research.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nearfar.core.card import Card
from nearfar.core.optional import needed
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset, data_folder
from nearfar.data.drawn_parts import drawn_parts

CARD = Card(name="nsl_kdd", summary="network connections, normal ones to train on and attacks to find (NSL-KDD)")

NO_FEATURES = ("split", "protocol_type", "service", "flag", "attack", "difficulty", "category")
SHARE = 1 / 3  # of the features of dev's made-up records that are another's


def nsl_kdd() -> Dataset:
    """The three parts. Raises ResourceError where NEARFAR_DATA is not set or has no such file."""
    parquet = needed("pyarrow.parquet", "parquet")
    table = parquet.read_table(data_folder("nsl_kdd", "nsl_kdd.parquet")).to_pydict()
    names = [name for name in table if name not in NO_FEATURES]
    numbers = np.stack([np.asarray(table[name], np.float64) for name in names], 1)
    split, category, attack = (np.asarray(table[name]) for name in ("split", "category", "attack"))
    normal = np.flatnonzero((split == "train") & (category == "normal"))
    numbers[:, numbers[normal].max(0) > 1] = np.log1p(numbers[:, numbers[normal].max(0) > 1])
    places = drawn_parts(np.zeros(len(normal), np.int64), {"train": 3000, "dev": 1000})
    varying = numbers[normal[places["train"]]].std(0) > 0
    rows = numbers[:, varying].astype(np.float32)
    train, dev = rows[normal[places["train"]]], rows[normal[places["dev"]]]
    made_up = _swapped(dev, train)
    later = np.flatnonzero(split == "test")
    kinds, kind = np.unique(attack[later], return_inverse=True)
    test = later[drawn_parts(kind, {"test": 4000})["test"]]
    attacks = [name for name in kinds.tolist() if name != "normal"]
    known = {name: number for number, name in enumerate(attacks)}
    parts = {
        "train": array_records(row=train, anomalous=np.zeros(len(train), np.int64)),
        "dev": array_records(
            row=np.concatenate([dev, made_up]),
            anomalous=np.repeat([0, 1], len(dev)),
            attack=np.full(2 * len(dev), -1),
        ),
        "test": array_records(
            row=rows[test],
            anomalous=(category[test] != "normal").astype(np.int64),
            attack=np.array([known.get(name, -1) for name in attack[test].tolist()]),
        ),
    }
    facts: dict[str, Any] = {"attacks": attacks, "features": [n for n, v in zip(names, varying, strict=True) if v]}
    return Dataset("nsl_kdd", parts, facts)


def _swapped(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """A third of the features of each row as other rows have them, each from another one, drawn once."""
    chance = np.random.default_rng(0)
    chosen = chance.random(rows.shape).argsort(1) < round(SHARE * rows.shape[1])
    drawn = others[chance.integers(0, len(others), rows.shape), np.arange(rows.shape[1])]
    return np.where(chosen, drawn, rows)
