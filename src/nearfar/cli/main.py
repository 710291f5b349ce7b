"""The `nearfar` command: finds the verb, imports only its module, and turns errors into three lines and an exit code.

Exit codes: 0 done, 2 usage, 3 data, 4 resources, 5 internal, 130 interrupted.
A verb's module has `add_arguments(parser)` and `run(args) -> int`.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

import nearfar
from nearfar.cli.terminal import bold, width
from nearfar.core.errors import NearfarError, ResourceError, UsageError


class Verb(NamedTuple):
    """A verb's module, its line of help, and the group it is listed in."""

    module: str
    summary: str
    group: str


VERBS = {
    "quickstart": Verb(
        "nearfar.cli.quickstart", "build a semantic code search of your own machine, in minutes", "Start here"
    ),
    "train": Verb("nearfar.cli.train", "train a recipe, or a method in a file of yours, on your data", "Your own data"),
    "plan": Verb("nearfar.cli.plan", "say what fits into memory, and in which micro-batches", "Your own data"),
    "evaluate": Verb("nearfar.cli.evaluate", "measure a model, with error bars, against a baseline", "Your own data"),
    "mine": Verb("nearfar.cli.mine", "mine hard negatives with a trained model", "Your own data"),
    "tune": Verb("nearfar.cli.tune", "search settings of a recipe, and say what they gain", "Your own data"),
    "doctor": Verb("nearfar.cli.doctor", "say what is wrong with a training run, and what to do", "Your own data"),
    "report": Verb("nearfar.cli.report", "render the page of a run, or of two runs compared", "Your own data"),
    "compare": Verb("nearfar.cli.compare", "say whether one run is better than another, and how sure", "Your own data"),
    "encode": Verb("nearfar.cli.encode", "turn records into vectors with a trained model", "Use a model"),
    "merge": Verb("nearfar.cli.merge", "join the shards that `nearfar encode --shard` wrote", "Use a model"),
    "index": Verb("nearfar.cli.index", "make an index of records, or bring it up to date", "Use a model"),
    "search": Verb("nearfar.cli.search", "search an index by meaning and by word", "Use a model"),
    "serve": Verb("nearfar.cli.serve", "open a page and an API that search an index", "Use a model"),
    "dedupe": Verb("nearfar.cli.dedupe", "find near-duplicates in an index, and drop them", "Use a model"),
    "cluster": Verb("nearfar.cli.cluster", "cluster the rows of an index, with words that tell why", "Use a model"),
    "tag": Verb("nearfar.cli.tag", "tag the rows of an index with words of yours", "Use a model"),
    "export": Verb(
        "nearfar.cli.export", "write a model for other programs: sentence-transformers, ONNX", "Use a model"
    ),
    "claim": Verb("nearfar.cli.claim", "run a paper's claim as a paired experiment and store its outcome", "Methods"),
    "claims": Verb("nearfar.cli.claims", "show the outcomes of all claims that were run", "Methods"),
    "new": Verb("nearfar.cli.new", "write a method of yours from a template, and its test", "Methods"),
    "list": Verb("nearfar.cli.list", "list the parts and recipes there are", "Look things up"),
    "show": Verb("nearfar.cli.show", "show one part: formula, arguments, relatives, source", "Look things up"),
    "cite": Verb("nearfar.cli.cite", "print BibTeX for the papers behind what you use", "Look things up"),
    "env": Verb("nearfar.cli.env", "show versions, cores, memory and devices, for a bug report", "Look things up"),
}

INTERRUPTED = 130
INTERNAL = 5


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError, with the nearest option, where argparse would print and leave."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse with one line about what is wrong."""
        remedy = f"`{self.prog} --help` shows the arguments"
        prefix = "unrecognized arguments: "
        if message.startswith(prefix):
            word = message.removeprefix(prefix).split()[0]
            options = [option for action in self._actions for option in action.option_strings]
            near = get_close_matches(word.partition("=")[0], options, n=1)
            message = f"there is no option {word}" if word.startswith("-") else f"one argument too many: {word}"
            remedy = f"did you mean {near[0]}? {remedy}" if near else remedy
        raise UsageError(message, where=self.prog, remedy=remedy)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; never raises an exception of its own."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    before = warnings.formatwarning
    if not debug:
        warnings.formatwarning = _warning
    try:
        code = _dispatch(words[1:] if words[:1] == ["--debug"] else words)
        sys.stdout.flush()
        return code
    except SystemExit as leaving:  # argparse after --help
        return leaving.code if isinstance(leaving.code, int) else 0
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`nearfar list | head`) has seen enough; what is still buffered must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except NearfarError as error:
        return _report(error, debug)
    except MemoryError as error:
        return _report(
            ResourceError("the memory does not suffice", remedy="use less data or smaller batches"), debug, error
        )
    except OSError as error:
        return _report(_as_resource(error), debug, error)
    except Exception as error:  # noqa: BLE001 - the last resort: a line a person can read instead of a traceback
        return _report(_unexpected(error), debug, error)
    finally:
        warnings.formatwarning = before


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        if words[1:] and words[0] == "help":
            return _dispatch([words[1], "--help"])
        print(help_text())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"nearfar {nearfar.__version__}")
        return 0
    name, *rest = words
    if name.startswith("-"):
        raise UsageError(f"there is no option {name} before the command", remedy="`nearfar --help` lists the commands")
    if name not in VERBS:
        near = get_close_matches(name, VERBS, n=1)
        nearest = f"did you mean `nearfar {near[0]}`? " if near else ""
        remedy = nearest + "`nearfar --help` lists the commands"
        raise UsageError(f"there is no command {name!r}", remedy=remedy)
    parser, module = parser_of(name)
    return int(module.run(parser.parse_args(rest)) or 0)


def parser_of(name: str) -> tuple[Parser, ModuleType]:
    """The parser of a verb, and its module, which this imports."""
    verb = VERBS[name]
    module = import_module(verb.module)
    parser = Parser(
        prog=f"nearfar {name}",
        description=_sentence(verb.summary),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser, module


def help_text() -> str:
    """The page of `nearfar --help`."""
    lines = ["nearfar: contrastive learning - what belongs together near, everything else far.", ""]
    lines += ["usage: nearfar COMMAND [ARGUMENTS]        nearfar COMMAND --help for its arguments", ""]
    column = max(map(len, VERBS)) + 4
    for group in dict.fromkeys(verb.group for verb in VERBS.values()):
        lines.append(bold(group))
        lines += [f"  {name}".ljust(column) + verb.summary for name, verb in VERBS.items() if verb.group == group]
        lines.append("")
    lines += ["--json on commands that show something; --debug for the traceback of an error; --version."]
    lines += ["Exit codes: 0 done, 2 usage, 3 data, 4 resources, 5 internal, 130 interrupted."]
    return "\n".join(line[: max(width(), 60)] for line in lines)


def _sentence(summary: str) -> str:
    return summary[0].upper() + summary[1:] + "."


def _report(error: NearfarError, debug: bool, cause: BaseException | None = None) -> int:
    """Print what, where and remedy to standard error; the exit code."""
    if debug:
        import traceback

        traceback.print_exception(cause or error)
    print(f"{bold('error:', sys.stderr)} {error.what}", file=sys.stderr)
    if error.where:
        print(f"   in: {error.where}", file=sys.stderr)
    if error.remedy:
        print(f"   do: {error.remedy}", file=sys.stderr)
    return error.exit_code


def _warning(message: Warning | str, *_: Any) -> str:
    """A warning as a line for a person: where in the library it was given tells nothing."""
    return f"{bold('warning:', sys.stderr)} {message}\n"


def _as_resource(error: OSError) -> NearfarError:
    """An error of the operating system that no verb expected."""
    remedies = {
        errno.ENOSPC: "free some space, or choose another folder",
        errno.EACCES: "choose a place that you may read and write",
        errno.EPERM: "choose a place that you may read and write",
        errno.EROFS: "choose a folder that can be written",
        errno.ENOENT: "check the path",
        errno.ENOMEM: "use less data or smaller batches",
    }
    what = (error.strerror or str(error) or type(error).__name__).lower()
    return ResourceError(
        what,
        where=str(error.filename or ""),
        remedy=remedies.get(error.errno or 0, "run again with --debug to see where"),
    )


def _unexpected(error: Exception) -> NearfarError:
    """An exception that nobody foresaw: its type, its message and its last place within nearfar."""
    place, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if f"{os.sep}nearfar{os.sep}" in file:
            place = f"{file}:{trace.tb_lineno}"
        trace = trace.tb_next
    message = f"unexpected {type(error).__name__}: {error}".rstrip(": ")
    return NearfarError(
        message, where=place, remedy="run again with --debug, and report it with the output of `nearfar env`"
    )


if __name__ == "__main__":
    sys.exit(main())
