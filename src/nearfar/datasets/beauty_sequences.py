"""What people bought one after the other among beauty products: seq_amazon_beauty/ under NEARFAR_DATA, a part of it.

The 400 items with most purchases, numbered from 1; of the users with five of them or more, 400 drawn once. Parts: train, every item of
a user but the last two with what came before it (`items`, `next`, as `subsequences` makes them); dev, the last but one, and test, the
last, each after all that came before. Facts: the number of items.
Source: McAuley et al. 2015 (arXiv 1506.04757), product data of a shop, in the version of S3-Rec (Zhou et al. 2020, arXiv 2008.07873);
research use, no licence stated. There it is 22,363 users and 12,101 items.
"""

from __future__ import annotations

import gzip
from collections import Counter

import numpy as np
import torch

from nearfar.core.card import Card
from nearfar.core.draws import uniform
from nearfar.data.dataset import Dataset, data_folder
from nearfar.data.records import Records
from nearfar.data.subsequences import subsequences

CARD = Card(name="beauty_sequences", summary="what 400 people bought in order, 400 beauty products")

ITEMS, USERS, LEAST, MOST = 400, 400, 5, 20


def beauty_sequences() -> Dataset:
    """The three parts. Raises ResourceError where NEARFAR_DATA is not set or has no such file."""
    with gzip.open(data_folder("seq_amazon_beauty", "sequences.tsv.gz"), "rt", encoding="utf-8") as file:
        bought = [line.split("\t")[1].split() for line in file.read().splitlines()[1:]]
    often = Counter(item for sequence in bought for item in sequence).most_common(ITEMS)
    number = {item: place + 1 for place, (item, _) in enumerate(often)}
    kept = [[number[item] for item in sequence if item in number] for sequence in bought]
    kept = [sequence for sequence in kept if len(sequence) >= LEAST]
    drawn = uniform(0, "beauty_sequences", torch.arange(len(kept))).argsort(stable=True)[:USERS].sort().values.tolist()
    users = [kept[i] for i in drawn]
    train = subsequences([user[:-2] for user in users], most=MOST)
    ends = {"dev": -2, "test": -1}
    parts = {
        name: Records(
            {"items": [user[:end][-MOST:] for user in users]}, {"next": np.array([user[end] for user in users])}
        )
        for name, end in ends.items()
    }
    return Dataset("beauty_sequences", {"train": train, **parts}, {"items": ITEMS})
