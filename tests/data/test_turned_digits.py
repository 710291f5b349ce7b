"""The data set turned_digits: its parts, angles that spread evenly, and pictures that were turned by them."""

import numpy as np
from scipy.ndimage import rotate

from nearfar.datasets.digits import digits
from nearfar.datasets.turned_digits import turned_digits


def test_parts():
    found, upright = turned_digits(), digits()
    assert {name: len(part) for name, part in found.parts.items()} == {"train": 1000, "dev": 300, "test": 497}
    for name, part in found.parts.items():
        value = part.columns["value"]
        assert np.abs(value).max() <= 45
        assert np.histogram(value, 6, (-45, 45))[0].min() > 0.6 * len(part) / 6
        assert part.many("row", [0])[0].max() <= 1.001
        images, plain = (np.stack(p.many("image", range(20))).astype(float) for p in (part, upright.part(name)))
        back, further = (
            [rotate(one, sign * angle, reshape=False, order=1) for one, angle in zip(images, value[:20], strict=True)]
            for sign in (-1, 1)
        )
        near, far = (np.abs(np.stack(made) - plain)[:, 4:12, 4:12].mean() for made in (back, further))
        assert near < 0.7 * far, "turned back they are the digits again, turned further they are not"
