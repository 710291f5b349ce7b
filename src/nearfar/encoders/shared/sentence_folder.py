"""The folder of a sentence-transformers model, read and written: what comes after the transformer, and which prompts go before.

    modules.json                            Transformer, Pooling, any number of Dense, perhaps Normalize, in this order
    config.json, model.safetensors, tokenizer.json     the transformer, in the folder itself or in one that modules.json names
    1_Pooling/config.json                   mean, cls or lasttoken
    2_Dense/config.json, model.safetensors  a linear layer and an activation
    sentence_bert_config.json               the greatest length (newer ones: tokenizer_config.json)
    config_sentence_transformers.json       prompts, similarity

What a folder holds besides is refused, not passed over: a model that is read must give the vectors it was published with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from nearfar.core.errors import DataError
from nearfar.encoders.shared.architecture import read_object

DEFAULT_LENGTH = 256
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
}
POOLING_NAMES = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
_OLD_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}


@dataclass(frozen=True)
class Layer:
    """A linear layer and an activation on top of the pooled vector; one of `ACTIVATIONS`."""

    inputs: int
    outputs: int
    bias: bool = True
    activation: str = "identity"


@dataclass(frozen=True)
class TextSetup:
    """How a transformer becomes an encoder of texts: all but its architecture, tokenizer and weights.

    pooling     "mean", "cls", "last" or "tokens"
    max_tokens  longer texts are cut, special tokens included
    query_prompt, document_prompt  are put before the texts of that side
    lower_case  texts are made lower case before the tokenizer sees them
    normalize   vectors are given unit length
    layers      on top of the pooled vector
    freeze      the transformer learns nothing and runs without dropout
    lora_rank   of low-rank adapters, which alone learn; 0: none
    """

    pooling: str = "mean"
    max_tokens: int = DEFAULT_LENGTH
    query_prompt: str = ""
    document_prompt: str = ""
    lower_case: bool = False
    normalize: bool = False
    layers: tuple[Layer, ...] = ()
    freeze: bool = False
    lora_rank: int = 0


@dataclass(frozen=True)
class SentenceFolder:
    """What a folder says: the setup, where the transformer lies, the weights of the layers, the similarity it was trained for."""

    setup: TextSetup
    transformer: Path
    weights: tuple[dict[str, Tensor], ...] = ()
    similarity: str = "cosine"


def read_sentence_folder(folder: Path) -> SentenceFolder:
    """Of a sentence-transformers folder what it says; of one with a transformer alone the defaults.

    Raises DataError for a folder that is damaged, or holds modules that are not known here.
    """
    if not folder.is_dir():
        raise DataError(
            f"there is no folder {folder}",
            where="folder",
            remedy="give a local folder with config.json, model.safetensors and tokenizer.json; nothing is fetched",
        )
    if not (folder / "modules.json").is_file():
        return SentenceFolder(TextSetup(), folder)
    modules = _modules(folder)
    kinds = [kind for kind, _ in modules]
    dense = kinds.count("Dense")
    if kinds not in (["Transformer", "Pooling", *["Dense"] * dense, *n] for n in ([], ["Normalize"])):
        raise DataError(
            f"the modules are {', '.join(kinds)}",
            where=str(folder / "modules.json"),
            remedy="known are Transformer, Pooling, any number of Dense, and perhaps Normalize, in this order",
        )
    transformer = modules[0][1]
    setup = replace(
        _length_and_case(folder, transformer), pooling=_pooling(modules[1][1]), normalize=kinds[-1] == "Normalize"
    )
    layers, weights = [], []
    for _, place in modules[2 : 2 + dense]:
        layer, tensors = _dense(place)
        layers.append(layer)
        weights.append(tensors)
    about = _about(folder)
    prompts = _prompts(about, folder)
    similarity = about.get("similarity_fn_name") or "cosine"
    if similarity not in ("cosine", "dot"):
        raise DataError(f"the similarity is {similarity!r}", where=str(folder), remedy="known are cosine and dot")
    setup = replace(setup, layers=tuple(layers), query_prompt=prompts[0], document_prompt=prompts[1])
    return SentenceFolder(setup, transformer, tuple(weights), similarity)


def write_sentence_folder(
    folder: Path, setup: TextSetup, dimension: int, weights: list[dict[str, Tensor]], similarity: str
) -> list[str]:
    """Write all but the transformer into a folder that is there; the names of what was written.

    `dimension` is that of the transformer's states.
    """
    base = "sentence_transformers.models"  # what every version reads
    modules = [("", f"{base}.Transformer"), ("1_Pooling", f"{base}.Pooling")]
    _write(folder / "1_Pooling" / "config.json", _pooling_config(setup.pooling, dimension))
    for number, (layer, tensors) in enumerate(zip(setup.layers, weights, strict=True), start=2):
        place = f"{number}_Dense"
        modules.append((place, f"{base}.Dense"))
        _write_dense(folder / place, layer, tensors)
    if setup.normalize:
        place = f"{len(modules)}_Normalize"
        modules.append((place, f"{base}.Normalize"))
        _write(folder / place / "config.json", {})
    named = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(modules)]
    _write(folder / "modules.json", named)
    _write(
        folder / "sentence_bert_config.json", {"max_seq_length": setup.max_tokens, "do_lower_case": setup.lower_case}
    )
    prompts = {"query": setup.query_prompt, "document": setup.document_prompt}
    about = {"format": "sentence-transformers", "prompts": prompts, "default_prompt_name": None}
    _write(folder / "config_sentence_transformers.json", {**about, "similarity_fn_name": similarity})
    return [path for path, _ in modules if path] + [
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
    ]


def _modules(folder: Path) -> list[tuple[str, Path]]:
    """Kind and place of every module; a place must lie inside the folder."""
    path = folder / "modules.json"
    try:
        found = json.loads(path.read_text("utf-8"))
        entries = [(str(m["type"]).rpartition(".")[2], folder / str(m["path"])) for m in found]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(
            f"this is no list of modules: {error}", where=str(path), remedy="fetch the file again"
        ) from None
    for _, place in entries:
        if not place.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"a module lies outside: {place}", where=str(path), remedy="do not trust this folder")
    return entries


def _pooling(place: Path) -> str:
    config = read_object(place / "config.json")
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [name for key, name in _OLD_POOLING.items() if config.get(key)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in POOLING_NAMES or config.get("include_prompt", True) is not True:
        skipped = "" if config.get("include_prompt", True) is True else ", prompts left out"
        raise DataError(
            f"the pooling is {' and '.join(map(str, modes))}{skipped}",
            where=str(place / "config.json"),
            remedy="known are mean, cls and lasttoken over all tokens; give pooling=... with a plain transformer folder",
        )
    return POOLING_NAMES[modes[0]]


def _pooling_config(pooling: str, dimension: int) -> dict[str, Any]:
    """In the words of older versions, which newer ones read as well."""
    name = {ours: theirs for theirs, ours in POOLING_NAMES.items()}[pooling]
    return {"word_embedding_dimension": dimension, "include_prompt": True} | {
        key: value == name for key, value in _OLD_POOLING.items()
    }


def _length_and_case(folder: Path, transformer: Path) -> TextSetup:
    said: dict[str, Any] = {}
    for place in (transformer, folder):
        path = place / "sentence_bert_config.json"
        if path.is_file():
            said = read_object(path)
            break
    length: Any = said.get("max_seq_length")
    if length is None and (transformer / "tokenizer_config.json").is_file():
        # Newer versions keep it there; a plain tokenizer says a huge number for "no limit".
        length = read_object(transformer / "tokenizer_config.json").get("model_max_length")
        positions: Any = read_object(transformer / "config.json").get("max_position_embeddings")
        if isinstance(positions, int) and positions > 0 and isinstance(length, (int, float)):
            length = min(length, positions)
    length = int(length) if isinstance(length, (int, float)) and 0 < length < 1_000_000 else DEFAULT_LENGTH
    return TextSetup(max_tokens=length, lower_case=said.get("do_lower_case") is True)


def _dense(place: Path) -> tuple[Layer, dict[str, Tensor]]:
    config, file = read_object(place / "config.json"), place / "model.safetensors"
    name = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2].lower()
    inside = {config.get("module_input_name", _POOLED), config.get("module_output_name", _POOLED)} == {_POOLED}
    sizes: list[Any] = [config.get("in_features"), config.get("out_features")]
    sound = inside and name in ACTIVATIONS and not config.get("use_residual") and all(_is_size(s) for s in sizes)
    if not sound:
        raise DataError(
            f"this dense layer is not known: {json.dumps(config)[:200]}",
            where=str(place / "config.json"),
            remedy=f"known are linear layers with {', '.join(ACTIVATIONS)}",
        )
    layer = Layer(sizes[0], sizes[1], config.get("bias", True) is True, name)
    if not file.is_file():
        raise DataError(
            "there is no model.safetensors; pickles are not read",
            where=str(place),
            remedy="where you trust it, load and save the folder by sentence-transformers, which writes safetensors",
        )
    try:
        found = load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"these are no safetensors: {error}", where=str(file), remedy="fetch the file again") from None
    shapes = {"linear.weight": [layer.outputs, layer.inputs]} | ({"linear.bias": [layer.outputs]} if layer.bias else {})
    if {k: list(v.shape) for k, v in found.items()} != shapes:
        raise DataError("the weights do not fit config.json", where=str(file), remedy="fetch the folder again")
    return layer, {name.removeprefix("linear."): tensor.float() for name, tensor in found.items()}


_POOLED = "sentence_embedding"


def _write_dense(place: Path, layer: Layer, weights: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save_file

    kind = ACTIVATIONS[layer.activation]
    config = {"in_features": layer.inputs, "out_features": layer.outputs, "bias": layer.bias}
    _write(place / "config.json", {**config, "activation_function": f"{kind.__module__}.{kind.__name__}"})
    save_file({f"linear.{n}": t.detach().cpu().contiguous() for n, t in weights.items()}, place / "model.safetensors")


def _about(folder: Path) -> dict[str, Any]:
    path = folder / "config_sentence_transformers.json"
    return read_object(path) if path.is_file() else {}


def _prompts(about: Mapping[str, Any], folder: Path) -> tuple[str, str]:
    """Of queries and of documents, as `encode_query` and `encode_document` of sentence-transformers choose them."""
    prompts = about.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(p, (str, type(None))) for p in prompts.values()):
        raise DataError("the prompts are no texts by name", where=str(folder), remedy="fetch the folder again")
    otherwise = prompts.get(about.get("default_prompt_name") or "")
    document = next((prompts[n] for n in ("document", "passage", "corpus") if n in prompts), otherwise)
    return prompts.get("query", otherwise) or "", document or ""


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 1_000_000


def _write(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", "utf-8")


def layer_of(layer: Layer) -> nn.Sequential:
    """The module of a layer."""
    return nn.Sequential(nn.Linear(layer.inputs, layer.outputs, bias=layer.bias), ACTIVATIONS[layer.activation]())


def fill(module: nn.Sequential, weights: Mapping[str, Tensor]) -> None:
    """Give a layer's module the weights that were read."""
    with torch.no_grad():
        for name, tensor in weights.items():
            module[0].get_parameter(name).copy_(tensor)
