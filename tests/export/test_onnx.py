"""Exported graphs: onnxruntime gives the vectors of the model, whatever the length and number of records, and nothing else passes."""

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.core.files import sha256
from nearfar.core.model import Model
from nearfar.export import onnx_file
from nearfar.export.feeds import feed_of
from nearfar.export.onnx_file import ALLOWED, to_onnx
from nearfar.export.onnx_model import OnnxModel
from tiny_models import TEXTS, text_folder, vision_folder

ODD = ["Ünïcode straße 你好 🦡", " two  blanks\n", "far " * 99, "\udcff half a pair"]
SEQUENCES = [[3, 1, 2], [2], [1, 1, 4, 3, 2, 2, 1], [4, 0, 0]]
FIELDS = ["parse\x1fparse a date, parse a date", "", "unseen words only"]
RNG = np.random.default_rng(0)
IMAGES = [RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(5)]


def shaken(encoder):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    return encoder.eval()


def transformer(pooling="mean"):
    return nf.Transformer.fit(
        {"q": [*TEXTS, *TEXTS]}, dimension=16, depth=2, heads=2, vocabulary=300, max_tokens=12, pooling=pooling
    )


def bert(folder, **more):
    return nf.Pretrained.fit({}, folder=text_folder(folder / "bert"), max_tokens=12, **more)


ENCODERS = {
    "static": (lambda _: nf.Static.fit({"q": [*TEXTS, *FIELDS]}, dimension=16, buckets=64), [*TEXTS, *ODD, *FIELDS]),
    "transformer": (lambda _: transformer(), [*TEXTS, *ODD, ""]),
    "bert": (lambda f: bert(f, dimension=8, lora_rank=2), [*TEXTS, *ODD[:3]]),
    "self_attention": (lambda _: nf.SelfAttention.fit({"q": SEQUENCES}, dimension=8), SEQUENCES),
    "convolutional": (lambda _: nf.Convolutional.fit({}, size=16, width=4), IMAGES),
    "vision_transformer": (
        lambda _: nf.VisionTransformer.fit({}, size=16, dimension=8, heads=2, depth=1, pooling="cls"),
        IMAGES,
    ),
}


def given(model, records):
    """Images go in as their bytes of the right size."""
    return list(model.tower("query").prepare(records).numpy()) if records is IMAGES else records


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Model, records, folder and description of an encoder's export, made once."""

    @cache
    def export_of(name):
        folder = tmp_path_factory.mktemp(name)
        make, records = ENCODERS[name]
        encoder = shaken(make(folder))
        model = Model({"query": encoder, "document": encoder}, about={"licence": "mit"}).eval()
        model.transform(RNG.normal(size=model.dimension) * 0.1, RNG.normal(size=(model.dimension, 5)))
        return model, records, folder / "there", to_onnx(model, folder / "there", int8=True)

    return export_of


@pytest.fixture(params=ENCODERS)
def exported(request, exports):
    return exports(request.param)


def test_the_graph_gives_the_vectors_of_the_model(exported):
    model, records, folder, described = exported
    there, inputs = OnnxModel.open(folder), given(model, records)
    expected = model.encode(records)
    made = there.encode(inputs)
    assert np.abs(made - expected).max() < ALLOWED
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5) or records[-2] == "", "unit length is inside"
    alone = np.concatenate([there.encode([record]) for record in inputs])
    assert np.abs(alone - expected).max() < ALLOWED, "one record at a time"
    many = there.encode(inputs * 20)
    assert np.abs(many - np.tile(expected, (20, 1))).max() < ALLOWED, "more than a batch"
    assert np.abs(made - expected[::-1]).max() > 1e-2  # known bad: in another order
    assert described["checked"]["largest_difference"] < ALLOWED
    assert there.encode([]).shape == (0, 5)
    assert (there.dimension, there.fingerprint) == (5, model.fingerprint)


def test_with_8_bits_it_is_near_and_says_how_near(exported):
    model, records, folder, described = exported
    made = OnnxModel.open(folder, int8=True).encode(given(model, records))
    expected = model.encode(records)
    there = np.linalg.norm(expected, axis=1) > 0
    cosines = (made * expected).sum(1)[there] / np.linalg.norm(made[there], axis=1)
    assert cosines.min() > 0.8
    assert np.abs(made - expected).max() > ALLOWED  # known bad: it is not the exact graph
    said = json.loads((folder / "onnx.json").read_text("utf-8"))["int8"]
    assert said == described["int8"]
    assert 0.9 < said["mean_cosine"] <= 1
    assert said["least_cosine"] <= said["mean_cosine"]
    assert said["bytes"] == (folder / "model.int8.onnx").stat().st_size


def test_the_folder_tells_what_it_is_and_nothing_of_this_machine(exported):
    _, _, folder, described = exported
    data = json.loads((folder / "onnx.json").read_text("utf-8"))
    assert data == described
    assert set(data["files"]) == {path.name for path in folder.iterdir()} - {"onnx.json", "README.md"}
    card = (folder / "README.md").read_text("utf-8")
    assert card.startswith("---\nlicense: mit\nlibrary_name: onnx\n")
    assert "cosine of" in card
    places = [str(Path(nf.__file__).parent), sys.prefix, str(Path(torch.__file__).parent)]
    for path in folder.iterdir():
        assert not any(place.encode() in path.read_bytes() for place in places), path.name


@pytest.mark.parametrize("name", ["static", "transformer"])
def test_a_reader_without_torch_runs_it(name, exports):
    model, _, folder, _ = exports(name)
    code = (
        "import json, sys\nfrom nearfar.export.onnx_model import OnnxModel\n"
        "print(json.dumps(OnnxModel.open(sys.argv[1], threads=1).encode(json.loads(sys.argv[2])).tolist()))\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), json.dumps(TEXTS)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(nf.__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    assert np.abs(np.array(json.loads(done.stdout)) - model.encode(TEXTS)).max() < ALLOWED


def test_a_decoder_with_prompts(tmp_path):
    prompts = {"query_prompt": "the sum of ", "document_prompt": "cats "}
    encoder = nf.Pretrained.fit(
        {}, folder=text_folder(tmp_path / "llama", "llama"), pooling="last", max_tokens=12, **prompts
    )
    model = Model({"query": encoder, "document": encoder}, "dot").eval()
    to_onnx(model, tmp_path / "there")
    there = OnnxModel.open(tmp_path / "there")
    for side in ("query", "document"):
        expected = model.encode(TEXTS, side)
        assert np.abs(there.encode(TEXTS, side) - expected).max() < ALLOWED * np.linalg.norm(expected, axis=1).max()
    assert not np.allclose(there.encode(TEXTS, "query"), there.encode(TEXTS, "document"), atol=1e-3)  # known bad
    with pytest.raises(UsageError, match="no side 'image'"):
        there.encode(TEXTS, "image")


def test_a_pretrained_model_of_images(tmp_path):
    encoder = nf.PretrainedImage.fit({}, folder=vision_folder(tmp_path / "vit")).eval()
    model = Model({"image": encoder})
    pictures = [RNG.integers(0, 256, (50, 60, 3), dtype=np.uint8) for _ in range(4)]
    to_onnx(model, tmp_path / "there", records=pictures)
    there = OnnxModel.open(tmp_path / "there")
    bytes_of = encoder.prepare(pictures).numpy()
    assert np.abs(there.encode(bytes_of) - model.encode(pictures)).max() < ALLOWED
    with pytest.raises(DataError, match=r"\[3, 32, 32\], not \[50, 60, 3\]") as caught:
        there.encode(pictures)
    assert caught.value.where == "record 0"


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        (lambda: nf.Gru.fit({"q": SEQUENCES}), "no graph for the encoder Gru"),
        (lambda: nf.WordNgrams.fit({"q": TEXTS * 2}, buckets=9), "no graph for the encoder WordNgrams"),
        (lambda: transformer("tokens"), "a vector a token"),
    ],
)
def test_other_encoders_are_refused(encoder, said, tmp_path):
    with pytest.raises(UsageError, match=said) as caught:
        to_onnx(Model({"query": encoder()}), tmp_path / "there")
    assert "static" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def small():
    encoder = shaken(nf.Static.fit({"q": TEXTS}, dimension=4, buckets=8))
    return Model({"query": encoder}).eval()


def test_a_graph_that_differs_is_not_left(small, there, tmp_path, monkeypatch):
    shutil.copytree(there, tmp_path / "there")
    before = (tmp_path / "there" / "onnx.json").read_bytes()
    exact = onnx_file.plan_of

    def wrong(model):
        plan = exact(model)
        with torch.no_grad():
            plan.graph.table.mul_(1 + 1e-3 * torch.arange(4.0))
        return plan

    monkeypatch.setattr(onnx_file, "plan_of", wrong)
    with pytest.raises(ResourceError, match=r"differ by up to \d\.\de-0\d, where 1e-05 is allowed, at record \d+"):
        to_onnx(small, tmp_path / "there")
    assert (tmp_path / "there" / "onnx.json").read_bytes() == before, "an older export is as it was"
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.fixture(scope="module")
def there(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("small") / "there"
    to_onnx(small, folder, records=TEXTS)
    return folder


def edited(change):
    def harm(folder):
        data = json.loads((folder / "onnx.json").read_text("utf-8"))
        change(data)
        (folder / "onnx.json").write_text(json.dumps(data), "utf-8")

    return harm


def exchanged(folder):
    """Another graph, whose digest is written too."""
    (folder / "model.onnx").write_bytes(b"no graph")
    edited(lambda d: d["files"].update({"model.onnx": sha256(folder / "model.onnx")}))(folder)


DAMAGE = {
    "no description": (lambda f: (f / "onnx.json").unlink(), "no onnx.json"),
    "another version": (edited(lambda d: d.update(version=9)), "version 9"),
    "no graph": (lambda f: (f / "model.onnx").unlink(), "damaged"),
    "a changed graph": (lambda f: (f / "model.onnx").write_bytes(b"x"), "model.onnx is not what was written"),
    "no graph at all": (exchanged, "damaged"),
    "changed units": (lambda f: (f / "units.json").write_text("[]"), "units.json is not what was written"),
    "a path": (edited(lambda d: d["files"].update({"../up": "x"})), "is not what was written"),
    "no reader": (edited(lambda d: d.pop("reads")), "damaged"),
    "an unknown reader": (edited(lambda d: d["reads"].update(kind="pickle")), "damaged"),
    "no dimension": (edited(lambda d: d.update(dimension="many")), "damaged"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_export_is_refused(name, there, tmp_path):
    shutil.copytree(there, tmp_path / "there")
    assert OnnxModel.open(tmp_path / "there").encode(TEXTS).shape == (6, 4)
    harm, said = DAMAGE[name]
    harm(tmp_path / "there")
    with pytest.raises(DataError, match=said) as caught:
        OnnxModel.open(tmp_path / "there")
    assert str(tmp_path) in caught.value.where
    assert caught.value.remedy


def test_what_is_wrong_with_a_call_is_said(small, there, tmp_path, monkeypatch):
    opened = OnnxModel.open(there)
    with pytest.raises(UsageError, match="not one string"):
        opened.encode("text")
    with pytest.raises(DataError, match="reads texts, not int"):
        opened.encode(["a", 3])
    with pytest.raises(UsageError, match="8 bits"):
        OnnxModel.open(there, int8=True)
    with pytest.raises(UsageError, match="too few"):
        to_onnx(small, tmp_path / "few", records=["a"])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"thesis.txt.*left alone"):
        to_onnx(small, tmp_path / "full", records=TEXTS)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ResourceError, match="package onnx") as caught:
        to_onnx(small, tmp_path / "other")
    assert "nearfar[onnx]" in caught.value.remedy


@pytest.mark.parametrize("record", [[], [0], [5], [-1], [1.5], "text", [[1]]])
def test_what_is_no_sequence_of_items_is_refused(record, tmp_path):
    feed = feed_of({"kind": "items", "items": 4, "most": 50}, tmp_path)
    with pytest.raises(DataError, match="no sequence of items") as caught:
        feed([[1], record], "query")
    assert caught.value.where == "record 1"
    assert len(feed([[1], [4, 0]], "query")["input_ids"][1]) == 1, "0 is padding"
