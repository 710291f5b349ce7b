"""Sound on disk: found, sorted, decoded when asked for, at one rate; whatever is broken is named with its path."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from nearfar.core import waves as module
from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.core.ids import string_ids
from nearfar.core.waves import read_wave
from nearfar.data.audio_folder import Waves, audio_folder
from nearfar.data.bad_records import BadRecords
from nearfar.maths.resampling import resampled

CHANCE = np.random.default_rng(0)


def write(path, size=800, rate=8000, channels=1, subtype=None):
    """A file of noise; returns what it holds, [t c]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = (CHANCE.uniform(-0.5, 0.5, size=(size, channels)) * 2**15).round() / 2**15
    soundfile.write(path, sound, rate, subtype=subtype)
    return sound


@pytest.fixture
def folder(tmp_path):
    """Two classes, in an order of names that is not that of writing."""
    sounds = {
        name: write(tmp_path / name, 300 + 7 * i) for i, name in enumerate(("dog/b.wav", "cat/z.flac", "cat/a.wav"))
    }
    (tmp_path / "cat" / ".hidden.wav").write_bytes(b"")
    (tmp_path / "cat" / "notes.txt").write_text("x")
    return tmp_path, sounds


@pytest.mark.parametrize("check", ["whole", "header"])
def test_classes_waves_and_their_order(folder, check):
    root, sounds = folder
    records = audio_folder(root, check=check)
    names = ["cat/a.wav", "cat/z.flac", "dog/b.wav"]
    assert list(records.fields["class"]) == ["cat", "cat", "dog"]
    assert records.columns["label"].tolist() == [0, 0, 1]
    assert len(set(records.columns["audio_id"].tolist())) == 3
    for i, name in enumerate(names):
        wave = records.fields["audio"][i]
        assert wave.dtype == np.float32
        assert np.allclose(wave, sounds[name][:, 0], atol=1e-6)
    assert not np.allclose(
        records.fields["audio"][0][:300], sounds["dog/b.wav"][:300, 0]
    )  # known bad: order of writing
    waves = records.fields["audio"]
    assert isinstance(waves, Waves)
    assert waves.rate == 8000
    assert records.notes[0].what == "1 files that are no audio were left out (1 .txt)"
    assert [len(w) for w in records.take([2, 0]).many("audio", [1, 0])] == [314, 300]
    assert [len(w) for w in records.fields["audio"][1:]] == [307, 300]


def test_waves_are_read_when_asked_for(folder):
    root, _ = folder
    records = audio_folder(root)
    os.remove(root / "cat" / "z.flac")
    assert len(records.fields["audio"][0]) == 314
    with pytest.raises(DataError, match=r"no such file.*z\.flac"):
        records.fields["audio"][1]


def test_a_flat_folder_has_no_classes_and_labels_can_be_left_alone(folder):
    root, _ = folder
    assert "class" not in audio_folder(root / "cat").fields
    records = audio_folder(root, labels=False)
    assert "label" not in records.columns
    write(root / "loose.wav")
    with pytest.raises(DataError, match=r"beside folders.*loose\.wav"):
        audio_folder(root)
    assert len(audio_folder(root, labels=False)) == 4


@pytest.mark.usefixtures("folder")
def test_a_table_gives_paths_captions_and_labels(tmp_path):
    table = tmp_path / "meta.csv"
    table.write_text("file,caption,label\ndog/b.wav,a dog,x\ncat/a.wav,a cat,y\ndog/b.wav,barking,x\n")
    records = audio_folder(table)
    assert list(records.fields["caption"]) == ["a dog", "a cat", "barking"]
    assert records.columns["label"].tolist() == [0, 1, 0]
    assert records.columns["caption_id"].tolist() == string_ids(["a dog", "a cat", "barking"]).tolist()
    ids = records.columns["audio_id"].tolist()
    assert ids[0] == ids[2] != ids[1]
    assert any("repeat" in note.what for note in records.notes)
    assert list(audio_folder(table, "file,label").fields["caption"]) == ["x", "y", "x"]
    table.write_text("where,what\ndog/b.wav,a dog\n")
    with pytest.raises(DataError, match=r"no column.*there are where, what"):
        audio_folder(table)
    with pytest.raises(DataError, match="no column 'wher'"):
        audio_folder(table, "wher")
    table.write_text("file\ndog/missing.wav\n")
    with pytest.raises(DataError, match=r"no such file.*line 2, dog/missing\.wav"):
        audio_folder(table)


def test_the_fingerprint_is_of_names_and_sounds(folder):
    root, _ = folder
    before = audio_folder(root).fingerprint
    assert before == audio_folder(root).fingerprint
    write(root / "dog" / "b.wav", 300)
    changed = audio_folder(root).fingerprint
    os.rename(root / "dog" / "b.wav", root / "dog" / "c.wav")
    assert len({before, changed, audio_folder(root).fingerprint, audio_folder(root, rate=4000).fingerprint}) == 4


def test_rates_must_agree_or_be_said(folder):
    root, sounds = folder
    fast = write(root / "dog" / "fast.wav", 1600, rate=16000)
    with pytest.raises(DataError, match=r"16,000 samples a second, most others 8,000.*fast\.wav.*rate=8000"):
        audio_folder(root)
    records = audio_folder(root, rate=8000)
    wave = records.fields["audio"][3]
    assert len(wave) == 800
    assert np.allclose(wave, resampled(fast[:, 0].astype(np.float32), 2.0), atol=1e-5)
    assert not np.allclose(wave, fast[::2, 0], atol=0.1)  # known bad: every other sample
    assert np.allclose(records.fields["audio"][2], sounds["dog/b.wav"][:, 0], atol=1e-6)
    assert any("1 of 4 files are resampled" in note.what for note in records.notes)


def test_channels_are_averaged(tmp_path):
    sound = write(tmp_path / "a.wav", channels=2)
    wave = audio_folder(tmp_path).fields["audio"][0]
    assert np.allclose(wave, sound.mean(1), atol=1e-6)
    assert not np.allclose(wave, sound[:, 0], atol=1e-2)  # known bad: the left channel


def broken(path, kind):
    """Make a good file bad."""
    data = path.read_bytes()
    if kind == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "junk":
        path.write_bytes(b"hello " * 100)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "no sound":
        soundfile.write(path, np.zeros(0), 8000)
    elif kind == "not finite":
        soundfile.write(path, np.array([0.0, np.nan, 1.0]), 8000, subtype="FLOAT", format="WAV")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("b.wav", "cut", "cut off"),
        ("b.flac", "cut", "damaged"),
        ("b.aiff", "cut", "cut off"),
        ("b.ogg", "cut", "no sound"),
        ("b.wav", "junk", "no sound, or damaged"),
        ("b.wav", "empty", "empty"),
        ("b.wav", "no sound", "holds no sound"),
        ("b.wav", "not finite", "not finite"),
    ],
)
def test_a_broken_file_is_named_or_left_out(tmp_path, name, kind, message):
    write(tmp_path / "a.wav")
    write(tmp_path / name)
    broken(tmp_path / name, kind)
    with pytest.raises(DataError, match=message) as caught:
        audio_folder(tmp_path)
    assert caught.value.where == str(tmp_path / name)
    log = tmp_path / "bad.jsonl"
    records = audio_folder(tmp_path, bad=BadRecords("skip", log, 0.5))
    assert len(records) == 1
    assert name in log.read_text()
    assert any("1 bad records were left out" in note.what for note in records.notes)
    with pytest.raises(DataError, match=r"more than the 1\.0% allowed"):
        audio_folder(tmp_path, bad=BadRecords("skip"))


def test_a_stream_of_unknown_length_is_sound(tmp_path):
    write(tmp_path / "a.wav")
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff" * 4  # what a program writes that cannot go back to the header
    (tmp_path / "a.wav").write_bytes(data)
    assert len(read_wave(str(tmp_path / "a.wav"), "a")[0]) == 800


def test_absurd_lengths_are_refused_before_memory_is_taken(tmp_path, monkeypatch):
    write(tmp_path / "a.wav", 2000)
    monkeypatch.setattr(module, "MAX_SAMPLES", 1000)
    with pytest.raises(DataError, match=r"claims to hold 2,000 samples.*a\.wav"):
        audio_folder(tmp_path, check="header")


def test_folders_without_sound_and_senseless_options(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        audio_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no audio files"):
        audio_folder(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match="but 1 other files"):
        audio_folder(tmp_path)
    with pytest.raises(DataError, match="no folder of audio files"):
        audio_folder(tmp_path / "a.txt")
    with pytest.raises(UsageError, match="check='deep'"):
        audio_folder(tmp_path, check="deep")
    with pytest.raises(UsageError, match="rate of 3"):
        audio_folder(tmp_path, rate=3)
    with pytest.raises(UsageError, match="no columns"):
        audio_folder(tmp_path, "file")


def test_a_missing_soundfile_names_the_extra(tmp_path, monkeypatch):
    write(tmp_path / "a.wav")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(ResourceError, match=r"nearfar\[audio\]"):
        audio_folder(tmp_path)


def test_the_module_is_read_without_soundfile():
    program = "import sys, nearfar.data.audio_folder; assert 'soundfile' not in sys.modules"
    paths = os.pathsep.join(path for path in sys.path if path)
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | {"PYTHONPATH": paths})


def test_a_folder_that_leads_into_itself_ends(folder):
    root, _ = folder
    os.symlink(root, root / "cat" / "again")
    assert len(audio_folder(root)) == 3
