"""Models of `transformers`, from a local folder or from their configuration alone: no hub, no pickle, no code of others.

A configuration comes from whoever made the folder or the stored model, so it is data: the kind of model must be one that the
installed `transformers` has, what would fetch or run something is refused, and sizes are bounded before memory is taken.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from torch.overrides import TorchFunctionMode

from nearfar.core.errors import DataError, ResourceError
from nearfar.core.seeding import seeded

MAX_LAYERS = 1000
MAX_BUFFER = 2**24  # entries of a buffer that is computed while a model is built: positions, frequencies
MAX_WHOLE = 2**31

# How models fail that are made of numbers which do not fit each other.
_WRONG = (ValueError, RuntimeError, KeyError, TypeError, AttributeError, ArithmeticError, IndexError, AssertionError)

# What says nothing about the architecture, names a place or a person, or makes tables of labels.
_LEFT_OUT = frozenset(
    "architectures auto_map transformers_version tokenizer_class task_specific_params finetuning_task problem_type id2label "
    "label2id num_labels torch_dtype dtype attn_implementation experts_implementation".split()
)
# What would be fetched, or needs another library to be decoded.
_REFUSED = ("quantization_config", "backbone")
_FACTORIES = frozenset(
    {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange, torch.linspace}
)


def read_architecture(folder: Path, extra: str) -> nn.Module:
    """The model of a folder with `config.json` and safetensors, in float32.

    `extra` is what `pip install "nearfar[...]"` needs. Errors: DataError for a folder that holds no such model, or whose weights
    do not fill it; ResourceError without transformers.
    """
    transformers = _transformers(extra)
    config = configuration_of(read_object(folder / "config.json"), str(folder / "config.json"), extra)
    _refuse_pickles(folder)
    options = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
    try:
        with quiet(), seeded(0):  # some weights are drawn before they are read over
            kind, more = _kind(transformers, config)
            model, report = kind.from_pretrained(
                folder, config=config, dtype=torch.float32, output_loading_info=True, **options, **more
            )
    except (OSError, SafetensorError, *_WRONG) as error:
        raise DataError(
            f"the model cannot be read: {type(error).__name__}: {str(error)[:300]}",
            where=str(folder),
            remedy="fetch or save the folder again",
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise DataError(
            f"the weights leave {len(missing)} tensors of the model without values, such as {missing[0]}",
            where=str(folder),
            remedy="the weights belong to another model than config.json; fetch or save the folder again",
        )
    return model


def build_architecture(config: Mapping[str, Any], extra: str) -> nn.Module:
    """The model of a configuration that `configuration` gave, with fresh weights; on the meta device if that is the default.

    Buffers that the weights do not hold (positions, frequencies of rotary embeddings) have their values in either case.
    Raises DataError for a configuration that makes no model.
    """
    transformers = _transformers(extra)
    made = configuration_of(config, "architecture", extra)
    meta = torch.empty(0).is_meta
    try:
        with quiet():
            kind, more = _kind(transformers, made)
            if not meta:
                return kind._from_config(made, dtype=torch.float32, **more)
            with torch.device("cpu"), _WeightsOnMeta():
                model = kind._from_config(made, dtype=torch.float32, **more)
    except _WRONG as error:
        raise _senseless(f"{type(error).__name__}: {str(error)[:200]}") from error
    stored = model.state_dict()
    if any(buffer.is_meta for name, buffer in model.named_buffers() if name not in stored):
        raise _senseless("a buffer is too large")
    return model


def configuration(model: Any) -> dict[str, Any]:
    """What `build_architecture` needs, as JSON; no path of this machine."""
    return _plain(json.loads(model.config.to_json_string(use_diff=False)))


def configuration_of(config: Mapping[str, Any], where: str, extra: str) -> Any:
    """The configuration object of `transformers`. Raises DataError for an unknown kind, or what cannot be trusted."""
    transformers = _transformers(extra)
    kind: Any = config.get("model_type")
    _check(config, where)
    if not isinstance(kind, str) or kind not in transformers.CONFIG_MAPPING or kind.startswith("timm"):
        raise DataError(
            f"transformers {transformers.__version__} has no model of the kind {kind!r}",
            where=where,
            remedy="models that bring their own code are not run; use one that transformers itself has",
        )
    try:
        with quiet():
            return transformers.CONFIG_MAPPING[kind].from_dict(_plain(config))
    except Exception as error:  # each kind checks its fields in its own way
        raise DataError(
            f"this is no configuration of {kind}: {str(error)[:200]}",
            where=where,
            remedy="fetch or save the folder again",
        ) from error


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object of a folder that others made. Raises DataError."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DataError(
            f"there is no {path.name} that can be read: {error.strerror}",
            where=str(path.parent),
            remedy="give a folder with config.json and model.safetensors",
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"this is no JSON: {error}", where=str(path), remedy="fetch the file again") from None
    if not isinstance(data, dict):
        raise DataError("this is no JSON object", where=str(path), remedy="fetch the file again")
    return data


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars and reports of transformers: what matters of them becomes an error of ours."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


class _WeightsOnMeta(TorchFunctionMode):
    """Tensors of weights (made by `torch.empty`) take no memory; small tensors of computed values are what they are."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in _FACTORIES and kwargs.get("device") is None:
            shape = func(*args, **{**kwargs, "device": "meta"})
            if func is torch.empty or shape.numel() > MAX_BUFFER:
                return shape
        return func(*args, **kwargs)


def _transformers(extra: str) -> Any:
    try:
        import transformers
    except ImportError:
        raise ResourceError(
            "pretrained models need transformers, which is not installed", remedy=f'pip install "nearfar[{extra}]"'
        ) from None
    return transformers


def _kind(transformers: Any, config: Any) -> tuple[Any, dict[str, Any]]:
    """The class of a model's body, and what leaves out a pooler that was made for another task and would learn nothing."""
    import inspect

    mappings = (transformers.MODEL_FOR_TEXT_ENCODING_MAPPING, transformers.MODEL_MAPPING)
    # Of the family of T5 only the encoder; of all others the whole body.
    kind = next(
        (m[type(config)] for m in mappings[config.model_type not in _ENCODER_ALONE :] if type(config) in m), None
    )
    if isinstance(kind, tuple):
        kind = kind[0]
    if kind is None:
        raise ValueError(f"{config.model_type} is a configuration without a model")
    pooler = "add_pooling_layer" in inspect.signature(kind.__init__).parameters
    return kind, {"add_pooling_layer": False} if pooler else {}


_ENCODER_ALONE = ("t5", "mt5", "umt5")


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _plain(value) if isinstance(value, Mapping) else value
        for name, value in config.items()
        if name not in _LEFT_OUT and not name.startswith("_")
    }


def _check(config: Any, where: str, name: str = "") -> None:
    """Refuse what would be fetched, and numbers that no model has; layers are built one by one, so they are bounded closely."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key in _REFUSED and value:
                raise DataError(
                    f"the configuration asks for {key}, which is not supported",
                    where=where,
                    remedy="save the model as plain weights in float32, float16 or bfloat16",
                )
            if not str(key).startswith("_") and key not in _LEFT_OUT:
                _check(value, where, str(key))
    elif isinstance(config, list):
        for value in config:
            _check(value, where, name)
    elif isinstance(config, int):
        deep = any(word in name for word in ("layers", "depth", "blocks", "experts", "n_layer", "stages"))
        if not -MAX_WHOLE <= config <= (MAX_LAYERS if deep else MAX_WHOLE):
            raise DataError(f"{name} of {config} makes no sense", where=where, remedy="fetch or save the model again")


def _refuse_pickles(folder: Path) -> None:
    if (folder / "adapter_config.json").is_file():
        # transformers would read the model that this file names, wherever that lies.
        raise DataError(
            "the folder holds adapters of another model",
            where=str(folder / "adapter_config.json"),
            remedy="where you trust both, merge them once by peft: model.merge_and_unload().save_pretrained(FOLDER)",
        )
    index = folder / "model.safetensors.index.json"
    if not (folder / "model.safetensors").is_file() and index.is_file():
        shards: Any = read_object(index).get("weight_map")
        names = shards.values() if isinstance(shards, dict) else [None]
        if not all(isinstance(n, str) and n.endswith(".safetensors") and n == Path(n).name for n in names):
            raise DataError("the weights lie in other files", where=str(index), remedy="do not trust this folder")
        return
    if (folder / "model.safetensors").is_file():
        return
    pickles = sorted(path.name for end in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(end))
    if pickles:
        raise DataError(
            f"the weights are a pickle ({pickles[0]}), which can run anything when it is read",
            where=str(folder),
            remedy="where you trust it, convert it once: transformers.AutoModel.from_pretrained(FOLDER).save_pretrained(FOLDER)",
        )
    raise DataError("there is no model.safetensors", where=str(folder), remedy="fetch or save the folder again")


def _senseless(why: str) -> DataError:
    return DataError(
        f"this is no configuration of a pretrained model: {why}",
        where="encoders",
        remedy="the model is damaged; save it anew",
    )
