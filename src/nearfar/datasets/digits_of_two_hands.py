"""Handwritten digits from two sources, labelled in one of them: MNIST and `digits`, mnist/mnist.npz under NEARFAR_DATA.

For transfer from a labelled source to an unlabelled target. The source is MNIST, its middle shrunk to 8 x 8 pixels; the target are
`digits`, which fill the picture and were written and scanned otherwise. Parts: train, 500 of each; dev, 300 of each; test, 500 and 497. A record is a picture `image` [16 16] of bytes (each pixel doubled), with `domain` (0 source, 1 target), its class `truth`, and
`label`, the same or -1 (unknown) in the target: what may be trained with.
Source: LeCun, Cortes and Burges (CC BY-SA 3.0); Alpaydin and Kaynak 1998 (CC BY 4.0).
"""

from __future__ import annotations

import numpy as np

from nearfar.core.card import Card
from nearfar.core.optional import needed
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset, data_folder
from nearfar.data.drawn_parts import drawn_parts

CARD = Card(
    name="digits_of_two_hands",
    summary="handwritten digits of two sources, labelled in one of them alone",
    related=("digits", "mnist"),
)


def digits_of_two_hands() -> Dataset:
    """The three parts. Raises ResourceError where NEARFAR_DATA is not set or has no such file."""
    with np.load(data_folder("mnist", "mnist.npz"), allow_pickle=False) as file:
        middle = file["x_train"][:, 2:26, 2:26].reshape(-1, 8, 3, 8, 3)
        source, source_class = middle.mean((2, 4)), file["y_train"].astype(np.int64)
    data = needed("sklearn.datasets", "probes").load_digits()
    target, target_class = data.images * 15.9375, data.target.astype(np.int64)
    places = (
        drawn_parts(source_class, {"train": 500, "dev": 300, "test": 500}),
        drawn_parts(target_class, {"train": 500, "dev": 300, "test": 497}),
    )
    parts = {}
    for name in places[0]:
        mine, theirs = places[0][name], places[1][name]
        image = np.concatenate([source[mine], target[theirs]])
        truth = np.concatenate([source_class[mine], target_class[theirs]])
        domain = np.repeat([0, 1], [len(mine), len(theirs)])
        parts[name] = array_records(
            image=np.kron(image, np.ones((1, 2, 2))).astype(np.uint8),
            domain=domain,
            truth=truth,
            label=np.where(domain == 0, truth, -1),
        )
    return Dataset("digits_of_two_hands", parts, {"classes": 10})
