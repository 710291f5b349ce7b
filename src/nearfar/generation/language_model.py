"""From an encoder of texts to a language model that goes on with them, and what such a model says of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from nearfar.core.errors import UsageError
from nearfar.core.optional import needed
from nearfar.encoders.pretrained import Pretrained


def language_model(encoder: Any) -> Any:
    """The causal model of transformers whose body is the encoder's and whose scores are products with its table of tokens.

    It shares the encoder's weights. Raises UsageError for an encoder that is none of a causal model, and for one whose scores need
    weights that an encoder does not have.
    """
    if not isinstance(encoder, Pretrained):
        raise UsageError(
            f"a {type(encoder).__name__} cannot go on with a text",
            where="encoder",
            remedy="take `character_model`, or `pretrained` with the folder of a causal language model",
        )
    transformers, body = needed("transformers", "text"), encoder.model
    kinds = transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    known = type(body.config) in kinds and getattr(body.config, "is_decoder", None) is not False
    with torch.device("meta"):
        made = kinds[type(body.config)](body.config) if known else None
    if made is None or not isinstance(body, type(getattr(made, made.base_model_prefix, None))):
        raise UsageError(
            f"a model of the kind {body.config.model_type} does not say what comes next",
            where="encoder.folder",
            remedy="take a causal one, such as GPT-2 or Llama",
        )
    setattr(made, made.base_model_prefix, body)
    made.tie_weights()
    if any(parameter.is_meta for parameter in made.parameters()):
        raise UsageError(
            "this model scores the next token by weights of their own, which an encoder does not keep",
            where="encoder.folder",
            remedy="take one whose config.json says tie_word_embeddings: true",
        )
    return made.eval()


def left_padded(texts: Sequence[Sequence[int]], padding: int) -> tuple[Int64[Tensor, "b t"], Bool[Tensor, "b t"]]:
    """Ids of texts as `generate` wants them, with the mask of the real ones: what is shorter begins later."""
    longest = max(map(len, texts))
    ids = torch.tensor([[padding] * (longest - len(text)) + list(text) for text in texts])
    lengths = torch.tensor([len(text) for text in texts])
    return ids, torch.arange(longest) >= longest - lengths[:, None]


@torch.inference_mode()
def states_and_log_probabilities(model: Any, texts: Sequence[Sequence[int]]) -> list[tuple[Tensor, Tensor]]:
    """Of texts [t] of ids: last states [t d], and the log-probability of each token but the first given those before [t - 1]."""
    found = []
    for text in texts:
        ids = torch.tensor([list(text)])
        made = model(input_ids=ids, output_hidden_states=True, use_cache=False)
        scores = made.logits[0, :-1].float().log_softmax(-1)
        found.append((made.hidden_states[-1][0].float(), scores.gather(1, ids[0, 1:, None])[:, 0]))
    return found
