"""Low-rank adapters: a linear layer's change is a product of two thin matrices, and they alone are learned.

        W x  ->  W x + (alpha / rank) B A x          A [rank, in] random, B [out, rank] zero: at first nothing changes

alpha = rank, so that the factor is one: the paper sets alpha to the first rank tried and does not tune it, for what it scales
the rate of Adam scales as well. Placed on all projections of attention; the paper adapts queries and values of decoders, and
finds that spreading a budget over all four is no worse. No dropout of its own.

Source: Hu and others 2021 (arXiv 2106.09685); by `peft`.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from nearfar.core.errors import DataError, ResourceError, UsageError

MAX_RANK = 1024


def attention_layers(model: nn.Module) -> list[str]:
    """Names of the linear projections inside the attention of a model: every kind of `transformers` calls it so."""
    kinds = ("Linear", "Conv1D", "NonDynamicallyQuantizableLinear")
    return [
        name
        for name, layer in model.named_modules()
        if type(layer).__name__ in kinds and any("att" in piece.lower() for piece in name.split("."))
    ]


def add_adapters(model: nn.Module, rank: int) -> None:
    """Put adapters of `rank` on the projections of attention, in place; only they require a gradient then.

    Raises UsageError for a model without attention or a rank that makes no sense, ResourceError without peft.
    """
    if not 1 <= rank <= MAX_RANK:
        raise UsageError(f"adapters of rank {rank}", where="lora_rank", remedy=f"give 1 to {MAX_RANK}; 8 is usual")
    layers = attention_layers(model)
    if not layers:
        raise UsageError("this model has no projections of attention", where="lora_rank", remedy="set it to 0")
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise ResourceError(
            "low-rank adapters need peft, which is not installed", remedy='pip install "nearfar[text]"'
        ) from None
    turned = type(model.get_submodule(layers[0])).__name__ == "Conv1D"  # GPT-2 keeps its weights [in, out]
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=layers, fan_in_fan_out=turned)
    inject_adapter_in_model(config, model)


def merge_adapters(model: Any) -> None:
    """Add the adapters to the weights that they adapt, in place, and remove them: the same function, nothing to adapt."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, BaseTunerLayer)]
    if not adapted:
        raise DataError("there are no adapters in this model", where="merged", remedy="fit it with lora_rank above 0")
    for name, layer in adapted:
        layer.merge()
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, layer.get_base_layer())
    if hasattr(model, "peft_config"):
        del model.peft_config
