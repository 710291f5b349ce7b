"""Pretrained text encoder: any transformer of `transformers` from a local folder, pooled, to be fine-tuned or used as it is.

        v(text) = layers( pool( transformer( tokenizer( prompt(side) + text ) ) ) )

Kin: `transformer` is a small one of our own, trained from scratch; `static` has neither order nor context and costs a
thousandth. A folder of sentence-transformers gives its pooling, length, prompts, dense layers and normalisation; what is asked
for beside it goes before. Texts are padded within a micro-batch only, and no token looks at padding, so that a text's
vector is its own. Mean pooling is the default without such a folder (Reimers and Gurevych 2019, arXiv 1908.10084, where it
beat the first token and the maximum); decoders want "last"; "tokens" gives the matrices of late interaction (Khattab and
Zaharia 2020, arXiv 2004.12832). `lora_rank` trains low-rank adapters alone (Hu and others 2021, arXiv 2106.09685).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.core.rows import Rows
from nearfar.core.seeding import seeded
from nearfar.core.text_fields import check_texts
from nearfar.core.tokens import Tokens
from nearfar.core.tree import from_json, to_json
from nearfar.encoders.shared.architecture import build_architecture, configuration, read_architecture
from nearfar.encoders.shared.lora import MAX_RANK, add_adapters, merge_adapters
from nearfar.encoders.shared.pretrained_model import MAX_DIMENSION
from nearfar.encoders.shared.sentence_folder import ACTIVATIONS, Layer, TextSetup, fill, layer_of, read_sentence_folder
from nearfar.encoders.shared.settings import damaged
from nearfar.maths.pooling import POOLINGS, pooled

CARD = Card(
    name="pretrained",
    summary="any text model of transformers from a local folder: pooling, prompts, projection, low-rank adapters",
    reads=("text",),
    related=("static", "transformer", "pretrained_image", "pretrained_audio", "sentence_transformer"),
    public=("Pretrained",),
)

NOUN, EXTRA = "a pretrained encoder", "text"
MAX_TOKENS = 1_000_000


class Pretrained(nn.Module):
    """A transformer, its tokenizer and what comes after it, see the file's text.

    `fit` reads a folder; `from_config` makes the same architecture without one.
    """

    # Found best of 1,024, 2,048 and 4,096 tokens on the machine of benchmarks/records/encode.json (benchmarks/encode.py --budgets):
    # small batches leave wide products half empty, in bfloat16 most of all, and large ones outgrow a processor's cache.
    at_once: ClassVar[int] = 4_096

    def __init__(self, model: Any, tokenizer: str, setup: TextSetup) -> None:
        super().__init__()
        self.model, self.setup, self.tokenizer_text = model, setup, tokenizer
        self.tokenizer = _tokenizer(tokenizer, setup)
        self.width = _width(model)
        known = model.get_input_embeddings().num_embeddings
        if max(self.tokenizer.get_vocab().values(), default=0) >= known:
            raise damaged(NOUN, f"the tokenizer knows more tokens than the {known:,} that the model does")
        self.layers = nn.ModuleList([layer_of(layer) for layer in setup.layers])
        self.dimension = setup.layers[-1].outputs if setup.layers else self.width
        if setup.lora_rank:
            add_adapters(model, setup.lora_rank)
        self.register_load_state_dict_post_hook(_tied_again)
        self._hold()

    @classmethod
    def fit(
        cls,
        texts: Mapping[str, Sequence[str]],  # noqa: ARG003 - the model brings its vocabulary
        *,
        folder: str = "",
        pooling: str | None = None,
        max_tokens: int | None = None,
        dimension: int | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        lora_rank: int = 0,
        freeze: bool = False,
        seed: int = 0,
    ) -> Pretrained:
        """The encoder of a folder; the texts are not looked at. None means: what the folder says.

        folder           local, with config.json, model.safetensors and tokenizer.json; or one of sentence-transformers
        pooling          "mean" (where the folder says nothing), "cls", "last", or "tokens": one vector a token
        max_tokens       longer texts are cut to so many tokens, special ones included; 256 where the folder says nothing
        dimension        length of a vector, by a linear layer on top with random weights; None: none is added
        query_prompt     put before every query
        document_prompt  put before every document
        lora_rank        of adapters on the projections of attention, which learn in place of the model; 0: none
        freeze           the model learns nothing (what lies on top does), and runs without dropout

        Errors: DataError for a folder that cannot be used, UsageError for an option, ResourceError without transformers.

            encoder = nf.Pretrained.fit({}, folder="all-MiniLM-L6-v2", lora_rank=8)
            rows = encoder(encoder.prepare(["how to parse a date"]))
        """
        if not folder:
            raise UsageError(
                "a pretrained encoder needs a folder", where="encoder.folder", remedy="--set encoder.folder=PATH"
            )
        found = read_sentence_folder(Path(folder).expanduser())
        asked = {
            "pooling": pooling,
            "max_tokens": max_tokens,
            "query_prompt": query_prompt,
            "document_prompt": document_prompt,
        }
        setup = replace(
            found.setup, **{k: v for k, v in asked.items() if v is not None}, freeze=freeze, lora_rank=lora_rank
        )
        if lora_rank < 0:
            raise UsageError(f"adapters of rank {lora_rank}", where="encoder.lora_rank", remedy="give 0 for none")
        model, tokenizer = read_architecture(found.transformer, EXTRA), _read_tokenizer(found.transformer)
        if dimension is not None:
            inputs = setup.layers[-1].outputs if setup.layers else _width(model)
            setup = replace(setup, layers=(*setup.layers, Layer(inputs, dimension, bias=False)))
        if wrong := _wrong(setup, model):
            raise UsageError(wrong, where="encoder", remedy="choose another value")
        with seeded(seed):
            made = cls(model, tokenizer, setup)
        for module, weights in zip(made.layers, found.weights, strict=False):
            fill(module, weights)  # pyright: ignore[reportArgumentType] - a module list forgets its type
        return made.train()

    def prepare(self, records: Sequence[Any], side: str = "query") -> Tokens:
        """Texts as tokens, the prompt of their side before each; cut to the greatest length.

        Raises DataError for a record that is no text, or from which the tokenizer makes nothing at all.
        """
        check_texts(records, "a pretrained text encoder")
        prompt = {"query": self.setup.query_prompt, "document": self.setup.document_prompt}.get(side, "")
        # All at once: the tokenizer works on them in parallel, and others may run meanwhile.
        found = self.tokenizer.encode_batch_fast([prompt + text for text in records] if prompt else list(records))
        tokens = Tokens.of([text.ids for text in found])
        if not bool((tokens.lengths > 0).all()):
            raise DataError(
                "the tokenizer makes no token of this text, so there is nothing to encode",
                where=f"record {int((tokens.lengths == 0).nonzero()[0])}",
                remedy="fill it, or leave the record out",
            )
        return tokens

    def forward(self, inputs: Tokens, side: str = "query", layer: int | None = None, *, states: bool = False) -> Any:
        """One row a text: vectors [n dimension]; for "tokens" [n t dimension] with the mask of the real ones.

        With `states` a pair: those rows, and the states of all tokens [n t width] with their mask and the column `token` of what stood
        there. With `layer`, the pooled states after that layer of the transformer (0: its embeddings; -1: the last), without what lies on top.
        Raises UsageError for a layer that is not there.
        """
        device = self.model.get_input_embeddings().weight.device
        if not len(inputs):
            # The library's models do not take an empty batch, and a sharded one must be called as often on every rank.
            made = self.forward(Tokens.of([[self.pad]]), side, layer, states=states)
            return tuple(part.take(slice(0, 0)) for part in made) if states else made.take(slice(0, 0))
        ids, mask = inputs.padded(self.pad, device)
        # Nothing of a model that is frozen needs to be kept for a gradient.
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._still):
            options = {**self._options, "output_hidden_states": layer is not None}
            given = self.model(input_ids=ids, attention_mask=mask.long(), **options)
            hidden = given.last_hidden_state if layer is None else _state(given.hidden_states, layer)
        made = pooled(hidden, mask, self.setup.pooling)
        made = made if layer is not None else self._on_top(made)
        return (made, Rows(hidden, {"token": ids}, mask)) if states else made

    def _on_top(self, made: Rows) -> Rows:
        """The rows after layers and normalisation."""
        vectors = made.vectors
        for linear in self.layers:
            vectors = linear(vectors)
        if self.setup.normalize:
            vectors = functional.normalize(vectors, dim=-1)
        if made.mask is not None:
            vectors = vectors.masked_fill(~made.mask[..., None], 0)
        return made.with_vectors(vectors)

    def cost(self, inputs: Tokens) -> Tensor:
        """Tokens of each text [n]."""
        return inputs.lengths

    def train(self, mode: bool = True) -> Pretrained:
        """As of any module, but what is frozen stays as it is used: without dropout and without a gradient."""
        super().train(mode)
        self._hold()
        return self

    def merged(self) -> Pretrained:
        """The same encoder with its adapters added to the weights: it encodes as quickly as before them. A copy.

        Raises DataError if it has none.
        """
        model = copy.deepcopy(self.model)
        merge_adapters(model)
        made = Pretrained(model, self.tokenizer_text, replace(self.setup, lora_rank=0))
        made.layers.load_state_dict(self.layers.state_dict())
        for parameter in made.parameters():
            parameter.requires_grad_(True)
        return made.to(next(self.parameters()).device).train(self.training)

    def config(self) -> dict[str, Any]:
        """Architecture, tokenizer and setup: everything but the weights, as JSON."""
        return {
            "architecture": configuration(self.model),
            "tokenizer": self.tokenizer_text,
            "setup": to_json(self.setup),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Pretrained:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        architecture, tokenizer = config.get("architecture"), config.get("tokenizer")
        if not isinstance(architecture, Mapping) or not isinstance(tokenizer, str):
            raise damaged(NOUN, "architecture or tokenizer is missing")
        setup = from_json(TextSetup, config.get("setup"), "setup")
        # Before the model is built: sizes of layers are what memory is taken for.
        if not all(0 < size <= MAX_DIMENSION for layer in setup.layers for size in (layer.inputs, layer.outputs)):
            raise damaged(NOUN, "sizes of layers")
        model = build_architecture(architecture, EXTRA)
        if wrong := _wrong(setup, model):
            raise damaged(NOUN, wrong)
        try:
            return cls(model, tokenizer, setup)
        except UsageError as error:  # the settings of a call are data here
            raise damaged(NOUN, error.what) from error

    @property
    def _still(self) -> bool:
        """Whether the transformer itself learns nothing at all."""
        return self.setup.freeze and not self.setup.lora_rank

    @property
    def pad(self) -> int:
        """The id that padding is filled with."""
        # Some models number positions by what is not this id, so it must be their own.
        pad = getattr(self.model.config, "pad_token_id", None)
        return pad if isinstance(pad, int) and pad >= 0 else 0

    @property
    def _options(self) -> dict[str, Any]:
        # Decoders would otherwise keep keys and values for a next token.
        return {"use_cache": False} if hasattr(self.model.config, "use_cache") else {}

    def _hold(self) -> None:
        if self.setup.freeze or self.setup.lora_rank:
            for name, parameter in self.model.named_parameters():
                parameter.requires_grad_("lora_" in name)
        if self._still:
            self.model.eval()


def _state(states: Sequence[Tensor], layer: int) -> Tensor:
    if not -len(states) <= layer < len(states):
        raise UsageError(
            f"there is no layer {layer}",
            where="layer",
            remedy=f"give one from 0 to {len(states) - 1}, or -1 for the last",
        )
    return states[layer]


def _tied_again(encoder: Pretrained, _: Any) -> None:
    """Weights that a model uses in two places are stored twice, and are one again when they are read."""
    encoder.model.tie_weights()


def _width(model: Any) -> int:
    width = getattr(model.config, "hidden_size", None)
    if not isinstance(width, int) or not 0 < width <= MAX_DIMENSION:
        raise DataError("the model does not say the length of its states", where="hidden_size", remedy="use another")
    return width


def _positions(model: Any) -> int:
    """The most tokens that the model has positions for."""
    most = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(most, int) or most <= 0:
        return MAX_TOKENS
    # The kin of RoBERTa count positions from the one after the padding's.
    taken = [getattr(m.position_embeddings, "padding_idx", None) for m in model.modules() if _has_positions(m)]
    return most - next((t + 1 for t in taken if t is not None), 0)


def _has_positions(module: nn.Module) -> bool:
    return isinstance(getattr(module, "position_embeddings", None), nn.Embedding)


def _wrong(setup: TextSetup, model: Any) -> str:
    """What makes no sense about a setup for this model, or nothing."""
    sizes = [_width(model), *(size for layer in setup.layers for size in (layer.inputs, layer.outputs))]
    ends = [sizes[0], *(layer.outputs for layer in setup.layers)]
    checks = {
        f"pooling is {setup.pooling!r}; there are {', '.join(POOLINGS)}": setup.pooling in POOLINGS,
        f"max_tokens is {setup.max_tokens}; the model has {_positions(model):,} positions": (
            1 <= setup.max_tokens <= min(MAX_TOKENS, _positions(model))
        ),
        f"the sizes of the layers on top are {sizes}": (
            all(0 < size <= MAX_DIMENSION for size in sizes)
            and [layer.inputs for layer in setup.layers] == ends[: len(setup.layers)]
        ),
        "an activation is unknown": all(layer.activation in ACTIVATIONS for layer in setup.layers),
        f"lora_rank is {setup.lora_rank}": 0 <= setup.lora_rank <= MAX_RANK,
        f"a model of the kind {model.config.model_type} reads two texts at once": not model.config.is_encoder_decoder
        or model.config.model_type in ("t5", "mt5", "umt5"),
    }
    return next((what for what, holds in checks.items() if not holds), "")


def _read_tokenizer(folder: Path) -> str:
    try:
        return (folder / "tokenizer.json").read_text("utf-8")
    except (OSError, ValueError) as error:
        raise DataError(
            f"there is no tokenizer.json that can be read: {error}",
            where=str(folder),
            remedy="make one once: transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
        ) from None


def _tokenizer(text: str, setup: TextSetup) -> Any:
    """The tokenizer of a JSON text, which cuts to the greatest length and never pads."""
    from tokenizers import Tokenizer, normalizers

    try:
        made = Tokenizer.from_str(text)
    except Exception as error:  # noqa: BLE001 - the library raises Exception itself
        raise damaged(NOUN, f"the tokenizer: {error}") from None
    special = made.num_special_tokens_to_add(False)
    if setup.max_tokens <= special:
        raise UsageError(
            f"{setup.max_tokens} tokens leave no room for a text beside {special} special ones",
            where="encoder.max_tokens",
            remedy=f"give {special + 1} or more",
        )
    made.no_padding()
    made.enable_truncation(setup.max_tokens)
    if setup.lower_case:
        rest = [made.normalizer] if made.normalizer is not None else []
        made.normalizer = normalizers.Sequence([normalizers.Lowercase(), *rest])
    return made
