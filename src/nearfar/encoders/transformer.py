"""A small transformer for texts, trained from scratch: byte pairs learned on the corpus, learned positions, pre-norm blocks.

        h_0 = dropout(E[token] + P[place]);    h_l = block_l(h_(l-1)), l = 1 .. depth;    v = pool(norm(h_depth))

Attention sees the whole text. A token stands before every text, for the pooling "cls" and so that an empty text has a vector.
With dropout, two passes of one text are two views of it (Gao et al. 2021). For weights that know the language already take
`pretrained`; for CPUs and much text `static`, which knows no order of words.
Source: Vaswani et al. 2017 (arXiv 1706.03762); pre-norm by Xiong et al. 2020 (arXiv 2002.04745); dropout of 0.1 as in BERT, which
is what SimCSE's views need: Gao et al. 2021 (SimCSE, arXiv 2104.08821). Byte pairs: Sennrich et al. 2015 (arXiv 1508.07909). The
sizes are ours, for a corpus of 10 MB and a machine without an accelerator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.core.rows import Rows
from nearfar.core.seeding import seeded
from nearfar.core.text_fields import check_texts
from nearfar.core.tokens import Tokens
from nearfar.core.tree import from_json, to_json
from nearfar.encoders.shared.byte_pairs import ALPHABET, MASK, MAX_MERGES, PAD, SPECIAL, BytePairs
from nearfar.encoders.shared.settings import (
    MAX_WIDTH,
    check_choice,
    check_dropout,
    check_heads,
    check_sizes,
    stored,
    wrong,
)
from nearfar.maths.pooling import POOLINGS, pooled
from nearfar.maths.transformer_blocks import INITIAL_STD, Block

CARD = Card(
    name="transformer",
    summary="a small transformer for texts, trained from scratch on byte pairs of the corpus",
    related=("pretrained", "static", "self_attention"),
    reads=("text",),
    public=("Transformer",),
)

READER = "the transformer"


@dataclass(frozen=True)
class _Setup:
    """What the architecture is, beside the merges; stored with every model."""

    dimension: int
    depth: int
    heads: int
    dropout: float
    pooling: str
    max_tokens: int
    lowercase: bool

    def __post_init__(self) -> None:
        check_sizes(self, dimension=MAX_WIDTH, depth=1000, max_tokens=2**20)
        check_heads(self.dimension, self.heads)
        check_dropout(self.dropout)
        check_choice("pooling", self.pooling, POOLINGS)
        if self.max_tokens < 2:
            raise wrong("max_tokens", self.max_tokens, "give 2 or more: one stands before the text")


class Transformer(nn.Module):
    """See the file's text. `fit` makes one for a corpus; queries and documents are treated alike.

    tokens   the table of token vectors; its weight scores tokens for a local term
    mask_id  the token that a local term writes over one to be guessed

    >>> import torch, nearfar as nf
    >>> texts = ["near and far", "far from near", "a third text"]
    >>> encoder = nf.Transformer.fit({"query": texts}, dimension=16, depth=1, heads=2, vocabulary=300).eval()
    >>> together, alone = encoder(encoder.prepare(texts)), encoder(encoder.prepare(texts[:1]))
    >>> together.vectors.shape, torch.allclose(together.vectors[:1], alone.vectors, atol=1e-6)
    (torch.Size([3, 16]), True)
    """

    mask_id = MASK
    at_once: ClassVar[int] = 4_096  # as for `pretrained`

    def __init__(self, pairs: BytePairs, setup: _Setup) -> None:
        super().__init__()
        self.pairs, self.setup, self.dimension = pairs, setup, setup.dimension
        self.tokens = nn.Embedding(len(pairs), setup.dimension)
        self.places = nn.Embedding(setup.max_tokens, setup.dimension)
        for table in (self.tokens, self.places):
            nn.init.normal_(table.weight, std=INITIAL_STD)
        self.blocks = nn.ModuleList(
            [Block(setup.dimension, setup.heads, dropout=setup.dropout) for _ in range(setup.depth)]
        )
        self.norm = nn.LayerNorm(setup.dimension)

    @classmethod
    def fit(
        cls,
        records: Mapping[str, Sequence[Any]],
        *,
        dimension: int = 256,
        depth: int = 4,
        heads: int = 4,
        dropout: float = 0.1,
        pooling: str = "mean",
        max_tokens: int = 128,
        vocabulary: int = 8192,
        min_count: int = 2,
        lowercase: bool = True,
        seed: int = 0,
    ) -> Transformer:
        """An encoder with random weights, its byte pairs learned on the texts of all sides together.

        dimension   length of a vector, a multiple of `heads`
        depth       blocks
        dropout     while training: of embeddings, attention and what each block adds
        pooling     "mean", "cls", "last", or "tokens": one vector a token, for late interaction
        max_tokens  longer texts are cut to so many tokens, the one before each text included
        vocabulary  tokens at most, 259 of which are bytes and special ones
        min_count   times that a pair must occur to become a token
        lowercase   whether case is folded; say False where it means something, as in code

        Errors: UsageError for settings that make no sense, DataError for a record that is no text, ResourceError without tokenizers.
        """
        setup = _Setup(dimension, depth, heads, dropout, pooling, max_tokens, lowercase)
        least = SPECIAL + len(ALPHABET)
        if not least <= vocabulary <= MAX_MERGES:
            raise wrong("vocabulary", vocabulary, f"give {least} to {MAX_MERGES:,}")
        if min_count < 1:
            raise wrong("min_count", min_count, "give 1 or more")
        for side in records:
            check_texts(records[side], READER)
        every = [text for side in sorted(records) for text in records[side]]
        pairs = BytePairs.fit(every, vocabulary=vocabulary, min_count=min_count, lowercase=lowercase)
        with seeded(seed):
            return cls(pairs, setup)

    def prepare(self, records: Sequence[Any]) -> Tokens:
        """Texts as tokens, cut to the greatest length. Raises DataError for a record that is no text."""
        check_texts(records, READER)
        return Tokens.of(self.pairs.encode(records, self.setup.max_tokens))

    def outputs(self, inputs: Tokens, layer: int | None = None) -> Rows:
        """States of all tokens, for local terms: vectors [n t d], their mask, and a column `token` [n t] of what stood there.

        layer  None: after the last block, normalised; l: after l blocks as they are, 0 what goes into the first, -1 the last

        Raises UsageError for a layer that there is not.
        """
        depth = self.setup.depth
        if layer is not None and not -depth - 1 <= layer <= depth:
            raise UsageError(f"there is no layer {layer}", where="layer", remedy=f"give 0 to {depth}")
        ids, mask = inputs.padded(PAD, self.tokens.weight.device)
        states = self.tokens(ids) + self.places.weight[: ids.shape[1]]
        states = functional.dropout(states, self.setup.dropout, self.training)
        for block in self.blocks[: depth if layer is None else layer % (depth + 1)]:
            states = block(states, mask)
        return Rows(self.norm(states) if layer is None else states, {"token": ids}, mask)

    def forward(self, inputs: Tokens, side: str = "query", layer: int | None = None, *, states: bool = False) -> Any:
        """One row a text: vectors [n dimension], not normalised; for "tokens" [n t dimension] with their mask. `layer`: see `outputs`.

        With `states` a pair: those rows, and what `outputs` gives.
        """
        made = self.outputs(inputs, layer)
        assert made.mask is not None
        rows = pooled(made.vectors, made.mask, self.setup.pooling)
        return (rows, made) if states else rows

    def cost(self, inputs: Tokens) -> Tensor:
        """Tokens of each text [n]."""
        return inputs.lengths

    def config(self) -> dict[str, Any]:
        """Setup and merges: everything but the weights, as JSON."""
        return {"setup": to_json(self.setup), "merges": self.pairs.merges}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Transformer:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        merges: Any = config.get("merges")
        with stored("a transformer"):
            if not isinstance(merges, list) or len(merges) > MAX_MERGES or not all(isinstance(m, str) for m in merges):
                raise DataError("the merges are no list of texts")
            setup = from_json(_Setup, config.get("setup"), "setup")
            return cls(BytePairs(merges, setup.lowercase), setup)
