"""Pretrained audio encoders: a wave's vector is its own, padding or not, and the rate is the model's."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.core.model import Model
from nearfar.core.ragged import Ragged
from nearfar.encoders.pretrained_audio import PretrainedAudio
from nearfar.execution.micro_batches import take
from tiny_models import RATE, SPEECH_SIZES, saved, speech_folder

KINDS = ("base", "large", "hubert", "data2vec", "whisper")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    return {kind: speech_folder(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


@pytest.fixture(scope="module")
def waves() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=n).astype(np.float32) * (i + 1) / 9 for i, n in enumerate((300, 1000, 300, 777))]


def encoder(folder: str, **options) -> PretrainedAudio:
    return PretrainedAudio.fit({}, folder=folder, **options).eval()


def vectors(model: PretrainedAudio, inputs) -> torch.Tensor:
    with torch.no_grad():
        return model(inputs).vectors


@pytest.mark.parametrize("kind", KINDS)
def test_a_waves_vector_is_its_own_and_survives_storing(folders, waves, kind: str, tmp_path) -> None:
    model = encoder(folders[kind], dimension=None if kind == "large" else 4)
    inputs = model.prepare(waves)
    together = vectors(model, inputs)
    assert together.shape == (4, model.dimension)
    for i, wave in enumerate(waves):
        assert torch.allclose(vectors(model, model.prepare([wave]))[0], together[i], atol=1e-5)
    order = torch.tensor([3, 1, 0])
    assert torch.allclose(vectors(model, take(inputs, order)), together[order], atol=1e-5)
    assert not torch.allclose(together[0], together[2], atol=1e-3)
    assert vectors(model, model.prepare([])).shape == (0, model.dimension)
    Model({"query": model}).save(tmp_path / "model")
    read = Model.load(tmp_path / "model").tower("query")
    assert torch.equal(vectors(read, read.prepare(waves)), together)
    assert not any(tensor.is_meta for tensor in [*read.parameters(), *read.buffers()])


@pytest.mark.parametrize("kind", ["base", "large", "hubert", "data2vec"])
def test_one_wave_is_the_mean_of_its_frames(folders, waves, kind: str) -> None:
    import transformers

    plain = transformers.AutoModel.from_pretrained(folders[kind], local_files_only=True).eval()
    reader = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folders[kind])
    model = encoder(folders[kind])
    values = reader(waves[1], sampling_rate=RATE, return_tensors="pt").input_values
    with torch.no_grad():
        states = plain(values).last_hidden_state
    assert torch.allclose(vectors(model, model.prepare([waves[1]])), states.mean(1), atol=1e-5)
    assert not torch.allclose(vectors(model, model.prepare([waves[3]])), states.mean(1), atol=1e-3)  # known bad


def test_padding_where_the_model_would_see_it_is_told_apart(folders, waves) -> None:
    for kind in ("base", "data2vec"):
        model = encoder(folders[kind])
        wave, mask = model.prepare(waves).padded()
        with torch.no_grad():
            padded = model._averaged(wave, mask)
        assert not torch.allclose(padded[0], vectors(model, model.prepare(waves))[0], atol=1e-4), kind  # known bad
    model = encoder(folders["large"])
    wave, mask = model.prepare(waves).padded()
    with torch.no_grad():
        blind = model.model(wave).last_hidden_state.mean(1)
    assert not torch.allclose(blind[0], vectors(model, model.prepare(waves))[0], atol=1e-3)  # known bad: no mask


def test_whisper_is_the_mean_over_what_is_no_silence(folders, waves) -> None:
    import transformers

    plain = transformers.AutoModel.from_pretrained(folders["whisper"], local_files_only=True).eval().get_encoder()
    reader = transformers.WhisperFeatureExtractor(sampling_rate=RATE)
    long = np.tile(waves[1], 20)  # 20,000 samples: 125 frames of 10 ms, 63 places
    features = reader(long, sampling_rate=RATE, return_tensors="pt").input_features
    with torch.no_grad():
        states = plain(features).last_hidden_state
    model = encoder(folders["whisper"])
    inputs = model.prepare([long])
    assert isinstance(inputs, torch.Tensor)
    assert inputs.shape == (1, 81, 3000)
    assert torch.allclose(vectors(model, inputs), states[:, :63].mean(1), atol=1e-5)
    assert not torch.allclose(vectors(model, inputs), states.mean(1), atol=1e-3)  # known bad: 30 seconds of silence
    assert not model.model.embed_positions.weight.requires_grad


def test_records_and_costs(folders, waves) -> None:
    model = encoder(folders["large"], seconds=0.05)
    inputs = model.prepare(waves)
    assert isinstance(inputs, Ragged)
    assert model.cost(inputs).tolist() == [300, 800, 300, 777]  # cut to 0.05 seconds
    assert inputs.take([1]).values.mean().abs() < 1e-5
    assert inputs.take([1]).values.std() == pytest.approx(1, abs=1e-2)
    same = model.prepare([waves[0], torch.tensor(waves[0]), {"array": waves[0], "sampling_rate": RATE}])
    assert torch.equal(same.take([0]).values, same.take([1]).values)
    assert torch.equal(same.take([0]).values, same.take([2]).values)
    loose = encoder(folders["base"])
    assert torch.equal(loose.prepare(waves[:1]).values, torch.tensor(waves[0]))
    assert loose.least == 20
    assert vectors(loose, loose.prepare([waves[0][:20]])).shape == (1, 16)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"array": np.zeros(900), "sampling_rate": 8000}, "8000 samples a second, and the model reads 16000"),
        (np.zeros(19), "too short: 20 make one frame"),
        (np.zeros((2, 900)), "not a wave"),
        ("a text", "not a wave"),
        (np.full(900, np.nan), "not finite"),
    ],
)
def test_bad_records_are_named(folders, waves, bad, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        encoder(folders["base"]).prepare([waves[0], bad])
    assert caught.value.where == "record 1"


def test_gradients_freezing_and_no_chance_but_dropout(folders, waves) -> None:
    model = encoder(folders["large"], dimension=4).train()
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - what masks would be drawn from
    model(model.prepare(waves)).vectors.square().sum().backward()
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    dead = [name for name, p in model.named_parameters() if p.grad is None]
    assert dead == ["model.masked_spec_embed"]
    frozen = encoder(folders["large"], dimension=4, freeze=True).train()
    assert {n for n, p in frozen.named_parameters() if p.requires_grad} == {"projection.weight"}
    inputs = frozen.prepare(waves)
    assert torch.equal(frozen(inputs).vectors, frozen(inputs).vectors)
    assert not torch.equal(model(inputs).vectors, model(inputs).vectors)  # known bad: dropout


def test_wrong_calls_and_folders(folders, tmp_path) -> None:
    with pytest.raises(UsageError, match="is none"):
        encoder(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="seconds is 31"):
        encoder(folders["whisper"], seconds=31)
    with pytest.raises(UsageError, match="dimension is 0"):
        encoder(folders["base"], dimension=0)
    with pytest.raises(DataError, match=re.escape("no preprocessor_config.json")):
        encoder(str(tmp_path))
    import transformers

    class Slow(list):
        rate = 8000

    with pytest.raises(DataError, match=re.escape("8000 samples a second, and the model reads 16000 [side 'query']")):
        PretrainedAudio.fit({"query": Slow([np.zeros(900)])}, folder=folders["base"])
    PretrainedAudio.fit({"query": [np.zeros(900)]}, folder=folders["base"])  # it does not say its rate
    adapted = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**SPEECH_SIZES, add_adapter=True))
    folder = saved(tmp_path / "adapted", adapted, tokens=False)
    (Path(folder) / "preprocessor_config.json").write_text("{}", "utf-8")
    with pytest.raises(DataError, match="is not read here"):
        encoder(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("architecture", None),
        ("architecture", {"model_type": "vit", "hidden_size": 16}),
        ("setup", None),
        ("setup", {"rate": 0, "scaled": True, "seconds": 1.0}),
        ("setup", {"rate": 16000, "scaled": True, "seconds": float("inf")}),
        ("setup", {"rate": 16000, "scaled": True, "seconds": 1.0, "projection": 10**12}),
        ("setup", {"rate": 16000, "scaled": "yes", "seconds": 1.0}),
    ],
)
def test_a_senseless_configuration_is_a_data_error(folders, name: str, value) -> None:
    config = encoder(folders["base"]).config()
    with torch.device("meta"):
        PretrainedAudio.from_config(config)
        with pytest.raises(DataError):
            PretrainedAudio.from_config({**config, name: value})
