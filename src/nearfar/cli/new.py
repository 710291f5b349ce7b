"""`nearfar new`: the two files of a method - the part and its loops - from a template that runs as it stands."""

from __future__ import annotations

import argparse
import keyword
import re
from pathlib import Path
from string import Template

from nearfar.catalogue.systems import rows
from nearfar.core.errors import UsageError
from nearfar.core.files import write_text
from nearfar.core.parts import PACKAGE, built_in

KINDS = ("recipe", "objective")
TEMPLATES = PACKAGE / "catalogue" / "templates"
EXAMPLES = """examples:
  nearfar new recipe my_views                    my_views.py and test_my_views.py here: a method of your own
  nearfar new objective my_loss
  nearfar new recipe my_views --family image     in a checkout of nearfar: src/nearfar/recipes/image/ and tests/references/recipes/
                                                 (the family of a paper's system: `nearfar list --systems`)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What, how it is called, where."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "kind", choices=KINDS, help="a recipe (trainable, with its claim), or an objective (a rule on scores)"
    )
    parser.add_argument("name", metavar="NAME", help="of the file, the card and the function: lower_case")
    parser.add_argument("--family", help="write a part of nearfar itself, a recipe into this folder of recipes/")
    parser.add_argument("--here", default=".", metavar="DIR", help="the folder, or the checkout (the present one)")


def run(args: argparse.Namespace) -> int:
    """Write both files, and say what to do with them."""
    name = _checked(args.name)
    root = Path(args.here)
    inside = args.family is not None or (args.kind == "objective" and (root / "src" / "nearfar").is_dir())
    files = _inside(args.kind, name, args.family, root) if inside else _outside(args.kind, name, root)
    for path in files:
        if path.exists():
            raise UsageError(f"there is a file {path} already", remedy="choose another name, or remove it")
    for path, text in files.items():
        write_text(path, text)
    part, loops = list(files)[:2]
    print(f"{part}\n    the method: what stands in (brackets) is yours to write; as it is, it runs")
    print(f"{loops}\n    its loops over single numbers, and a mistake that must be noticed")
    for line in _next(args.kind, name, part, loops, inside):
        print(f"  {line}")
    return 0


def _next(kind: str, name: str, part: Path, loops: Path, inside: bool) -> list[str]:
    """What to type."""
    if not inside:
        more = [f"nearfar train ./{part} --data ...", f"nearfar claim ./{part}"] if kind == "recipe" else []
        return [f"pytest {loops}", *more]
    tests = "tests/recipes/test_recipes.py" if kind == "recipe" else "tests/contract"
    more = [f"nearfar claim {name}"] if kind == "recipe" else []
    return ["make fix", f'make test ARGS="{tests} -k {name}"', "make check", *more]


def _checked(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UsageError(
            f"{name!r} is no name for a file and a function", remedy="write it like info_nce: lower case, _"
        )
    if name in {part.name for part in built_in()} | {path.stem for path in PACKAGE.iterdir()}:
        raise UsageError(f"{name!r} is taken", remedy="`nearfar list` shows what there is; choose another name")
    return name


def _inside(kind: str, name: str, family: str | None, root: Path) -> dict[Path, str]:
    """In a checkout of nearfar: the part where its kind is, its loops beside those of the others."""
    package = root / "src" / "nearfar"
    if not package.is_dir():
        raise UsageError(
            "this is no checkout of nearfar", where=str(root), remedy="leave --family out for a method of your own"
        )
    if kind == "objective":
        return {
            package / "objectives" / f"{name}.py": _filled("objective.py", name),
            root / "tests" / "references" / f"{name}.py": _filled("objective_reference.py", name),
        }
    families = _families(package)
    if family not in families:
        raise UsageError(
            f"there is no family {family!r} of recipes", where="--family", remedy=f"there are {', '.join(families)}"
        )
    folder = package / "recipes" / str(family)
    files = {
        folder / f"{name}.py": _filled("recipe.py", name, word=name),
        root / "tests" / "references" / "recipes" / f"{name}.py": _filled("recipe_reference.py", name),
    }
    first = {} if (folder / "__init__.py").is_file() else {folder / "__init__.py": f'"""Recipes: {family}."""\n'}
    return files | first


def _families(package: Path) -> list[str]:
    """Folders of recipes, and those that the table of systems names and that hold none yet."""
    there = {path.parent.name for path in (package / "recipes").glob("*/__init__.py")}
    return sorted(there | {row["folder"] for row in rows() if row["folder"] not in ("", "-")})


def _outside(kind: str, name: str, root: Path) -> dict[Path, str]:
    """Anywhere else: the method and a test of its own, side by side."""
    part, test = root / f"{name}.py", root / f"test_{name}.py"
    loops = _filled(f"{kind}_reference.py", name) + _filled(f"{kind}_test.py", name, file=part.name, test=test.name)
    return {part: _filled(f"{kind}.py", name, word=f"./{part.name}"), test: loops}


def _filled(template: str, name: str, **words: str) -> str:
    return Template((TEMPLATES / f"{template}.txt").read_text("utf-8")).substitute(
        name=name, **({"word": name} | words)
    )
