"""The benchmark programs measure what they say, and docs/benchmarks.md is what the stored records give. No timing is judged here."""

import copy
import itertools
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

import tiny_models
from programs import ROOT, module

PROGRAMS = ROOT / "benchmarks"


@pytest.fixture
def loss_stage():
    return module("loss_stage")


@pytest.fixture
def peers():
    return module("peers")


@pytest.fixture
def pages():
    return module("benchmarks", "docs")


def vectors(size=40, dimension=16):
    draws = torch.Generator().manual_seed(0)
    return [torch.randn(size, dimension, generator=draws).requires_grad_() for _ in range(2)]


def evaluated(peer):
    x, y = vectors()
    loss = peer.make(x, y)()
    if loss.requires_grad:
        loss.backward()
    return float(loss.detach()), torch.cat([x.grad, y.grad])


# Peers


def test_peers_of_one_loss_agree_in_value_and_gradient(peers):
    here = [(n, p) for n, p in peers.PEERS.items() if p.agrees and not p.missing]
    made = {n: evaluated(p) for n, p in here}
    losses = {p.loss for _, p in here}
    assert losses == {"two ways", "one way", "sigmoid", "decoupled"}
    for loss in losses:
        (first, gradient), *others = [made[n] for n, p in here if p.loss == loss]
        assert others
        for value, g in others:
            assert value == pytest.approx(first, abs=1e-5)
            assert torch.allclose(g, gradient, atol=1e-6)
    assert not torch.allclose(made["torch"][1], made["torch, one way"][1], atol=1e-6)


def row(peer, value, loss="two ways", dtype="float32"):
    return {"peer": peer, "loss": loss, "dtype": dtype, "value": value}


def test_peers_that_disagree_are_noticed(loss_stage):
    assert loss_stage.disagreement([row("torch", 9.0), row("nearfar", 9.0005)]) == ""
    assert "9.01" in loss_stage.disagreement([row("torch", 9.0), row("nearfar", 9.01)])
    assert "nan" in loss_stage.disagreement([row("torch", 9.0), row("nearfar", float("nan"))])
    assert loss_stage.disagreement([row("torch", 9.0), row("torch sigmoid", 1.0, "sigmoid")]) == ""
    # lightly's loss is known to be another one; bfloat16 rounds the loss itself.
    assert loss_stage.disagreement([row("torch", 9.0), row("lightly", 9.7)]) == ""
    assert loss_stage.disagreement([row(n, v, dtype="bfloat16") for n, v in (("torch", 9.0), ("nearfar", 9.06))]) == ""


@pytest.mark.parametrize("count", [3, 4])
def test_the_limit_is_that_many_products(peers, monkeypatch, count):
    monkeypatch.setattr(peers, "CHUNK", 16)
    x, y = vectors(40, 8)  # blocks of 16, 16 and 8
    call = peers.products(count, x, y)
    with FlopCounterMode(display=False) as counter:
        call()
    assert counter.get_total_flops() == count * 2 * 40 * 40 * 8


def test_memory_of_a_run_is_its_own(peers):
    measure = module("measure")
    level = measure.level_mb()
    large = measure.measured(lambda: float(torch.ones(32 << 20, dtype=torch.uint8).fill_(2)[0]))
    small = measure.measured(lambda: 3.0)
    assert 30 < large["peak_mb"] - level < 100
    assert small["peak_mb"] < large["peak_mb"] - 20, "the high-water mark of the run before was not forgotten"
    assert (large["value"], small["value"]) == (2.0, 3.0)


def test_the_plan_leaves_out_what_does_not_fit_and_nothing_of_ours(loss_stage, peers):
    assert [c for c in loss_stage.PLAN if set(c.peers) - set(peers.PEERS)] == []
    head = next(c for c in loss_stage.PLAN if (c.size, c.dimension, c.dtype) == (16384, 256, "float32"))
    assert set(head.peers) == set(peers.PEERS)
    assert head.runs >= 5

    def fits(name, size):
        return peers.PEERS[name].needs_gb(size, 4) < loss_stage.MOST_GB

    assert fits("torch", 16384)
    assert not fits("torch", 65536)
    assert fits("pytorch-metric-learning", 256)
    assert not fits("pytorch-metric-learning", 1024)
    assert all(fits(name, 65536) for name in peers.PEERS if name.startswith("nearfar"))
    asked = {(c.size, c.dimension, c.dtype) for c in loss_stage.PLAN}
    assert set(itertools.product((1024, 4096, 16384, 65536), (256, 1024), ("float32", "bfloat16"))) <= asked


# The program


def run(*words, program="loss_stage.py", **variables):
    environment = {k: v for k, v in os.environ.items() if k != "NEARFAR_DATA"} | variables
    command = [sys.executable, str(PROGRAMS / program), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


SMALL = ("--sizes", "24", "--dimensions", "8", "--runs", "2", "--peers", "torch", "nearfar", "pytorch-metric-learning")


def test_a_run_is_stored_taken_up_and_never_mixed_with_another_machine(tmp_path, peers):
    path = tmp_path / "record.json"
    first = run(*SMALL, "--out", str(path))
    assert first.returncode == 0, first.stderr
    record = json.loads(path.read_text("utf-8"))
    rows = {r["peer"]: r for r in record["rows"]}
    assert set(rows) == {"torch", "nearfar", "pytorch-metric-learning", "4 products"}
    for name in ("torch", "nearfar"):
        assert len(rows[name]["seconds"]) == 2
        assert min(rows[name]["seconds"]) > 0
        assert rows[name]["extra_mb"] >= 0
    assert rows["torch"]["value"] == pytest.approx(rows["nearfar"]["value"], abs=1e-4)
    if peers.PEERS["pytorch-metric-learning"].missing:
        assert "not installed" in rows["pytorch-metric-learning"]["not_run"]
    session = record["sessions"][0]
    assert session["command"].startswith("python benchmarks/loss_stage.py --sizes 24")
    assert session["command"].endswith("--out record.json"), "no path of this machine"
    assert session["machine"]["packages"]["torch"] == torch.__version__
    assert session["machine"]["cpu"]

    again = run(*SMALL, "--out", str(path))
    assert again.returncode == 0, again.stderr
    assert json.loads(path.read_text("utf-8")) == record

    record["sessions"][0]["machine"]["cpu"] = "another"
    path.write_text(json.dumps(record), "utf-8")
    refused = run(*SMALL, "--out", str(path))
    assert refused.returncode == 1
    assert "--fresh" in refused.stderr


def test_a_worker_that_breaks_is_a_row_and_a_failure(loss_stage, monkeypatch, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("import sys\nsys.stdin.readline()\nsys.exit(3)\n")
    monkeypatch.setattr(loss_stage, "Worker", lambda script, name: module("measure").Worker(broken, name))
    case = loss_stage.Case(24, 8, "float32", ("torch",), 1)
    (made,) = loss_stage.run_case(case, {})
    assert made["not_run"] == "its process died with exit code 3"
    assert loss_stage._failed(made)
    assert not loss_stage._failed({**made, "not_run": "needs about 93 GB", "size": 65536, "dimension": 256})


def test_texts_come_from_the_named_folder_only(tmp_path):
    unset = run("--quick", program="micro_batching.py")
    assert unset.returncode == 1
    assert unset.stderr.startswith("NEARFAR_DATA is not set\n  do:")
    micro = module("micro_batching")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("NEARFAR_DATA", raising=False)
        with pytest.raises(SystemExit, match="NEARFAR_DATA is not set"):
            micro.read_pairs("stsb", 4)
        patch.setenv("NEARFAR_DATA", str(tmp_path))
        with pytest.raises(SystemExit, match="is not there"):
            micro.read_pairs("cisi", 4)


def test_ways_that_take_another_step_are_noticed():
    micro = module("micro_batching")
    same = [{"way": w, "value": 0.5, "gradient_norm": 2.0} for w in ("plain", "nearfar")]

    def found(*rows):
        return micro.disagreement(rows, micro.TOLERANCE, by="way")

    assert found(*same) == ""
    assert "value" in found(same[0], {**same[1], "value": 0.502})
    assert "value" in found(same[0], {**same[1], "value": float("nan")})
    assert "gradient_norm" in found(same[0], {**same[1], "gradient_norm": 1.0})


# Training steps


PAIRS = [
    (f"{query} {'mat ' * (i % 5)}", document)
    for i, (query, document) in enumerate(itertools.permutations(tiny_models.TEXTS, 2))
]


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    folder = tiny_models.text_folder(tmp_path_factory.mktemp("bert"), "bert")
    return module("train_sides").Setup(folder, max_tokens=12, micro_batch=30)


def test_the_limit_of_a_step_is_what_an_exact_gradient_multiplies(setup):
    batches = module("train_batches")
    config = tiny_models.text_config("bert", num_hidden_layers=3)
    model = transformers.BertModel._from_config(config, attn_implementation="eager", add_pooling_layer=False)
    lengths = np.array([[7, 4]])
    with FlopCounterMode(display=False) as counter:
        for length in lengths.ravel().tolist():
            model(input_ids=torch.ones(1, length, dtype=torch.long)).last_hidden_state.sum().backward()
    sizes = {"width": config.hidden_size, "inner": config.intermediate_size, "layers": config.num_hidden_layers}
    assert counter.get_total_flops() == 2 * batches.multiply_adds(lengths, **sizes)
    assert counter.get_total_flops() != 2 * batches.multiply_adds(lengths[:, ::-1] + [[1, -1]], **sizes)  # known bad
    of_minilm = batches.multiply_adds(np.array([[1]]), width=384, inner=1536, layers=6)
    assert of_minilm == 3 * 6 * (12 * 384**2 + 2 * 384)


def test_batches_have_the_padding_that_they_are_named_after():
    batches = module("train_batches")
    draws = np.random.default_rng(0)
    queries, documents = draws.geometric(1 / 20, 4000) + 4, draws.geometric(1 / 150, 4000) + 20
    lengths = np.minimum(np.stack([queries, documents], 1), 256)
    shares = {name: batches.padding(lengths[choose(lengths, 256)]) for name, choose in batches.CHOICES.items()}
    assert shares["half padding"] == pytest.approx(0.5, abs=0.02)
    assert shares["hardly any padding"] < 0.1
    assert shares["as they come"] > 0.52  # known bad: it is not what half of is padding
    for choose in batches.CHOICES.values():
        assert len(set(choose(lengths, 256).tolist())) == 256
    few = np.array([[3, 5], [1, 5]])
    assert (batches.padded(few), batches.padding(few)) == (16, 1 - 14 / 16)


def test_sides_take_the_same_step_and_others_are_noticed(setup):
    sides, program = module("train_sides"), module("train_step")
    rows = []
    for name, kind in sides.SIDES.items():
        side = kind.make(setup, kind.precision)
        first, taken = side.step(PAIRS), side.step(PAIRS)
        side.forget()
        assert taken.value == pytest.approx(first.value, rel=1e-6), "the first step moved a weight"
        figures = {"value": taken.value, "gradient_norm": taken.gradient_norm}
        rows.append({"side": name, "precision": kind.precision, **figures})
    assert {row["precision"] for row in rows} == {"float32", "bfloat16"}
    assert program.differing(rows) == ""
    for what, factor in (("value", 1.01), ("gradient_norm", 0.99)):
        wrong = [row | ({what: factor * row[what]} if row["side"] == "nearfar" else {}) for row in rows]
        assert what in program.differing(wrong)
    rounded = [row | ({"value": 1.2 * row["value"]} if row["side"] == "nearfar, bfloat16" else {}) for row in rows]
    assert "bfloat16" in program.differing(rounded)
    # Known bad: dropout left on.
    side = sides.SIDES["nearfar"].make(setup, "float32")
    side.step(PAIRS)
    for part in side.encoder.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.3
    other = side.step(PAIRS)
    assert program.differing(
        [rows[0], {**rows[0], "side": "other", "value": other.value, "gradient_norm": other.gradient_norm}]
    )


def test_a_loss_curve_is_decided_by_its_seed(setup):
    sides = module("train_sides")

    def curve(seed, precision="float32"):
        return sides.loss_curve(setup, precision, PAIRS, batch=5, steps=6, rate=1e-3, seed=seed)["losses"]

    first = curve(0)
    assert len(first) == 6
    assert curve(0) == first
    assert curve(1) != first
    rounded = curve(0, "bfloat16")
    assert rounded != first
    assert rounded[0] == pytest.approx(first[0], rel=0.05)


def test_rounds_go_on_where_they_were_stopped_with_the_best_cached_side(tmp_path):
    program = module("train_step")
    path, case = tmp_path / "record.json", program.CASES["as they come"]
    slow, quick = program.CACHED

    def begun():
        return program.Run(program.Record(path, "train step", program.KEY, {}, fresh=False), program.QUICK, minutes=1.0)

    def take(run, side, seconds):
        run.add("step", side, case.name, {"seconds": seconds, "rate": 1.0, "extra_mb": seconds}, {"tokens": 3})

    run = begun()
    assert program.due(case, run) == list(case.sides)
    for side in case.sides[:-1]:
        take(run, side, 9.0 if side == slow else 2.0)
    again = begun()
    assert program.due(case, again) == [case.sides[-1]]
    again.add("step", case.sides[-1], case.name, {"error": "its process died"}, {})
    assert "its process died" in again.record.find(side=case.sides[-1])["not_run"]
    second = program.due(case, again)
    assert set(second) == set(case.sides) - {slow, case.sides[-1]}
    assert second[0] == case.sides[2] == quick  # another one begins
    for side in second:
        take(again, side, 4.0)
    row = again.record.find(side=quick)
    assert (row["seconds"], row["rate"], row["extra_mb"]) == ([2.0, 4.0], [1.0, 1.0], 4.0)
    for side in second:
        take(again, side, 4.0)
    assert program.due(case, again) == []
    assert program.due(case, begun()) == [case.sides[-1]], "what failed is tried by the next run"


def test_no_round_begins_that_would_end_too_late(monkeypatch):
    program = module("train_step")
    run = program.Run(program.Record(None, "train step", program.KEY, {}, fresh=False), program.QUICK, minutes=1.0)
    run.last = 40.0
    assert run.has_time()
    run.started -= 30
    assert not run.has_time()
    run.last = 0.0
    assert not run.has_time(), "nothing else begins either"


def test_what_is_not_installed_is_said():
    measure = module("measure")
    measure.require_installed(["torch"])
    with pytest.raises(SystemExit, match="not installed here: no_such_package\n  do:  make bench"):
        measure.require_installed(["torch", "no_such_package"])


# The environment


def test_peers_have_exact_versions_and_share_our_torch():
    def pins(path):
        lines = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]
        assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
        return {re.sub("[-_.]+", "-", name).lower(): v for name, v in (line.split("==") for line in lines)}

    theirs, ours = pins(PROGRAMS / "peers.txt"), pins(ROOT / "constraints.txt")
    assert {"sentence-transformers", "open-clip-torch", "lightly", "pytorch-metric-learning"} <= set(theirs)
    for name in ("torch", "numpy", "jaxtyping", "safetensors"):
        assert theirs[name] == ours[name]


# The page


def made_up(value=150.0):
    """Records with every figure of the first table."""
    machine = {
        "cpu": "C",
        "cores": 2,
        "threads": 2,
        "memory_gb": 8,
        "system": "S",
        "python": "3",
        "packages": {"torch": "2"},
    }
    common = {"dimension": 256, "dtype": "float32", "session": 0}

    def row(peer, size, took, loss="two ways", extra=None):
        more = {} if extra is None else {"extra_mb": extra}
        return {"peer": peer, "loss": loss, "size": size, "seconds": [9 * took, took, took], **more, **common}

    rows = [
        row("torch", 16384, 10.0, extra=4200.0),
        row("nearfar", 16384, 6.0, extra=value),
        row("4 products", 16384, 5.0),
        row("nearfar, any rule", 16384, 12.0, extra=200.0),
        row("nearfar, one way", 16384, 5.0, "one way", 100.0),
        row("nearfar, any rule, one way", 16384, 8.0, "one way", 100.0),
        row("nearfar", 65536, 90.0, extra=600.0),
        {"peer": "torch", "loss": "two ways", "size": 65536, "not_run": "needs about 86 GB", **common},
    ]
    steps = [
        {
            "way": way,
            "data": "stsb",
            "pairs": 256,
            "tokens": 10,
            "padded": 20,
            "seconds": [s],
            "extra_mb": 10.0,
            "session": 0,
        }
        for way, s in (("plain", 2.0), ("nearfar", 2.08))
    ]
    sessions = [{"date": "2026-01-02T03:04:05", "command": "python x.py", "machine": machine}]
    sides = {"encode": {"sentence-transformers": 10.0, "nearfar": 9.0, "nearfar, bfloat16": 3.0}}
    sides["retrieval_probe"] = {"nearfar": 4.0, "ranx": 5.0, "torchmetrics": 20.0}
    static = {"trained": 30_000, "vocabulary": [1.0] * 3, "session": 0}
    trainings = [
        {**static, "case": "records in hand", "seconds": [2.0, 9.0, 2.0], "loop": [1.0] * 3, "waited": [0.02] * 3},
        {**static, "case": "records from disk", "seconds": [4.0] * 3, "loop": [3.0] * 3, "waited": [0.5, 0.04, 0.04]},
    ]
    each = {"loss_stage": rows, "micro_batching": steps, "train_step": made_up_training(), "static_training": trainings}
    each |= {
        name: [{"side": side, "seconds": [s, 9 * s, s], "extra_mb": 500.0, "session": 0} for side, s in some.items()]
        for name, some in sides.items()
    }
    return {name: {"rows": rows, "sessions": sessions} for name, rows in each.items()}


def made_up_training():
    """Rows of all parts of train_step."""
    facts = {"part": "step", "pairs": 256, "tokens": 40, "padded": 100, "multiply_adds": 6e10, "session": 0}

    def step(side, case, took, extra, precision="float32"):
        more = {"precision": precision, "native": "amx_bf16", "rate": [2e9, 2e9, 4e9]}
        return {"side": side, "case": case, "seconds": [took, 9 * took, took], "extra_mb": extra, **more, **facts}

    def curve(side, seed, losses):
        row = {"part": "curve", "side": side, "case": f"seed {seed}", "losses": losses, "seconds": [1.0]}
        return {**row, "waited": [0.01 * seed], "session": 0}

    return [
        step("sentence-transformers", "as they come", 50.0, 14_000.0),
        {
            "part": "step",
            "side": "sentence-transformers cached, 32",
            "case": "as they come",
            "not_run": "died",
            "session": 0,
        },
        step("nearfar", "as they come", 40.0, 1_400.0),
        step("nearfar, bfloat16", "as they come", 30.0, 1_000.0, "bfloat16"),
        step("sentence-transformers", "half padding", 50.0, 14_000.0),
        step("nearfar", "half padding", 25.0, 1_400.0),
        curve("nearfar", 0, [2.0, 1.0]),
        curve("nearfar", 1, [4.0, 1.0]),
        curve("nearfar, bfloat16", 0, [2.5, 1.0]),
        curve("nearfar, bfloat16", 1, [4.5, 1.0]),
    ]


def test_page_and_picture_are_those_of_the_records(pages):
    stored = pages.records()
    assert pages.page(stored) == pages.PAGE.read_text("utf-8"), "run: python docs/benchmarks.py"
    assert pages.PICTURE.exists() == ("loss_stage" in stored)
    if "loss_stage" in stored:
        assert pages.picture(stored["loss_stage"]) == pages.PICTURE.read_text("utf-8")


def test_an_altered_figure_alters_page_and_picture(pages):
    stored = made_up()
    altered = copy.deepcopy(stored)
    altered["loss_stage"]["rows"][1]["seconds"] = [6.1] * 3
    assert pages.page(altered) != pages.page(stored)
    assert pages.picture(altered["loss_stage"]) != pages.picture(stored["loss_stage"])
    assert pages.picture(copy.deepcopy(stored)["loss_stage"]) == pages.picture(stored["loss_stage"])


def test_aims_are_judged_by_medians_against_their_bounds(pages):
    verdicts = {a.text: (a.value, a.verdict) for a in pages.aims(made_up())}
    values = [v for v, _ in verdicts.values()]
    assert values[:8] == pytest.approx([150.0, 0.6, 1.2, 600.0, 4.0, 1.6, 2.0, 1.04])
    reached = [v for _, v in verdicts.values()]
    assert reached[:9] == ["yes"] * 5 + ["**no**", "yes", "yes", "not measured yet"]
    # Training: 40 / 50 s, 1.4 / 14 GB, 25 / 50 s, 30 / 40 s, curves half apart at a standard error of one, 10,000 of 15,000 pairs/s.
    assert values[9:16] == pytest.approx([0.8, 0.1, 0.5, 0.75, 0.5, 2 / 3, 0.04])
    assert reached[9:16] == ["yes"] * 3 + ["**no**"] + ["yes"] * 3
    # Encoding 9 / 10 s and 3 / 10 s; measuring 4 s beside 5 and 20, in 500 of 4,000 MB.
    assert values[16:] == pytest.approx([0.9, 0.3, 0.8, 0.125])
    assert reached[16:] == ["**no**", "yes", "yes", "**no**"]
    assert pages.aims(made_up(151.0))[0].verdict == "**no**"
    assert {a.verdict for a in pages.aims({})} == {"not measured yet"}


def test_the_page_says_what_was_not_run(pages):
    text = pages.page(made_up())
    assert "| torch | 10 s (1.00), 4,200 MB | *needs 86 GB* |" in text
    assert "| nearfar | 6 s (0.60), 150 MB | 90 s, 600 MB |" in text
    assert "Measured on C, 2 cores" in text
    assert "| nearfar | 40.00 | 0.80 | 1,400 | 0.10 | 75% | 3 |" in text
    assert "| sentence-transformers cached, 32 | *died* |" in text
    assert "40 tokens, 100 when padded (60%)" in text
    assert "| records in hand | 10,000 | 15,000 | 30,000 | 2.0% | 3 |" in text
    assert "lie 0.50 standard errors" in text
    assert "Not measured yet" in pages.page({})
