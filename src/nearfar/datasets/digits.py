"""Handwritten digits of 8 x 8 pixels, 1,797 of them, from inside scikit-learn: the smallest real pictures.

Parts: train 1,000 (labelled; whoever wants none leaves them), dev 300, test 497, drawn once, classes in proportion. A record is a
picture `image` [16 16] of bytes (each pixel doubled, for encoders that halve the size a few times), and its `label`.
Source: Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits" (CC BY 4.0), the test part of the original.
"""

from __future__ import annotations

import numpy as np

from nearfar.core.card import Card
from nearfar.core.optional import needed
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset
from nearfar.data.drawn_parts import drawn_parts

CARD = Card(name="digits", summary="1,797 handwritten digits of 8 x 8 pixels", related=("mnist",))


def digits() -> Dataset:
    """The three parts.

    >>> found = digits()
    >>> len(found.train), found.train.many("image", [0])[0].shape
    (1000, (16, 16))
    """
    data = needed("sklearn.datasets", "probes").load_digits()
    image = np.kron(data.images * 15.9375, np.ones((1, 2, 2))).astype(np.uint8)
    label = data.target.astype(np.int64)
    places = drawn_parts(label, {"train": 1000, "dev": 300, "test": 497}, seed=0)
    parts = {name: array_records(image=image[rows], label=label[rows]) for name, rows in places.items()}
    return Dataset("digits", parts, {"classes": 10})
