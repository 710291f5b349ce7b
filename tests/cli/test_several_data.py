"""Several data sets on the command line: how words become data sets, and what the verbs do with them."""

import json
from argparse import ArgumentParser

import pytest

from nearfar.cli.arguments import add_data, data_of
from nearfar.cli.main import main
from nearfar.core.errors import UsageError
from small_world import world, write_jsonl

QA = [(f"what is {n} and {n + 1}", f"it makes {2 * n + 1} of {n}") for n in range(40)]
QUICK = [
    "--set=fit.epochs=2",
    "--set=fit.min_steps=0",
    "--set=fit.batch_size=16",
    "--set=encoder.dimension=16",
    "--quiet",
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "nli.jsonl", world()[:60], ("premise", "hypothesis"))
    write_jsonl(tmp_path / "qa.jsonl", QA)
    return tmp_path


def read(*words):
    parser = ArgumentParser()
    add_data(parser, required=False, several=True)
    return data_of(parser.parse_args(words))


def test_words_become_data_sets(here):
    assert read() == (None, None)
    assert read("--data", "nli.jsonl", "--columns", "a,b") == ("nli.jsonl", "a,b")
    assert read("--data", "x=nli.jsonl") == ({"x": {"data": "nli.jsonl"}}, None)
    assert read("--data", "nli.jsonl", "--data", "some/qa.jsonl.gz") == (
        {"nli": {"data": "nli.jsonl"}, "qa": {"data": "some/qa.jsonl.gz"}},
        None,
    )
    both = ["--data", "x=nli.jsonl", "--data", "y=qa.jsonl"]
    assert read(*both, "--columns", "y=a,b", "--columns", "c,d", "--prompt", "x.query=what is x=y? ") == (
        {
            "x": {"data": "nli.jsonl", "prompts": {"query": "what is x=y? "}},
            "y": {"data": "qa.jsonl", "columns": "a,b"},
        },
        "c,d",
    )
    (here / "a=b.jsonl").write_text("{}")
    assert read("--data", "a=b.jsonl") == ("a=b.jsonl", None), "a file whose name holds an equals sign"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "nli.jsonl", "--data", "other/nli.jsonl"], "two data sets are called 'nli'"),
        (["--data", "x=nli.jsonl", "--columns", "a,b", "--columns", "c,d"], "columns are given twice"),
        (["--data", "nli.jsonl", "--columns", "a,b", "--columns", "c,d"], "columns are given twice"),
        (["--data", "x=nli.jsonl", "--prompt", "y.query=z"], "no data set 'y'"),
        (["--data", "x=nli.jsonl", "--prompt", "z"], "'z' is no prompt"),
        (["--data", "nli.jsonl", "--prompt", "query=z"], "'query=z' is no prompt"),
    ],
)
def test_what_cannot_be_meant_is_refused(here, words, said):
    with pytest.raises(UsageError, match=said):
        read(*words)


def test_train_plan_tune_and_evaluate_take_several(here, capsys):
    both = ["--data", "nli=nli.jsonl", "--data", "qa=qa.jsonl", "--prompt", "qa.query=Q: "]
    assert main(["plan", "pairs", *both]) == 2
    said = capsys.readouterr().err
    assert "the data set 'qa' has 40 records to train on, which fill no batch of 100" in said
    assert main(["plan", "pairs", *both, "--batch", "30"]) == 0
    assert main(["plan", "pairs", *both, "--set", "fit.batching.one_source=false"]) == 0
    assert main(["train", "pairs", *both, "--out", "run", *QUICK]) == 0
    assert "2 sources: nli, qa" in (here / "run" / "report.html").read_text("utf-8")
    assert main(["train", "pairs", *both[:4], "--out", "plain", *QUICK]) == 0
    assert main(["train", "--resume", "run", "--quiet"]) == 0
    capsys.readouterr()

    assert main(["evaluate", "run", *both[:4], "--against", "plain"]) == 0
    said = capsys.readouterr().out
    assert "nli\n60 queries, 60 candidates" in said
    assert "qa, 'Q: ' before every query\n40 queries, 40 candidates" in said, "the run knows its prompts"
    assert said.count("trained on these very pairs") == 2
    figures = {}
    for name, words in {
        "known": both[:4],
        "none": [*both[:4], "--prompt", "qa.query="],
        "plain": ["--data", "qa.jsonl"],
    }.items():
        assert main(["evaluate", "run", *words, "--against", "none", "--json"]) == 0
        figures[name] = json.loads(capsys.readouterr().out)
    assert figures["known"]["sets"]["nli"] == figures["none"]["sets"]["nli"]
    assert figures["none"]["sets"]["qa"]["mrr"] == figures["plain"]["mrr"]
    assert figures["plain"]["trained_on"]
    assert figures["known"]["sets"]["qa"]["mrr"] != figures["none"]["sets"]["qa"]["mrr"]

    (here / "space.json").write_text('{"fit.learning_rate": [0.02]}')
    words = ["tune", "pairs", *both, "--space", "space.json", "--out", "search", "--set=fit.learning_rate=1e-7", *QUICK]
    assert main(words) == 0
    command = capsys.readouterr().out.splitlines()[-1]
    assert command.startswith("nearfar train pairs --data nli=nli.jsonl --data qa=qa.jsonl --prompt 'qa.query=Q: '")


def test_image_recipes_take_one(here, capsys):
    assert main(["train", "image_views", "--data", "a=nli.jsonl", "--data", "b=qa.jsonl"]) == 2
    assert "several data sets are for recipes of pairs" in capsys.readouterr().err
    assert not (here / "runs").exists()


def test_warnings_are_one_line(here, capsys):
    """As a person sees them: not where in the library they were given."""
    import warnings

    from nearfar.cli import main as module

    before = warnings.formatwarning
    assert module._warning(RuntimeWarning("the disk is slow")) == "warning: the disk is slow\n"
    main(["list"])
    assert warnings.formatwarning is before
