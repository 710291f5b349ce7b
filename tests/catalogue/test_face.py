"""The top of the package: lazy, complete, typed, and free of torch until a part is used."""

import importlib

import pytest

import nearfar
from nearfar.catalogue import stubs
from nearfar.core.parts import built_in, public_names

HEAVY = ("torch", "numpy", "jaxtyping", "matplotlib", "rich", "tokenizers", "safetensors")
LOADED = f"import sys; print([name for name in {HEAVY!r} if name in sys.modules])"


@pytest.mark.parametrize(
    "code",
    [
        "import nearfar",
        "import nearfar; dir(nearfar)",
        "import nearfar; hasattr(nearfar, 'no_such_name')",
        "from nearfar.core.parts import parts; parts()",
        "from nearfar.core.errors import NearfarError",
    ],
)
def test_torch_is_not_imported(in_process, code):
    done = in_process("-c", f"{code}\n{LOADED}")
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_torch_is_imported_when_a_part_is_used(in_process):
    done = in_process("-c", f"import nearfar; nearfar.info_nce\n{LOADED}")
    assert "torch" in done.stdout, "else the test above would notice nothing"


@pytest.mark.parametrize("name", sorted(nearfar.FACE))
def test_names_of_the_face_load(name):
    assert getattr(nearfar, name) is getattr(importlib.import_module(nearfar.FACE[name]), name)


def test_dir_offers_everything():
    assert {*nearfar.FACE, *public_names(), "__version__"} <= set(dir(nearfar))


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(AttributeError, match="did you mean info_nce"):
        nearfar.info_nec  # noqa: B018
    assert not hasattr(nearfar, "__wrapped__")


def test_stubs_are_current(tmp_path, monkeypatch, capsys):
    assert stubs.main(["--check"]) == 0, "run: make fix"
    stale = tmp_path / "__init__.pyi"
    stale.write_text(stubs.render().replace("info_nce as info_nce", "info_nce as info_nec"))
    monkeypatch.setattr(stubs, "STUB", stale)
    assert stubs.main(["--check"]) == 1
    assert "make fix" in capsys.readouterr().err
    assert stubs.main([]) == 0
    assert stale.read_text() == stubs.render()


def test_stubs_hold_every_public_name():
    text = stubs.render()
    for name in [*nearfar.FACE, *(name for part in built_in() for name in part.public)]:
        assert f" import {name} as {name}\n" in text
