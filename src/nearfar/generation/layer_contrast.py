"""Contrast of layers: of the plausible next tokens the one that gains most from an early layer to the last.

        q_j     = softmax(W h_j)                           what layer j would say, by the model's own table of tokens
        m       = argmax over candidate layers j of  JS(p, q_j),   JS(p, q) = KL(p | (p + q)/2) / 2 + KL(q | (p + q)/2) / 2
        x_{t+1} = argmax over v in { v : p(v) >= alpha max_w p(w) } of  log p(v) - log q_m(v)

Early layers know the grammar, later ones add what is known of the world; the difference brings the latter out. The layer is chosen anew
for each token and each text; one candidate makes it fixed. No second model is needed, and one reading of the text gives both
sides. With alpha = 1 this is greedy search. Kin: `amateur_contrast` takes a worse model for q, `prompt_contrast` a prompt that says less.

        model.generate(**inputs, max_new_tokens=64, repetition_penalty=1.2, custom_generate=nf.layer_contrast("high"))

Source: Chuang et al. 2023 (arXiv 2309.03883); alpha = 0.1, every other layer of a half, and W on states that no norm has touched as in
the public code, which skips the words' own table where W is the same one. That code divides by the wrong distribution (KL of
the mean from each side) and takes one layer for a whole batch: here it is the formula above, row by row. A repetition penalty of 1.2 is
what they advise; here a processor changes what the last layer says before tokens are chosen, there the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.generation.shared.token_by_token import Choose, Decoder, Reading, Scores
from nearfar.maths.plausible import check_alpha, contrasted

CARD = Card(
    name="layer_contrast",
    summary="decoding by what a model's last layer favours against an early one, chosen for each token",
    related=("amateur_contrast", "prompt_contrast", "contrastive_search", "layer_continuations"),
)

MOST = 20  # layers in a half, of deep models


@dataclass(frozen=True)
class LayerContrast(Decoder):
    """The decoder that `layer_contrast` makes; `generate` calls it."""

    method: ClassVar[str] = "a contrast of layers"

    layers: str | tuple[int, ...]
    alpha: float
    streamer: Any = None

    def begin(self, model: Any, ids: Int64[Tensor, "b t"], scores: Scores, given: dict[str, Any]) -> Choose:
        """What chooses the next tokens after these texts."""
        layers, table = self.candidates(model.config), model.get_output_embeddings()
        reading = Reading(model, given, states=True)

        def choose(ids: Tensor, fresh: Tensor) -> Tensor:
            made = reading.read(fresh)
            said = made.logits[:, -1].float()
            early = table(torch.stack([made.hidden_states[layer][:, -1] for layer in layers])).float()
            which = divergence(said, early).argmax(0)
            return contrasted(
                scores(ids, said), early[which, torch.arange(len(ids), device=ids.device)], self.alpha
            ).argmax(1)

        return choose

    def candidates(self, config: Any) -> list[int]:
        """Numbers of the layers that may be chosen; 0 is the table of tokens. Raises UsageError for one that is not before the last."""
        last = config.num_hidden_layers
        if isinstance(self.layers, tuple):
            if wrong := [layer for layer in self.layers if not 0 <= layer < last]:
                raise UsageError(
                    f"layer {wrong[0]} is none of those before the last", where="layers", remedy=f"give 0 to {last - 1}"
                )
            return list(self.layers)
        half = last // 2
        if self.layers == "high":
            return list(range(max(half, last - MOST), last, 2))
        first = min(2, last - 1) if config.tie_word_embeddings else 0
        return list(range(first, min(half, MOST), 2)) or [first]


def divergence(said: Float[Tensor, "b v"], early: Float[Tensor, "l b v"]) -> Float[Tensor, "l b"]:
    """The Jensen-Shannon divergence of each early layer's distribution from the last one's, of scores."""
    p, q = said.log_softmax(-1).expand_as(early), early.log_softmax(-1)
    mean = torch.logaddexp(p, q) - torch.log(torch.tensor(2.0))
    return ((p.exp() * (p - mean)).nansum(-1) + (q.exp() * (q - mean)).nansum(-1)) / 2


def layer_contrast(layers: str | Sequence[int] = "high", alpha: float = 0.1, *, streamer: Any = None) -> LayerContrast:
    """A decoder for `model.generate(..., custom_generate=...)`: of the plausible tokens what gains most through a model's layers.

    layers    candidates for the early layer: every other one of the "low" half (long answers) or the "high" half (short ones), or
              numbers, 0 the table of tokens; a single number fixes it
    alpha     how probable a token must be, as a share of the likeliest one's probability: 1 is greedy search, 0 rules out nothing
    streamer  of transformers; given here, since `generate` does not hand its own on to functions

    Processors and ends of text are those of `generate`. Deterministic, whatever `do_sample` says.

    Raises UsageError for an alpha outside 0 to 1 and for no layer; when it is called, for layers that the model does not have before
    its last one, and for what `contrastive_search` refuses; DataError where the scores are NaN.

    >>> layer_contrast([2])
    LayerContrast(layers=(2,), alpha=0.1, streamer=None)
    """
    check_alpha(alpha)
    if isinstance(layers, str):
        if layers not in ("low", "high"):
            raise UsageError(f"there are no {layers!r} layers", where="layers", remedy='"low", "high" or numbers')
        return LayerContrast(layers, alpha, streamer)
    if not layers:
        raise UsageError("no early layer to choose from", where="layers", remedy='"low", "high" or numbers')
    return LayerContrast(tuple(layers), alpha, streamer)
