"""Source code as text with a head and a body, for encoders of text.

A function's name says most of what it does, and says it in a few words among hundreds. So it becomes the head, which an
encoder with fields may weigh more; for any other encoder it is one more word. What that
is worth stands in docs/records/static_encoder.json.
"""

from __future__ import annotations

import re

from nearfar.core.text_fields import FIELD

_NAME = re.compile(r"^[ \t]*(?:async[ \t]+def|def|class)[ \t]+(\w+)", re.MULTILINE)


def code_text(code: str) -> str:
    """The name that the code defines first, `FIELD`, and the code. Code that defines nothing stays as it is.

    >>> code_text("def area(r): return 3.14 * r * r").split(FIELD)
    ['area', 'def area(r): return 3.14 * r * r']
    """
    match = _NAME.search(code)
    code = code.replace(FIELD, " ")
    return f"{match.group(1)}{FIELD}{code}" if match else code
