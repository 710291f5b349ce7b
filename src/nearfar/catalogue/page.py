"""One part's page, as text for a terminal, as markdown, or as data - all from its card and its source."""

from __future__ import annotations

import textwrap
from typing import Any

from nearfar.catalogue.listing import as_data as card_data
from nearfar.catalogue.listing import entry
from nearfar.catalogue.source import FACE_KIND, Description, describe
from nearfar.core.errors import UsageError
from nearfar.core.parts import RECIPES, Part, find


def as_data(part: Part) -> dict[str, Any]:
    """The page as JSON."""
    about = describe(part)
    return card_data(part) | {
        "call": about.call,
        "signature": about.signature,
        "text": about.text,
        "docstring": about.prose,
        "example": about.example,
    }


def facts(part: Part) -> dict[str, str]:
    """What the card states, in words; only what is stated."""
    card = part.card
    rows = {
        "needs": ", ".join(card.needs),
        "properties": ", ".join(card.properties),
        "reads": ", ".join(card.needs_columns),
        "your data": ", ".join(card.data),
        "papers": ", ".join(card.papers),
        "systems": ", ".join(card.systems),
        "also": ", ".join(f"nearfar.{name}" for name in part.public if name != part.attribute),
        "from": part.source,
    }
    return {key: value for key, value in rows.items() if value}


def related(part: Part) -> list[tuple[str, str]]:
    """(name, summary) of the nearest relatives; the summary is empty for one that does not exist (a test forbids it)."""
    found = []
    for name in part.card.related:
        try:
            found.append((name, find(name).card.summary))
        except UsageError:
            found.append((name, ""))
    return found


def call_with_signature(about: Description) -> str:
    """How to reach the part, and its arguments."""
    if about.part.kind == RECIPES:
        return f'nearfar.train("{about.part.name}", data=...)'
    if about.part.kind == FACE_KIND:
        return f"nearfar.{about.signature}"
    if about.part.source:
        return f"{about.call}\n{about.signature}"
    return f"nearfar.{about.signature}" if about.signature else about.call


def as_text(part: Part, width: int = 100) -> str:
    """The page for a terminal of `width` characters; formulas and code keep their lines."""
    about = describe(part)
    kind = part.kind + (f" / {part.family}" if part.family else "")
    blocks = [f"{part.name}  ({kind})\n" + textwrap.fill(part.card.summary, width, break_on_hyphens=False)]
    blocks.append(textwrap.indent(call_with_signature(about), "    "))
    blocks += [text for text in (about.text, about.prose) if text]
    table: list[str] = []
    for key, value in facts(part).items():
        table += entry(key, value, 14, width)
    for number, (name, summary) in enumerate(related(part)):
        table += entry("related" if number == 0 else "", f"{name} - {summary}" if summary else name, 14, width)
    table += entry("file", f"{part.file}:{part.line}", 14, 10_000)
    blocks.append("\n".join(table))
    if about.example:
        blocks.append("example\n" + textwrap.indent(about.example, "    "))
    return "\n\n".join(blocks)


def as_markdown(part: Part) -> str:
    """The page as markdown."""
    about = describe(part)
    blocks = [f"# {part.name}", f"{part.card.summary}.", f"```python\n{call_with_signature(about)}\n```"]
    if about.text:
        blocks.append(f"```text\n{about.text}\n```")
    if about.prose:
        blocks.append(f"```text\n{about.prose}\n```")
    rows = [f"| {key} | {value} |" for key, value in facts(part).items()]
    rows += [f"| related | `{name}`: {summary} |" for name, summary in related(part)]
    rows.append(f"| module | `{part.module}` |")
    blocks.append("\n".join(["| | |", "| --- | --- |", *rows]))
    if about.example:
        blocks.append(f"```python\n{about.example}\n```")
    return "\n\n".join(blocks) + "\n"
