"""Pretrained image encoders: preprocessing as the folder says, vectors as the model gives, each image by itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nearfar.core.errors import DataError, UsageError
from nearfar.core.model import Model
from nearfar.encoders.pretrained_image import PretrainedImage
from nearfar.encoders.shared.preprocessing import ImagePreprocessing, read_preprocessing
from tiny_models import CROP, saved, vision_folder

KINDS = ("vit", "dinov2", "registers", "clip_vision", "clip", "siglip", "resnet", "convnext")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    return {kind: vision_folder(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """Smooth ones of several shapes: what resizing does to noise says little."""
    rng = np.random.default_rng(0)
    coarse = [rng.integers(0, 256, (5, 6, 3), dtype=np.uint8) for _ in range(4)]
    shapes = [(61, 40), (40, 90), (36, 36), (75, 80)]
    return [
        np.array(Image.fromarray(c).resize(s, Image.Resampling.BICUBIC)) for c, s in zip(coarse, shapes, strict=True)
    ]


def encoder(folder: str, **options) -> PretrainedImage:
    return PretrainedImage.fit({}, folder=folder, **options).eval()


def vectors(model: PretrainedImage, inputs: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(inputs).vectors


@pytest.mark.parametrize("options", [{}, {"pooling": "mean", "dimension": 4}, {"pooling": "tokens"}])
@pytest.mark.parametrize("kind", KINDS)
def test_an_images_vector_is_its_own_and_survives_storing(
    folders, pictures, kind: str, options: dict, tmp_path
) -> None:
    model = encoder(folders[kind], **options)
    inputs = model.prepare(pictures)
    assert (inputs.dtype, inputs.shape) == (torch.uint8, (4, 3, 32, 32))
    together = vectors(model, inputs)
    assert together.shape[-1] == model.dimension
    for i, picture in enumerate(pictures):
        assert torch.allclose(vectors(model, model.prepare([picture]))[0], together[i], atol=1e-5)
    assert torch.allclose(vectors(model, inputs[[2, 0]]), together[[2, 0]], atol=1e-5)
    assert torch.allclose(vectors(model, inputs.float() / 255), together, atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1e-3)
    assert len(vectors(model, inputs[:0])) == 0
    assert model.cost(inputs).tolist() == [1, 1, 1, 1]
    Model({"query": model}).save(tmp_path / "model")
    read = Model.load(tmp_path / "model").tower("query")
    assert torch.equal(read.prepare(pictures), inputs)
    assert torch.equal(vectors(read, inputs), together)
    assert not any(tensor.is_meta for tensor in [*read.parameters(), *read.buffers()])


def test_vectors_are_those_of_the_library(folders, pictures) -> None:
    import transformers

    normal = [(v - m) / s for m, s, v in zip(CROP["image_mean"], CROP["image_std"], [0.0] * 3, strict=True)]
    for kind in ("dinov2", "clip_vision", "resnet", "convnext", "vit"):
        model = encoder(folders[kind])
        inputs = model.prepare(pictures)
        plain = transformers.AutoModel.from_pretrained(folders[kind], local_files_only=True).eval()
        mean, std = (torch.tensor(CROP[name])[:, None, None] for name in ("image_mean", "image_std"))
        with torch.no_grad():
            output = plain(pixel_values=(inputs / 255 - mean) / std)
            raw = plain(pixel_values=inputs / 255)
        expected = output.last_hidden_state[:, 0] if kind == "vit" else output.pooler_output.flatten(1)
        assert torch.allclose(vectors(model, inputs), expected, atol=1e-4), kind
        wrong = raw.last_hidden_state[:, 0] if kind == "vit" else raw.pooler_output.flatten(1)
        assert not torch.allclose(wrong, expected, atol=1e-3)  # known bad: not normalised
    black = ImagePreprocessing(1, 1, mean=tuple(CROP["image_mean"]), std=tuple(CROP["image_std"]))
    assert torch.allclose(black.normalized(torch.zeros(1, 3, 1, 1))[0, :, 0, 0], torch.tensor(normal))


def test_pooling_leaves_out_what_is_no_patch(folders, pictures) -> None:
    for kind, before in (("dinov2", 1), ("registers", 5), ("siglip", 0)):
        model = encoder(folders[kind], pooling="tokens")
        inputs = model.prepare(pictures)
        with torch.no_grad():
            states = model.model(pixel_values=model.setup.preprocessing.normalized(inputs)).last_hidden_state
            made = model(inputs)
        assert states.shape[1] == 16 + before
        assert made.mask is not None
        assert made.mask.all()
        assert torch.equal(made.vectors, states[:, before:])
        mean = encoder(folders[kind], pooling="mean")
        assert torch.allclose(vectors(mean, inputs), states[:, before:].mean(1), atol=1e-5)
        if before:
            assert not torch.allclose(vectors(mean, inputs), states.mean(1), atol=1e-3)  # known bad
    with pytest.raises(UsageError, match="no token of its own"):
        encoder(folders["siglip"], pooling="cls")


@pytest.mark.parametrize(
    "config",
    [
        CROP,
        {**CROP, "resample": 2},
        {"size": {"height": 32, "width": 24}, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    ],
)
def test_preprocessing_is_that_of_the_library(pictures, config: dict, tmp_path) -> None:
    import transformers

    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config), "utf-8")
    ours = read_preprocessing(tmp_path)
    kind = transformers.CLIPImageProcessorPil if "crop_size" in config else transformers.ViTImageProcessorPil
    theirs = kind(**config)
    made = torch.stack([ours.prepared(p, i) for i, p in enumerate(pictures)])
    expected = torch.as_tensor(np.stack(theirs(pictures)["pixel_values"]))
    step = 1 / 255 / min(config["image_std"])
    difference = (ours.normalized(made) - expected).abs()
    assert difference.max() < 2.1 * step
    assert difference.mean() < 0.3 * step
    plain = torch.stack([torch.as_tensor(np.array(Image.fromarray(p).resize((32, 32)))) for p in pictures])
    if expected.shape[-1] == 32:
        wrong = ours.normalized(plain.permute(0, 3, 1, 2))
        assert (wrong - expected).abs().mean() > 2 * step  # known bad: squeezed instead of cropped


def test_older_ways_to_say_a_size(tmp_path) -> None:
    def read(**config) -> ImagePreprocessing:
        whole = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, **config}
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(whole), "utf-8")
        return read_preprocessing(tmp_path)

    old = read(size=224)
    assert (old.resize, old.height, old.width) == ("both", 224, 224)
    clip = read(size=224, crop_size=224, do_center_crop=True)
    assert (clip.resize, clip.shorter, clip.height) == ("shorter", 224, 224)
    convnext = read(size={"shortest_edge": 224}, crop_pct=0.875)
    assert (convnext.resize, convnext.shorter, convnext.height, convnext.width) == ("shorter", 256, 224, 224)
    large = read(size={"shortest_edge": 384}, crop_pct=0.875)
    assert (large.resize, large.height) == ("both", 384)
    assert read(size={"shortest_edge": 32}, do_normalize=False).mean == (0.0, 0.0, 0.0)
    raw = read(size=8, do_rescale=False).normalized(torch.full((1, 3, 8, 8), 255, dtype=torch.uint8))
    assert float(raw.max()) == 509.0


@pytest.mark.parametrize(
    "change",
    [
        {"size": {"longest_edge": 30}},
        {"size": {"shortest_edge": 30, "longest_edge": 40}},
        {"size": None},
        {"resample": 1},
        {"image_std": [0.0, 1.0, 1.0]},
        {"image_mean": [0.5]},
        {"size": {"shortest_edge": 20}},
        {"size": {"shortest_edge": 10**9}},
        {"size": {"height": 64, "width": 64}},
        {"rescale_factor": -1},
    ],
)
def test_preprocessing_that_is_not_known_is_refused(change: dict, tmp_path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(CROP | change), "utf-8")
    with pytest.raises(DataError, match="preprocessing"):
        read_preprocessing(tmp_path)


def test_records_of_every_kind_and_bad_ones(folders, pictures, tmp_path) -> None:
    model = encoder(folders["vit"])
    path = tmp_path / "a.png"
    Image.fromarray(pictures[0]).save(path)
    same = model.prepare([pictures[0], str(path), path, Image.fromarray(pictures[0]), pictures[0] / 255])
    assert all(torch.equal(image, same[0]) for image in same)
    grey = model.prepare([pictures[0][..., 0]])
    assert torch.equal(grey[:, 0], grey[:, 2])
    with pytest.raises(DataError, match=re.escape("[record 1")):
        model.prepare([pictures[0], str(tmp_path / "nowhere.png")])
    with pytest.raises(DataError, match=re.escape("[record 0")):
        model.prepare(["text that is no path"])
    assert model.prepare([np.zeros((1, 400), np.uint8)]).shape == (1, 3, 32, 32)
    fixed = ImagePreprocessing(32, 32, "no")
    with pytest.raises(DataError, match=re.escape("[record 7]")):
        fixed.prepared(np.zeros((20, 40)), 7)


def test_batch_norm_keeps_its_statistics(folders, pictures) -> None:
    model = encoder(folders["resnet"]).train()
    inputs = model.prepare(pictures)
    before = {n: b.clone() for n, b in model.named_buffers()}
    together = vectors(model, inputs)
    assert torch.allclose(vectors(model, inputs[:1])[0], together[0], atol=1e-5)
    assert all(torch.equal(b, before[n]) for n, b in model.named_buffers())
    loose = encoder(folders["resnet"])
    torch.nn.Module.train(loose, True)
    for layer in loose.modules():
        layer.training = True
    assert not torch.allclose(vectors(loose, inputs[:2])[0], vectors(loose, inputs)[0], atol=1e-3)  # known bad


def test_gradients_and_freezing(folders, pictures) -> None:
    for kind in ("vit", "clip_vision", "resnet", "convnext", "siglip"):
        model = encoder(folders[kind], dimension=4).train()
        model(model.prepare(pictures)).vectors.square().sum().backward()
        assert [n for n, p in model.named_parameters() if p.grad is None] == [], kind
    model = encoder(folders["vit"], dimension=4, freeze=True).train()
    assert {n for n, p in model.named_parameters() if p.requires_grad} == {"projection.weight"}
    model(model.prepare(pictures)).vectors.square().sum().backward()
    seeds = [encoder(folders["vit"], dimension=4, seed=s).projection.weight for s in (1, 1, 2)]
    assert torch.equal(seeds[0], seeds[1])
    assert not torch.equal(seeds[0], seeds[2])


def test_wrong_calls_and_folders(folders, tmp_path) -> None:
    import transformers

    with pytest.raises(UsageError, match="there are own, cls"):
        encoder(folders["vit"], pooling="max")
    with pytest.raises(UsageError, match="dimension is 0"):
        encoder(folders["vit"], dimension=0)
    with pytest.raises(UsageError, match="is none"):
        encoder(str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="does not read what its preprocessing makes"):
        encoder(vision_folder(tmp_path / "size", "vit", {**CROP, "crop_size": 24}))
    text = transformers.BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    folder = saved(tmp_path / "bert", transformers.BertModel(text), tokens=False)
    (Path(folder) / "preprocessor_config.json").write_text(json.dumps(CROP), "utf-8")
    with pytest.raises(DataError, match="no encoder of images"):
        encoder(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("architecture", None),
        ("architecture", {"model_type": "bert", "vocab_size": 9}),
        ("architecture", {"model_type": "vit", "hidden_act": "evil"}),
        ("setup", None),
        ("setup", {"preprocessing": {"height": 10**9, "width": 8}}),
        ("setup", {"preprocessing": {"height": 8, "width": 8, "resize": "both"}, "pooling": "max"}),
        ("setup", {"preprocessing": {"height": 8, "width": 8, "resize": "both"}, "projection": 10**12}),
        ("setup", {"preprocessing": {"height": 8, "width": 8, "resize": "both", "std": [1.0, 1.0]}}),
        ("setup", {"preprocessing": {"height": 8, "width": 8, "resize": "both", "resample": "evil"}}),
    ],
)
def test_a_senseless_configuration_is_a_data_error(folders, name: str, value) -> None:
    config = encoder(folders["vit"]).config()
    with torch.device("meta"):
        PretrainedImage.from_config(config)
        with pytest.raises(DataError):
            PretrainedImage.from_config({**config, name: value})
