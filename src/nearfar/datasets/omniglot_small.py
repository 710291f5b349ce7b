"""Handwritten characters of five alphabets, few drawings of each, for episodes: omniglot_small/omniglot_small.npz under NEARFAR_DATA.

Parts are of different characters, so that what is measured has never been seen: train 80 characters, dev 20, test 36, drawn once, alphabets in
proportion; 20 drawings of each. A record is a picture `image` [35 35] of bytes (the original's 105 x 105, three by three pixels one),
ink dark on white, with the character as its `label` and its `alphabet`.
Source: Lake et al. 2015, the smaller background set (MIT licence).
"""

from __future__ import annotations

import numpy as np

from nearfar.core.card import Card
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset, data_folder
from nearfar.data.drawn_parts import drawn_parts

CARD = Card(
    name="omniglot_small",
    summary="2,720 drawings of 136 handwritten characters; other characters in each part",
    related=("mnist", "digits"),
)

SIZE = 105  # pixels, of which nine become one


def omniglot_small() -> Dataset:
    """The three parts. Raises ResourceError where NEARFAR_DATA is not set or has no such file."""
    with np.load(data_folder("omniglot_small", "omniglot_small.npz"), allow_pickle=False) as file:
        ink = np.unpackbits(file["images"], axis=2)[:, :, :SIZE]
        names = np.char.add(np.char.add(file["alphabet"], " "), file["character"].astype(str))
        _, alphabet = np.unique(file["alphabet"], return_inverse=True)
    blocks = ink.reshape(len(ink), SIZE // 3, 3, SIZE // 3, 3).mean((2, 4))
    image = (255 * (1 - blocks)).round().astype(np.uint8)
    characters, first, label = np.unique(names, return_index=True, return_inverse=True)
    chosen = drawn_parts(alphabet[first], {"train": 80, "dev": 20, "test": len(characters) - 100})
    parts = {}
    for name, of in chosen.items():
        rows = np.flatnonzero(np.isin(label, of))
        parts[name] = array_records(
            image=image[rows], label=label[rows].astype(np.int64), alphabet=alphabet[rows].astype(np.int64)
        )
    return Dataset("omniglot_small", parts, {"characters": len(characters), "alphabets": int(alphabet.max()) + 1})
