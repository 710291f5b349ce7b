"""A docstring as HTML: paragraphs, formulas and commands as they stand, lists of names and their meaning."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from inspect import cleandoc

_DEFINED = re.compile(r"(\S(?:.*?\S)?)(\s{2,})(\S.*)")
_NEW = re.compile(
    r"(?:Source|Kin|Raises)\b"
)  # how the docstrings of this library begin what a line of its own deserves


def prose(text: str, links: Mapping[str, str]) -> str:
    """The text as HTML; names between backticks lead to their pages."""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if not line.strip() or (blocks[-1] and _begins(line, blocks[-1])):
            blocks.append([])
        if line.strip():
            blocks[-1].append(line)
    return "\n".join(_merged([_block(block, links) for block in blocks if block]))


def formulas(text: str) -> str:
    """The indented lines of a text that are no commands; "" if there are none."""
    found = [block for block in re.findall(r"(?:^ {2,}\S.*\n?|^\s*\n)+", text + "\n", re.MULTILINE) if block.strip()]
    kept = [cleandoc("\n" + block).strip("\n") for block in found if not commands(block)]
    return "\n\n".join(kept)


def commands(text: str) -> list[str]:
    """The indented lines of a text that are commands of this library, each with the lines that a backslash goes on with."""
    found, going_on = [], False
    for line in text.splitlines():
        if going_on or re.match(r"\s+nearfar \w", line):
            found.append(f"    {line.strip()}" if going_on else line.strip())
            going_on = line.endswith("\\")
    return found


def without_commands(text: str) -> str:
    """The text without its indented commands, except where a colon leads to them."""
    kept: list[str] = []
    taken, led = {line.strip() for line in commands(text)}, False
    for line in text.splitlines():
        if line.startswith(" ") and line.strip() in taken and not led:
            continue
        led = line.endswith(":") or (led and (not line.strip() or line.startswith(" ")))
        kept.append(line)
    return "\n".join(kept)


def inline(text: str, links: Mapping[str, str]) -> str:
    """One line of text."""

    def linked(match: re.Match[str]) -> str:
        name = match[1].removeprefix("nf.").removeprefix("nearfar.")
        shown = f"<code>{match[1]}</code>"
        return f'<a href="{links[name]}">{shown}</a>' if name in links else shown

    return re.sub(r"`([^`]+)`", linked, escape(text, quote=False))


def _begins(line: str, block: Sequence[str]) -> bool:
    """Whether a line begins a block of its own, without a blank line before it."""
    if _NEW.match(line):
        return True
    if line.startswith(" ") == block[0].startswith(" "):
        return False
    continues = line.startswith(" ") and (block[0].startswith(("- ", "* ")) or _indent(line) == _column(block[0]))
    return not continues


def _defines(lines: Sequence[str]) -> bool:
    """Whether the lines are names with what they mean in a column of its own."""
    column = _column(lines[0])
    return column > 0 and all(column in (_column(line), _indent(line)) for line in lines)


def _block(lines: Sequence[str], links: Mapping[str, str]) -> str:
    text = cleandoc("\n" + "\n".join(lines)).splitlines()
    if len(text) > 1 and _defines(text):
        return _definitions(text, links)
    if lines[0].startswith(" "):
        return f"<pre>{inline(chr(10).join(text), links)}</pre>"
    if all(re.match(r"(- |\* |  )", line) for line in lines):
        items = re.split(r"^[-*] ", "\n".join(lines), flags=re.MULTILINE)[1:]
        return "<ul>" + "".join(f"<li>{inline(' '.join(i.split()), links)}</li>" for i in items) + "</ul>"
    kind = ' class="source"' if _NEW.match(lines[0]) else ""
    return f"<p{kind}>{inline(' '.join(text), links)}</p>"


def _definitions(lines: Sequence[str], links: Mapping[str, str]) -> str:
    column = _column(lines[0])
    rows: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith(" "):
            rows[-1] = (rows[-1][0], f"{rows[-1][1]} {line.strip()}")
        else:
            rows.append((line[:column].strip(), line[column:].strip()))
    told = "".join(f"<dt><code>{escape(a)}</code></dt><dd>{inline(b, links)}</dd>" for a, b in rows)
    return f'<dl class="names">{told}</dl>'


def _column(line: str) -> int:
    """Where the meaning of a defined name begins; 0 for other lines."""
    found = _DEFINED.fullmatch(line)
    return found.start(3) if found else 0


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _merged(made: Sequence[str]) -> list[str]:
    """Formulas with nothing but a blank line between them are one."""
    out: list[str] = []
    for html in made:
        if out and out[-1].startswith("<pre>") and html.startswith("<pre>"):
            out[-1] = out[-1].removesuffix("</pre>") + "\n\n" + html.removeprefix("<pre>")
        else:
            out.append(html)
    return out
