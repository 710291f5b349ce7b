"""`list`, `show`, `cite`, `env`: right, readable, and without torch where nothing is computed."""

import json
import re

import pytest

import nearfar
from nearfar.cli import env
from nearfar.cli.main import main
from nearfar.core.machine import cpu_quota
from nearfar.core.parts import built_in

FAST = [
    ["--help"],
    ["--version"],
    ["list"],
    ["list", "--json"],
    ["show", "info_nce"],
    ["cite", "info_nce"],
    ["list", "--help"],
    ["lits"],
]


def run(capsys, *arguments):
    code = main(list(arguments))
    written = capsys.readouterr()
    return code, written.out, written.err


@pytest.mark.parametrize("arguments", FAST, ids=" ".join)
def test_torch_is_not_imported(in_process, arguments):
    program = (
        "import sys\nfrom nearfar.cli.main import main\n"
        f"main({arguments!r})\nprint('LOADED', [n for n in ('torch', 'numpy', 'rich', 'matplotlib') if n in sys.modules])"
    )
    assert in_process("-c", program).stdout.splitlines()[-1] == "LOADED []"


def test_env_imports_torch(in_process):
    """The check above can fail: env does import torch."""
    done = in_process(
        "-c", "import sys\nfrom nearfar.cli.main import main\nmain(['env'])\nprint('LOADED', 'torch' in sys.modules)"
    )
    assert done.stdout.splitlines()[-1] == "LOADED True"


def test_list(capsys):
    code, out, err = run(capsys, "list")
    assert (code, err) == (0, "")
    for part in built_in():
        assert part.name in out
    code, out, _ = run(capsys, "list", "objectives")
    assert "info_nce" in out
    assert "explicit_negatives" not in out


def test_list_json(capsys):
    code, out, _ = run(capsys, "list", "relations", "--json")
    data = json.loads(out)
    assert code == 0
    assert data["version"] == 1
    assert {"paired", "labelled"} <= {part["name"] for part in data["parts"]}
    assert {part["kind"] for part in data["parts"]} == {"relations"}
    code, out, _ = run(capsys, "list", "--counts", "--json")
    assert sum(json.loads(out)["parts"].values()) == len(built_in())
    code, out, _ = run(capsys, "list", "--counts")
    assert re.search(r"^objectives +\d+$", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "objectivs"], "did you mean objectives"),
        (["list", "--word", "no such word"], "no part passes these filters"),
        (["list", "a", "b"], "one argument too many: b"),
        (["list", "--jsno"], "did you mean --json?"),
        (["list", "--word"], "expected one argument"),
        (["show"], "name"),
        (["show", "info_nec"], "did you mean info_nce"),
        (["show", "info_nce", "no_such"], "there is no part named 'no_such'"),
        (["show", "info_nce", "--json", "--markdown"], "not allowed with"),
        (["cite", "pairde"], "did you mean paired"),
    ],
)
def test_usage_errors(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err


def test_show(capsys):
    code, out, _ = run(capsys, "show", "info_nce")
    assert code == 0
    assert out.startswith("info_nce  (objectives)\n")
    for expected in (
        "log sum_k",
        "nearfar.info_nce(scores",
        "shift_invariant",
        "decoupled - ",
        "objectives/info_nce.py:",
        ">>> ",
    ):
        assert expected in out
    code, out, _ = run(capsys, "show", "paired", "labelled", "--markdown")
    assert re.findall("^# (.+)$", out, re.MULTILINE) == ["paired", "labelled"]
    code, out, _ = run(capsys, "show", "rows", "paired", "--json")
    assert [part["name"] for part in json.loads(out)["parts"]] == ["rows", "paired"]


def test_cite(capsys):
    code, out, err = run(capsys, "cite")
    assert (code, err) == (0, "")
    assert out.startswith("@software{nearfar,")
    code, out, err = run(capsys, "cite", "info_nce", "paired")
    assert "@misc{arxiv:1807.03748," in out
    assert err == "paired names no paper\n"
    code, out, _ = run(capsys, "cite", "info_nce", "--json")
    assert {"1807.03748"} <= {paper["id"] for paper in json.loads(out)["papers"]}


def test_env(capsys):
    code, out, _ = run(capsys, "env")
    assert code == 0
    for expected in (nearfar.__version__, "torch", "cores", "GiB", "temporary files", "objectives"):
        assert expected in out
    code, out, _ = run(capsys, "env", "--json")
    data = json.loads(out)
    assert data["nearfar"]["version"] == nearfar.__version__
    assert data["memory"]["total"] > data["memory"].get("available", 0) > 0
    assert data["processor"]["usable by this process"] >= 1


def test_env_reads_the_limits_of_a_container(tmp_path):
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "memory.max").write_text("2147483648\n")
    (tmp_path / "meminfo").write_text("MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n")
    assert cpu_quota(tmp_path, tmp_path) == 1.5
    assert env.memory(tmp_path, tmp_path) == {
        "total": 8 << 30,
        "available": 4 << 30,
        "limit of the container": 2 << 30,
    }
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert cpu_quota(tmp_path, tmp_path) is None
    assert "limit of the container" not in env.memory(tmp_path, tmp_path)


def test_env_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(env, "installed", lambda name: None)
    _, out, _ = run(capsys, "env")
    assert re.search(r"torch +MISSING", out)
    assert "pip install 'nearfar[parquet]'" in out


def test_env_survives_a_torch_that_cannot_be_imported(in_process, tmp_path):
    (tmp_path / "torch.py").write_text("raise OSError('libtorch is damaged')\n")
    done = in_process("-m", "nearfar", "env")
    assert done.returncode == 0
    assert "cannot be imported: OSError: libtorch is damaged" in done.stdout
