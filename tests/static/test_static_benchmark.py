"""The benchmark of the static encoder: whole trainings, counted pair by pair, and the section of the page that reads their record."""

from __future__ import annotations

import pytest

from programs import module


@pytest.mark.parametrize("case", ["records in hand", "records from disk"])
def test_a_training_counts_its_pairs_and_its_parts(case, tmp_path, monkeypatch):
    program = module("static_training")
    monkeypatch.setattr(program, "harvested", lambda limit: [(f"the number {i}", f"return {i}") for i in range(limit)])
    bench = program.Bench(case)
    assert bench.answer({"do": "prepare", "pairs": 50, "folder": str(tmp_path)}) == {"records": 50}
    made = bench.answer({"do": "train"})
    assert made["trained"] == 150  # three passes
    assert 0 < made["loop"] < made["seconds"]
    assert made["vocabulary"] > 0
    assert 0 <= made["waited"] < 1
    assert (tmp_path / "pairs.jsonl").exists() == (case == program.FROM_DISK)


def test_rounds_are_stored_one_by_one(tmp_path):
    program = module("static_training")

    def begun(fresh=False):
        return program.Record(tmp_path / "record.json", "static training", program.KEY, {"pairs": 50}, fresh=fresh)

    times = {"vocabulary": 1.0, "seconds": 4.0, "loop": 2.0, "waited": 0.03}
    for number in (1, 2):
        program.add(begun(), program.IN_HAND, {"trained": 100, **times})
        assert program.rounds(begun(), program.IN_HAND) == number
    assert program.rounds(begun(), program.FROM_DISK) == 0
    row = begun().find(case=program.IN_HAND)
    assert program.everything(row) == [5.0, 5.0]
    assert "20 pairs/s with the vocabulary" in program.line(row)
    with pytest.raises(SystemExit, match="120 pairs, not 100"):
        program.add(begun(), program.IN_HAND, {"trained": 120, **times})


def test_the_section_is_that_of_the_record():
    page = module("benchmarks_static", "docs")

    def lines(*rows):
        made = page.static_training({"rows": rows}, lambda head, body: str([head, *body]), lambda _: "there")
        return "\n".join(made)

    row = {
        "case": page.IN_HAND,
        "trained": 30_000,
        "vocabulary": [1.0, 9.0, 1.0],
        "seconds": [2.0, 2.0, 9.0],
        "loop": [1.5, 1.5, 1.5],
        "waited": [0.02, 0.04, 0.03],
    }
    text = lines(row)
    assert "30,000 pairs" in text
    assert "there" in text
    assert (
        "'3,000', '15,000', '20,000', '3.0%', '3'" in text
    )  # medians: of the sums (3, 11, 10), of what is left, of the loop
    assert lines({**row, "loop": [3.0, 3.0, 3.0]}) != text
    assert page.static_training(None, None, None) == ["Not measured yet: `make bench`."]
