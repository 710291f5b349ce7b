"""Contrast of prompts: of the plausible next tokens the one that gains most by what the second prompt hides.

        x_{t+1} = argmax over v in { v : p(v | X) >= alpha max_w p(w | X) } of  log p(v | X) - weight log p(v | X')

X is the prompt, X' the same with a condition hidden, and what is written follows both. A condition that the model overlooks changes
little, so what is common in spite of it wins; the difference takes off what the rest of the prompt says by itself. Weight 0 is
greedy search, as is alpha = 1; where the hidden condition changes nothing, every weight below one leaves the likeliest token. Kin:
`amateur_contrast` takes another model for the second side, `layer_contrast` an early layer.

        by = nf.prompt_contrast(shorter.input_ids, shorter.attention_mask)
        model.generate(**inputs, max_new_tokens=8, custom_generate=by)

Source: Zhang et al. 2024 (arXiv 2407.08039), self-contrastive decoding, the formula by a note of it and from memory; alpha = 0.1 and
weight 1 are those of the contrast of an expert with an amateur (arXiv 2210.15097): the paper's own were not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Int, Int64
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.generation.shared.token_by_token import Choose, Decoder, Reading, Scores, like
from nearfar.maths.plausible import check_alpha, contrasted

CARD = Card(
    name="prompt_contrast",
    summary="decoding by what a model says after one prompt against what it says after another that says less",
    related=("amateur_contrast", "layer_contrast", "contrastive_search", "hidden_condition_answers"),
)


@dataclass(frozen=True, eq=False)
class PromptContrast(Decoder):
    """The decoder that `prompt_contrast` makes; `generate` calls it."""

    method: ClassVar[str] = "a contrast of prompts"

    ids: Int64[Tensor, "b u"]
    mask: Tensor | None
    alpha: float
    weight: float
    streamer: Any = None

    def begin(self, model: Any, ids: Int64[Tensor, "b t"], scores: Scores, given: dict[str, Any]) -> Choose:
        """What chooses the next tokens after these texts."""
        if len(self.ids) != len(ids):
            raise UsageError(
                f"{len(ids)} prompts and {len(self.ids)} that hide something",
                where="ids",
                remedy="give one for each prompt, in their order",
            )
        hidden = self.ids.to(ids.device)
        mask = None if self.mask is None else self.mask.to(ids.device)
        whole, less = Reading(model, given), Reading(model, like(given, hidden, mask))

        def choose(ids: Tensor, fresh: Tensor) -> Tensor:
            better = scores(ids, whole.read(fresh).logits[:, -1])
            worse = less.read(hidden if ids is fresh else fresh).logits[:, -1].float()
            return contrasted(better, worse, self.alpha, self.weight).argmax(1)

        return choose


def prompt_contrast(
    ids: Int64[Tensor, "b u"],
    mask: Int[Tensor, "b u"] | None = None,
    alpha: float = 0.1,
    weight: float = 1.0,
    *,
    streamer: Any = None,
) -> PromptContrast:
    """A decoder for `model.generate(..., custom_generate=...)`: of the plausible tokens what most needs the whole prompt.

    ids, mask  the prompts with a condition hidden, one for each prompt in their order, padded on the left; no mask: no padding
    alpha      how probable a token must be, as a share of the likeliest one's probability: 1 is greedy search, 0 rules out nothing
    weight     of what the shorter prompts say: 0 is greedy search
    streamer   of transformers; given here, since `generate` does not hand its own on to functions

    Processors change what the whole prompt says, before tokens are chosen; ends of text are those of `generate`. Deterministic, whatever
    `do_sample` says.

    Raises UsageError for an alpha outside 0 to 1 and a weight below 0; when it is called, for another number of prompts and for what
    `contrastive_search` refuses; DataError where the scores are NaN.

    >>> import torch
    >>> prompt_contrast(torch.tensor([[1, 5]]), weight=0.5).weight
    0.5
    """
    check_alpha(alpha)
    if not 0 <= weight < float("inf"):
        raise UsageError(f"weight = {weight}", where="weight", remedy="choose one of at least 0")
    return PromptContrast(ids, mask, alpha, weight, streamer)
