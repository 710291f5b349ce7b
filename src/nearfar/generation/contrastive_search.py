"""Contrastive search: of the likely next tokens the one whose state repeats least what was there before.

        x_{t+1} = argmax over v in V_k of  (1 - alpha) p(v | x_1..t) - alpha max_{j <= t} cos(h_v, h_j)

V_k are the k most probable tokens, p their probability among all (not renormalised), h_v the last hidden state after v has been fed,
h_j those of the prompt and of what was generated. Greedy search falls into loops because a loop makes itself likely; the states of
a repeated passage are near one another, and that is what is taken off. It is greedy search with alpha = 0 or k = 1, draws nothing,
and needs states that can be told apart: in a model where all point one way (`isotropy` near 0) the second term is a constant.

The decoder is given to `generate` of transformers as a function, so no code of a repository is run:

        model.generate(**inputs, max_new_tokens=64, custom_generate=nf.contrastive_search())

Every step feeds the k candidates of each row in one batch, on the cached keys and values of what came before. Padding on the left
is no earlier token; rows do not see each other.

Source: Su and Collier 2022 (arXiv 2210.14140), after Su et al. 2022 (arXiv 2202.06417); k = 5 and alpha = 0.6 are those of their code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.core.optional import needed

CARD = Card(
    name="contrastive_search",
    summary="decoding by probability less the likeness to earlier tokens' states, for any causal model of transformers",
    related=("isotropy", "diversity", "coherence"),
)

KNOWN = frozenset({"attention_mask", "position_ids", "past_key_values", "use_cache", "logits_to_keep"})
ASKED = ("output_scores", "output_logits", "output_attentions", "output_hidden_states")


@dataclass(frozen=True)
class ContrastiveSearch:
    """The decoder that `contrastive_search` makes; `generate` calls it."""

    k: int
    alpha: float
    streamer: Any = None

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
        self._refuse(model, generation_config, given)
        context = _Context(model, given)
        states, logits = context.read(input_ids)
        earlier = functional.normalize(states.float(), dim=-1)
        alive = torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
        padding = _padding(generation_config)
        self._put(input_ids)
        while bool(alive.any()):
            scores = logits_processor(input_ids, logits.float())
            likely = _probabilities(scores).topk(self.k)
            state, ahead = context.branch(likely.indices)
            found = functional.normalize(state.float(), dim=-1)
            best = contrast(likely.values, found, earlier, context.is_token, self.alpha).argmax(1)
            row = torch.arange(len(best), device=best.device)
            token = torch.where(alive, likely.indices[row, best], padding)
            context.keep(best)
            earlier, logits = torch.cat([earlier, found[row, best][:, None]], 1), ahead[row, best]
            input_ids = torch.cat([input_ids, token[:, None]], 1)
            self._put(token)
            alive = alive & ~stopping_criteria(input_ids, None)
        if self.streamer is not None:
            self.streamer.end()
        if generation_config.return_dict_in_generate:
            return needed("transformers.generation", "text").GenerateDecoderOnlyOutput(sequences=input_ids)
        return input_ids

    def _put(self, tokens: Tensor) -> None:
        if self.streamer is not None:
            self.streamer.put(tokens.cpu())

    def _refuse(self, model: Any, config: Any, given: dict[str, Any]) -> None:
        vocabulary = model.get_input_embeddings().num_embeddings
        unused = [
            name for name, value in given.items() if name not in KNOWN and value is not None and value is not False
        ]
        cache = given.get("past_key_values")
        wrong = {
            f"{self.k} candidates of a vocabulary of {vocabulary}": (
                self.k > vocabulary,
                f"choose k up to {vocabulary}",
            ),
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
                raise UsageError(f"contrastive search does not know {what}", where="generate", remedy=remedy)


class _Context:
    """What was read so far: keys and values in the cache, the mask, the positions."""

    def __init__(self, model: Any, given: dict[str, Any]) -> None:
        self.model = model
        cache = given.get("past_key_values")
        self.cache: Any = needed("transformers", "text").DynamicCache(config=model.config) if cache is None else cache
        self.rows = 0
        self.mask: Tensor | None = given.get("attention_mask")
        self.places: Tensor | None = given.get("position_ids")
        self.short = {"logits_to_keep": 1} if "logits_to_keep" in given else {}
        self.is_token: Tensor = torch.ones(0, 0, dtype=torch.bool)

    def read(self, ids: Int64[Tensor, "b t"]) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b v"]]:
        """The prompt: states of all its tokens, and what the model says after the last."""
        states, logits = self._forward(ids, self.mask, self.places)
        self.is_token = torch.ones_like(ids, dtype=torch.bool) if self.mask is None else self.mask.bool()
        return states, logits

    def branch(self, ids: Int64[Tensor, "b k"]) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k v"]]:
        """Each of k tokens after what was read: its state, and what the model says after it."""
        rows, k = ids.shape
        self.cache.batch_repeat_interleave(k)
        if self.mask is not None:
            self.mask = functional.pad(self.mask, (0, 1), value=1)
        if self.places is not None:
            self.places = self.places[:, -1:] + 1
        mask, places = (None if x is None else x.repeat_interleave(k, 0) for x in (self.mask, self.places))
        states, logits = self._forward(ids.reshape(rows * k, 1), mask, places)
        return states.reshape(rows, k, -1), logits.reshape(rows, k, -1)

    def keep(self, which: Int64[Tensor, " b"]) -> None:
        """Go on with one of the branches of each row."""
        rows = len(which)
        k = self.rows // rows
        self.cache.batch_select_indices(torch.arange(rows, device=which.device) * k + which)
        self.rows = rows
        self.is_token = functional.pad(self.is_token, (0, 1), value=True)

    def _forward(self, ids: Tensor, mask: Tensor | None, places: Tensor | None) -> tuple[Tensor, Tensor]:
        self.rows = len(ids)
        given = {"attention_mask": mask, "position_ids": places}
        made = self.model(
            input_ids=ids,
            past_key_values=self.cache,
            use_cache=True,
            output_hidden_states=True,
            return_dict=True,
            **{name: value for name, value in given.items() if value is not None},
            **self.short,
        )
        return made.hidden_states[-1], made.logits[:, -1]


def contrast(
    likely: Float[Tensor, "b k"],
    found: Float[Tensor, "b k d"],
    earlier: Float[Tensor, "b t d"],
    is_token: Bool[Tensor, "b t"],
    alpha: float,
) -> Float[Tensor, "b k"]:
    """What candidates are chosen by: of probabilities, candidates' and earlier states of length one; padding is no earlier token.

    A candidate of probability zero, which a processor has ruled out, is never the best unless all are.
    """
    cosines = torch.einsum("bkd,btd->bkt", found, earlier).masked_fill(~is_token[:, None], -torch.inf)
    value = (1 - alpha) * likely - alpha * cosines.amax(2)
    return value.masked_fill(likely == 0, -torch.inf)


def _probabilities(scores: Float[Tensor, "b v"]) -> Float[Tensor, "b v"]:
    found = scores.softmax(-1)
    if not bool(found.isfinite().all()):
        raise DataError(
            "the model's scores of the next token are no numbers",
            where="generate",
            remedy="look for a damaged model, a precision too low for it, or processors that rule out every token",
        )
    return found


def _padding(config: Any) -> int:
    """What follows the end of a finished row; nothing follows where no token ends one."""
    ends = config.eos_token_id if isinstance(config.eos_token_id, (list, tuple)) else [config.eos_token_id]
    chosen = config.pad_token_id if config.pad_token_id is not None else ends[0]
    return 0 if chosen is None else int(chosen)


def contrastive_search(k: int = 5, alpha: float = 0.6, *, streamer: Any = None) -> ContrastiveSearch:
    """A decoder for `model.generate(..., custom_generate=...)`: of the `k` likeliest tokens the one that repeats least.

    alpha     0 looks at probability alone, 1 at the likeness to earlier states alone
    streamer  of transformers; given here, since `generate` does not hand its own on to functions

    Processors and ends of text (max_new_tokens, eos_token_id, stop_strings) are those of `generate`. Deterministic, whatever
    `do_sample` says; a temperature set beside it changes the probabilities.

    Raises UsageError for a k below one and an alpha outside 0 to 1; when it is called, for encoder-decoders, beams, caches of fixed
    size or with something in them, k above the vocabulary, and outputs other than the ids; DataError where the scores are NaN.

    >>> contrastive_search(4, 0.5)
    ContrastiveSearch(k=4, alpha=0.5, streamer=None)
    """
    if k < 1:
        raise UsageError(f"{k} candidates", where="k", remedy="choose at least one")
    if not 0 <= alpha <= 1:
        raise UsageError(f"alpha = {alpha}", where="alpha", remedy="choose one from 0 to 1")
    return ContrastiveSearch(k, alpha, streamer)
