"""`to_sentence_transformers`: a model of texts as a folder that the library of that name reads, with equal vectors.

Two encoders can be said in its words: `pretrained` as it is, and our own `transformer` as a BERT of the same function. `static` cannot:
there the mean over tokens counts a unit that comes twice twice, here 1 + log 2 times.
"""

from __future__ import annotations

import os
from pathlib import Path

from nearfar.core.errors import UsageError
from nearfar.core.model import Model
from nearfar.encoders.sentence_transformer import save_sentence_transformer
from nearfar.encoders.static import Static
from nearfar.encoders.transformer import Transformer
from nearfar.export.one_encoder import one_encoder
from nearfar.export.transformer_as_bert import as_pretrained


def to_sentence_transformers(model: Model, directory: str | os.PathLike[str], side: str | None = None) -> Path:
    """Write the folder, which must be new, whole or not at all; returns it.

    side  whose encoder, where sides have encoders of their own

    Errors: UsageError for an encoder that the library has no words for, and what `save_sentence_transformer` raises.
    """
    chosen = one_encoder(model, side)
    encoder = chosen.tower(next(iter(chosen.sides)))
    if isinstance(encoder, Static):
        raise UsageError(
            "sentence-transformers cannot say a static encoder: it averages over tokens, where ours weighs a unit that comes "
            "n times by 1 + log n, and a title apart from its text",
            where="--to sentence-transformers",
            remedy="export it with --to onnx, or load it by nf.load",
        )
    if isinstance(encoder, Transformer):
        translated = as_pretrained(encoder)
        shift, matrix = chosen.shift, chosen.matrix
        chosen = Model(dict.fromkeys(chosen.sides, translated), chosen.similarity, chosen.about).eval()
        chosen.shift, chosen.matrix = shift, matrix
    return save_sentence_transformer(chosen, directory)
