"""Our own transformer in the words of `transformers`, so that whatever reads that library's models can read ours too.

Megatron's BERT is the same function with other names: normalisation before each branch and once more at the end, learned positions
added to the tokens without a normalisation there, GELU by the error function. Its vectors of token types are all zero here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from nearfar.encoders.pretrained import Pretrained
from nearfar.encoders.shared.architecture import build_architecture
from nearfar.encoders.shared.byte_pairs import PAD
from nearfar.encoders.shared.sentence_folder import TextSetup
from nearfar.encoders.transformer import Transformer


def as_pretrained(encoder: Transformer) -> Pretrained:
    """The same encoder of texts, as one of the part `pretrained`: equal vectors up to rounding. A copy.

    Raises ResourceError without transformers.
    """
    setup = encoder.setup
    config = {
        "model_type": "megatron-bert",
        "vocab_size": len(encoder.pairs),
        "hidden_size": setup.dimension,
        "num_hidden_layers": setup.depth,
        "num_attention_heads": setup.heads,
        "intermediate_size": 4 * setup.dimension,
        "hidden_act": "gelu",
        "hidden_dropout_prob": setup.dropout,
        "attention_probs_dropout_prob": setup.dropout,
        "max_position_embeddings": setup.max_tokens,
        "type_vocab_size": 1,
        "layer_norm_eps": encoder.norm.eps,
        "pad_token_id": PAD,
    }
    model = build_architecture(config, "text")
    model.load_state_dict({name: tensor.detach().clone() for name, tensor in _weights(encoder)})
    made = Pretrained(model, encoder.pairs.to_json(), TextSetup(pooling=setup.pooling, max_tokens=setup.max_tokens))
    return made.train(encoder.training)


def _weights(encoder: Transformer) -> Iterator[tuple[str, Tensor]]:
    """Their names of our weights."""
    yield "embeddings.word_embeddings.weight", encoder.tokens.weight
    yield "embeddings.position_embeddings.weight", encoder.places.weight
    yield "embeddings.token_type_embeddings.weight", torch.zeros(1, encoder.dimension)
    for number, block in enumerate(encoder.blocks):
        place = f"encoder.layer.{number}"
        theirs: dict[str, Any] = {
            "attention.ln": block.attention_norm,
            "attention.output.dense": block.out,
            "ln": block.mlp_norm,
            "intermediate.dense": block.widen,
            "output.dense": block.narrow,
        }
        for name, module in theirs.items():
            yield f"{place}.{name}.weight", module.weight
            yield f"{place}.{name}.bias", module.bias
        joined: Any = block.query_key_value
        for name, weight, bias in zip(
            ("query", "key", "value"), joined.weight.chunk(3), joined.bias.chunk(3), strict=True
        ):
            yield f"{place}.attention.self.{name}.weight", weight
            yield f"{place}.attention.self.{name}.bias", bias
    yield "encoder.ln.weight", encoder.norm.weight
    yield "encoder.ln.bias", encoder.norm.bias
