"""Images without labels: the loss is SimCLR's on two looks at each, and what is learned tells kinds of pictures apart."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

import nearfar as nf
from nearfar.core.errors import UsageError
from nearfar.core.tree import override
from nearfar.data.records import Records
from nearfar.recipes.image.image_views import recipe
from nearfar.training.prepare import prepare, towers_of
from nearfar.training.train import train_run

SMALL = ["encoder.size=16", "encoder.width=8", "encoder.stages=2", "fit.batch_size=32"]


def patterns(n, seed=0):
    """n pictures [24 24 3] in two greys, of stripes or of dots (label 0 and 1), at random scale and place."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:24, 0:24]
    made, labels = [], np.arange(n) % 2
    for label in labels:
        wave, a, b = random.uniform(0.7, 1.4), *random.uniform(0, 6, 2)
        rows, columns = np.sin(wave * y + a), np.sin(wave * x + b)
        paper, ink = random.permutation([random.uniform(0, 90), random.uniform(160, 255)])
        pixels = paper + (ink - paper) * ((rows > 0) if label == 0 else (rows + columns > 1))[..., None]
        made.append((pixels + random.normal(0, 4, (24, 24, 3))).clip(0, 255).astype(np.uint8))
    return made, labels


def simclr(z, temperature):
    """The paper's loss as loops: row i and row i + n are looks at one picture."""
    z = z / z.norm(dim=1, keepdim=True)
    rows, total = len(z), 0.0
    for i in range(rows):
        scores = {k: float(z[i] @ z[k]) / temperature for k in range(rows) if k != i}
        total += math.log(sum(map(math.exp, scores.values()))) - scores[(i + rows // 2) % rows]
    return total / rows


def test_the_loss_is_that_of_the_paper():
    images, _ = patterns(12)
    chosen = recipe()
    for setting in SMALL:
        chosen = override(chosen, setting)
    records = Records({"image": images})
    towers, heads = towers_of(chosen, records)
    made = prepare(chosen.stages[0], chosen, records, towers, heads)
    made.learner.eval()
    streams = made.batches.streams(0)
    step = nf.backward(made.learner.at_this_step(), streams)
    z = step.rows["x"].vectors.double()
    assert z.shape == (24, 128)
    assert float(step.loss) == pytest.approx(simclr(z, 0.5), abs=1e-5)
    assert abs(float(step.loss) - simclr(z, 0.1)) > 1e-3
    assert abs(float(step.loss) - simclr(torch.cat([z[:12], z[12:].flip(0)]), 0.5)) > 1e-3, (
        "the other look, not any row"
    )
    assert not torch.allclose(z[:12], z[12:], atol=1e-3), "two looks differ"


def test_it_learns_what_the_views_leave_alone(tmp_path):
    images, labels = patterns(120)
    others, truth = patterns(60, seed=1)
    settings = [*SMALL, "fit.epochs=12", "fit.learning_rate=0.003", "objective.temperature=0.2"]
    made = train_run("image_views", {"image": images, "label": labels}, out=tmp_path / "run", settings=settings)
    assert made.fitted.losses[-1] < made.fitted.losses[0] - 0.4
    assert list(made.model.sides) == ["image"]
    assert made.model.dimension == 16, "the projector is for training alone"
    known, new = made.model.encode(images), made.model.encode(others)
    assert (labels[(new @ known.T).argmax(1)] == truth).mean() > 0.9


def test_a_folder_is_trained_on_encoded_and_searched_from_the_command_line(tmp_path, monkeypatch, capsys):
    from nearfar.cli.main import main

    monkeypatch.chdir(tmp_path)
    images, labels = patterns(40)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = tmp_path / "photos" / f"kind{label}" / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    settings = [word for setting in [*SMALL, "fit.epochs=1"] for word in ("--set", setting)]
    assert main(["train", "image_views", "--data", "photos", "--out", "run", *settings, "--quiet"]) == 0
    assert "held-out mrr" in capsys.readouterr().out
    assert main(["train", "--resume", "run", "--quiet"]) == 0, "a folder has no columns"
    assert main(["index", "run", "photos", "--out", "index", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["search", "index", "photos/kind1/03.png", "--k", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["1.000", "photos/kind1/03.png"]
    assert main(["encode", "run", "--data", "photos", "--column", "image", "--out", "v.npy"]) == 2
    assert main(["encode", "run", "--data", "photos", "--out", "v.npy", "--quiet"]) == 0
    assert np.load("v.npy").shape == (40, 16)
    changed = ["--set", 'x.views=["random_resized_crop", {"part": "rotation", "options": {"degrees": 9}}]']
    assert main(["train", "image_views", "--data", "photos", "--out", "turned", *settings, *changed, "--quiet"]) == 0
    page = (tmp_path / "turned" / "report.html").read_text("utf-8")
    assert "x.rotation.degrees" in page
    assert "random_resized_crop, rotation" in page
    capsys.readouterr()
    assert main(["train", "image_views", "--settings", *changed]) == 0
    shown = capsys.readouterr().out
    assert '["random_resized_crop", "rotation"]' in shown
    assert "x.rotation.degrees" in shown
    assert "x.gaussian_blur.sigma" not in shown


def test_an_option_that_a_view_has_not_is_named(tmp_path):
    with pytest.raises(UsageError, match="no option 'strenght'"):
        train_run(
            "image_views", {"image": patterns(20)[0]}, out=tmp_path / "run", settings=["x.colour_jitter.strenght=1"]
        )
