"""Records that an exported graph is checked on when nobody gives any: of all lengths, made of what the encoder knows.

They say whether two graphs agree, which needs no meaning in them; what 8 bits cost is better measured on records of one's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nearfar.core.model import Model
from nearfar.encoders.pretrained_image import PretrainedImage
from nearfar.export.graphs import Plan

COUNT = 48
TEXTS = (
    "a",
    "How do I sort a list?",
    "straße, naïve, 你好",
    "def parse_HTTPHeader2(line):\n    return line.split(':')",
)
LONGEST = 64  # words of a probe; a few are longer than any encoder reads


def probes_of(model: Model, plan: Plan) -> list[Any]:
    """Records that the encoder of a model reads; the same ones each time."""
    encoder: Any = model.tower(next(iter(model.sides)))
    rng = np.random.default_rng(0)
    reads = plan.reads
    if reads["kind"] == "pixels":
        size = (reads["height"], reads["width"])
        if isinstance(encoder, PretrainedImage):  # may be cut from something larger
            size = (2 * size[0], 2 * size[1])
        return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(COUNT // 4)]
    if reads["kind"] == "items":
        lengths = rng.integers(1, min(reads["most"], LONGEST) + 1, COUNT)
        return [rng.integers(1, reads["items"] + 1, length).tolist() for length in lengths]
    if reads["kind"] == "units":
        words = [unit for unit in encoder.vocabulary.known if not unit.startswith("#")]
    else:
        words = [word.strip() for word in _words(plan)]
    words = [word for word in words if word] or ["near"]
    made = [" ".join(rng.choice(words, length)) for length in rng.integers(1, LONGEST + 1, COUNT)]
    return [*TEXTS, *made, " ".join(rng.choice(words, 10 * LONGEST))]


def _words(plan: Plan) -> list[str]:
    """Tokens as texts, without the special ones."""
    from tokenizers import Tokenizer

    from nearfar.export.feeds import TOKENIZER

    tokenizer = Tokenizer.from_str(plan.files[TOKENIZER])
    names = list(tokenizer.get_vocab())
    return [name.strip("#Ġ▁_<>[]|/") for name in sorted(names)]
