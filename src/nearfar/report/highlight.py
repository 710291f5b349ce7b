"""Code as HTML with a little colour: what is a keyword, a string, a number, a comment, a name that is being defined."""

from __future__ import annotations

from html import escape

MOST_LINES, MOST_COLUMNS = 40, 200
_CLASSES = {  # pygments' kind of token -> class of the style sheet
    "Comment": "c",
    "Keyword": "k",
    "Operator.Word": "k",
    "Literal.String": "s",
    "Literal.Number": "m",
    "Name.Function": "n",
    "Name.Class": "n",
}


def highlighted(code: str, language: str = "python") -> str:
    """`code` escaped, with `<span>`s; cut to a length that keeps the page small. An unknown language stays plain."""
    lines = code.expandtabs(4).splitlines()
    while lines and not lines[0].strip():
        lines.pop(0)
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    lines = [line[indent:].rstrip() for line in lines]
    kept = [line if len(line) <= MOST_COLUMNS else line[: MOST_COLUMNS - 1] + "…" for line in lines[:MOST_LINES]]
    left = len(lines) - len(kept)
    more = f'\n<span class="c">… {left} more {"line" if left == 1 else "lines"}</span>' if left else ""
    text = "\n".join(kept)
    return coloured(text, language) + more


def coloured(text: str, language: str = "python") -> str:
    """All of `text` escaped, with `<span>`s. An unknown language stays plain."""
    from pygments.lexers import get_lexer_by_name
    from pygments.token import string_to_tokentype
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return escape(text)
    classes = [(string_to_tokentype(kind), css) for kind, css in _CLASSES.items()]
    pieces, known = [], {}
    for kind, piece in lexer.get_tokens(text):
        if kind not in known:
            known[kind] = next((css for parent, css in classes if kind in parent), None)
        css = known[kind]
        pieces.append(f'<span class="{css}">{escape(piece)}</span>' if css and piece.strip() else escape(piece))
    return "".join(pieces)
