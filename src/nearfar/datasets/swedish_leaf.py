"""Outlines of leaves as time series, fifteen Swedish trees: ucr_dev/SwedishLeaf.npz under NEARFAR_DATA.

Parts: train 400 and dev 100, drawn once from the archive's training part of 500, classes in proportion; test, its test part of 625. A
record is a `series` [128 1], the distance of the outline from the leaf's centre all around it, and its `label`. With the nearest series by Euclid
classes are told at 0.79 (by the archive's training part).
Source: Soderkvist 2001, in the UCR Time Series Archive (Dau et al. 2018, arXiv 1810.07758); free for research.
"""

from __future__ import annotations

import numpy as np

from nearfar.core.card import Card
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset, data_folder
from nearfar.data.drawn_parts import drawn_parts

CARD = Card(name="swedish_leaf", summary="outlines of leaves of fifteen trees as series of 128 steps (UCR archive)")


def swedish_leaf() -> Dataset:
    """The three parts. Raises ResourceError where NEARFAR_DATA is not set or has no such file."""
    with np.load(data_folder("ucr_dev", "SwedishLeaf.npz"), allow_pickle=False) as file:
        series = {half: file[f"X_{half}"].astype(np.float32)[..., None] for half in ("train", "test")}
        names, label = np.unique(np.concatenate([file["y_train"], file["y_test"]]), return_inverse=True)
    labels = {"train": label[: len(series["train"])], "test": label[len(series["train"]) :]}
    rows = drawn_parts(labels["train"], {"train": 400, "dev": 100}) | {"test": np.arange(len(labels["test"]))}
    parts = {}
    for name, places in rows.items():
        half = "test" if name == "test" else "train"
        parts[name] = array_records(series=series[half][places], label=labels[half][places].astype(np.int64))
    return Dataset("swedish_leaf", parts, {"classes": len(names)})
