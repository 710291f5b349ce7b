"""The benchmark of decoders runs every way, notices one that writes too little, and its section is told by medians. No timing is judged."""

import pytest

from nearfar.encoders.shared.architecture import quiet
from static.test_benchmarks import module


@pytest.fixture
def program(monkeypatch):
    made = module("decoding")
    config = {"vocab_size": 40, "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3}
    monkeypatch.setattr(made, "models", lambda _: (made.random_llama(**config), made.random_llama(**config)))
    return made


def test_every_way_writes_its_tokens(program):
    answers = {}
    with quiet():
        for way in program.WAYS:
            bench = program.Bench(way)
            bench.answer({"do": "prepare", "model": "tiny"})
            answers[way] = [bench.answer({"do": "decode", "new": 6}) for _ in range(2)]
    tokens = program.PROMPTS * 6
    assert program.unlike(answers, tokens) == ""
    assert all(a["seconds"] > 0 for made in answers.values() for a in made)
    assert "layers wrote" in program.unlike(answers | {"layers": [{**answers["layers"][0], "tokens": 7}]}, tokens)
    other = [answers["prompts"][0], {**answers["prompts"][1], "sum": -1}]
    assert "prompts writes something else" in program.unlike(answers | {"prompts": other}, tokens)


def test_the_section_is_that_of_the_medians(program):
    pages, section = module("benchmarks", "docs"), module("benchmarks_decoding", "docs")
    facts = {"model": "stories", "prompts": 4, "new": 10, "session": 0}
    times = {"greedy": [0.1, 0.9, 0.1], "layers": [0.2, 0.2, 5.0]}
    rows = [{"way": way, **facts, "seconds": seconds} for way, seconds in times.items()]
    record = {"rows": rows, "sessions": [pages.records()["encode"]["sessions"][0]]}
    text = "\n".join(section.decoding(record, pages.table, pages.origin))
    assert "| layers | 20.00 | 2.00 | 3 |" in text
    assert "| greedy | 10.00 | 1.00 | 3 |" in text
    assert program.lines(rows)[1].endswith("x  2.00")
    assert "Not measured yet" in section.decoding(None, pages.table, pages.origin)[1]
