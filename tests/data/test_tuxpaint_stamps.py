"""Captioned stamps: sizes, that a record's fields belong together, and what is said where the file is missing."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nearfar.core.errors import DataError, ResourceError
from nearfar.data.dataset import VARIABLE
from nearfar.datasets.tuxpaint_stamps import SIZES, tuxpaint_stamps


def png(grey):
    """A file with one colour all over."""
    file = io.BytesIO()
    Image.new("RGB", (112, 112), (grey, grey, grey)).save(file, "PNG")
    return file.getvalue()


def write(folder, pictures):
    n = len(pictures)
    columns = {
        "category": ["town" if i % 4 else "food" for i in range(n)],
        "subcategory": ["" if i % 4 else "fruit" for i in range(n)],
        "caption_en": [f"Grey {i % 200}." for i in range(n)],
        "png": pictures,
    }
    (folder / "tuxpaint_stamps").mkdir()
    pq.write_table(pa.table(columns), folder / "tuxpaint_stamps" / "stamps.parquet")


def test_parts(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    write(tmp_path, [png(i % 200) for i in range(sum(SIZES.values()))])
    made = tuxpaint_stamps()
    assert made.facts == {"classes": ["food", "town"]}
    assert {name: len(part) for name, part in made.parts.items()} == SIZES
    for part in made.parts.values():
        image = np.stack(part.many("image", range(len(part))))
        assert image.shape == (len(part), 28, 28, 3)
        caption, placed = part.fields["caption"], part.fields["placed_caption"]
        assert [f"Grey {grey}." for grey in image[:, 5, 5, 1]] == list(caption)
        folders = np.array(["food fruit", "town"])[part.columns["label"]]
        assert [f"{folder}: {own}" for folder, own in zip(folders, caption, strict=True)] == list(placed)
        assert abs((part.columns["label"] == 0).mean() - 0.25) < 0.02
    assert len(set(made.train.columns["caption"].tolist())) < len(made.train)  # equal captions have equal numbers
    assert made.fingerprint == tuxpaint_stamps().fingerprint


def test_a_damaged_picture_and_no_file_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(ResourceError, match="tuxpaint_stamps"):
        tuxpaint_stamps()
    write(tmp_path, [png(1), png(2)[:50]])
    with pytest.raises(DataError, match="damaged"):
        tuxpaint_stamps()


def test_the_file_itself(real_data):
    made = tuxpaint_stamps()
    assert len(made.facts["classes"]) == 16
    assert made.train.fields["placed_caption"][0].startswith("animals")
