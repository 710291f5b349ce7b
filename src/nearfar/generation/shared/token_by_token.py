"""What decoders share that `generate` of transformers calls: what they refuse, how a text is read on, the loop of tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from nearfar.core.errors import DataError, UsageError
from nearfar.core.optional import needed

KNOWN = frozenset({"attention_mask", "position_ids", "past_key_values", "use_cache", "logits_to_keep"})
ASKED = ("output_scores", "output_logits", "output_attentions", "output_hidden_states")

Choose = Callable[[Int64[Tensor, "b t"], Int64[Tensor, "b u"]], Int64[Tensor, " b"]]
Scores = Callable[[Int64[Tensor, "b t"], Float[Tensor, "b v"]], Float[Tensor, "b v"]]


class Decoder:
    """What `generate(..., custom_generate=...)` calls. A method says how it begins; the rest is the same for all.

    method    how it is called where it refuses something
    streamer  of transformers, or None
    """

    method: ClassVar[str]
    streamer: Any = None

    def begin(self, model: Any, ids: Int64[Tensor, "b t"], scores: Scores, given: dict[str, Any]) -> Choose:
        """Given the prompts: (the texts so far, the tokens not read yet) -> the next token of each row.

        scores  a model's scores of the next token after these texts, as processors change them
        given   what `generate` gives a model: mask, positions, an empty cache
        """
        raise NotImplementedError

    @torch.no_grad()
    def __call__(
        self,
        model: Any,
        input_ids: Int64[Tensor, "b t"],
        *,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: Any,
        **given: Any,
    ) -> Any:
        """Ids [b t] -> ids [b t + new]; the arguments are those with which `generate` calls a decoder."""
        refuse(self.method, model, generation_config, given)

        def scores(ids: Tensor, said: Tensor) -> Tensor:
            return finite(logits_processor(ids, said.float()))

        choose = self.begin(model, input_ids, scores, given)
        return token_by_token(input_ids, choose, stopping_criteria, generation_config, self.streamer)


def refuse(method: str, model: Any, config: Any, given: dict[str, Any]) -> None:
    """Raises UsageError for what `generate` offers and the method does not know."""
    unused = [name for name, value in given.items() if name not in KNOWN and value is not None and value is not False]
    cache = given.get("past_key_values")
    wrong = {
        "a model with an encoder and a decoder": (model.config.is_encoder_decoder, "take a causal model"),
        "a beam of several": (config.num_beams > 1, "num_beams=1"),
        "generation without a cache": (given.get("use_cache") is False, "use_cache=True"),
        "a cache that has something in it, whose states are not known": (
            cache is not None and cache.get_seq_length() > 0,
            "give the whole text as input_ids",
        ),
        "a cache of fixed size": (cache is not None and cache.is_compileable, "leave cache_implementation out"),
        f"{', '.join(unused)} for the model": (bool(unused), "give input_ids and attention_mask alone"),
        **{name: (bool(getattr(config, name, False)), f"{name}=False") for name in ASKED},
    }
    for what, (is_wrong, remedy) in wrong.items():
        if is_wrong:
            raise UsageError(f"{method} does not know {what}", where="generate", remedy=remedy)


def finite(scores: Float[Tensor, "b v"]) -> Float[Tensor, "b v"]:
    """The scores of the next token. Raises DataError where they say nothing: NaN, or every token ruled out."""
    if bool(scores.isnan().any()) or not bool(scores.amax(-1).isfinite().all()):
        raise DataError(
            "the model's scores of the next token are no numbers",
            where="generate",
            remedy="look for a damaged model, a precision too low for it, or processors that rule out every token",
        )
    return scores


class Reading:
    """One model's reading of a batch of texts: the keys and values of what was read, the mask, the positions."""

    def __init__(self, model: Any, given: dict[str, Any], *, states: bool = False) -> None:
        self.model, self.states = model, states
        cache = given.get("past_key_values")
        self.cache: Any = needed("transformers", "text").DynamicCache(config=model.config) if cache is None else cache
        self.mask: Tensor | None = given.get("attention_mask")
        self.places: Tensor | None = given.get("position_ids")
        self.short = {"logits_to_keep": 1} if "logits_to_keep" in given else {}
        self.begun = False

    def read(self, ids: Int64[Tensor, "b u"]) -> Any:
        """Read on, the prompt or one token a text: what the model gives out."""
        if self.begun:
            self.one_more()
        self.begun = True
        return self.forward(ids, self.mask, self.places)

    def one_more(self) -> None:
        """Mask and positions of one token a text after what was read."""
        if self.mask is not None:
            self.mask = functional.pad(self.mask, (0, 1), value=1)
        if self.places is not None:
            self.places = self.places[:, -1:] + 1

    def forward(self, ids: Tensor, mask: Tensor | None, places: Tensor | None) -> Any:
        """The model on its cache."""
        given = {"attention_mask": mask, "position_ids": places}
        return self.model(
            input_ids=ids,
            past_key_values=self.cache,
            use_cache=True,
            output_hidden_states=self.states,
            return_dict=True,
            **{name: value for name, value in given.items() if value is not None},
            **self.short,
        )


def like(given: dict[str, Any], ids: Int64[Tensor, "b u"], mask: Tensor | None) -> dict[str, Any]:
    """What a model is given with further texts, where `generate` gave `given` with its own: a mask, positions if it had any."""
    mask = torch.ones_like(ids) if mask is None else mask.long()
    told: dict[str, Any] = {"attention_mask": mask}
    if given.get("position_ids") is not None:
        told["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
    return told | ({"logits_to_keep": 1} if "logits_to_keep" in given else {})


def token_by_token(
    ids: Int64[Tensor, "b t"], choose: Choose, stopping_criteria: Any, config: Any, streamer: Any = None
) -> Any:
    """Ids [b t] -> ids [b t + new], as `generate` gives them back; `choose(ids, those not read yet)` is the next token of each row."""
    alive = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
    fresh = ids
    _put(streamer, ids)
    while bool(alive.any()):
        token = torch.where(alive, choose(ids, fresh), _padding(config))
        fresh = token[:, None]
        ids = torch.cat([ids, fresh], 1)
        _put(streamer, token)
        alive = alive & ~stopping_criteria(ids, None)
    if streamer is not None:
        streamer.end()
    if config.return_dict_in_generate:
        return needed("transformers.generation", "text").GenerateDecoderOnlyOutput(sequences=ids)
    return ids


def _put(streamer: Any, tokens: Tensor) -> None:
    if streamer is not None:
        streamer.put(tokens.cpu())


def _padding(config: Any) -> int:
    """What follows the end of a finished row; nothing follows where no token ends one."""
    ends = config.eos_token_id if isinstance(config.eos_token_id, (list, tuple)) else [config.eos_token_id]
    chosen = config.pad_token_id if config.pad_token_id is not None else ends[0]
    return 0 if chosen is None else int(chosen)
