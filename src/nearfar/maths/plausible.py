"""What a better model says of the next token less what a worse one says, among the tokens that the better one holds plausible.

        V(p)  = { v : p(v) >= alpha max_w p(w) }
        s(v)  = log p(v) - weight log q(v)   for v in V(p), else -inf

Without V the largest difference is that of a token which both hold impossible. Where p = q and the weight is one, s is 0 on V:
nothing but plausibility is left. With alpha = 1 the likeliest token stays alone.
"""

from __future__ import annotations

from math import log

from jaxtyping import Bool, Float
from torch import Tensor, inf

from nearfar.core.errors import UsageError


def plausible(scores: Float[Tensor, "*b v"], alpha: float) -> Bool[Tensor, "*b v"]:
    """Whether a token is at least `alpha` times as probable as the likeliest one; scores are any that softmax takes."""
    if alpha == 0:
        return scores > -inf
    return scores >= scores.amax(-1, keepdim=True) + log(alpha)


def contrasted(
    better: Float[Tensor, "*b v"], worse: Float[Tensor, "*b v"], alpha: float, weight: float = 1.0
) -> Float[Tensor, "*b v"]:
    """The scores s of two models' scores (logits) of the next token."""
    difference = better.log_softmax(-1) - weight * worse.log_softmax(-1)
    return difference.masked_fill(~plausible(better, alpha), -inf)


def check_alpha(alpha: float) -> None:
    """Raises UsageError for an alpha outside 0 to 1."""
    if not 0 <= alpha <= 1:
        raise UsageError(f"alpha = {alpha}", where="alpha", remedy="choose one from 0 to 1")
