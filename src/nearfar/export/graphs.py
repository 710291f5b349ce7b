"""What of an encoder becomes one graph: the module that is traced, how its inputs are called, and what makes them of records.

    inputs  ->  encoder (pooling and layers on top inside)  ->  transformation  ->  unit length under the cosine

A graph of tokens takes `input_ids` and `attention_mask`, both int64 [n t], as models of texts do everywhere; that of the static encoder
`units` int64 and `amounts` float32, both [n t]; one of images `pixels`, bytes [n c h w]. n and t may be anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nearfar.core.errors import UsageError
from nearfar.core.model import Model
from nearfar.core.tokens import Tokens
from nearfar.encoders.convolutional import Convolutional
from nearfar.encoders.pretrained import Pretrained
from nearfar.encoders.pretrained_image import PretrainedImage
from nearfar.encoders.self_attention import SelfAttention
from nearfar.encoders.shared.byte_pairs import PAD
from nearfar.encoders.shared.image_encoder import ImageEncoder
from nearfar.encoders.static import Static
from nearfar.encoders.transformer import Transformer
from nearfar.encoders.vision_transformer import VisionTransformer
from nearfar.export.feeds import TOKENIZER, UNITS

KNOWN = "static, transformer, pretrained, character_model, self_attention, convolutional, vision_transformer, pretrained_image"


@dataclass(frozen=True)
class Plan:
    """How a model of one encoder is exported.

    graph   the module; its inputs are those of `inputs`, in order
    inputs  by name: (type, names of the dimensions that may change), the rest being fixed
    reads   what makes the inputs of records: for `feeds`
    most    greatest length t, None for any
    files   to lie beside the graph, by name
    """

    graph: nn.Module
    inputs: Mapping[str, tuple[str, tuple[str, ...]]]
    reads: Mapping[str, Any]
    most: int | None = None
    files: Mapping[str, str] = field(default_factory=dict)


def plan_of(model: Model) -> Plan:
    """The plan for a model of one encoder. Raises UsageError for an encoder that has none."""
    encoder = model.tower(next(iter(model.sides)))
    if getattr(getattr(encoder, "setup", None), "pooling", None) == "tokens":
        raise UsageError("this encoder gives a vector a token, and a graph here gives one a record", remedy=_ELSE)
    kinds: dict[type, Callable[[Model, Any], Plan]] = {
        Static: _static,
        Transformer: _transformer,
        Pretrained: _pretrained,
        SelfAttention: _self_attention,
        Convolutional: _image,
        VisionTransformer: _image,
        PretrainedImage: _pretrained_image,
    }
    for kind, plan in kinds.items():
        if isinstance(encoder, kind):
            return plan(model, encoder)
    raise UsageError(f"there is no graph for the encoder {type(encoder).__name__}", remedy=_ELSE)


_ELSE = f"ONNX is written for {KNOWN}; other models are used by nf.load"
_TOKENS = {"input_ids": ("int64", ("records", "length")), "attention_mask": ("int64", ("records", "length"))}
_PIXELS = {"pixels": ("uint8", ("records",))}


def _static(model: Model, encoder: Static) -> Plan:
    vocabulary = encoder.vocabulary
    reads = {"kind": "units", "buckets": vocabulary.buckets, "head_weight": encoder.head_weight}
    inputs = {"units": ("int64", ("records", "length")), "amounts": ("float32", ("records", "length"))}
    return Plan(_UnitGraph(model, encoder), inputs, reads, files={UNITS: json.dumps(vocabulary.known) + "\n"})


def _transformer(model: Model, encoder: Transformer) -> Plan:
    from tokenizers import Tokenizer

    tokenizer, most = Tokenizer.from_str(encoder.pairs.to_json()), encoder.setup.max_tokens
    tokenizer.enable_truncation(most)
    return _of_tokens(model, encoder, {"prompts": {}, "pad": PAD}, most, tokenizer.to_str())


def _pretrained(model: Model, encoder: Pretrained) -> Plan:
    setup = encoder.setup
    merged = encoder.merged().eval() if setup.lora_rank else encoder
    prompts = {"query": setup.query_prompt, "document": setup.document_prompt}
    reads = {"prompts": {side: text for side, text in prompts.items() if text}, "pad": encoder.pad}
    return _of_tokens(model, merged, reads, setup.max_tokens, encoder.tokenizer.to_str())


def _of_tokens(model: Model, encoder: Any, reads: Mapping[str, Any], most: int, tokenizer: str) -> Plan:
    reads = {"kind": "tokens", **reads}
    return Plan(_TokenGraph(model, encoder), _TOKENS, reads, most, files={TOKENIZER: tokenizer})


def _self_attention(model: Model, encoder: SelfAttention) -> Plan:
    setup = encoder.setup
    reads = {"kind": "items", "items": setup.items, "most": setup.max_items}
    return Plan(_TokenGraph(model, encoder), _TOKENS, reads, setup.max_items)


def _image(model: Model, encoder: ImageEncoder) -> Plan:
    return _of_pixels(model, encoder, encoder.setup.channels, encoder.setup.size, encoder.setup.size)


def _pretrained_image(model: Model, encoder: PretrainedImage) -> Plan:
    return _of_pixels(model, encoder, 3, encoder.setup.preprocessing.height, encoder.setup.preprocessing.width)


def _of_pixels(model: Model, encoder: Any, channels: int, height: int, width: int) -> Plan:
    reads = {"kind": "pixels", "channels": channels, "height": height, "width": width}
    return Plan(_PixelGraph(model, encoder), _PIXELS, reads)


class _Graph(nn.Module):
    """An encoder and what the model does with its vectors."""

    def __init__(self, model: Model, encoder: Any) -> None:
        super().__init__()
        self.model, self.encoder = model, encoder


class _TokenGraph(_Graph):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model.finished(self.encoder(_Padded(input_ids, attention_mask.bool())).vectors)


class _PixelGraph(_Graph):
    def forward(self, pixels: Tensor) -> Tensor:
        return self.model.finished(self.encoder(pixels).vectors)


class _UnitGraph(_Graph):
    """The sum of `Static.forward` over padded bags: what is padding has the amount zero."""

    def __init__(self, model: Model, encoder: Static) -> None:
        super().__init__(model, None)
        self.table = nn.Parameter((encoder.table * encoder.weight[:, None]).detach())

    def forward(self, units: Tensor, amounts: Tensor) -> Tensor:
        return self.model.finished((functional.embedding(units, self.table) * amounts[..., None]).sum(1))


class _Padded(Tokens):
    """Tokens that come padded, for encoders that otherwise pad them themselves; nothing but `padded` can be asked of it."""

    def __init__(self, given: Tensor, mask: Tensor) -> None:
        object.__setattr__(self, "given", given)  # the class that it stands for is frozen
        object.__setattr__(self, "mask", mask)

    def __len__(self) -> int:
        return 1  # asked for only to tell an empty batch, which nobody gives to a graph

    def padded(self, fill: float = 0, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """Whatever the caller has filled the gaps with, the encoder finds its own padding there."""
        given, mask = self.__dict__["given"], self.__dict__["mask"]
        return given.masked_fill(~mask, int(fill)), mask
