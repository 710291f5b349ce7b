"""MNIST, handwritten digits of 28 x 28 pixels: mnist/mnist.npz under NEARFAR_DATA.

Parts: train 5,000 and dev 1,000 drawn once from the 60,000, classes in proportion; test 2,000 drawn from the 10,000. A record is a
picture `image` [28 28] of bytes and its `label`. `digits` is a smaller one that needs no file.
Source: LeCun, Cortes and Burges (CC BY-SA 3.0).
"""

from __future__ import annotations

import numpy as np

from nearfar.core.card import Card
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset, data_folder
from nearfar.data.drawn_parts import drawn_parts

CARD = Card(name="mnist", summary="handwritten digits of 28 x 28 pixels, 8,000 of them", related=("digits",))


def mnist() -> Dataset:
    """The three parts. Raises ResourceError where NEARFAR_DATA is not set or has no such file."""
    with np.load(data_folder("mnist", "mnist.npz"), allow_pickle=False) as file:
        images = {"train": file["x_train"], "test": file["x_test"]}
        labels = {"train": file["y_train"].astype(np.int64), "test": file["y_test"].astype(np.int64)}
    rows = drawn_parts(labels["train"], {"train": 5000, "dev": 1000}) | drawn_parts(labels["test"], {"test": 2000})
    parts = {}
    for name, places in rows.items():
        half = "test" if name == "test" else "train"
        parts[name] = array_records(image=images[half][places], label=labels[half][places])
    return Dataset("mnist", parts, {"classes": 10})
