"""Views of images: known answers, and pictures as naive loops make them."""

import colorsys
import math

import numpy as np
import pytest
import torch
from PIL import Image

import nearfar as nf
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError
from nearfar.maths import colour
from nearfar.maths.pictures import gaussian, separable, turned, window
from views.cases import PICTURES

VIEWS = {
    "random_resized_crop": {},
    "horizontal_flip": {},
    "colour_jitter": {},
    "greyscale": {},
    "gaussian_blur": {},
    "solarise": {},
    "rotation": {"probability": 0.5},
}
SOME = [name for name in VIEWS if name != "random_resized_crop"]


def made(name, **options):
    return getattr(nf, name)(**{**VIEWS[name], **options})


def draws(n, seed=0, epoch=0, view=0, first=0):
    return Draws(seed, epoch, torch.arange(first, first + n) * 17, view)


@pytest.fixture
def pictures():
    return PICTURES.clone()


@pytest.mark.parametrize("name", VIEWS)
def test_values_stay_between_0_and_1_and_shapes_are_kept(name, pictures):
    hard = (pictures > 0.5).float()
    for images in (pictures, hard, pictures[:, :1], pictures[:, :, :1, :1], pictures[:, :, :1], pictures.double()):
        view = made(name)
        looked = view(images, draws(12))
        assert looked.shape == images.shape
        assert looked.dtype == images.dtype
        assert 0 <= looked.min() <= looked.max() <= 1
    assert made(name)(pictures[:0], draws(0)).shape == (0, 3, 16, 20)


@pytest.mark.parametrize("name", SOME)
def test_images_that_are_not_chosen_are_left_to_the_bit(name, pictures):
    many = pictures.repeat(100, 1, 1, 1)
    share = 0.3
    looked = made(name, probability=share)(many, draws(1200))
    changed = (looked != many).flatten(1).any(1)
    assert abs(changed.float().mean() - share) < 4 * math.sqrt(share * (1 - share) / 1200) + 0.01
    assert torch.equal(made(name, probability=0.0)(many, draws(1200)), many)
    assert (made(name, probability=1.0)(many, draws(1200)) != many).flatten(1).any(1).float().mean() > 0.95


def test_two_views_are_chosen_independently(pictures):
    many = pictures[:1].repeat(2000, 1, 1, 1)
    chosen = [(made(n, probability=0.5)(many, draws(2000)) != many).flatten(1).any(1).double() for n in SOME]
    correlation = torch.corrcoef(torch.stack(chosen))
    assert (correlation - torch.eye(len(SOME))).abs().max() < 0.1
    assert torch.corrcoef(torch.stack([chosen[0], 1 - chosen[0]]))[0, 1] < -0.99


# Crops.


def naive_crop(image, top, left, tall, wide, height, width):
    """[c h w]: each new pixel by two linear interpolations, edges continued."""
    c, h, w = image.shape
    new = np.zeros((c, height, width))
    for i in range(height):
        for j in range(width):
            y = min(max(top + (i + 0.5) * tall / height - 0.5, 0), h - 1)
            x = min(max(left + (j + 0.5) * wide / width - 0.5, 0), w - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
            fy, fx = y - y0, x - x0
            upper = (1 - fx) * image[:, y0, x0] + fx * image[:, y0, x1]
            lower = (1 - fx) * image[:, y1, x0] + fx * image[:, y1, x1]
            new[:, i, j] = (1 - fy) * upper + fy * lower
    return new


def test_crops_are_those_of_a_naive_loop(pictures):
    view = made("random_resized_crop")
    windows = view.windows(16, 20, draws(12))
    looked = view(pictures, draws(12)).numpy()
    shifted = 0
    for image, box, new in zip(pictures.numpy(), windows.tolist(), looked, strict=True):
        assert np.abs(new - naive_crop(image, *box, 16, 20)).max() < 1e-5
        top, left, *sides = box
        shifted += np.abs(new - naive_crop(image, top + 0.5, left, *sides, 16, 20)).max() > 1e-3
    assert shifted == 12


def test_shrinking_does_not_alias(pictures):
    image = (pictures[:1] * 255).round() / 255
    box = (1.25, 2.5, 17.75, 15.0)  # left, top, right, bottom
    down = window(torch.tensor([box[1]]), torch.tensor([box[3] - box[1]]), 16, 5)
    across = window(torch.tensor([box[0]]), torch.tensor([box[2] - box[0]]), 20, 6)
    small = separable(image, down, across)[0]
    for channel, new in zip(image[0], small, strict=True):
        whole = Image.fromarray(channel.numpy())  # mode F: Pillow computes with floats
        assert (
            torch.from_numpy(np.array(whole.resize((6, 5), Image.Resampling.BILINEAR, box=box))) - new
        ).abs().max() < 1e-4
    naive = naive_crop(image[0].numpy(), box[1], box[0], box[3] - box[1], box[2] - box[0], 5, 6)
    assert np.abs(naive - small.numpy()).max() > 1e-2


def test_windows_have_the_areas_and_shapes_that_were_asked_for():
    view = made("random_resized_crop", area=(0.2, 0.6), ratio=(0.5, 2.0))
    top, left, tall, wide = view.windows(100, 100, draws(4000)).unbind(1)
    area, ratio = tall * wide / 1e4, wide / tall
    assert 0.2 - 1e-9 <= area.min() <= area.max() <= 0.6 + 1e-9
    assert 0.5 - 1e-9 <= ratio.min() <= ratio.max() <= 2 + 1e-9
    assert abs(area.mean() - 0.4) < 0.02
    assert abs(ratio.log().mean()) < 0.03
    assert (top >= 0).all()
    assert (top + tall <= 100 + 1e-9).all()
    assert (left + wide <= 100 + 1e-9).all()
    # The place is uniform where there is room.
    assert abs((left / (100 - wide)).mean() - 0.5) < 0.02


def test_a_window_that_never_fits_is_the_largest_central_one():
    view = made("random_resized_crop", area=(1.0, 1.0), ratio=(1.0, 1.0))
    assert view.windows(10, 30, draws(3)).tolist() == [[0, 10, 10, 10]] * 3
    whole = made("random_resized_crop", area=(1.0, 1.0), ratio=(3.0, 3.0))
    images = torch.rand(3, 1, 10, 30)
    assert (whole(images, draws(3)) - images).abs().max() < 1e-6


def test_crops_of_another_size(pictures):
    assert made("random_resized_crop", size=7)(pictures, draws(12)).shape == (12, 3, 7, 7)
    flat = torch.full((12, 3, 9, 9), 0.3)
    assert (made("random_resized_crop", size=30)(flat, draws(12)) - 0.3).abs().max() < 1e-6


# Blur and rotation.


def test_blur_is_a_direct_convolution(pictures):
    image, sigma = pictures[0, 0].double().numpy(), 1.3
    expected, cut_off = np.zeros_like(image), np.zeros_like(image)
    for i in range(16):
        for j in range(20):
            total = 0.0
            for y in range(16):
                for x in range(20):
                    weight = math.exp(-((i - y) ** 2 + (j - x) ** 2) / (2 * sigma**2))
                    expected[i, j] += weight * image[y, x]
                    total += weight
            cut_off[i, j] = expected[i, j] / (2 * math.pi * sigma**2)
            expected[i, j] /= total
    blurred = nf.gaussian_blur(sigma=(sigma, sigma), probability=1.0)(pictures[:1, :1], draws(1))[0, 0].numpy()
    assert np.abs(blurred - expected).max() < 1e-6
    assert np.abs(blurred - cut_off).max() > 0.1  # borders would turn dark
    assert np.abs(blurred[5:-5, 5:-5] - cut_off[5:-5, 5:-5]).max() < 1e-3


def test_blurs_are_of_different_width(pictures):
    point = torch.zeros(500, 1, 31, 31)
    point[:, :, 15, 15] = 1
    blurred = nf.gaussian_blur(probability=1.0)(point, draws(500))
    place = torch.arange(31.0) - 15
    # Two pixels apart or more a Gaussian's variance is that of its samples.
    deviation = (blurred[:, 0].sum(1) * place**2).sum(1).sqrt()
    wide = deviation[deviation > 0.7]
    assert 1.9 < wide.max() < 2.01
    assert abs(wide.mean() - 1.35) < 0.1
    assert (deviation < 0.2).float().mean() > 0.05
    assert (blurred.sum((1, 2, 3)) - 1).abs().max() < 1e-4
    assert gaussian(torch.tensor([1e-3]), 4)[0].equal(torch.eye(4))


def test_quarter_turns_are_exact_and_counter_clockwise():
    square = torch.rand(1, 3, 8, 8)
    quarter = turned(square, torch.tensor([math.pi / 2]))
    assert (quarter - square.rot90(1, (2, 3))).abs().max() < 1e-5
    assert (quarter - square.rot90(-1, (2, 3))).abs().max() > 0.1
    assert (turned(square, torch.zeros(1)) - square).abs().max() < 1e-6


def test_a_turned_image_that_is_not_square_keeps_its_shapes():
    y, x = torch.meshgrid(torch.arange(40.0) - 19.5, torch.arange(80.0) - 39.5, indexing="ij")
    disc, middle = torch.exp(-(x**2 + y**2) / 100)[None, None], (..., slice(10, 30), slice(20, 60))
    assert (turned(disc, torch.tensor([0.6])) - disc)[middle].abs().max() < 0.01
    # The same grid without regard to the sides' lengths shears it.
    plain = torch.tensor([[[math.cos(0.6), -math.sin(0.6), 0], [math.sin(0.6), math.cos(0.6), 0]]])
    grid = torch.nn.functional.affine_grid(plain, [1, 1, 40, 80], align_corners=False)
    assert (torch.nn.functional.grid_sample(disc, grid, align_corners=False) - disc)[middle].abs().max() > 0.2
    bar = ((x.abs() < 15) & (y.abs() < 2)).float()[None, None]
    up = turned(bar, torch.tensor([math.pi / 2]))
    assert (up - ((y.abs() < 15) & (x.abs() < 2)).float())[middle].abs().max() < 1e-4
    assert (up - bar)[middle].abs().max() > 0.9


def test_angles_are_uniform_within_their_bounds():
    # A point to the right of the centre turns to where its angle says.
    y, x = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(41.0) - 20, indexing="ij")
    point = torch.exp(-((x - 15) ** 2 + y**2) / 4)[None, None].expand(400, 1, 41, 41)
    looked = nf.rotation(degrees=30.0)(point, draws(400))[:, 0]
    centre_y = (looked * y).sum((1, 2)) / looked.sum((1, 2))
    centre_x = (looked * x).sum((1, 2)) / looked.sum((1, 2))
    degrees = torch.rad2deg(torch.atan2(-centre_y, centre_x))
    assert 28 < degrees.max() < 31
    assert -31 < degrees.min() < -28
    assert abs(degrees.mean()) < 3
    assert abs(degrees.std() - 30 / math.sqrt(3)) < 1.5


# Colours.


def test_hue_saturation_and_value_are_those_of_colorsys():
    steps = torch.linspace(0, 1, 6)
    cube = torch.cartesian_prod(steps, steps, steps)
    images = cube.T.reshape(1, 3, 12, 18)
    hsv = colour.to_hsv(images)[0].reshape(3, -1).T
    expected = torch.tensor([colorsys.rgb_to_hsv(*c) for c in cube.tolist()])
    apart = (hsv - expected).abs()
    apart[:, 0] = torch.minimum(apart[:, 0], 1 - apart[:, 0])  # a circle
    assert apart.max() < 1e-5
    assert (colour.from_hsv(colour.to_hsv(images)) - images).abs().max() < 1e-6
    swapped = colour.to_hsv(images.flip(1))[0].reshape(3, -1).T  # blue, green, red
    assert (swapped - expected).abs().max() > 0.3
    back = torch.tensor([colorsys.hsv_to_rgb(*c) for c in cube.tolist()])
    assert (colour.from_hsv(images)[0].reshape(3, -1).T - back).abs().max() < 1e-5


def naive_jitter(image, order, factors, hue):
    """[c h w] float64, pixel by pixel."""
    image = image.copy()
    luma = np.array(colour.LUMA)
    for name in order:
        if name == "brightness":
            image = image * factors[name]
        elif name == "contrast":
            image = factors[name] * image + (1 - factors[name]) * np.einsum("c,chw->hw", luma, image).mean()
        elif name == "saturation":
            image = factors[name] * image + (1 - factors[name]) * np.einsum("c,chw->hw", luma, image)
        else:
            for i in range(image.shape[1]):
                for j in range(image.shape[2]):
                    h, s, v = colorsys.rgb_to_hsv(*image[:, i, j])
                    image[:, i, j] = colorsys.hsv_to_rgb((h + hue) % 1, s, v)
        image = image.clip(0, 1)
    return image


def test_jitter_is_that_of_a_naive_loop(pictures):
    names = ("brightness", "contrast", "saturation", "hue")
    these, amount = draws(12), 0.4
    looked = nf.colour_jitter(strength=0.5, probability=1.0)(pictures, these).numpy()
    drawn = {name: these.uniform(f"colour_jitter, {name}").numpy() for name in names}
    orders = these.uniform("colour_jitter, order", 4).argsort(1).numpy()
    assert len({tuple(order) for order in orders}) > 6
    wrong = 0
    for i, image in enumerate(pictures.double().numpy()):
        factors = {name: 1 - amount + 2 * amount * drawn[name][i] for name in names[:3]}
        hue = 0.1 * (2 * drawn["hue"][i] - 1)
        order = [names[k] for k in orders[i]]
        assert np.abs(naive_jitter(image, order, factors, hue) - looked[i]).max() < 1e-5
        wrong += np.abs(naive_jitter(image, order, factors, -hue) - looked[i]).max() > 1e-2
        wrong += np.abs(naive_jitter(image, order[::-1], factors, hue) - looked[i]).max() > 1e-3
    assert wrong > 16


def test_jitter_at_its_ends(pictures):
    none = nf.colour_jitter(strength=0.0, probability=1.0)
    assert torch.equal(none(pictures, draws(12)), pictures)
    only = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "probability": 1.0}
    bright = nf.colour_jitter(**only | {"brightness": 0.5})(torch.full((2000, 1, 1, 1), 0.4), draws(2000)) / 0.4
    assert 0.5 <= bright.min() < 0.51
    assert 1.49 < bright.max() <= 1.5 + 1e-6
    assert abs(bright.mean() - 1) < 0.03
    hue = nf.colour_jitter(**only | {"hue": 0.25})(pictures, draws(12))
    assert (hue.amax(1) - pictures.amax(1)).abs().max() < 1e-6  # the value stays
    assert (hue.amin(1) - pictures.amin(1)).abs().max() < 1e-6
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(2000, 3, 1, 1)
    turned_red = colour.to_hsv(nf.colour_jitter(**only | {"hue": 0.25})(red, draws(2000)))[:, 0].flatten()
    assert ((turned_red < 0.2501) | (turned_red > 0.7499)).all()
    assert ((turned_red > 0.2) & (turned_red < 0.25)).any()
    assert (turned_red > 0.75).float().mean() > 0.4
    for name in ("saturation", "hue"):
        grey = pictures[:, :1].expand_as(pictures)
        assert (nf.colour_jitter(**only | {name: 0.5})(grey, draws(12)) - grey).abs().max() < 1e-6
        one = pictures[:, :1]
        assert torch.equal(nf.colour_jitter(**only | {name: 0.5})(one, draws(12)), one)
    strong = nf.colour_jitter(**only | {"contrast": 3.0})(pictures, draws(12))  # factors are not negative
    assert ((strong - 0.5) * (pictures - 0.5)).flatten(1).sum(1).min() > -1


def test_greyscale_and_solarise_at_their_ends(pictures):
    grey = nf.greyscale(probability=1.0)(pictures, draws(12))
    expected = 0.299 * pictures[:, 0] + 0.587 * pictures[:, 1] + 0.114 * pictures[:, 2]
    for channel in range(3):
        assert (grey[:, channel] - expected).abs().max() < 1e-6
    assert (grey[:, 0] - pictures.mean(1)).abs().max() > 0.05
    assert torch.equal(nf.greyscale(probability=1.0)(pictures[:, :1], draws(12)), pictures[:, :1])
    assert torch.equal(nf.solarise(threshold=0.0, probability=1.0)(pictures, draws(12)), 1 - pictures)
    half = nf.solarise(probability=1.0)(pictures, draws(12))
    assert half.max() <= 0.5
    assert torch.equal(half[pictures < 0.5], pictures[pictures < 0.5])
    assert torch.equal(nf.horizontal_flip(probability=1.0)(pictures, draws(12)), pictures.flip(3))


# What is wrong is said.


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("random_resized_crop", {"area": (0.0, 1.0)}),
        ("random_resized_crop", {"area": (0.5, 1.5)}),
        ("random_resized_crop", {"area": (0.9, 0.5)}),
        ("random_resized_crop", {"ratio": (-1.0, 1.0)}),
        ("random_resized_crop", {"size": 0}),
        ("horizontal_flip", {"probability": 1.1}),
        ("colour_jitter", {"brightness": -0.1}),
        ("colour_jitter", {"hue": 0.3, "strength": 2.0}),
        ("colour_jitter", {"contrast": math.nan}),
        ("greyscale", {"probability": math.nan}),
        ("gaussian_blur", {"sigma": (0.0, 1.0)}),
        ("gaussian_blur", {"sigma": (2.0, 1.0)}),
        ("solarise", {"threshold": 2.0}),
        ("rotation", {"degrees": 181.0}),
    ],
)
def test_options_that_make_no_sense(name, options):
    with pytest.raises(UsageError) as caught:
        made(name, **options)
    assert name in caught.value.where
    assert caught.value.remedy


@pytest.mark.parametrize("name", VIEWS)
def test_what_is_no_batch_of_images(name, pictures):
    for wrong in ((pictures * 255).byte(), pictures[0], pictures[:, :2]):
        with pytest.raises(UsageError, match=name):
            made(name)(wrong, draws(len(wrong)))
    with pytest.raises(UsageError, match="5 records"):
        made(name)(pictures, draws(5))
