"""The documented functions of one Python file: first paragraph of the docstring, and the source without the docstring.

Files are parsed, never imported, compiled to bytecode or run. Whatever a hostile or broken file makes the parser raise
becomes `Unreadable` with a reason a person can act on.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 1_000_000  # larger files are generated tables; parsing needs about 100 times their size in memory
MAX_CODE = 8_000  # characters of a function that are kept: bounds memory, and no query is about line 300
MAX_QUERY = 400
MIN_WORDS = 3
MIN_ENGLISH = 0.8

_WORD = re.compile(r"[A-Za-z]{2,}")
_NUMPY_SIGNATURE = re.compile(r"^[\w.]+\s*\(.*\)(\s*->.*)?$", re.DOTALL)
# Says where the text is, or that there is none: nobody would search with it, and hundreds of functions share it.
_BOILERPLATE = re.compile(
    r"^(see\b|inherit|overrid|override|deprecated|todo\b|fixme\b|same as\b|alias\b|refer to\b|docstring\b|undocumented"
    r"|internal use|for internal use|private\b|not implemented|noqa|:meta|\.\. |>>> |initialize self"
    r"|this method is not meant)",
    re.IGNORECASE,
)

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


class Unreadable(Exception):
    """A file that cannot be read or parsed; the message is the reason."""


@dataclass(frozen=True)
class Function:
    """One documented function: where it is, what its docstring says first, its source without the docstring."""

    name: str
    line: int
    query: str
    code: str


def read_functions(path: Path) -> list[Function]:
    """All documented functions and methods of a file, in file order. Raises `Unreadable` and nothing else.

    Functions inside functions are left out: their source is part of the outer function, which would be a second
    right answer to the same query.
    """
    text = _read(path)
    if '"""' not in text and "'''" not in text and "def " not in text:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings are not our user's concern
            tree = ast.parse(text)
    except SyntaxError as error:
        raise Unreadable(f"syntax error in line {error.lineno}: {error.msg}") from None
    except (
        ValueError,
        RecursionError,
        MemoryError,
        OverflowError,
    ) as error:  # null bytes; thousands of nested brackets
        raise Unreadable(f"the parser gave up: {type(error).__name__}") from None
    # ast counts columns in UTF-8 bytes and lines by \n only (str.splitlines would also cut at form feeds)
    lines = [line.encode() for line in text.split("\n")]
    found = []
    for node, name in _functions(tree):
        function = _function(node, name, lines)
        if function is not None:
            found.append(function)
    return found


def _read(path: Path) -> str:
    """Text of a file with newlines as \\n, in the encoding that the file declares."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise Unreadable(f"larger than {MAX_BYTES:,} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot be opened: {error.strerror or type(error).__name__}") from None
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
        text.encode()  # lone surrogates, which some codecs let through
    except (SyntaxError, UnicodeError, LookupError, ValueError):
        raise Unreadable("not text in the encoding that it declares") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _functions(tree: ast.Module) -> Iterator[tuple[FunctionNode, str]]:
    """Functions of a module with their qualified names, in file order: classes and `if`/`try`/`with` are entered."""
    stack: list[tuple[ast.AST, str]] = [(node, "") for node in reversed(tree.body)]
    while stack:  # not recursive: depth is the file's choice
        node, prefix = stack.pop()
        if isinstance(node, FunctionNode):
            yield node, prefix + node.name
            continue
        if isinstance(node, ast.ClassDef):
            prefix = f"{prefix}{node.name}."
        elif not isinstance(node, (ast.If, ast.Try, ast.With, ast.ExceptHandler)):
            continue
        inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, (ast.stmt, ast.ExceptHandler))]
        stack.extend((child, prefix) for child in reversed(inner))


def _function(node: FunctionNode, name: str, lines: list[bytes]) -> Function | None:
    """The function as a record, or None if it has no docstring worth searching with or no body worth finding."""
    first = node.body[0]
    if not (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    ):
        return None
    if not _does_something(node.body[1:]) or any(_is_overload(decorator) for decorator in node.decorator_list):
        return None
    query = first_paragraph(first.value.value)
    if query is None:
        return None
    start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return Function(name, node.lineno, query, _source(node, first, start, lines))


def first_paragraph(docstring: str) -> str | None:
    """First paragraph of a docstring on one line, or None if nobody would search with it.

    None for fewer than `MIN_WORDS` words ("Return it."), for pointers to other texts, and for text that is not mostly
    English letters (markup, formulas, other scripts: the tokenizer and the baseline are made for English).
    """
    paragraphs = [p for p in re.split(r"\n\s*\n", inspect.cleandoc(docstring)) if p.strip()]
    if len(paragraphs) > 1 and _NUMPY_SIGNATURE.match(paragraphs[0].strip()):
        paragraphs = paragraphs[1:]  # C extensions and numpy repeat the call before the sentence
    if not paragraphs:
        return None
    text = " ".join(paragraphs[0].split())
    if len(text) > MAX_QUERY:
        text = text[:MAX_QUERY].rsplit(" ", 1)[0]
    letters = sum(map(str.isalpha, text))
    english = sum(character.isascii() and character.isalpha() for character in text)
    if letters == 0 or english < MIN_ENGLISH * letters or english < 0.5 * len(text.replace(" ", "")):
        return None
    if len(_WORD.findall(text)) < MIN_WORDS or _BOILERPLATE.match(text):
        return None
    return text


def _does_something(body: list[ast.stmt]) -> bool:
    """Whether a body is more than `pass`, `...` or `raise NotImplementedError`: stubs give nothing to find."""
    for statement in body:
        if isinstance(statement, ast.Pass):
            continue
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if isinstance(statement, ast.Raise):
            raised = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
            if isinstance(raised, ast.Name) and raised.id == "NotImplementedError":
                continue
        return True
    return False


def _is_overload(decorator: ast.expr) -> bool:
    name = decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")
    return name == "overload"


def _source(node: FunctionNode, docstring: ast.Expr, start: int, lines: list[bytes]) -> str:
    """Source from line `start` (1-based: the first decorator) to the end, without the docstring, not indented.

    Lines are cut by hand: `ast.get_source_segment` splits the whole file again for every function.
    """
    doc_end = docstring.end_lineno or docstring.lineno
    end = node.end_lineno or doc_end
    before = lines[docstring.lineno - 1][: docstring.col_offset]
    after = lines[doc_end - 1][docstring.end_col_offset :]
    after = re.sub(rb"^\s*;\s*", b"", after)  # def f(): "doc"; return 1
    kept = lines[start - 1 : docstring.lineno - 1]
    seam = before + after
    kept += [seam] if seam.strip() else []
    kept += lines[doc_end:end]
    first = kept[0]
    indent = first[: len(first) - len(first.lstrip())]
    text = b"\n".join(line.removeprefix(indent) for line in kept).decode("utf-8", "replace").rstrip()
    if len(text) > MAX_CODE:
        text = text[:MAX_CODE].rsplit("\n", 1)[0]
    return text
