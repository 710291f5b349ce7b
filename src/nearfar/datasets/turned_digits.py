"""The 1,797 digits of `digits`, each turned by an angle, which is to be foretold: small real pictures with a value, from inside scikit-learn.

Parts as those of `digits`: train 1,000, dev 300, test 497. A record is a picture `image` [16 16] of bytes, the same as a `row` of 64 numbers from 0
to 1 (the means of four pixels), and its `value`: the angle in degrees, drawn once, uniform from -45 to 45, against the clock. What stands upright
differs from hand to hand, so that the angle is known within some degrees at best.
Source: as `digits`; turned here.
"""

from __future__ import annotations

import numpy as np

from nearfar.core.card import Card
from nearfar.core.optional import needed
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset
from nearfar.data.drawn_parts import drawn_parts

CARD = Card(name="turned_digits", summary="1,797 handwritten digits turned by an angle that is to be foretold")

FURTHEST = 45.0  # degrees


def turned_digits() -> Dataset:
    """The three parts.

    >>> found = turned_digits()
    >>> len(found.train), found.train.many("row", [0])[0].shape, bool(abs(found.train.columns["value"]).max() <= 45)
    (1000, (64,), True)
    """
    rotate = needed("scipy.ndimage", "probes").rotate
    data = needed("sklearn.datasets", "probes").load_digits()
    places = drawn_parts(data.target.astype(np.int64), {"train": 1000, "dev": 300, "test": 497}, seed=0)
    value = np.random.default_rng(0).uniform(-FURTHEST, FURTHEST, len(data.target)).astype(np.float32)
    large = np.kron(data.images * 15.9375, np.ones((1, 2, 2)))
    turned = np.stack([rotate(one, angle, reshape=False, order=1) for one, angle in zip(large, value, strict=True)])
    row = turned.reshape(-1, 8, 2, 8, 2).mean((2, 4)).reshape(-1, 64) / 255
    image = turned.clip(0, 255).astype(np.uint8)
    parts = {
        name: array_records(image=image[rows], row=row[rows].astype(np.float32), value=value[rows])
        for name, rows in places.items()
    }
    return Dataset("turned_digits", parts)
