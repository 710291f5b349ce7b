"""Canvases of digits: sizes, two to four digits that do not overlap, and none of a hand-drawn digit in two parts."""

import numpy as np

from nearfar.datasets.digit_canvases import SIZES, digit_canvases


def test_parts():
    made = digit_canvases()
    assert made.facts == {"classes": 10}
    drawings = {}
    for name, part in made.parts.items():
        image, digit = (np.stack(part.many(field, range(len(part)))) for field in ("image", "digit"))
        which = np.stack(part.many("which", range(len(part))))
        assert ((which < 0) == (digit < 0)).all()
        assert image.shape == digit.shape == (SIZES[name][1], 24, 24)
        on = (digit >= 0).sum((1, 2)) / 64
        assert set(on.tolist()) == {2.0, 3.0, 4.0}  # whole digits: none covers another
        assert not image[digit < 0].any()
        assert (image.reshape(len(part), -1).sum(1) > 0).all()
        drawings[name] = set()
        for picture, number, value in zip(image, which, digit, strict=True):
            for one in range(number.max() + 1):
                assert (number == one).sum() == 64
                assert len(set(value[number == one].tolist())) == 1
                drawings[name].add(picture[number == one].tobytes())
        assert len(drawings[name]) > 100
    assert not drawings["train"] & drawings["dev"]
    assert not drawings["train"] & drawings["test"]
    assert made.fingerprint == digit_canvases().fingerprint
