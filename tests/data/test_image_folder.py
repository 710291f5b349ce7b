"""Folders and tables of images as records: classes by folder, an order that depends on names alone, nothing lost unseen."""

import json
import os

import numpy as np
import pytest
from PIL import Image

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.data.bad_records import BadRecords
from nearfar.data.image_folder import image_folder


def save(path, seed, size=(20, 24)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def classes(tmp_path):
    """Two classes of images, one of them in a deeper folder, and what must not count."""
    root = tmp_path / "photos"
    for number, name in enumerate(("dog/b.png", "dog/a.JPG", "cat/deep/z.webp", "cat/c.png", "Ant/x.png")):
        save(root / name, number)
    for name in (".hidden.png", "dog/.DS_Store", ".cache/a.png", "__MACOSX/dog/b.png", "cat/notes.txt", "list.csv"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("no image")
    (root / "empty").mkdir()
    return root


def names(records, root):
    return [os.path.relpath(path, root).replace(os.sep, "/") for path in records.fields["image"]]


@pytest.mark.parametrize("check", ["whole", "header"])
def test_folders_are_classes(classes, check):
    records = image_folder(classes, check=check)
    assert names(records, classes) == ["Ant/x.png", "cat/c.png", "cat/deep/z.webp", "dog/a.JPG", "dog/b.png"]
    assert list(records.fields["class"]) == ["Ant", "cat", "cat", "dog", "dog"]
    assert records.columns["label"].tolist() == [0, 1, 1, 2, 2]
    assert records.columns["label"].dtype == np.int64
    assert len(set(records.columns["image_id"].tolist())) == 5
    notes = " ".join(map(str, records.notes))
    assert "2 files that are no image " in notes
    assert "1 .txt" in notes
    assert "'empty'" in notes


def test_the_order_is_that_of_names_not_of_the_disk(classes, monkeypatch):
    expected = image_folder(classes)
    walk = os.walk

    def backwards(*args, **kwargs):
        for folder, folders, files in walk(*args, **kwargs):
            folders.reverse()
            yield folder, folders, sorted(files, reverse=True)

    monkeypatch.setattr(os, "walk", backwards)
    again = image_folder(classes)
    assert names(again, classes) == names(expected, classes)
    assert again.fingerprint == expected.fingerprint
    assert list(expected.take([1, 0]).fields["image"]) != list(expected.fields["image"])[:2]


def test_images_are_read_when_asked_for(classes):
    records = image_folder(classes)
    # What is a list would be decoded as a whole, and kept in memory.
    assert not isinstance(records.fields["image"], (list, tuple))
    encoder = nf.Convolutional.fit({"image": records.fields["image"]}, width=4, stages=1, size=8)
    inputs = encoder.prepare(records.many("image", [4, 0]))
    assert inputs.shape == (2, 3, 8, 8)
    assert inputs[1].equal(encoder.prepare([classes / "Ant/x.png"])[0])
    assert list(records.fields["image"][1:3]) == list(records.fields["image"])[1:3]


def test_the_fingerprint_is_of_contents_and_names(classes):
    before = image_folder(classes).fingerprint
    os.utime(classes / "dog/b.png", (0, 0))
    assert image_folder(classes).fingerprint == before
    save(classes / "dog/b.png", seed=99)
    changed = image_folder(classes).fingerprint
    assert changed != before
    (classes / "dog/b.png").rename(classes / "cat/b.png")
    assert image_folder(classes).fingerprint not in (before, changed)


def test_a_flat_folder_has_no_labels(tmp_path):
    for number, name in enumerate(("b.png", "a.png", "10.png", "9.png")):
        save(tmp_path / name, number)
    records = image_folder(tmp_path)
    assert names(records, tmp_path) == ["10.png", "9.png", "a.png", "b.png"]
    assert set(records.fields) == {"image"}
    assert set(records.columns) == {"image_id"}


def test_images_beside_classes_have_no_class(classes):
    save(classes / "stray.png", 7)
    with pytest.raises(DataError, match="1 image files lie beside") as caught:
        image_folder(classes)
    assert caught.value.where.endswith("stray.png")
    records = image_folder(classes, labels=False)
    assert len(records) == 6
    assert "label" not in records.columns


def test_links_are_followed_and_loops_are_not(classes, tmp_path):
    save(tmp_path / "elsewhere/e.png", 8)
    (classes / "emu").symlink_to(tmp_path / "elsewhere")
    (classes / "cat/loop").symlink_to(classes)
    records = image_folder(classes)
    assert list(records.fields["class"]).count("emu") == 1
    assert len(records) == 6


def test_a_copy_is_noticed(classes):
    (classes / "dog/copy.png").write_bytes((classes / "cat/c.png").read_bytes())
    records = image_folder(classes)
    ids = dict(zip(names(records, classes), records.columns["image_id"].tolist(), strict=True))
    assert ids["dog/copy.png"] == ids["cat/c.png"] != ids["dog/a.JPG"]
    assert any("1 of 6 files repeat another" in str(note) for note in records.notes)


def broken(root):
    """A file that is cut off, one that is no image, and one that is empty."""
    whole = (root / "dog/b.png").read_bytes()
    (root / "dog/cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "cat/fake.jpg").write_text("<html>")
    (root / "cat/zero.gif").write_bytes(b"")


def test_a_broken_file_stops_everything_or_is_counted(classes, tmp_path):
    broken(classes)
    with pytest.raises(DataError) as caught:
        image_folder(classes)
    assert caught.value.where == str(classes / "cat/fake.jpg")
    listed = tmp_path / "bad_records.jsonl"
    records = image_folder(classes, bad=BadRecords("skip", listed, 0.5))
    assert len(records) == 5
    assert records.columns["label"].tolist() == [0, 1, 1, 2, 2]
    rows = [json.loads(line) for line in listed.read_text().splitlines()]
    assert [os.path.basename(row["where"]) for row in rows] == ["fake.jpg", "zero.gif", "cut.png"]
    assert all(row["reason"] and row["remedy"] for row in rows)
    assert any("3 bad records were left out" in str(note) for note in records.notes)
    with pytest.raises(DataError, match=r"more than the 10\.0% allowed"):
        image_folder(classes, bad=BadRecords("skip", share=0.1))


def test_a_look_at_headers_alone_misses_what_is_cut_off(classes):
    broken(classes)
    records = image_folder(classes, check="header", bad=BadRecords("skip", share=0.5))
    assert "dog/cut.png" in names(records, classes)
    assert "cat/fake.jpg" not in names(records, classes)


def test_progress_is_told(classes):
    told = []
    image_folder(classes, progress=lambda done, total: told.append((done, total)))
    assert told == [(5, 5)]


def write_table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_table_of_paths_and_captions(classes):
    table = classes / "captions.csv"
    table.write_text(
        'file_name,caption,label\ndog/b.png,"a dog, sitting",pet\ncat/c.png,a cat,pet\nAnt/x.png,an ant,insect\n'
    )
    records = image_folder(table)
    assert names(records, classes) == ["dog/b.png", "cat/c.png", "Ant/x.png"]  # in the table's order
    assert list(records.fields["caption"]) == ["a dog, sitting", "a cat", "an ant"]
    assert records.columns["label"].tolist() == [1, 1, 0]
    assert list(records.fields["class"]) == ["pet", "pet", "insect"]
    assert set(image_folder(table, labels=False).columns) == {"image_id", "caption_id"}
    chosen = image_folder(table, "file_name,label", labels=False)
    assert list(chosen.fields["caption"]) == ["pet", "pet", "insect"]
    assert chosen.columns["caption_id"][0] == chosen.columns["caption_id"][1] != chosen.columns["caption_id"][2]
    assert set(image_folder(table, ["file_name"], labels=False).fields) == {"image"}


def test_several_captions_of_one_image_share_its_id(classes):
    rows = [{"image": "dog/b.png", "text": "a dog"}, {"image": "dog/b.png", "text": "an animal"}]
    records = image_folder(write_table(classes / "t.jsonl", rows))
    assert len(set(records.columns["image_id"].tolist())) == 1
    assert len(set(records.columns["caption_id"].tolist())) == 2


def test_bad_rows_of_a_table_are_named(classes, tmp_path):
    rows = [
        {"image": "dog/b.png", "caption": "a dog", "label": 1},
        {"image": "dog/none.png", "caption": "nothing", "label": 1},
        {"image": "cat/c.png", "caption": " ", "label": 0},
        {"image": "cat/c.png", "caption": "a cat", "label": None},
        {"image": "cat/c.png", "caption": "a cat", "label": 0},
    ]
    table, listed = write_table(classes / "t.jsonl", rows), tmp_path / "bad.jsonl"
    with pytest.raises(DataError, match="line 3"):  # rows are read before files
        image_folder(table)
    records = image_folder(table, bad=BadRecords("skip", listed, 0.6))
    assert list(records.fields["caption"]) == ["a dog", "a cat"]
    assert records.columns["label"].tolist() == [1, 0]
    where = [json.loads(line)["where"] for line in listed.read_text().splitlines()]
    assert [w.split(", ")[1] for w in where] == ["line 3", "line 4", "line 2"]
    assert where[2].endswith("none.png")
    with pytest.raises(DataError, match="3 of 5 records"):
        image_folder(table, bad=BadRecords("skip", share=0.5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "nowhere", "no such folder"),
        (lambda root: root / "cat/notes.txt", "no folder of image files"),
        (lambda root: root / "empty", "holds no image files"),
        (lambda root: root / "list.csv", "header and no record"),
        (lambda root: write_table(root / "t.jsonl", [{"picture": "a.png"}]), 'columns="file,caption"'),
    ],
)
def test_what_holds_no_images_is_named(classes, make, message):
    with pytest.raises(DataError, match=message) as caught:
        image_folder(make(classes))
    assert str(classes) in caught.value.where
    assert caught.value.remedy


def test_calls_that_make_no_sense(classes):
    with pytest.raises(UsageError, match="a folder has no columns"):
        image_folder(classes, "a,b")
    table = write_table(classes / "t.jsonl", [{"image": "dog/b.png", "text": "a dog"}])
    with pytest.raises(DataError, match="did you mean 'image'"):
        image_folder(table, "imagee,text")
    with pytest.raises(UsageError, match="3 columns"):
        image_folder(table, "image,text,more")
