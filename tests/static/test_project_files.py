"""Facts that stand in more than one file of the project agree, and every dependency has an exact version."""

import re
import tomllib
from pathlib import Path

import nearfar
from nearfar.catalogue import citation
from nearfar.cli import env

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def distributions(requirements):
    names = (re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0] for requirement in requirements)
    return {normal(name) for name in names} - {"nearfar"}


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text):
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), (
        "every line is NAME==VERSION, without a local part"
    )
    return {normal(name): version for name, version in (line.split("==") for line in lines)}


def test_every_dependency_is_pinned():
    pinned = pins((ROOT / "constraints.txt").read_text("utf-8"))
    wanted = distributions(PROJECT["dependencies"]).union(
        *map(distributions, PROJECT["optional-dependencies"].values())
    )
    assert wanted - set(pinned) == set()
    assert pinned["torch"] == "2.13.0"
    assert not [name for name in pinned if name.startswith(("nvidia", "triton", "cuda"))]


def test_pins_of_the_installed_packages_are_those_of_the_file():
    pinned = pins((ROOT / "constraints.txt").read_text("utf-8"))
    installed = {name: env.installed(name) for name in pinned}
    differing = {n: v for n, v in installed.items() if v is not None and v.partition("+")[0] != pinned[n]}
    assert differing == {}


def test_env_knows_the_dependencies():
    assert {normal(name) for name in env.BASE} == distributions(PROJECT["dependencies"])
    for extra, names in env.EXTRAS.items():
        assert set(names) == distributions(PROJECT["optional-dependencies"][extra])


def test_citation_agrees_with_the_package():
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    fields = dict(re.findall(r'^([\w-]+): "?([^"\n]+)"?$', text, re.MULTILINE))
    assert fields["version"] == nearfar.__version__
    assert fields["title"] == citation.TITLE
    assert f"- name: {citation.AUTHOR}\n" in text
    assert fields["license"] == PROJECT["license"]
    assert PROJECT["authors"] == [{"name": citation.AUTHOR}]


def test_make_targets_explain_themselves():
    targets = dict(re.findall(r"^([a-z-]+):.*?## (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set("setup fix check test demo bench docs".split()) <= set(targets)


def test_ci_runs_exactly_the_command_that_a_person_types():
    script = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert [line for line in script if "make" in line and not line.startswith("#")] == ["exec make test"]


def test_folders_say_what_they_are_and_re_export_nothing():
    for folder in sorted(p for p in (ROOT / "src" / "nearfar").rglob("*") if p.is_dir() and list(p.glob("*.py"))):
        text = (folder / "__init__.py").read_text("utf-8")
        assert text.startswith('"""'), folder
        assert "import" not in text.partition('"""')[2].partition('"""')[2], f"{folder} re-exports something"
