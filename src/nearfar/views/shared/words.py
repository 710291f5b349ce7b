"""Texts as words, for the views that change words: split at white space, put together with one blank.

A text may have fields (a head and a body), divided by `FIELD`; each is changed by itself and words never cross from one to another.
In a script without spaces between words (Chinese, Japanese, Thai) a whole sentence is one word here, which most of these views
leave as it is: put blanks between the words first, with a segmenter of that language.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nearfar.core.draws import Draws
from nearfar.core.text_fields import FIELD, text_of

# The words of one field, a uniform draw for each of them, and one more for the field: to the field's new words.
Change = Callable[[list[str], list[float], float], list[str]]


def with_words_changed(records: Sequence[Any], draws: Draws, purpose: str, change: Change) -> list[str]:
    """The texts with `change` done to each field that has words. A text whose words stay the same keeps its white space, too.

    Raises DataError, where="record i", for a record that is no text.

    >>> import torch
    >>> draws = Draws(0, epoch=0, record=torch.tensor([7]))
    >>> with_words_changed([f"head{FIELD}a  body"], draws, "demo", lambda words, each, whole: words[::-1])
    ['head\\x1fbody a']
    """
    texts = [
        [field.split() for field in text_of(record, i, "a view of words").split(FIELD)]
        for i, record in enumerate(records)
    ]
    sizes = [sum(len(words) + 1 for words in fields) for fields in texts]
    made = []
    for record, fields, drawn in zip(records, texts, draws.each(purpose, sizes), strict=True):
        rest, changed = drawn.tolist(), []
        for words in fields:
            whole, each, rest = rest[0], rest[1 : len(words) + 1], rest[len(words) + 1 :]
            changed.append(change(list(words), each, whole) if words else words)
        made.append(record if changed == fields else FIELD.join(" ".join(words) for words in changed))
    return made
