"""Pretrained audio encoder: a speech model of `transformers` from a local folder, its frames averaged.

        v(wave) = projection( mean over real frames of  model(wave) )

Two kinds: those that read the wave itself (wav2vec 2.0, Baevski and others 2020, arXiv 2006.11477; HuBERT, WavLM, Data2Vec),
and the encoder of Whisper (Radford and others 2022, arXiv 2212.04356), which reads a spectrogram of exactly 30 seconds. Kin:
`convolution_1d` learns from scratch.

Law one: some raw models look at padding whatever the mask says; those with feat_extract_norm="group" (the base models)
normalise over all time. With them a record is embedded with those of its own length only, never padded.
SpecAugment is switched off: it draws from a global generator, and masks belong to views here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nearfar.core.arrays import as_floats
from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.core.ragged import Ragged, ragged
from nearfar.core.rows import Rows
from nearfar.core.seeding import seeded
from nearfar.core.tree import from_json
from nearfar.encoders.shared.architecture import build_architecture, quiet, read_architecture, read_object
from nearfar.encoders.shared.pretrained_model import MAX_DIMENSION, PretrainedModel, local_folder, stored_architecture
from nearfar.encoders.shared.settings import damaged, stored
from nearfar.maths.pooling import mean

CARD = Card(
    name="pretrained_audio",
    summary="a speech model of transformers from a local folder (wav2vec 2.0, HuBERT, Whisper), averaged over time",
    reads=("audio",),
    related=("pretrained", "convolution_1d"),
    public=("PretrainedAudio",),
)

NOUN, EXTRA = "a pretrained audio encoder", "audio"
SPECTROGRAMS = ("whisper",)
MASKED = ("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat")  # padding is masked wherever it could be seen
UNMASKED = ("data2vec-audio",)  # convolutions of positions, one upon the other, carry padding into what is real


@dataclass(frozen=True)
class AudioSetup:
    """How a speech model becomes an encoder: all but its architecture and weights; see `PretrainedAudio.fit`.

    rate     samples a second that the model reads
    scaled   whether each wave is brought to mean 0 and spread 1
    seconds  longer waves are cut
    """

    rate: int
    scaled: bool
    seconds: float
    projection: int | None = None
    freeze: bool = False


class PretrainedAudio(PretrainedModel):
    """A speech model and a projection, see the file's text. `fit` reads a folder; `from_config` does without one."""

    def __init__(self, model: Any, setup: AudioSetup) -> None:
        super().__init__(model, setup, int(model.config.hidden_size))
        self._spectrogram = None if self.reads_wave else _spectrogram(model, setup.rate)

    @classmethod
    def fit(
        cls,
        audio: Mapping[str, Sequence[Any]],
        *,
        folder: str = "",
        seconds: float = 30.0,
        dimension: int | None = None,
        freeze: bool = False,
        seed: int = 0,
    ) -> PretrainedAudio:
        """The encoder of a folder. Of the records only the rate is looked at, where the sequence of a side says one (`rate`).

        folder     local, with config.json, model.safetensors and preprocessor_config.json
        seconds    longer waves are cut to so many, at most 30 for Whisper
        dimension  length of a vector, by a linear layer on top with random weights; None: none is added
        freeze     the model learns nothing (the layer on top does), and runs without dropout

        Errors: DataError for a folder that cannot be used, UsageError for an option, ResourceError without transformers.
        """
        place = local_folder(folder)
        said = read_object(place / "preprocessor_config.json")
        rate: Any = said.get("sampling_rate", 16_000)
        scaled = said.get("do_normalize", True) is True
        setup = AudioSetup(rate if isinstance(rate, int) else 0, scaled, seconds, dimension, freeze)
        model = _encoder_part(read_architecture(place, EXTRA))
        if wrong := _wrong(setup, model):
            raise UsageError(wrong, where="encoder", remedy="choose another value")
        for side in sorted(audio):
            if getattr(audio[side], "rate", rate) != rate:
                raise _other_rate(getattr(audio[side], "rate", None), rate, f"side {side!r}")
        with seeded(seed):
            return cls(model, setup).train()

    def prepare(self, records: Sequence[Any]) -> Ragged | Tensor:
        """Waves, kept ragged; or spectrograms [n bands frames] and, in one more band, which frames are real.

        A record is an array [t] of floats at the model's rate; or a mapping with `array` and `sampling_rate`.
        Raises DataError, where="record i", for what is no wave, too short for one frame, or of another rate.
        """
        waves = [self._wave(record, number) for number, record in enumerate(records)]
        if self.reads_wave:
            return ragged([torch.from_numpy(wave) for wave in waves])
        return self._spectrograms(waves)

    def forward(self, inputs: Ragged | Tensor, side: str = "query") -> Rows:
        """One row a wave: vectors [n dimension]."""
        if not len(inputs):
            # The library's models do not all take an empty batch, and a sharded one must be called as often on every rank.
            return self.forward(self.prepare([np.ones(self.least, np.float32)]), side).take(slice(0, 0))
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.setup.freeze):
            vectors = self._of_waves(inputs) if isinstance(inputs, Ragged) else self._of_spectrograms(inputs)
        return Rows(self.projection(vectors))

    def cost(self, inputs: Ragged | Tensor) -> Tensor:
        """Samples of each wave [n]; of spectrograms, which are all of one length, ones."""
        return inputs.lengths if isinstance(inputs, Ragged) else torch.ones(len(inputs))

    @property
    def reads_wave(self) -> bool:
        """Whether the model reads the wave itself, or a spectrogram."""
        return self.model.config.model_type not in SPECTROGRAMS

    @property
    def least(self) -> int:
        """Samples that give one frame."""
        if not self.reads_wave:
            return 1
        samples = 1
        for kernel, stride in reversed(_convolutions(self.model)):
            samples = (samples - 1) * stride + kernel
        return samples

    def _of_waves(self, inputs: Ragged) -> Tensor:
        device = next(self.model.parameters()).device
        config = self.model.config
        if config.model_type in MASKED and config.feat_extract_norm == "layer":
            return self._averaged(*(t.to(device) for t in inputs.padded()))
        lengths = inputs.lengths
        parts, places = [], []
        for length in lengths.unique().tolist():
            place = (lengths == length).nonzero()[:, 0]
            wave, mask = inputs.take(place).padded()
            parts.append(self._averaged(wave.to(device), mask.to(device)))
            places.append(place)
        return torch.cat(parts)[torch.cat(places).argsort().to(device)]

    def _averaged(self, wave: Tensor, mask: Tensor) -> Tensor:
        states = self.model(wave, attention_mask=None if bool(mask.all()) else mask.long()).last_hidden_state
        frames = mask.sum(1)
        for kernel, stride in _convolutions(self.model):
            frames = (frames - kernel) // stride + 1
        return mean(states, torch.arange(states.shape[1], device=states.device) < frames[:, None])

    def _of_spectrograms(self, inputs: Tensor) -> Tensor:
        inputs = inputs.to(next(self.model.parameters()).device)
        states = self.model(inputs[:, :-1]).last_hidden_state
        # The second convolution takes every other frame.
        return mean(states, inputs[:, -1, ::2] > 0)

    def _wave(self, record: Any, number: int) -> np.ndarray:
        where, rate = f"record {number}", self.setup.rate
        if isinstance(record, Mapping):
            other = record.get("sampling_rate")
            if other != rate:
                raise _other_rate(other, rate, where)
            record = record.get("array")
        wave = as_floats(record, number, (1,), "a wave [t]").astype(np.float32)
        if len(wave) < self.least:
            raise DataError(
                f"a wave of {len(wave)} samples is too short: {self.least} make one frame",
                where=where,
                remedy="leave it out",
            )
        if not np.isfinite(wave).all():
            raise DataError("the wave holds values that are not finite", where=where, remedy="leave it out")
        wave = wave[: max(self.least, int(self.setup.seconds * rate))]
        return (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7) if self.setup.scaled and self.reads_wave else wave

    def _spectrograms(self, waves: list[np.ndarray]) -> Tensor:
        extractor: Any = self._spectrogram
        if not waves:
            return torch.zeros(0, extractor.feature_size + 1, extractor.nb_max_frames)
        made = [extractor(w, sampling_rate=self.setup.rate, return_attention_mask=True) for w in waves]
        bands = torch.stack([torch.as_tensor(m["input_features"][0]) for m in made])
        real = torch.stack([torch.as_tensor(m["attention_mask"][0]) for m in made])
        return torch.cat([bands, real[:, None].to(bands.dtype)], dim=1)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> PretrainedAudio:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        with stored(NOUN):
            setup = from_json(AudioSetup, config.get("setup"), "setup")
            architecture = stored_architecture(config)
        model = _encoder_part(build_architecture(architecture, EXTRA))
        if wrong := _wrong(setup, model):
            raise damaged(NOUN, wrong)
        return cls(model, setup)

    def hold(self) -> None:
        """Also the places of Whisper are still."""
        super().hold()
        if not self.reads_wave:
            self.model.embed_positions.requires_grad_(False)  # sines, which were never learned


def _encoder_part(model: Any) -> Any:
    """The encoder of Whisper, or a model that reads waves, without its random masks."""
    config = model.config
    if config.model_type in SPECTROGRAMS:
        return model.get_encoder() if hasattr(model, "get_encoder") else model
    if config.model_type not in MASKED + UNMASKED or getattr(config, "add_adapter", False):
        raise DataError(
            f"a model of the kind {config.model_type} is not read here",
            where="architecture",
            remedy="use wav2vec 2.0, HuBERT, WavLM, Data2Vec for audio (without adapter layers), or Whisper",
        )
    config.apply_spec_augment = False
    return model


def _convolutions(model: Any) -> list[tuple[int, int]]:
    """Kernel and stride of each of the convolutions that turn samples into frames."""
    return list(zip(model.config.conv_kernel, model.config.conv_stride, strict=True))


def _spectrogram(model: Any, rate: int) -> Any:
    from transformers import WhisperFeatureExtractor

    with quiet():
        return WhisperFeatureExtractor(feature_size=model.config.num_mel_bins, sampling_rate=rate)


def _wrong(setup: AudioSetup, model: Any) -> str:
    """What makes no sense about a setup for this model, or nothing."""
    whisper = model.config.model_type in SPECTROGRAMS
    sound = {
        f"a rate of {setup.rate}": 1_000 <= setup.rate <= 1_000_000,
        f"seconds is {setup.seconds}": 0 < setup.seconds <= (30 if whisper else 36_000),
        f"dimension is {setup.projection}": setup.projection is None or 1 <= setup.projection <= MAX_DIMENSION,
        "a spectrogram of other than 80 or 128 bands": not whisper or model.config.num_mel_bins in (80, 128),
        "a Whisper of other than 1500 places": not whisper or model.config.max_source_positions == 1500,
    }
    return next((what for what, holds in sound.items() if not holds), "")


def _other_rate(found: Any, rate: int, where: str) -> DataError:
    return DataError(
        f"the wave has {found} samples a second, and the model reads {rate}",
        where=where,
        remedy=f"resample it before; a folder is resampled as it is read by audio_folder(..., rate={rate})",
    )
