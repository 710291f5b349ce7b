"""Made-up facts of two conditions: a subject and a popular condition have one answer, the same subject and a rare condition another.

Parts: train, dev and test, 60 subjects each, no subject in two of them; a model is trained on the very facts that it is asked for. Fields:
`popular` and `rare`, prompts of a subject (three small letters) and a condition (a capital); `popular_answer` and `rare_answer`, a
digit or a sign; `hidden`, the subject with `_` for its condition. Nothing tells the answers but memory. How often a model sees
either fact is for an experiment to say: that is the imbalance under which one overshadows the other.
Source: after the made-up facts of Zhang et al. 2024 (arXiv 2407.08039), by a note of them; the sizes are ours.
"""

from __future__ import annotations

import string

import numpy as np

from nearfar.core.card import Card
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset

CARD = Card(
    name="two_condition_facts",
    summary="made-up facts of a subject and a condition, one condition popular and one rare, for imbalanced memory",
    related=("tinystories_prefixes", "character_model"),
)

SUBJECTS, LENGTH = 60, 3
ANSWERS = string.digits + "!#$%&*+-/:;<=>?@"
PARTS = ("train", "dev", "test")


def two_condition_facts() -> Dataset:
    """The parts.

    >>> some = two_condition_facts().part("dev").fields
    >>> some["popular"][0], some["popular_answer"][0], some["rare"][0], some["rare_answer"][0], some["hidden"][0]
    ('smxZ', '0', 'smxB', '5', 'smx_')
    """
    chance = np.random.default_rng(0)
    letters = len(string.ascii_lowercase)
    numbers = chance.permutation(letters**LENGTH)[: SUBJECTS * len(PARTS)]
    parts = {}
    for place, name in enumerate(PARTS):
        facts: dict[str, list[str]] = {k: [] for k in ("popular", "popular_answer", "rare", "rare_answer", "hidden")}
        for number in numbers[place * SUBJECTS : (place + 1) * SUBJECTS].tolist():
            subject = "".join(string.ascii_lowercase[number // letters**i % letters] for i in range(LENGTH))
            for field, signs in (("", string.ascii_uppercase), ("_answer", ANSWERS)):
                popular, rare = (signs[i] for i in chance.permutation(len(signs))[:2])
                facts[f"popular{field}"].append(popular if field else subject + popular)
                facts[f"rare{field}"].append(rare if field else subject + rare)
            facts["hidden"].append(f"{subject}_")
        parts[name] = array_records(**facts)
    return Dataset("two_condition_facts", parts)
