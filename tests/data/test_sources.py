"""Several data sets as one: which record is whose, prompts, and that nothing is read before it is asked for."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from nearfar.core.batching import Batching
from nearfar.core.errors import DataError, UsageError
from nearfar.core.ids import string_ids
from nearfar.data.lazy import lazy_pairs
from nearfar.data.order import Order
from nearfar.data.pairs import pairs
from nearfar.data.records import Note, Records
from nearfar.data.sources import sources

NLI = [(f"premise {i}", f"hypothesis {i}") for i in range(12)]
QA = [(f"question {i}", f"answer {i}", [f"wrong {i}", f"worse {i}"]) for i in range(5)]


class Counted(Sequence):
    """A sequence of texts that are made when asked for, and counted."""

    def __init__(self, size):
        self.size, self.asked = size, Counter()

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        self.asked[index] += 1
        return f"text {index}"


class Many(Counted):
    def many(self, index):
        self.asked["calls"] += 1
        return [f"text {i}" for i in index]


def test_records_of_all_sources_in_their_order():
    records = sources({"nli": NLI, "qa": pairs(QA)})
    assert len(records) == 17
    assert list(records.fields["query"]) == [p[0] for p in [*NLI, *QA]]
    assert records.many("document", [16, 0, 12]) == ["answer 4", "hypothesis 0", "answer 0"]
    assert records.many("negatives", [3, 13]) == [[], ["wrong 1", "worse 1"]]
    assert records.fields["negatives"][-1] == ["wrong 4", "worse 4"]
    assert list(records.fields["query"][11:13]) == ["premise 11", "question 0"]
    assert records.columns["source"].tolist() == [string_ids([n])[0] for n in ["nli"] * 12 + ["qa"] * 5]
    assert "source_weight" not in records.columns
    for wrong in (17, -18):
        with pytest.raises(IndexError):
            records.fields["query"][wrong]
    assert records.take([16, 2]).many("query", [0, 1]) == ["question 4", "premise 2"]


def test_prompts_are_put_before_texts_and_leave_ids_alone():
    told = {"nli": {"query": "similar: "}, "qa": {"query": "Q: ", "document": "A: "}}
    same = [("shared", "one"), ("other", "two")]
    plain, prompted = (
        sources({"nli": same, "qa": [*same, *QA]}),
        sources({"nli": same, "qa": [*same, *QA]}, prompts=told),
    )
    assert prompted.many("query", [0, 2]) == ["similar: shared", "Q: shared"]
    assert prompted.many("document", [0, 2]) == ["one", "A: one"]
    assert prompted.many("negatives", [4]) == [
        ["A: wrong 0", "A: worse 0"]
    ]  # or they would be told by their lack of it
    own = sources({"qa": QA}, prompts={"qa": {"document": "A: ", "negatives": ""}})
    assert own.many("negatives", [0]) == [["wrong 0", "worse 0"]]
    for name in ("query", "document"):
        assert (prompted.columns[name] == plain.columns[name]).all()
    assert prompted.columns["query"][0] == prompted.columns["query"][2] != prompted.columns["query"][1]
    assert string_ids(prompted.fields["query"])[0] != prompted.columns["query"][0]
    assert prompted.fingerprint != plain.fingerprint


@pytest.mark.parametrize("kind", [Counted, Many])
def test_nothing_is_read_before_it_is_asked_for(kind):
    parts = [kind(10**5), kind(3), kind(10**5)]
    records = sources(
        {name: Records({"text": part}) for name, part in zip("abc", parts, strict=True)} | {},
        prompts={"c": {"text": "> "}},
    )
    assert len(records) == 2 * 10**5 + 3
    index = [10**5 + 1, 7, 2 * 10**5, 10**5 + 3]
    expected = ["text 1", "text 7", f"> text {10**5 - 3}", "> text 0"]
    assert records.many("text", index) == expected
    assert [records.fields["text"][i] for i in index] == expected
    assert sum(sum(part.asked.values()) for part in parts) == (8 if kind is Counted else 4 + 3)


def test_files_are_read_when_asked_for(tmp_path):
    for name, rows in (("a", NLI), ("b", NLI[::-1])):
        lines = [f'{{"query": "{q}", "document": "{d}"}}\n' for q, d in rows]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    files = {name: tmp_path / f"{name}.jsonl" for name in "ab"}
    lazy, eager = sources(files, lazy=True), sources(files)
    index = [23, 0, 11, 12]
    assert lazy.many("query", index) == eager.many("query", index) == [NLI[i][0] for i in (0, 0, 11, 11)]
    assert (lazy.columns["document"] == eager.columns["document"]).all()
    given = sources({name: lazy_pairs(path) for name, path in files.items()})
    assert given.fingerprint == lazy.fingerprint
    assert lazy.digest
    assert lazy.fingerprint != sources({"b": files["b"], "a": files["a"]}, lazy=True).fingerprint
    assert lazy.fingerprint != sources(files, lazy=True, prompts={"a": {"query": ">"}}).fingerprint
    files["c"] = tmp_path / "missing.jsonl"
    with pytest.raises(DataError, match="source c"):
        sources(files)


def test_weights_are_what_an_order_takes():
    records = sources({"nli": NLI, "qa": QA}, weights={"nli": 1, "qa": 3}, prompts={})
    order = Order.of(Batching(), 4, records.columns, seed=0)
    taken = Counter(records.columns["source"][order.records(t)[0]] for t in range(80))
    assert taken[string_ids(["qa"])[0]] == 60
    assert all(len(set(records.columns["source"][order.records(t)])) == 1 for t in range(80))
    some = records.take(np.arange(1, 17))  # what is held out takes nothing away from it
    again = Order.of(Batching(), 2, some.columns, seed=0)
    assert again.steps_per_epoch == 7
    assert Counter(some.columns["source"][again.records(t)[0]] for t in range(84))[string_ids(["qa"])[0]] == 63
    level = Order.of(Batching(weights="proportional"), 4, records.columns, seed=0)
    assert Counter(records.columns["source"][level.records(t)[0]] for t in range(80))[string_ids(["qa"])[0]] == 20


def test_columns_that_not_all_have_are_left_out_and_said():
    a = Records(
        {"text": ["x", "y"]}, {"label": np.array([0, 1]), "place": np.zeros((2, 3)), "source": np.array([5, 6])}
    )
    b = Records(
        {"text": ["z"]},
        {"label": np.array([7]), "place": np.zeros((1, 2)), "time": np.array([1])},
        notes=(Note("odd"),),
    )
    records = sources({"a": a, "b": b})
    assert records.columns["label"].tolist() == [0, 1, 7]
    assert set(records.columns) == {"label", "source"}
    said = " ".join(map(str, records.notes))
    assert all(
        word in said
        for word in ("b: odd", "'place' is left out", "'time' is left out", "'source' of the sources was replaced")
    )


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sources({}), UsageError, "no sources"),
        (lambda: sources({"a": NLI}, weights={"b": 1.0}), UsageError, "no source 'b'"),
        (lambda: sources({"a": NLI, "b": NLI}, weights={"b": 1.0}), UsageError, "'a' has no weight"),
        (lambda: sources({"a": NLI}, weights={"a": 0.0}), UsageError, "above zero"),
        (lambda: sources({"a": NLI}, prompts={"b": {}}), UsageError, "no source 'b'"),
        (lambda: sources({"a": NLI}, prompts={"a": {"quest": "Q"}}), UsageError, "no field"),
        (lambda: sources({"a": NLI, "b": Records({"text": ["x"]})}), DataError, "no field 'text'"),
        (lambda: sources({"a": [("x", "")] * 2}), DataError, "source a"),
        (
            lambda: sources({"a": Records({"n": [1, 2]})}, prompts={"a": {"n": "Q"}}).many("n", [0]),
            DataError,
            "no text",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, error, match):
    with pytest.raises(error, match=match) as caught:
        make()
    assert caught.value.remedy
