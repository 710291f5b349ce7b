"""What is exported is one encoder with what comes after it: of a model of several, the one that was asked for."""

from __future__ import annotations

from nearfar.core.errors import UsageError
from nearfar.core.model import Model


def one_encoder(model: Model, side: str | None = None) -> Model:
    """The model with the encoder of one side alone, and all sides that share it; it encodes as before.

    Raises UsageError for a side that the model has not, and for none where sides have encoders of their own.
    """
    if side is None and len(model.encoders) > 1:
        raise UsageError(
            f"the sides {', '.join(model.sides)} have encoders of their own, and an export holds one",
            where="--side",
            remedy=f"say whose: --side {next(iter(model.sides))}",
        )
    chosen = model.tower(side or next(iter(model.sides)))
    made = Model({name: chosen for name in model.sides if model.tower(name) is chosen}, model.similarity, model.about)
    made.shift, made.matrix = model.shift, model.matrix
    return made.eval()
