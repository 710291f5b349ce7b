"""Canvases with two to four handwritten digits at random places of a grid, and which digit is where: for vectors of places. Inside scikit-learn.

Parts: train 600, dev 200, test 300, of digits from the parts of `digits`, so that no hand-drawn digit is in two parts. A record is a
picture `image` [24 24] of bytes, and for each pixel the `digit` [24 24] that it belongs to and `which` [24 24] of the canvas it is (0 to 3), -1 where
there is none. Digits are 8 x 8 pixels, begin at
multiples of 4 and do not overlap.
Source: as `digits`; put together here.
"""

from __future__ import annotations

import numpy as np

from nearfar.core.card import Card
from nearfar.core.optional import needed
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset
from nearfar.data.drawn_parts import drawn_parts

CARD = Card(
    name="digit_canvases",
    summary="1,100 canvases with two to four handwritten digits each, and which is where",
    related=("digits", "place_network"),
)

SIDE, DIGIT, GRID = 24, 8, 4  # pixels
FEWEST, MOST = 2, 4  # digits on a canvas
SIZES = {"train": (1000, 600), "dev": (300, 200), "test": (497, 300)}  # digits and canvases of each part


def digit_canvases() -> Dataset:
    """The three parts.

    >>> found = digit_canvases()
    >>> len(found.train), found.train.many("digit", [0])[0].shape
    (600, (24, 24))
    """
    data = needed("sklearn.datasets", "probes").load_digits()
    places = drawn_parts(data.target.astype(np.int64), {name: digits for name, (digits, _) in SIZES.items()}, seed=0)
    chance, parts = np.random.default_rng(0), {}
    for name, (_, canvases) in SIZES.items():
        made = [_canvas(data.images, data.target, places[name], chance) for _ in range(canvases)]
        image, digit, which = (np.stack(arrays) for arrays in zip(*made, strict=True))
        parts[name] = array_records(image=image, digit=digit, which=which)
    return Dataset("digit_canvases", parts, {"classes": 10})


def _canvas(
    images: np.ndarray, target: np.ndarray, of: np.ndarray, chance: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image, digit = np.zeros((SIDE, SIDE), np.uint8), np.full((SIDE, SIDE), -1, np.int64)
    which = digit.copy()
    for number, drawing in enumerate(chance.choice(of, chance.integers(FEWEST, MOST + 1), replace=False)):
        # Somewhere free: a digit covers at most one of the four corners, so that three leave room for a fourth.
        while True:
            down, across = GRID * chance.integers(0, (SIDE - DIGIT) // GRID + 1, 2)
            box = np.s_[down : down + DIGIT, across : across + DIGIT]
            if (digit[box] < 0).all():
                break
        image[box], digit[box], which[box] = images[drawing] * 15.9375, target[drawing], number
    return image, digit, which
