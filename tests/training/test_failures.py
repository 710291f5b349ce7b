"""What goes wrong overnight: each failure ends with a message, a non-zero exit and a whole checkpoint, from which the run goes on exactly."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nearfar.cli.main import main
from nearfar.core.errors import ResourceError, UsageError
from nearfar.core.recipe import Feed, Use
from nearfar.core.stage import Refresh
from nearfar.training import checkpoint, fit, kept, probing
from nearfar.training.interrupt import interrupts_deferred
from nearfar.training.loggers import CsvLogger, TensorBoardLogger
from nearfar.training.train import train_run
from nearfar.training.watch import Watch
from small_recipes import FIT, Noise, changed, small, table

ROOT = Path(__file__).parents[2]

# A method in a user's file. In its 11th look at a batch it does what the environment says, which is how failures are made to
# happen in the middle of a training.
OWN = """
import os, resource, signal
from nearfar.core.recipe import Contrast, Feed, Recipe, Use
from nearfar.core.stage import Fit

FILE = "my.jsonl"
looks = 0

def full(limit):
    size = int(limit) if limit.isdigit() else os.path.getsize(limit) + 50
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def append():
    with open(FILE, "a") as file:
        file.write('{"text": "one more"}\\n')

def fails():
    raise ArithmeticError("no look at this one")

def look(records, draws):
    global looks
    looks += 1
    what, _, value = os.environ.get("SABOTAGE", "").partition(" ")
    if looks == 11:
        if what == "full":
            full(value)
        elif what == "truncate":
            os.truncate(FILE, os.path.getsize(FILE) // 2)
        elif what == "remove":
            os.remove(FILE)
        elif what == "append":
            append()
        elif what == "signal":
            signal.raise_signal(int(value))
    if looks >= 11 and what == "fail" and any(r.startswith("the word 17,") for r in records):
        fails()
    if looks == 11 and what == "lose":
        return records[:-1]
    return list(records)

def recipe():
    streams = (Feed("x", "text", views=(look,)), Feed("y", "text"))
    stage = Fit(batch_size=20, epochs=4, learning_rate=0.01, workers=0, micro_batch=None, checkpoint_steps=4, checkpoint=1e9)
    return Recipe("mine", Use("static", {"dimension": 24}), Contrast(temperature=0.2), (stage,), data="texts", streams=streams, held_out=0.0)
"""


def written(folder):
    """A user's folder: data and a method."""
    lines = [json.dumps({"text": f"the word {i}, once more {i % 7}"}) for i in range(120)]
    (folder / "my.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "mine.py").write_text(OWN)
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return written(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nothing happens to."""
    folder = written(tmp_path_factory.mktemp("whole"))
    assert (
        main(["train", f"{folder}/mine.py", "--data", f"{folder}/my.jsonl", "--out", f"{folder}/run", "--quiet"]) == 0
    )
    return folder / "run"


def run(*words):
    return main(["train", "./mine.py", *map(str, words), "--quiet"])


def start(*words, **environment):
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "nearfar", "train", "./mine.py", *words, "--quiet"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def steps(folder):
    """The log without what the clock says."""
    entries = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in entry.items() if k not in ("seconds", "plan")} for entry in entries]


def last(folder):
    return max(p for p in (folder / "checkpoints").iterdir() if p.name != "best")


def assert_same(part, whole):
    a, b = (load_file(last(folder) / "state.safetensors") for folder in (part, whole))
    assert a.keys() == b.keys()
    assert [k for k in a if not torch.equal(a[k], b[k])] == []
    assert steps(part) == steps(whole)
    model, other = (load_file(folder / "model" / "model.safetensors") for folder in (part, whole))
    assert all(torch.equal(model[k], other[k]) for k in model)


def assert_stopped_whole(folder, step):
    """No model, and a last checkpoint that is whole, of this step."""
    assert not (folder / "model").exists()
    made = checkpoint.read_checkpoint(last(folder))
    assert made.step == step
    assert all(t.isfinite().all() for t in made.tensors.values())
    assert not [p for p in folder.rglob("*") if "building" in p.name], "remains"


# A full disk


@pytest.mark.parametrize(
    ("limit", "where"), [("9000", "in: .*checkpoints"), ("part/metrics.jsonl", "in: .*metrics.jsonl")]
)
def test_a_full_disk(limit, where, here, whole):
    """In the 11th step no file may grow beyond the limit any more: the next checkpoint is the first to meet it, or the log is."""
    failed = start("--data", "my.jsonl", "--out", "part", SABOTAGE=f"full {limit}")
    _, said = failed.communicate(timeout=120)
    assert failed.returncode == 4, said
    assert "Traceback" not in said
    assert re.search(where, said)
    assert "do: " in said
    assert_stopped_whole(here / "part", 8)
    assert run("--resume", "part", "--data", "my.jsonl") == 0
    assert_same(here / "part", whole)


FULL = """
import resource, sys, warnings
from nearfar.training.loggers import CsvLogger, Loggers, TensorBoardLogger

loggers = Loggers([CsvLogger("m.csv"), TensorBoardLogger("board")])
entry = lambda step: {"stage": "fit", "step": step, "loss": 1 / step, "other": 0.123456789 * step}
loggers.log(entry(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (700, resource.RLIM_INFINITY))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for step in range(2, 27):
        loggers.log(entry(step))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for step in range(60, 63):
        loggers.log(entry(step))
    loggers.close()
print("\\n".join(str(w.message) for w in told))
"""


def test_a_full_disk_under_the_tables_of_figures(here, in_process):
    """They miss entries and say so; nothing waits, and what is written after room was made can be read."""
    done = in_process("-c", FULL)
    assert done.returncode == 0, done.stderr
    assert "Exception" not in done.stderr, "tensorboardX's thread would die here, and the training wait for it for ever"
    assert "CsvLogger failed" in done.stdout
    assert "cannot be written" in done.stdout
    rows = CsvLogger(here / "m.csv")._read()
    written = [int(row["step"]) for row in rows]
    assert written[:3] == [1, 2, 3]
    assert written[-3:] == [60, 61, 62]
    assert len(written) < 29


def test_half_a_line_that_is_left_there_would_spoil_the_table(here):
    """What `append` prevents: without it, the resumed run could not read its own table."""
    logger = CsvLogger(here / "m.csv")
    logger.log({"step": 1, "loss": 1.0})
    with (here / "m.csv").open("a") as file:
        file.write("2,0")
    logger.log({"step": 3, "loss": 0.1})
    with pytest.raises(Exception, match="no table of metrics"):
        CsvLogger(here / "m.csv").log({"step": 4, "loss": 0.1, "new": 1})


def test_a_file_of_curves_that_failed_is_left_and_a_new_one_begun(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    logger.log({"stage": "fit", "step": 1, "loss": 1.0})

    class Full:
        def write_event(self, event):
            raise OSError(28, "No space left on device")

        def close(self):
            raise OSError(28, "No space left on device")

    logger._writers["fit"].close()
    logger._writers["fit"] = Full()
    with pytest.raises(ResourceError, match="No space left"):
        logger.log({"stage": "fit", "step": 2, "loss": 1.0})
    logger.log({"stage": "fit", "step": 3, "loss": 1.0})
    logger.close()
    assert len(list((tmp_path / "fit").glob("events*"))) == 2


# Data that change under a training


@pytest.mark.parametrize(
    ("sabotage", "code", "says", "on_bad"),
    [
        ("remove", 4, "cannot be read", "skip"),
        ("truncate", 3, "changed since", "raise"),
        ("append", 3, "changed since", "skip"),
    ],
)
def test_a_file_that_is_gone_or_changed(sabotage, code, says, on_bad, here, monkeypatch, capsys, whole):
    before = (here / "my.jsonl").read_bytes()
    with monkeypatch.context() as patch:
        patch.setenv("SABOTAGE", sabotage)
        assert run("--data", "my.jsonl", "--out", "part", "--on-bad", on_bad) == code
    said = capsys.readouterr().err
    assert says in said
    assert "my.jsonl" in said
    assert_stopped_whole(here / "part", 8)
    assert not (here / "part" / "bad_records.jsonl").exists(), "no record is to blame"
    (here / "my.jsonl").write_bytes(before)
    assert run("--resume", "part", "--data", "my.jsonl", "--on-bad", on_bad) == 0
    assert_same(here / "part", whole)


# Views


def test_a_view_that_fails_and_one_that_loses_records(here, monkeypatch, capsys, whole):
    for sabotage, code, says in (
        ("fail", 3, ("ArithmeticError: no look at this one", "view look, record 17")),
        ("lose", 2, ("the view gave 19 records for 20 records", "x, view look", "one look at each record")),
    ):
        with monkeypatch.context() as patch:
            patch.setenv("SABOTAGE", sabotage)
            capsys.readouterr()
            assert run("--data", "my.jsonl", "--out", sabotage) == code
        said = capsys.readouterr().err
        assert all(words in said for words in says), said
        assert_stopped_whole(here / sabotage, 4 * (len(steps(here / sabotage)) // 4))
        assert run("--resume", sabotage, "--data", "my.jsonl") == 0
        assert_same(here / sabotage, whole)
    monkeypatch.setenv("SABOTAGE", "fail")
    with pytest.warns(RuntimeWarning, match="1 records could not be used"):
        assert run("--data", "my.jsonl", "--out", "skip", "--on-bad", "skip") == 0
    (line,) = (here / "skip" / "bad_records.jsonl").read_text().splitlines()
    assert json.loads(line)["content"] == {"text": "the word 17, once more 3"}


def with_view(view, **changes):
    streams = (Feed("x", "row", views=(view,)), Feed("y", "row", views=(Noise(),)))
    return small("view", fit=changed(FIT, micro_batch=None, epochs=2), streams=streams, **changes)


def test_a_view_that_changes_its_records_in_place_is_found_at_once(tmp_path):
    def in_place(records, draws):
        for row, noise in zip(records, draws.normal("noise").tolist(), strict=True):
            row += noise
        return records

    with pytest.raises(UsageError, match="changes the records that it is given") as caught:
        train_run(with_view(in_place), table(), out=tmp_path / "run")
    assert caught.value.where == "x, view in_place"

    def on_a_copy(records, draws):
        copies = [row.copy() for row in records]
        return in_place(copies, draws)

    assert train_run(with_view(on_a_copy), table(), out=tmp_path / "copy").fitted.steps > 0


@pytest.mark.parametrize(
    "result", [lambda records: None, lambda records: (r for r in records), lambda records: records * 2]
)
def test_a_view_that_gives_something_else_than_a_look_at_each(result, tmp_path):
    def odd(records, draws):
        return result(records)

    with pytest.raises(UsageError, match=r"the view gave .* for 32 records"):
        train_run(with_view(odd), table(), out=tmp_path / "run")


# Numbers that are none


def test_a_gradient_that_is_no_number_moves_nothing(tmp_path, monkeypatch):
    real, seen = fit.backward, [0]

    def backward(objective, streams, **options):
        made = real(objective, streams, **options)
        seen[0] += 1
        if seen[0] == 7:
            next(p for p in streams["x"].encode.parameters() if p.grad is not None).grad[0] = torch.inf
        return made

    recipe = with_view(Noise())
    whole = train_run(recipe, table(), out=tmp_path / "whole").run
    with monkeypatch.context() as patch:
        patch.setattr(fit, "backward", backward)
        with pytest.raises(UsageError, match="the gradient is inf at step 7"):
            train_run(with_view(Noise()), table(200), out=tmp_path / "part")
    assert_stopped_whole(tmp_path / "part", 6)
    train_run(recipe, table(200), resume=tmp_path / "part")
    train_run(recipe, table(200), out=tmp_path / "whole200")
    assert_same(tmp_path / "part", tmp_path / "whole200")
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "part", whole.directory)


def test_weights_that_become_nan_in_the_last_step_are_not_published(tmp_path):
    """No loss is computed after it, so only the weights themselves tell."""
    total = []

    def spoil(entry, learner):
        if entry["step"] == total[0]:
            next(iter(learner.towers.parameters())).data[0] = torch.nan

    recipe = with_view(Noise())
    total.append(train_run(recipe, table(), out=tmp_path / "whole").fitted.total)
    with pytest.raises(UsageError, match=r"the weights towers.encoder\S+ are no numbers before step") as caught:
        train_run(recipe, table(), out=tmp_path / "part", callbacks=[spoil])
    assert caught.value.exit_code == 2
    assert "learning rate" in caught.value.remedy
    assert not (tmp_path / "part" / "model").exists()
    train_run(recipe, table(), resume=tmp_path / "part")
    assert_same(tmp_path / "part", tmp_path / "whole")


def test_a_queue_that_is_spoilt_never_becomes_a_checkpoint(tmp_path):
    def spoil(entry, learner):
        if entry["step"] == 7:
            next(b for n, b in learner.terms.named_buffers() if "vectors" in n)[0] = torch.nan

    from small_recipes import RECIPES

    with pytest.raises(UsageError, match="the loss is nan at step 8"):
        train_run(RECIPES["queue and momentum teacher"], table(200), out=tmp_path / "run", callbacks=[spoil])
    assert_stopped_whole(tmp_path / "run", 5)


# Callbacks and loggers


def test_a_callback_that_raises_ends_the_run_and_a_logger_does_not(tmp_path):
    def callback(entry, learner):
        if entry["step"] == 7:
            raise KeyError("what I looked for")

    def logger(entry):
        raise OSError("connection lost")

    recipe = with_view(Noise())
    with pytest.warns(RuntimeWarning, match="logger"):
        whole = train_run(recipe, table(200), out=tmp_path / "whole", loggers=[logger])
    assert whole.fitted.steps == whole.fitted.total
    with pytest.raises(UsageError, match=r"a callback failed after step 7: KeyError: 'what I looked for'") as caught:
        train_run(recipe, table(200), out=tmp_path / "part", callbacks=[callback])
    assert "callback" in caught.value.where
    assert isinstance(caught.value.__cause__, KeyError), "its own traceback is not lost"
    assert_stopped_whole(tmp_path / "part", 5)
    train_run(recipe, table(200), resume=tmp_path / "part")
    assert_same(tmp_path / "part", tmp_path / "whole")


# Ctrl-C and SIGTERM

PLACES = {
    "gradient": (fit, "backward"),
    "optimiser": (torch.optim.AdamW, "step"),
    "state": (fit, "update_state"),
    "log": (Watch, "step"),
    "measurement": (probing, "held_out_figures"),
    "columns": (fit, "refreshed"),
    "checkpoint": (kept, "save_checkpoint"),
}
WATCHED = small(
    "watched",
    fit=changed(
        FIT,
        epochs=4,
        checkpoint_steps=3,
        measure=1.0,
        micro_batch=None,
        refresh=(Refresh("find", Use("clusters", {"k": 5}), "label", every=2.0),),
    ),
)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched") / "whole"
    train_run(WATCHED, table(), out=folder)
    return folder


def signalled(monkeypatch, place, signals, at=2):
    """Signals during the second call of what happens at a place of the loop."""
    owner, name = PLACES[place]
    seen, real = [0], getattr(owner, name)

    def sent(*arguments, **options):
        seen[0] += 1
        made = real(*arguments, **options) if place in ("optimiser", "state") else None
        if seen[0] == at:
            for number in signals:
                signal.raise_signal(number)
        return made if place in ("optimiser", "state") else real(*arguments, **options)

    monkeypatch.setattr(owner, name, sent)


@pytest.mark.parametrize("place", ["gradient", "state", "measurement", "columns"])
def test_the_first_signal_waits_for_the_end_of_the_step(place, tmp_path, watched, monkeypatch):
    with monkeypatch.context() as patch:
        signalled(patch, place, [signal.SIGINT])
        part = train_run(WATCHED, table(), out=tmp_path / "part")
    assert part.fitted.interrupted
    assert 0 < part.fitted.steps < part.fitted.total
    assert_stopped_whole(tmp_path / "part", part.fitted.steps)
    assert max(e["step"] for e in steps(tmp_path / "part")) == part.fitted.steps
    train_run(WATCHED, table(), resume=tmp_path / "part")
    assert_same(tmp_path / "part", watched)


@pytest.mark.parametrize("place", PLACES)
def test_the_second_is_at_once_and_what_is_resumed_is_exact_all_the_same(place, tmp_path, watched, monkeypatch):
    with monkeypatch.context() as patch:
        signalled(patch, place, [signal.SIGINT, signal.SIGINT])
        try:
            part = train_run(WATCHED, table(), out=tmp_path / "part")
            assert part.fitted.interrupted
        except KeyboardInterrupt:
            assert place not in ("gradient", "columns", "checkpoint"), "between two steps there is something to save"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    train_run(WATCHED, table(), resume=tmp_path / "part")
    assert_same(tmp_path / "part", watched)


def test_an_interrupted_step_that_was_not_logged_would_be_missed(tmp_path, watched, monkeypatch):
    """The mistake: a checkpoint of a step whose line and measurement are missing."""
    with monkeypatch.context() as patch:
        signalled(patch, "log", [signal.SIGINT, signal.SIGINT])
        patch.setattr(fit.Loop, "updating", property(lambda self: False, lambda self, value: None), raising=False)
        train_run(WATCHED, table(), out=tmp_path / "part")
    train_run(WATCHED, table(), resume=tmp_path / "part")
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "part", watched)


@pytest.mark.parametrize(
    "signals",
    [[signal.SIGTERM] * 3, [signal.SIGINT, signal.SIGTERM]],
)
def test_a_scheduler_that_asks_more_than_once_still_gets_a_whole_step(signals, tmp_path, watched, monkeypatch):
    with monkeypatch.context() as patch:
        signalled(patch, "state", signals)
        part = train_run(WATCHED, table(), out=tmp_path / "part")
    assert part.fitted.interrupted
    assert part.fitted.steps == 2
    train_run(WATCHED, table(), resume=tmp_path / "part")
    assert_same(tmp_path / "part", watched)


def test_a_handler_of_ones_own_for_sigterm_is_left_alone(tmp_path, monkeypatch):
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        with monkeypatch.context() as patch:
            signalled(patch, "state", [signal.SIGTERM])
            made = train_run(with_view(Noise()), table(), out=tmp_path / "run")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == [signal.SIGTERM]
    assert not made.fitted.interrupted


def test_among_several_processes_a_signal_is_never_at_once():
    """A launcher passes on what the terminal has sent to all already: the second is the same request."""
    with interrupts_deferred(together=True) as requested:
        assert not requested()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert requested()
    with interrupts_deferred() as requested, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_sigterm_through_a_real_process(here, whole):
    stopped = start("--data", "my.jsonl", "--out", "part", SABOTAGE=f"signal {int(signal.SIGTERM)}")
    said, errors = stopped.communicate(timeout=120)
    assert stopped.returncode == 130, errors
    assert "--resume part" in said
    assert_stopped_whole(here / "part", 11)
    assert run("--resume", "part", "--data", "my.jsonl") == 0
    assert_same(here / "part", whole)


# The run's directory


def test_half_a_line_of_metrics(here, monkeypatch, capsys, whole):
    with monkeypatch.context() as patch:
        patch.setenv("SABOTAGE", "fail")
        assert run("--data", "my.jsonl", "--out", "part") == 3
    metrics = here / "part" / "metrics.jsonl"
    with metrics.open("a") as file:
        file.write('{"stage": "fit", "step": 14, "lo')
    assert run("--resume", "part", "--data", "my.jsonl") == 0
    assert_same(here / "part", whole)
    whole = metrics.read_text()
    lines = whole.splitlines()
    lines[3] = lines[3][:9]
    metrics.write_text("\n".join(lines))
    capsys.readouterr()
    assert run("--resume", "part", "--data", "my.jsonl") == 3
    assert "metrics.jsonl:4" in capsys.readouterr().err


READ_ONLY = """
import os, sys, torch
from nearfar.core.errors import NearfarError
from nearfar.training.run import Run
from pathlib import Path
if os.geteuid() == 0:  # who is above permissions
    os.setgid(65534)
    os.setuid(65534)
try:
    if sys.argv[1] == "new":
        Run.new(Path("closed") / "run", "mine", {})
    else:
        Run.open("closed").rewind("fit", 0)
except NearfarError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.fixture
def in_the_open():
    """A folder that other users can reach."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.parametrize("what", ["new", "rewind"])
def test_a_run_directory_that_cannot_be_written(what, in_the_open):
    closed = in_the_open / "closed"
    closed.mkdir()
    (closed / "config.json").write_text('{"format": "nearfar-run", "version": 1}')
    (closed / "metrics.jsonl").write_text('{"stage": "fit", "step": 1}\n')
    (closed / "metrics.jsonl").chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    closed.chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY, what],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        cwd=in_the_open,
    )
    assert done.returncode == 4, done.stderr
    assert "cannot be written" in done.stdout
    assert "closed" in done.stdout
    assert (closed / "metrics.jsonl").read_text() == '{"stage": "fit", "step": 1}\n'


def test_a_checkpoint_folder_that_cannot_be_written_ends_the_run(here, monkeypatch, capsys, whole):
    """A file stands where the checkpoints should go: to the system a place that can never be written."""
    real = Watch.step

    def step(self, entry, total):
        real(self, entry, total)
        if entry["step"] == 6:
            folder = here / "part" / "checkpoints"
            folder.rename(here / "part" / "kept")
            folder.write_text("")

    with monkeypatch.context() as patch:
        patch.setattr(Watch, "step", step)
        capsys.readouterr()
        assert run("--data", "my.jsonl", "--out", "part") == 4
    assert "cannot be written" in capsys.readouterr().err
    (here / "part" / "checkpoints").unlink()
    (here / "part" / "kept").rename(here / "part" / "checkpoints")
    assert_stopped_whole(here / "part", 4)
    assert run("--resume", "part", "--data", "my.jsonl") == 0
    assert_same(here / "part", whole)
