"""Code search: what a function is said to do against how it does it. The recipe behind `nearfar quickstart`.

Queries are first paragraphs of docstrings, documents are functions without them, brought into fields by
`nearfar.data.code_text`. Cost: see `nearfar quickstart`, which prints it.
"""

from __future__ import annotations

from nearfar.core.card import Card
from nearfar.core.recipe import Contrast, Recipe, Use
from nearfar.core.stage import Fit

CARD = Card(
    name="code_search",
    summary="docstrings and functions, two-way InfoNCE, a static encoder with character n-grams",
    data=("pairs",),
    papers=("1807.03748",),
)


def recipe() -> Recipe:
    """Settings chosen on development packages (docs/records/static_encoder.json); the README's record holds out others."""
    return Recipe(
        name="code_search",
        encoder=Use("static", {"dimension": 512, "head_weight": 5.0}),
        objective=Contrast(rule="info_nce", relation="paired", temperature=0.05, both_ways=True),
        stages=(Fit(batch_size=1024, epochs=3, learning_rate=0.005),),
    )
