"""What a part or a recipe *is*, in literals only, so that a list of all parts is read without importing any of them.

Every part file holds `CARD = Card(name=..., summary=...)`. File name = card name = public name (`nf.<name>`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """A part's identity. `nearfar.core.parts` reads it from the source with `ast`; keep every value a literal.

    name        the public name, equal to the file's name
    summary     one line, no full stop
    needs       what a row of scores must have for a rule to apply: "positive", "negative", or both; other rows
                have loss 0 and count 0
    properties  of a rule, each measured by the contract tests, which also demand that an unstated one fails somewhere:
                "shift_invariant" (adding a constant to a row's scores leaves its loss unchanged),
                "non_negative" (for weights of zero and one),
                "monotone" (raising the score of a positive never raises the loss),
                "symmetric" (rows and columns exchanged, the sum of the losses is the same)
    channels    of a rule: further [q k] matrices that it reads from the block, measured by the similarity ("teacher", ...)
    related     names of the nearest relatives
    needs_columns  columns that a relation reads
    reads       of an encoder or a view: what its records are ("text", "image", "audio", "series", "table", "sequence", "graph")
    data        of a recipe: what a user must have ("pairs", "labels", "views", ...)
    papers      of a recipe or a probe: arXiv ids or DOIs
    systems     of a recipe: ids of the systems it holds
    public      the attributes of the file offered at the top of the package, when they are not just `name`
    """

    name: str
    summary: str
    needs: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    needs_columns: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    papers: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    public: tuple[str, ...] = ()
