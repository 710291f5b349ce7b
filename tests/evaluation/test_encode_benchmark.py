"""The benchmark of encoding measures sides that compute the same, and notices one that does not. No timing is judged."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import tiny_models

PROGRAMS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def program():
    sys.path.append(str(PROGRAMS))
    spec = importlib.util.spec_from_file_location("encode_benchmark", PROGRAMS / "encode.py")
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made  # dataclasses look themselves up there
    spec.loader.exec_module(made)
    return made


def test_sides_give_the_same_vectors_and_others_are_noticed(program, tmp_path):
    folder = str(tiny_models.text_folder(tmp_path / "model"))
    texts = [text for text in tiny_models.TEXTS if text] * 3
    found = {}
    for name in program.SIDES:
        bench = program.Bench(name)
        bench.answer({"do": "prepare", "folder": folder, "texts": texts})
        assert bench.answer({"do": "encode", "file": str(tmp_path / "v.npy")})["seconds"] > 0
        found[name] = np.load(tmp_path / "v.npy")
    agreement = {name: program.compared(v, found[program.SBERT]) for name, v in found.items()}
    assert program.differing(agreement) == ""
    assert agreement[program.LOW]["difference"] > 1e-5, "it is in bfloat16"
    swapped = program.compared(np.roll(found[program.OURS], 1, axis=0), found[program.SBERT])
    assert program.OURS in program.differing(agreement | {program.OURS: swapped})
    nothing = program.compared(np.full_like(found[program.OURS], np.nan), found[program.SBERT])
    assert program.LOW in program.differing(agreement | {program.LOW: nothing})
    assert program.LOW in program.differing(agreement | {program.LOW: {"difference": 0.0, "cosine": 0.9994}})


def test_rounds_go_on_and_are_told_by_their_medians(program, tmp_path, monkeypatch):
    class Fake:
        def __init__(self, seconds):
            self.seconds = seconds

        def ask(self, **message):
            np.save(message["file"], np.eye(3, dtype=np.float32))
            return {"seconds": self.seconds, "extra_mb": 1.0}

    record = program.Record(tmp_path / "encode.json", "encode", program.KEY, {}, fresh=False)
    workers = {name: Fake(2.0 if name == program.OURS else 4.0) for name in program.SIDES}
    for number in range(2):
        program.round_(record, workers, number, {"texts": 3}, tmp_path)
    again = program.Record(tmp_path / "encode.json", "encode", program.KEY, {}, fresh=False)
    assert again.find(side=program.OURS)["seconds"] == [2.0, 2.0]
    ours = next(line for line in program.lines(again.rows) if line.startswith(f"  {program.OURS} "))
    assert "x  2.00 (best:  2.00)" in ours
    workers[program.OURS].ask = lambda **message: (
        np.save(message["file"], np.ones((3, 3))) or {"seconds": 1.0, "extra_mb": 1.0}
    )
    with pytest.raises(SystemExit, match="other vectors"):
        program.round_(record, workers, 2, {"texts": 3}, tmp_path)
    assert program.Record(tmp_path / "encode.json", "encode", program.KEY, {}, fresh=False).find(side=program.OURS)[
        "seconds"
    ] == [2.0, 2.0]
