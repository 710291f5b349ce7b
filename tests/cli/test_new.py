"""`nearfar new`: both files of a method, where they belong, and a family that has no recipe yet."""

import pytest

from nearfar.cli.main import main


@pytest.fixture
def checkout(tmp_path):
    recipes = tmp_path / "src" / "nearfar" / "recipes"
    (recipes / "image").mkdir(parents=True)
    (recipes / "image" / "__init__.py").write_text('"""Recipes that learn from images."""\n')
    return tmp_path


def new(folder, *words):
    return main(["new", *words, "--here", str(folder)])


def test_a_recipe_of_ones_own_is_two_files(tmp_path, capsys):
    assert new(tmp_path, "recipe", "my_views") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"my_views.py", "test_my_views.py"}
    assert "pytest" in capsys.readouterr().out


def test_a_recipe_of_a_family(checkout, capsys):
    assert new(checkout, "recipe", "my_views", "--family", "image") == 0
    assert (checkout / "src/nearfar/recipes/image/my_views.py").exists()
    assert (checkout / "tests/references/recipes/my_views.py").exists()
    assert "make check" in capsys.readouterr().out


def test_a_family_of_the_catalogue_that_has_no_recipe_yet_gets_its_folder(checkout):
    assert new(checkout, "recipe", "patches", "--family", "tooling") == 0
    folder = checkout / "src/nearfar/recipes/tooling"
    assert (folder / "__init__.py").read_text().startswith('"""')
    assert (folder / "patches.py").exists()


def test_a_family_that_nobody_knows_is_refused_and_nothing_written(checkout, capsys):
    assert new(checkout, "recipe", "patches", "--family", "nonsense") == 2
    told = capsys.readouterr().err
    assert "no family 'nonsense'" in told
    assert "image" in told
    assert "dense" in told
    assert not (checkout / "src/nearfar/recipes/nonsense").exists()
    assert not (checkout / "tests").exists()
