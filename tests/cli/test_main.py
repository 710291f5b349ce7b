"""The command itself: its help, its exit codes, and errors as three lines instead of a traceback."""

import importlib
import sys
import types

import pytest

import nearfar
from nearfar.cli import main as cli
from nearfar.cli.main import VERBS, main
from nearfar.core.errors import DataError, NearfarError, ResourceError, UsageError


@pytest.fixture
def verb(monkeypatch):
    """Put a verb `try` in the table, whose run does what the test says."""

    def put(action):
        module = types.ModuleType("nearfar_try")
        module.add_arguments = lambda parser: parser.add_argument("--size", type=int)
        module.run = action
        monkeypatch.setitem(sys.modules, "nearfar_try", module)
        monkeypatch.setitem(VERBS, "try", cli.Verb("nearfar_try", "try it", "Look things up"))

    return put


def raising(error):
    def action(args):
        raise error

    return action


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_a_module_with_help(name, capsys):
    module = importlib.import_module(VERBS[name].module)
    assert callable(module.run)
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: nearfar {name}")
    assert VERBS[name].summary[1:] in " ".join(out.split())


def test_help_lists_every_verb_and_fits(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    assert main([]) == 0
    assert capsys.readouterr().out == page
    for name, verb in VERBS.items():
        assert f"  {name} " in page
        assert verb.summary in page, "cut off at 80 columns"
    assert max(map(len, page.splitlines())) <= 90


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"nearfar {nearfar.__version__}\n"


@pytest.mark.parametrize(("word", "near"), [("trian", "train"), ("lst", "list"), ("serach", "search")])
def test_a_misspelt_verb_suggests_the_nearest(capsys, word, near):
    assert main([word]) == 2
    assert f"did you mean `nearfar {near}`?" in capsys.readouterr().err


def test_other_bad_starts(capsys):
    assert main(["xyzzy"]) == 2
    assert "did you mean" not in capsys.readouterr().err
    assert main(["--jsn", "list"]) == 2
    assert "before the command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("what", where="where", remedy="remedy"), 2),
        (DataError("what", where="where", remedy="remedy"), 3),
        (ResourceError("what", where="where", remedy="remedy"), 4),
        (NearfarError("what", where="where", remedy="remedy"), 5),
    ],
)
def test_errors_are_three_lines(verb, capsys, error, code):
    verb(raising(error))
    assert main(["try"]) == code
    assert capsys.readouterr().err == "error: what\n   in: where\n   do: remedy\n"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (PermissionError(13, "Permission denied", "/x/y"), 4, "in: /x/y"),
        (OSError(28, "No space left on device"), 4, "free some space"),
        (MemoryError(), 4, "memory"),
        (ZeroDivisionError("oh"), 5, "unexpected ZeroDivisionError: oh"),
    ],
)
def test_other_errors(verb, capsys, error, code, message):
    verb(raising(error))
    assert main(["try"]) == code
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [["--debug", "try"], ["try", "--debug"]])
def test_debug_shows_the_traceback(verb, capsys, arguments):
    verb(raising(ZeroDivisionError("oh")))
    assert main(arguments) == 5
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["try", "--size", "three"], ["try", "--siz", "3"], ["try", "--size"]])
def test_bad_options(verb, capsys, arguments):
    verb(lambda args: 0)
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert "--size" in err
    assert "in: nearfar try" in err


def test_the_code_of_a_verb_is_the_code_of_the_command(verb):
    verb(lambda args: args.size)
    assert main(["try", "--size", "3"]) == 3
    verb(lambda args: None)
    assert main(["try"]) == 0


def test_a_closed_pipe_is_no_error(in_process, tmp_path):
    program = f"import subprocess, sys; p = subprocess.Popen([{sys.executable!r}, '-m', 'nearfar', 'list', '--json'], stdout=-1, stderr=-1)\n"
    program += "p.stdout.close(); print(p.stderr.read()); sys.exit(p.wait())"
    done = in_process("-c", program)
    assert (done.returncode, done.stdout) == (0, "b''\n")


def test_module_and_exit_code_through_a_real_process(in_process):
    assert in_process("-m", "nearfar", "--version").stdout == f"nearfar {nearfar.__version__}\n"
    done = in_process("-m", "nearfar", "lits")
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no command 'lits'")


def test_bold_only_on_a_terminal(monkeypatch):
    from nearfar.cli import terminal

    class Terminal:
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.bold("x", Terminal()) == "\x1b[1mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.bold("x", Terminal()) == "x"
