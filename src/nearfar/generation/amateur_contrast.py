"""Contrast of an expert with an amateur: of the plausible next tokens the one that the better model favours most against a worse one.

        x_{t+1} = argmax over v in V of  log p_expert(v | x_1..t) - log p_amateur(v | x_1..t)
        V       = { v : p_expert(v) >= alpha max_w p_expert(w) }

What both models do badly - loops, empty phrases - the worse one does more, so that the difference takes it off; V keeps what the expert
holds possible. The amateur is a smaller model of the same vocabulary, or the expert itself where it sees no more than the last `context`
tokens; `temperature` divides its scores. With alpha = 1 this is greedy search. Kin: `contrastive_search` compares states instead of
models, `layer_contrast` an early layer with the last one, `prompt_contrast` one prompt with another.

        model.generate(**inputs, max_new_tokens=64, custom_generate=nf.amateur_contrast(smaller_model))

Both models keep their keys and values; an amateur with a `context` reads its few tokens anew for each token instead. Tokens are taken
one by one: Li et al. search with a beam of five. Two equal models leave nothing to choose by, and chance of rounding decides; a model that
is its own amateur takes the likeliest token as long as its few tokens are the whole text.

Source: Li et al. 2022 (arXiv 2210.15097), alpha = 0.1 as their code's followers quote it; temperature: 0.5 in the command of their
repository for GPT-2, 1 here, since below 1 an amateur that is as good as the expert turns the order of the plausible tokens around. They
too weaken an amateur by what it sees, by leaving out the prompt (from memory); a window that slides along is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.generation.shared.token_by_token import Choose, Decoder, Reading, Scores, like
from nearfar.maths.plausible import check_alpha, contrasted

CARD = Card(
    name="amateur_contrast",
    summary="decoding by what a better language model favours against a worse one, among plausible tokens",
    related=("contrastive_search", "layer_contrast", "prompt_contrast", "amateur_continuations"),
)


@dataclass(frozen=True)
class AmateurContrast(Decoder):
    """The decoder that `amateur_contrast` makes; `generate` calls it."""

    method: ClassVar[str] = "a contrast with an amateur"

    amateur: Any
    alpha: float
    temperature: float
    context: int | None
    streamer: Any = None

    def begin(self, model: Any, ids: Int64[Tensor, "b t"], scores: Scores, given: dict[str, Any]) -> Choose:
        """What chooses the next tokens after these texts."""
        amateur = model if self.amateur is None else self.amateur
        known = [m.get_input_embeddings().num_embeddings for m in (model, amateur)]
        if known[0] != known[1]:
            raise UsageError(
                f"the expert knows {known[0]:,} tokens, the amateur {known[1]:,}",
                where="amateur",
                remedy="take two models of one tokenizer",
            )
        expert, mask = Reading(model, given), given.get("attention_mask")
        other = None if self.context else Reading(amateur, like(given, ids, mask))

        def choose(ids: Tensor, fresh: Tensor) -> Tensor:
            better = scores(ids, expert.read(fresh).logits[:, -1])
            worse = self._window(amateur, ids, expert.mask, given) if other is None else other.read(fresh).logits[:, -1]
            return contrasted(better, worse.float() / self.temperature, self.alpha).argmax(1)

        return choose

    def _window(
        self, amateur: Any, ids: Int64[Tensor, "b t"], mask: Tensor | None, given: dict[str, Any]
    ) -> Float[Tensor, "b v"]:
        """What the amateur says after the last few tokens, as if the texts began there."""
        assert self.context is not None
        mask = torch.ones_like(ids) if mask is None else mask
        seen = ids[:, -self.context :]
        told = like(given, seen, mask[:, -self.context :])
        said = amateur(input_ids=seen, use_cache=False, return_dict=True, **told).logits[:, -1]
        if self.amateur is not None:
            return said
        sees_all = mask.sum(1) <= self.context
        return said.masked_fill(sees_all[:, None], 0.0)


def amateur_contrast(
    amateur: Any = None,
    alpha: float = 0.1,
    *,
    temperature: float = 1.0,
    context: int | None = None,
    streamer: Any = None,
) -> AmateurContrast:
    """A decoder for `model.generate(..., custom_generate=...)`: of the plausible tokens what the model favours against an amateur.

    amateur      a causal model of the same vocabulary; None: the model itself, which needs a `context`
    alpha        how probable a token must be, as a share of the likeliest one's probability: 1 is greedy search, 0 rules out nothing
    temperature  of the amateur: below 1 it is surer of itself than it is
    context      the last tokens that the amateur sees; None: all
    streamer     of transformers; given here, since `generate` does not hand its own on to functions

    Processors change what the expert says, before tokens are chosen; ends of text are those of `generate`. Deterministic, whatever
    `do_sample` says.

    Raises UsageError for an alpha outside 0 to 1, a temperature that is not above 0, a context below one, and a model against itself;
    when it is called, for models of different vocabularies and what `contrastive_search` refuses; DataError where the scores are NaN.

    >>> amateur_contrast(context=8)
    AmateurContrast(amateur=None, alpha=0.1, temperature=1.0, context=8, streamer=None)
    """
    check_alpha(alpha)
    if not temperature > 0:
        raise UsageError(f"temperature = {temperature}", where="temperature", remedy="choose one above 0")
    if context is not None and context < 1:
        raise UsageError(f"an amateur that sees {context} tokens", where="context", remedy="let it see one or more")
    if amateur is None and context is None:
        raise UsageError(
            "a model against itself leaves nothing to choose by",
            where="amateur",
            remedy="give a smaller model as the amateur, or the few tokens that it may see as the context",
        )
    return AmateurContrast(amateur, alpha, temperature, context, streamer)
