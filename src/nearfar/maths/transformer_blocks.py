"""A block of a transformer, pre-norm: what encoders of tokens, items and patches are stacked from.

        x <- x + dropout(attention(norm(x)))          softmax(q k' / sqrt(d / heads)) v, a head on each slice of the vector
        x <- x + dropout(mlp(norm(x)))                GELU between two linear maps

The normalisation stands before each branch (Xiong et al., arXiv 2002.04745), so that training from scratch needs no long warm-up;
whoever stacks blocks puts one more `LayerNorm` after the last. Attention is Vaswani et al., arXiv 1706.03762.

Law one: padding is never looked at, and what stands at the place of padding is nobody's: pool with the same mask.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from nearfar.core.errors import UsageError

INITIAL_STD = 0.02  # of weights, as in BERT, GPT-2 and ViT


class Block(nn.Module):
    """Multi-head attention and a two-layer perceptron, each around a residual; [n t d] -> [n t d].

    dimension  d, a multiple of `heads`
    dropout    on the attention's weights, inside the perceptron and on what each branch adds; only while training
    mlp_ratio  width of the perceptron in units of d

    >>> import torch
    >>> x, mask = torch.randn(2, 5, 8), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    >>> block = Block(8, heads=2).eval()
    >>> alone = block(x[1:, :3])
    >>> torch.allclose(block(x, mask)[1:, :3], alone, atol=1e-6), torch.allclose(block(x)[1:, :3], alone, atol=1e-6)
    (True, False)
    """

    def __init__(self, dimension: int, heads: int, *, dropout: float = 0.0, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        if heads < 1 or dimension < 1 or dimension % heads:
            raise UsageError(
                f"a vector of {dimension} cannot be cut into {heads} heads",
                where="heads",
                remedy="choose a dimension that is a multiple of the number of heads",
            )
        if not 0 <= dropout < 1:
            raise UsageError(f"a dropout of {dropout}", where="dropout", remedy="give a share from 0 to below 1")
        self.heads, self.dropout = heads, dropout
        width = max(1, int(dimension * mlp_ratio))
        self.attention_norm, self.mlp_norm = nn.LayerNorm(dimension), nn.LayerNorm(dimension)
        self.query_key_value = nn.Linear(dimension, 3 * dimension)
        self.out = nn.Linear(dimension, dimension)
        self.widen, self.narrow = nn.Linear(dimension, width), nn.Linear(width, dimension)
        for linear in (self.query_key_value, self.out, self.widen, self.narrow):
            nn.init.normal_(linear.weight, std=INITIAL_STD)
            nn.init.zeros_(linear.bias)

    def forward(
        self, x: Float[Tensor, "n t d"], mask: Bool[Tensor, "n t"] | None = None, *, causal: bool = False
    ) -> Float[Tensor, "n t d"]:
        """`mask` is True at real tokens, wherever padding stands; `causal` lets a token see itself and what is before it.

        A record without a real token gives finite numbers that mean nothing.
        """
        x = x + self._drop(self._attend(self.attention_norm(x), mask, causal))
        return x + self._drop(self.narrow(self._drop(functional.gelu(self.widen(self.mlp_norm(x))))))

    def _attend(self, x: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        n, t, d = x.shape
        query, key, value = self.query_key_value(x).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if mask is None else seen(mask, causal=causal),
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal and mask is None,
        )
        return self.out(mixed.transpose(1, 2).reshape(n, t, d))

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training)


def seen(mask: Bool[Tensor, "n t"], *, causal: bool = False) -> Bool[Tensor, "n 1 s t"]:
    """Which tokens each token may look at: s is t if `causal`, else 1. Nobody looks at nothing, for that would be NaN."""
    if not causal:
        return (mask | ~mask.any(1, keepdim=True))[:, None, None]
    t = mask.shape[1]
    own = torch.eye(t, dtype=torch.bool, device=mask.device)
    before = own.new_ones(t, t).tril()
    return (mask[:, None] & before | own)[:, None]
