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
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.generation.shared.token_by_token import Choose, Decoder, Reading, Scores

CARD = Card(
    name="contrastive_search",
    summary="decoding by probability less the likeness to earlier tokens' states, for any causal model of transformers",
    related=("isotropy", "diversity", "coherence"),
)


@dataclass(frozen=True)
class ContrastiveSearch(Decoder):
    """The decoder that `contrastive_search` makes; `generate` calls it."""

    method: ClassVar[str] = "contrastive search"

    k: int
    alpha: float
    streamer: Any = None

    def begin(self, model: Any, ids: Int64[Tensor, "b t"], scores: Scores, given: dict[str, Any]) -> Choose:
        """What chooses the next tokens after these texts."""
        vocabulary = model.get_input_embeddings().num_embeddings
        if self.k > vocabulary:
            raise UsageError(
                f"contrastive search does not know {self.k} candidates of a vocabulary of {vocabulary}",
                where="generate",
                remedy=f"choose k up to {vocabulary}",
            )
        context = _Context(model, given, states=True)
        states, logits = context.prompt(ids)
        earlier = functional.normalize(states.float(), dim=-1)

        def choose(ids: Tensor, _: Tensor) -> Tensor:
            nonlocal earlier, logits
            likely = scores(ids, logits).softmax(-1).topk(self.k)
            state, ahead = context.branch(likely.indices)
            found = functional.normalize(state.float(), dim=-1)
            best = contrast(likely.values, found, earlier, context.is_token, self.alpha).argmax(1)
            row = torch.arange(len(best), device=best.device)
            context.keep(best)
            earlier, logits = torch.cat([earlier, found[row, best][:, None]], 1), ahead[row, best]
            return likely.indices[row, best]

        return choose


class _Context(Reading):
    """What was read so far, and the branches after it."""

    is_token: Tensor
    k: int

    def prompt(self, ids: Int64[Tensor, "b t"]) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b v"]]:
        """States of all its tokens, and what the model says after the last."""
        self.is_token = torch.ones_like(ids, dtype=torch.bool) if self.mask is None else self.mask.bool()
        made = self.read(ids)
        return made.hidden_states[-1], made.logits[:, -1]

    def branch(self, ids: Int64[Tensor, "b k"]) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k v"]]:
        """Each of k tokens after what was read: its state, and what the model says after it."""
        rows, k = ids.shape
        self.k = k
        self.cache.batch_repeat_interleave(k)
        self.one_more()
        mask, places = (None if x is None else x.repeat_interleave(k, 0) for x in (self.mask, self.places))
        made = self.forward(ids.reshape(rows * k, 1), mask, places)
        return made.hidden_states[-1].reshape(rows, k, -1), made.logits[:, -1].reshape(rows, k, -1)

    def keep(self, which: Int64[Tensor, " b"]) -> None:
        """Go on with one of the branches of each row."""
        self.cache.batch_select_indices(torch.arange(len(which), device=which.device) * self.k + which)
        self.is_token = functional.pad(self.is_token, (0, 1), value=True)


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
