"""A small causal transformer over characters, made for training from scratch: it reads texts, and can go on with them.

        v(text) = pool( llama( <s>, c_1, .., c_n ) )

Every character of the corpus is a token, others are one unknown token, so a few kilobytes of text are enough for a vocabulary. No token
sees a later one, and the scores of the next character are the products of a state with the table of characters (the two are one),
which is what `continuations` decodes with. For a model that knows a language take `pretrained`, which this is in all but where
its weights come from; `transformer` looks at both sides of a token and cannot go on with a text.
Source: the architecture of Llama as transformers builds it (Touvron et al. 2023, arXiv 2302.13971); the sizes are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nearfar.core.card import Card
from nearfar.core.optional import needed
from nearfar.core.seeding import seeded
from nearfar.core.text_fields import check_texts
from nearfar.encoders.pretrained import MAX_TOKENS, Pretrained
from nearfar.encoders.shared.architecture import build_architecture
from nearfar.encoders.shared.sentence_folder import TextSetup
from nearfar.encoders.shared.settings import MAX_WIDTH, check_choice, wrong
from nearfar.maths.layers import is_size
from nearfar.maths.pooling import POOLINGS

CARD = Card(
    name="character_model",
    summary="a small causal transformer over characters, trained from scratch, that can go on with a text",
    related=("pretrained", "transformer", "continuations"),
    reads=("text",),
    public=("CharacterModel",),
)

UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
MAX_DEPTH = 100


class CharacterModel(Pretrained):
    """See the file's text. `fit` makes one for a corpus.

    >>> import nearfar as nf
    >>> encoder = nf.CharacterModel.fit({"text": ["near", "and far"]}, dimension=8, depth=1, heads=2).eval()
    >>> encoder.prepare(["far"]).ids.tolist(), encoder(encoder.prepare(["far"])).vectors.shape
    ([1, 7, 4, 9], torch.Size([1, 8]))
    """

    @classmethod
    def fit(  # pyright: ignore[reportIncompatibleMethodOverride] - it has no folder
        cls,
        texts: Mapping[str, Sequence[str]],
        *,
        dimension: int = 128,
        depth: int = 4,
        heads: int = 4,
        pooling: str = "mean",
        max_tokens: int = 256,
        seed: int = 0,
    ) -> CharacterModel:
        """An encoder with random weights, whose characters are those of the texts of all sides.

        dimension   length of a vector, an even multiple of `heads`
        depth       blocks
        pooling     "mean", "cls" (the state before the first character, which knows nothing), "last", or "tokens"
        max_tokens  longer texts are cut to so many characters, the beginning counted as one

        Errors: UsageError for settings that make no sense, DataError for a record that is no text, ResourceError without transformers.
        """
        for name, value, most in (("dimension", dimension, MAX_WIDTH), ("depth", depth, MAX_DEPTH)):
            if not is_size(value, most):
                raise wrong(name, value, f"give a whole number from 1 to {most:,}")
        if not is_size(heads, dimension) or dimension % (2 * heads):
            raise wrong("heads", heads, f"choose one so that the dimension, {dimension}, is an even multiple of it")
        if not is_size(max_tokens, MAX_TOKENS) or max_tokens < 2:
            raise wrong("max_tokens", max_tokens, f"give 2 to {MAX_TOKENS:,}")
        check_choice("pooling", pooling, POOLINGS)
        for side in texts:
            check_texts(texts[side], "a model of characters")
        known = sorted({character for side in texts for text in texts[side] for character in text})
        ids = {token: number for number, token in enumerate([UNKNOWN, BEGIN, END, *known])}
        sizes = {"hidden_size": dimension, "num_hidden_layers": depth, "num_attention_heads": heads}
        with seeded(seed):
            model = build_architecture(llama(len(ids), 3 * dimension, max_tokens, sizes), "text")
            made = cls(model, tokenizer_of(ids), TextSetup(pooling=pooling, max_tokens=max_tokens))
        made.train()
        return made


def llama(vocabulary: int, inner: int, positions: int, sizes: Mapping[str, int]) -> dict[str, Any]:
    """The configuration of a Llama whose table of tokens also scores the next one."""
    return {
        "model_type": "llama",
        "vocab_size": vocabulary,
        "intermediate_size": inner,
        "max_position_embeddings": positions,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        **sizes,
    }


def tokenizer_of(ids: Mapping[str, int]) -> str:
    """A tokenizer, as JSON, of a token for each character, with one at the beginning; `ids` hold the three special tokens too."""
    tokenizers = needed("tokenizers", "text")
    made = tokenizers.Tokenizer(needed("tokenizers.models", "text").WordLevel(dict(ids), unk_token=UNKNOWN))
    made.pre_tokenizer = needed("tokenizers.pre_tokenizers", "text").Split(tokenizers.Regex(r"[\s\S]"), "isolated")
    made.post_processor = needed("tokenizers.processors", "text").TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, ids[BEGIN])]
    )
    made.decoder = needed("tokenizers.decoders", "text").Fuse()
    made.add_special_tokens([UNKNOWN, BEGIN, END])
    return made.to_str()
