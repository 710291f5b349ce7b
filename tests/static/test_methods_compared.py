"""The comparison of methods is fair in what it fixes, and its pages are what the stored records give."""

import copy
from dataclasses import replace

import pytest

from nearfar.data.dataset import Dataset
from programs import module

compared, methods = module("compared", "docs"), module("methods")
COLUMNS = {"images": {"label"}, "sentences": set()}


@pytest.mark.parametrize("comparison", list(COLUMNS))
def test_all_methods_have_the_same_budget_encoder_and_views(comparison):
    shared = methods.COMPARISONS[comparison]
    names = methods.methods(shared, COLUMNS[comparison])[0]
    assert shared.base in names
    for name in names:
        recipe = methods.on_common_ground(name, shared, COLUMNS[comparison])
        looks = sum(feed.copies for feed in recipe.streams) * sum(fit.epochs for fit in recipe.fits)
        assert looks == pytest.approx(shared.looks, rel=0.01), name
        assert (recipe.encoder.part, dict(recipe.encoder.options)) == (shared.encoder[0], dict(shared.encoder[1]))
        assert {fit.batch_size for fit in recipe.fits} == {shared.batch}, name
        for view in (view for feed in recipe.streams for view in feed.views if comparison == "images"):
            assert view.part == "random_resized_crop", name
            assert "size" in view.options or view.options["area"] == (0.4, 1.0), name


def test_trials_of_methods_of_every_build(monkeypatch):
    """Stages that measure, several fits with a column in between, a teacher, small crops: each of them trains and is measured."""
    shared = replace(methods.COMPARISONS["images"], looks=6.0, batch=8, measures={"knn_accuracy": "accuracy"})
    whole = methods.dataset_of("digits")
    few = Dataset("few", {"train": whole.train.take(range(64)), "dev": whole.part("dev").take(range(20))})
    monkeypatch.setattr(methods, "dataset_of", lambda name: few)
    figures = {}
    built = ("moderate_temperature", "balanced_subclasses", "momentum_contrast", "swapped_assignments")
    for name in (methods.UNTRAINED, shared.base, *built):
        row = methods.trial(shared, name, 1e-2, "dev", 0)
        assert set(row["figures"]) == set(shared.measures), name
        figures[name] = tuple(row["figures"].values())
        assert all(0 < value <= 1 for value in figures[name]), name
    assert len(set(figures.values())) > 3, "methods differ"


def test_a_method_that_needs_more_is_told_with_what_it_needs():
    names, unfit = methods.methods(methods.COMPARISONS["images"], {"label"})
    assert {"image_views", "momentum_contrast", "many_views"} <= set(names)
    assert unfit["prior_guided_views"] == "needs the column prior"
    assert "prior_guided_views" not in names
    assert "prior_guided_views" in methods.methods(methods.COMPARISONS["images"], {"label", "prior"})[0]
    assert unfit["proxy_replay"] == "trains by a stage of its own"


def test_looks_and_not_passes_are_what_is_equal():
    shared = methods.COMPARISONS["images"]
    two, five = (methods.on_common_ground(n, shared, {"label"}) for n in ("image_views", "many_views"))
    assert two.fits[0].epochs == pytest.approx(2.5 * five.fits[0].epochs)
    twice = methods.on_common_ground("image_views", replace(shared, looks=2 * shared.looks), {"label"})
    assert twice.fits[0].epochs == 2 * two.fits[0].epochs


def made_up():
    """Three methods with three seeds; the second is 0.1 above the first in every seed, the third has labels."""
    rows = []
    for name, at in (("image_views", 0.5), ("many_views", 0.6), ("labelled_views", 0.9), ("untrained", 0.3)):
        for seed in range(3):
            figures = {"knn_accuracy": at + seed / 100, "linear_accuracy": at}
            row = {"method": name, "learning_rate": 0.001, "split": "test", "seed": seed, "seconds": 2.0}
            rows.append(row | {"figures": figures})
    rows.append({"method": "prior_guided_views", "split": "", "seed": -1, "left_out": "needs the column prior"})
    settings = {"base": "image_views", "batch": 64, "looks": 24, "seeds": 3, "rates": [0.001, 0.003]}
    measures = {"knn_accuracy": "accuracy", "linear_accuracy": "accuracy"}
    sessions = [{"command": "python benchmarks/methods.py images", "date": "2026-01-01T00:00:00"}]
    return {"settings": settings | {"measures": measures}, "rows": rows, "sessions": sessions}


def test_the_page_orders_methods_and_pairs_differences_by_seed():
    text = compared.page("images", made_up())
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert [line[0] for line in lines] == [
        "| `labelled_views` (labels)",
        "| `many_views`",
        "| `image_views`",
        "| `untrained`",
    ]
    assert lines[1][1] == "0.610 ± 0.025"  # 0.01 x 4.303 / sqrt(3)
    assert lines[1][3] == "+0.100 [+0.100, +0.100]"
    assert lines[2][3] == ""
    assert "`prior_guided_views` needs the column prior" in text


def test_other_figures_give_another_page_and_picture():
    record, altered = made_up(), made_up()
    altered["rows"][0]["figures"]["knn_accuracy"] += 0.05
    assert compared.page("images", altered) != compared.page("images", record)
    assert compared.picture(altered) != compared.picture(record)
    assert compared.picture(copy.deepcopy(record)) == compared.picture(record)


@pytest.mark.parametrize("name", list(compared.records()) or [None])
def test_pages_and_pictures_are_those_of_the_records(name):
    if name is None:
        assert not any(compared.page_path(n).exists() for n in compared.TITLES)
        return
    record = compared.records()[name]
    assert compared.page(name, record) == compared.page_path(name).read_text("utf-8"), "run: python docs/compared.py"
    assert compared.picture(record) == compared.picture_path(name).read_text("utf-8")
