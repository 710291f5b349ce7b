"""Stamps of a painting program, small pictures with English captions: tuxpaint_stamps/stamps.parquet under NEARFAR_DATA.

Parts: train 500, dev 100 and test 185, drawn once, kinds in proportion. A record is a picture `image` [28 28 3] of bytes on white (a
quarter of the sides in the file), its `caption` ("A frog."), the same after the folders that it lies in, `placed_caption` ("animals
amphibians: A frog."), and the number of its outermost folder, `label` (fact `classes` has the names, from animals to vehicles, very
unequal in size). Several stamps may have one caption, within a part and across: letters in outline and filled, six flowers. They have
equal numbers in the column `caption`.
Source: Tux Paint stamps 2022-06-04 (GPL-2), those with a bitmap and an English caption.
"""

from __future__ import annotations

import numpy as np

from nearfar.core.card import Card
from nearfar.core.images import images
from nearfar.core.optional import needed
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset, data_folder
from nearfar.data.drawn_parts import drawn_parts

CARD = Card(name="tuxpaint_stamps", summary="785 small pictures with English captions, in folders by kind")

SIZES = {"train": 500, "dev": 100, "test": 185}
PIXELS = 28  # a side, of 112


def tuxpaint_stamps() -> Dataset:
    """The three parts. Raises ResourceError where NEARFAR_DATA is not set or has no such file."""
    parquet = needed("pyarrow.parquet", "parquet")
    columns = ["category", "subcategory", "caption_en", "png"]
    rows = parquet.read_table(data_folder("tuxpaint_stamps", "stamps.parquet"), columns=columns).to_pylist()
    image = images([row["png"] for row in rows], PIXELS).permute(0, 2, 3, 1).numpy()
    caption = [row["caption_en"] for row in rows]
    placed = [f"{row['category']} {row['subcategory']}".strip() + f": {row['caption_en']}" for row in rows]
    classes, label = np.unique([row["category"] for row in rows], return_inverse=True)
    parts = {
        name: array_records(
            image=image[places],
            caption=[caption[i] for i in places],
            placed_caption=[placed[i] for i in places],
            label=label[places],
        )
        for name, places in drawn_parts(label, SIZES).items()
    }
    return Dataset("tuxpaint_stamps", parts, {"classes": classes.tolist()})
