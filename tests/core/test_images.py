"""Images of every kind become one tensor of bytes; what is broken is named."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from nearfar.core import images as module
from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.core.images import image_size, images


@pytest.fixture
def photo():
    """[40 60 3]: smooth, no two channels alike, every corner another colour."""
    y, x = np.mgrid[0:40, 0:60]
    wave = 40 * np.sin(x / 9.0 + y / 5.0)
    return np.stack([60 + 2 * x, 200 - 3 * y, 100 + wave], 2).clip(0, 255).astype(np.uint8)


def png_claiming(width, height):
    """A PNG of a few bytes that claims any size."""

    def chunk(data):
        return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))

    header = chunk(b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT" + zlib.compress(bytes(100)))


def test_the_same_picture_in_every_form_is_the_same(photo, tmp_path):
    Image.fromarray(photo).save(tmp_path / "a.png")
    forms = [
        photo,
        photo / 255,
        photo.astype(np.uint16) * 257,
        torch.from_numpy(photo).permute(2, 0, 1),
        Image.fromarray(photo),
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        (tmp_path / "a.png").read_bytes(),
        {"bytes": (tmp_path / "a.png").read_bytes(), "path": None},
        {"bytes": None, "path": str(tmp_path / "a.png")},
    ]
    made = images(forms)
    assert made.shape == (len(forms), 3, 40, 60)
    assert made.dtype == torch.uint8
    for one in made:
        assert torch.equal(one, torch.from_numpy(photo).permute(2, 0, 1))
    assert not torch.equal(images([photo[:, ::-1]])[0], made[0])
    assert images([]).shape == (0, 3, 0, 0)


def test_resizing_is_that_of_pillow_on_the_square_in_the_middle(photo):
    square = Image.fromarray(photo).crop((10, 0, 50, 40))
    for size in (16, 40, 100):
        expected = np.asarray(square.resize((size, size), Image.Resampling.BICUBIC)).astype(int)
        made = images([photo], size)[0].permute(1, 2, 0).numpy().astype(int)
        assert np.abs(made - expected).max() <= 1
    # Without the crop the picture is squeezed, and without anti-aliasing a fine pattern turns into a coarse one.
    squeezed = np.asarray(Image.fromarray(photo).resize((16, 16), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(images([photo], 16)[0].permute(1, 2, 0).numpy() - squeezed).max() > 20
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    inner = slice(2, -2)
    assert (images([stripes], 20)[0, 0, inner, inner].float() - 127.5).abs().max() < 40
    nearest = np.asarray(Image.fromarray(stripes).resize((20, 20), Image.Resampling.NEAREST))[inner, inner]
    assert np.abs(nearest - 127.5).max() > 100


def test_different_sizes_need_a_size_and_a_long_strip_costs_nothing(photo):
    with pytest.raises(DataError, match=r"record 1.*say a size") as caught:
        images([photo, photo[:20]])
    assert caught.value.where == "record 1"
    assert images([photo, photo[:20], np.zeros((1, 100_000), np.uint8)], 8).shape == (3, 3, 8, 8)


def test_grey_and_colour(photo):
    grey = np.asarray(Image.fromarray(photo).convert("L")).astype(int)
    luma = images([photo], channels=1)
    assert luma.shape == (1, 1, 40, 60)
    assert np.abs(luma[0, 0].numpy().astype(int) - grey).max() <= 1
    assert np.abs(photo.mean(2) - grey).max() > 10  # the plain mean is another grey
    repeated = images([grey.astype(np.uint8), grey.astype(np.uint8)[..., None]])
    assert torch.equal(repeated[0, 0], repeated[0, 2])
    assert torch.equal(repeated[0], repeated[1])


def test_odd_kinds_of_images(photo):
    image = Image.fromarray(photo)
    as_bytes = torch.from_numpy(photo).permute(2, 0, 1).int()
    for mode, tolerance in (("P", 30), ("CMYK", 2), ("HSV", 12), ("YCbCr", 4), ("RGBA", 0), ("RGBX", 0)):
        made = images([image.convert(mode)])[0].int()
        assert (made - as_bytes).abs().float().mean() <= tolerance, mode
    deep = Image.fromarray(np.array([[0, 128, 32768, 65535]], np.uint16))
    assert deep.mode == "I;16"
    assert images([deep])[0, 0, 0].tolist() == [0, 0, 128, 255]
    assert images([Image.new("I", (1, 1), 65535)])[0, 0].tolist() == [[255]]
    assert images([Image.new("1", (2, 2), 1)]).unique().tolist() == [255]
    assert images([Image.new("F", (2, 2), 0.5)]).unique().tolist() == [128]
    clear = Image.new("RGBA", (2, 2), (10, 20, 30, 0))
    clear.putpixel((0, 0), (10, 20, 30, 255))
    shown = images([clear])[0]
    assert shown[:, 0, 0].tolist() == [10, 20, 30]
    assert shown[:, 1, 1].tolist() == [255, 255, 255]  # nothing is white, not the colour that hides below
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putpixel((1, 0), 1)
    file = io.BytesIO()
    palette.save(file, "png", transparency=1)
    assert images([file.getvalue()])[0, :, 0].T.tolist() == [[255, 0, 0], [255, 255, 255]]


def test_orientation_is_honoured(photo, tmp_path):
    image = Image.fromarray(photo)
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was turned: show it turned clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    made = images([tmp_path / "turned.png"])[0]
    expected = torch.from_numpy(np.rot90(photo, -1).copy()).permute(2, 0, 1)
    assert torch.equal(made, expected)
    assert made.shape != (3, 40, 60)
    assert image_size(tmp_path / "turned.png", "") == (40, 60)  # what the file claims


def test_large_jpegs_are_decoded_small_and_look_the_same(photo):
    large = Image.fromarray(photo).resize((1200, 800), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    large.save(file, "jpeg", quality=95)
    quick, whole = images([file.getvalue()], 32).float(), images([Image.open(file)], 32).float()
    assert (quick - whole).abs().mean() < 2
    assert (quick - whole.flip(3)).abs().mean() > 10


BROKEN = {
    "empty": (b"", "empty"),
    "text": (b"<html>not found</html>" * 9, "no image"),
    "bomb": (png_claiming(60_000, 60_000), "3,600,000,000|claims"),
    "bomb below Pillow's error": (png_claiming(10_000, 9_500), "claims"),
    "too few pixels": (png_claiming(90, 90), "damaged or cut off"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no known format"),
}


@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named(name, photo, tmp_path):
    data, message = BROKEN[name]
    path = tmp_path / "broken.png"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        images([photo, photo, path], 8)
    assert caught.value.where == f"record 2, {path}"
    assert caught.value.remedy


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp", "tiff", "bmp"])
def test_a_file_cut_off_anywhere_is_an_error_and_never_half_a_picture(kind, photo, tmp_path):
    file = io.BytesIO()
    Image.fromarray(photo).save(file, kind)
    whole = file.getvalue()
    assert images([whole], 8).shape == (1, 3, 8, 8)
    path = tmp_path / f"cut.{kind}"
    for share in (0.02, 0.3, 0.6, 0.9):
        path.write_bytes(whole[: max(4, int(len(whole) * share))])
        with pytest.raises(DataError, match="record 0"):
            images([path], 8)


def test_damaged_bytes_raise_nothing_but_data_errors(photo):
    random = np.random.default_rng(0)
    outcomes = []
    for kind in ("jpeg", "png", "gif", "webp", "tiff", "bmp"):
        file = io.BytesIO()
        Image.fromarray(photo).save(file, kind)
        for _ in range(30):
            data = bytearray(file.getvalue())
            for place in random.integers(0, len(data), 5):
                data[place] = random.integers(256)
            try:
                outcomes.append(images([bytes(data)], 8).shape == (1, 3, 8, 8))
            except DataError:
                outcomes.append(None)
    assert False not in outcomes
    assert None in outcomes
    assert True in outcomes


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (np.zeros((3, 4, 4, 3), np.uint8), "shape"),
        (np.zeros((3, 20, 20)), "shape"),
        (np.zeros((0, 4), np.uint8), "shape"),
        (np.zeros((4, 4), np.int64), "no known scale"),
        (np.full((4, 4), 16.0), "divide by"),
        (np.full((4, 4), np.nan), "nan"),
        (np.full((4, 4), -0.1), "-0.1"),
        (7, "int is no image"),
        (None, "NoneType is no image"),
        ("nowhere.png", "no such file"),
        ("with\0zero.png", "no such file"),
        (".", "no file"),
    ],
)
def test_what_is_no_image_is_named(record, message):
    with pytest.raises(DataError, match=message) as caught:
        images([np.zeros((4, 4)), record], 4)
    assert caught.value.where.startswith("record 1")


def test_a_pipe_does_not_hang(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="no file"):
        images([tmp_path / "pipe.png"])


def test_settings_that_make_no_sense(photo):
    for size, channels in ((0, 3), (5000, 3), (8, 2)):
        with pytest.raises(UsageError):
            images([photo], size, channels=channels)


def test_nothing_that_was_given_is_changed_or_kept(photo):
    copy = photo.copy()
    made = images([photo])
    made += 1
    assert np.array_equal(photo, copy)


def test_without_pillow_arrays_still_work(photo, tmp_path, monkeypatch):
    import sys

    (tmp_path / "a.png").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert images([photo], 8).shape == (1, 3, 8, 8)
    with pytest.raises(ResourceError, match=r"nearfar\[vision\]"):
        images([tmp_path / "a.png"])


def test_every_ending_has_a_format():
    from PIL import Image

    Image.init()
    formats = {Image.EXTENSION.get(ending) for ending in module.ENDINGS if ending in Image.EXTENSION}
    assert formats <= {*module.FORMATS}
    assert len(module.ENDINGS) > 10
