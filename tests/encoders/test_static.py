"""The static encoder: what a bag is, what units are, and which vocabulary is fitted; the rest is in test_contract.py."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import nearfar
from nearfar.core.errors import DataError, UsageError
from nearfar.core.text_fields import FIELD
from nearfar.data.code_text import code_text
from nearfar.encoders.shared.tokenizing import Vocabulary, parts, units
from nearfar.encoders.static import Static

QUERIES = ["parse the date from a string", "download a file", "parse a date", "close the file", "sum of two numbers"]
CODE = [
    "def parseDate(text): ...",
    "def download_file(url): ...",
    "def date(text): ...",
    "def close(file): ...",
    "def add(a, b): ...",
]


def encoder(**options) -> Static:
    return Static.fit({"query": QUERIES, "document": CODE}, **{"dimension": 16, "buckets": 64, **options})


def vectors(model: Static, texts: list[str]) -> torch.Tensor:
    return model(model.prepare(texts)).vectors


def naive(model: Static, text: str) -> torch.Tensor:
    """The formula of the file, term by term."""
    head, body = text.split(FIELD, 1) if FIELD in text else ("", text)
    total = torch.zeros(model.dimension)
    for field, factor in ((head, model.head_weight), (body, 1.0)):
        numbers = model.vocabulary._numbered(
            [unit for word in field.replace(":", " ").replace(".", " ").split() for unit in units(word)]
        )
        for number in set(numbers):
            amount = factor * (1 + math.log(numbers.count(number)))
            total += amount * model.weight[number] * model.table.detach()[number]
    return total


def test_identifiers_are_cut_where_a_reader_would() -> None:
    assert parts("parse_HTTPHeader2") == ["parse", "http", "header", "2"]
    assert parts("__init__") == ["init"]
    assert parts("\u0434\u043e\u043c_\u0414\u043e\u043c") == ["\u0434\u043e\u043c", "\u0434\u043e\u043c"]
    assert units("getX") == ["get", "#<ge", "#get", "#et>", "x"]
    assert units("_") == []


def test_vector_is_the_formula() -> None:
    model = encoder()
    texts = [
        "parse the the date",
        f"parse{FIELD}parse a date twice twice twice",
        "zebra",
        f"{FIELD}date",
        f"date{FIELD}",
    ]
    expected = torch.stack([naive(model, t) for t in texts])
    assert torch.allclose(vectors(model, texts), expected, atol=1e-5)
    without_head = torch.stack([naive(model, t.replace(FIELD, " ")) for t in texts])
    assert not torch.allclose(vectors(model, texts), without_head, atol=1e-2)  # known bad


def test_shapes_costs_and_dtypes() -> None:
    model = encoder()
    bags = model.prepare(QUERIES)
    assert len(bags) == len(QUERIES)
    assert model(bags, side="document").vectors.shape == (len(QUERIES), 16)
    assert model(bags).vectors.dtype == torch.float32
    assert model.cost(bags).tolist() == [len(model.prepare([q]).ids) for q in QUERIES]
    assert model.cost(bags)[0] > model.cost(bags)[1]


def test_take_is_prepare_of_the_chosen_records() -> None:
    model = encoder()
    texts = [*QUERIES, "", *CODE]
    bags = model.prepare(texts)
    for index in (np.array([3, 0, 5, 3]), torch.tensor([7, 2]), slice(1, 4), [5], np.zeros(0, np.int64)):
        chosen = [texts[i] for i in (range(len(texts))[index] if isinstance(index, slice) else index)]
        taken, direct = bags.take(index), model.prepare(chosen)
        assert len(taken) == len(chosen)
        assert torch.equal(taken.ids, direct.ids)
        assert torch.equal(taken.amounts, direct.amounts)
        assert torch.equal(taken.offsets, direct.offsets)
    assert not torch.equal(bags.take([3, 0]).ids, bags.take([0, 3]).ids)  # known bad


def test_empty_and_wordless_texts_are_zero_and_finite() -> None:
    model = encoder()
    assert torch.equal(vectors(model, ["", "...", FIELD]), torch.zeros(3, 16))
    assert vectors(model, ["date"]).norm() > 0
    assert vectors(model, []).shape == (0, 16)
    loss = torch.nn.functional.normalize(vectors(model, ["", "date"]), dim=1).sum()
    loss.backward()
    assert torch.isfinite(model.table.grad).all()


def test_a_word_that_training_never_saw_matches_itself() -> None:
    model = encoder(dimension=256, buckets=4096)
    x = torch.nn.functional.normalize(vectors(model, ["frobnicate", "the frobnicate", "quux"]), dim=1)
    assert x[0] @ x[1] > 0.5
    assert x[0] @ x[2] < 0.3  # known bad: another unseen word


def test_fit_is_a_function_of_texts_and_seed() -> None:
    a, b, c = encoder(seed=1), encoder(seed=1), encoder(seed=2)
    assert torch.equal(a.table, b.table)
    assert a.config() == b.config()
    assert not torch.equal(a.table, c.table)
    shuffled = Static.fit({"document": CODE[::-1], "query": QUERIES[::-1]}, dimension=16, buckets=64, seed=1)
    assert shuffled.config() == a.config()
    assert torch.equal(shuffled.weight, a.weight)


def test_rare_units_weigh_more() -> None:
    model = encoder(min_count=1)
    weight = dict(zip(model.vocabulary.known, model.weight.tolist(), strict=False))
    assert weight["def"] < weight["file"] < weight["download"]
    assert model.weight[-1] > weight["download"]  # buckets: rarer than all
    assert min(weight.values()) > 0


def test_vocabulary_holds_the_commonest_units_and_counts_texts_not_words() -> None:
    vocabulary, frequency = Vocabulary.fit(["a a a b", "b", "b c"], min_count=1, size=2, buckets=4)
    assert vocabulary.known == ["b", "a"]
    assert frequency.tolist() == [3, 1, 0, 0, 0, 0]
    assert Vocabulary.fit(["a b", "b"], min_count=2, size=9, buckets=1)[0].known == ["b"]


@pytest.mark.parametrize(
    "change",
    [
        {"dimension": 0},
        {"dimension": "16"},
        {"dimension": True},
        {"buckets": -1},
        {"buckets": 10**12},
        {"head_weight": float("nan")},
        {"head_weight": None},
        {"units": ["a", "a"]},
        {"units": [1]},
        {"units": None},
    ],
)
def test_a_senseless_configuration_is_a_data_error(change: dict) -> None:
    config = encoder().config()
    Static.from_config(config)
    with pytest.raises(DataError, match="no configuration"):
        Static.from_config({**config, **change})


def test_wrong_calls_say_so() -> None:
    with pytest.raises(DataError, match="reads texts, not int"):
        encoder().prepare(["fine", 3])
    with pytest.raises(UsageError, match="must be positive"):
        encoder(dimension=0)


def test_preparing_is_the_same_in_another_process() -> None:
    program = (
        "from nearfar.encoders.shared.tokenizing import Vocabulary\n"
        "c = Vocabulary(['date'], 1000).weigh(['parse date xyz', 'q'], 2.0)\n"
        "print(c.ids.tolist(), c.amounts.tolist(), c.offsets.tolist())"
    )
    here = Vocabulary(["date"], 1000).weigh(["parse date xyz", "q"], 2.0)
    environment = {**os.environ, "PYTHONPATH": str(Path(nearfar.__file__).parents[1])}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    out = run.stdout
    assert out.strip() == f"{here.ids.tolist()} {here.amounts.tolist()} {here.offsets.tolist()}"
    assert here.ids.tolist() != Vocabulary(["date"], 999).weigh(["parse date xyz", "q"], 2.0).ids.tolist()


def test_training_brings_pairs_together() -> None:
    model = encoder()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(30):
        x, y = (
            torch.nn.functional.normalize(vectors(model, t), dim=1) for t in (QUERIES, [code_text(c) for c in CODE])
        )
        loss = torch.nn.functional.cross_entropy(x @ y.T / 0.1, torch.arange(len(CODE)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert "weight" not in dict(model.named_parameters())


def test_code_text_puts_the_name_first() -> None:
    assert code_text("@cached\nasync def f_x(a):\n    def inner(): ...") == (
        f"f_x{FIELD}@cached\nasync def f_x(a):\n    def inner(): ..."
    )
    assert code_text("x = 'undefined'") == "x = 'undefined'"
    assert code_text(f"def f(): return '{FIELD}'").count(FIELD) == 1
