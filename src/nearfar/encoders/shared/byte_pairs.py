"""Byte pairs: text to tokens by merging the bytes that occur together most often, learned from a corpus.

Any text can be written, for every byte is a token; there is no unknown one. Special tokens are numbers before those of the text, so
that nothing in a text can be read as one. What is stored is the list of merges, in order: it is data that can be checked, and the
tokenizer is built from it whenever it is needed.
Source: Sennrich et al. 2015 (arXiv 1508.07909); on bytes as GPT-2 does, by the package `tokenizers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from nearfar.core.errors import DataError, ResourceError

PAD, FIRST, MASK = 0, 1, 2  # padding; stands before every text; a token that a local term has hidden
SPECIAL = 3
# What other libraries call these. They look for such names in texts, so no text may be likely to hold one.
NAMES = ("<|near-pad|>", "<|near-first|>", "<|near-mask|>")
MAX_MERGES = 1_000_000

# Bytes as characters that can be seen, in GPT-2's way, sorted as the trainer sorts them.
_SEEN = {*range(33, 127), *range(161, 173), *range(174, 256)}
ALPHABET = tuple(sorted([chr(b) for b in _SEEN] + [chr(256 + i) for i in range(256 - len(_SEEN))]))


class BytePairs:
    """A tokenizer made of `merges`, each two known tokens with a blank between; `lowercase` folds the case before.

    >>> pairs = BytePairs(["l o", "lo w"], lowercase=True)
    >>> len(pairs), [len(ids) for ids in pairs.encode(["Low", "lower", ""], most=9)]
    (261, [3, 5, 1])
    """

    def __init__(self, merges: Sequence[str], lowercase: bool) -> None:
        self.merges, self.lowercase = list(merges), lowercase
        self.vocabulary = {token: number for number, token in enumerate(ALPHABET)}
        for merge in self.merges:
            left, blank, right = merge.partition(" ")
            if not blank or left not in self.vocabulary or right not in self.vocabulary:
                raise DataError(
                    f"{merge[:40]!r} merges what is no token",
                    where="merges",
                    remedy="the model is damaged; save it anew",
                )
            # Two ways may lead to one token; the first gave it its number.
            self.vocabulary.setdefault(left + right, len(self.vocabulary))

    @classmethod
    def fit(cls, texts: Sequence[str], *, vocabulary: int, min_count: int, lowercase: bool) -> BytePairs:
        """The merges of these texts: at most as many as make `vocabulary` tokens, each of a pair that occurs `min_count` times.

        The same texts give the same merges, in any process.
        """
        library = _library()
        empty = cls([], lowercase)
        learner = empty._with(library, dict(empty.vocabulary))
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocabulary - SPECIAL,
            min_frequency=min_count,
            initial_alphabet=list(ALPHABET),
            special_tokens=[],
            show_progress=False,
        )
        learner.train_from_iterator(map(_sound, texts), trainer)
        return cls(_merges_of(learner), lowercase)

    def __len__(self) -> int:
        """How many tokens there are, special ones included."""
        return SPECIAL + len(self.vocabulary)

    def encode(self, texts: Sequence[str], most: int) -> list[list[int]]:
        """The tokens of each text, `FIRST` and then at most `most` - 1 of its own."""
        found = self._tokenizer.encode_batch_fast([_sound(text) for text in texts])
        return [[FIRST, *(number + SPECIAL for number in text.ids[: most - 1])] for text in found]

    def to_json(self) -> str:
        """The tokenizer for other libraries, as the JSON of `tokenizers`: the numbers are those of `encode`, and no text is cut."""
        library = _library()
        shifted = {token: number + SPECIAL for token, number in self.vocabulary.items()}
        made = self._with(library, {name: number for number, name in enumerate(NAMES)} | shifted)
        made.post_processor = library.processors.TemplateProcessing(
            single=f"{NAMES[FIRST]} $A", special_tokens=[(NAMES[FIRST], FIRST)]
        )
        return made.to_str()

    @cached_property
    def _tokenizer(self) -> Any:
        # Made when first used: a model can be read, copied and sent on without the package.
        return self._with(_library(), dict(self.vocabulary))

    def _with(self, library: Any, vocabulary: dict[str, int]) -> Any:
        pairs = [tuple(merge.split(" ", 1)) for merge in self.merges]
        made = library.Tokenizer(library.models.BPE(vocabulary, pairs))
        folded = [library.normalizers.NFC(), *([library.normalizers.Lowercase()] if self.lowercase else [])]
        made.normalizer = library.normalizers.Sequence(folded)
        # With a blank before it, a first word is the same token as anywhere else.
        made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=True)
        return made


def _merges_of(tokenizer: Any) -> list[str]:
    import json

    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]


def _sound(text: str) -> str:
    """Halves of surrogate pairs, which JSON can hold and UTF-8 cannot, become question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise ResourceError(
            "texts are cut into byte pairs by the package tokenizers, which is not installed",
            where="encoder",
            remedy='pip install "nearfar[text]"',
        ) from None
    return tokenizers
