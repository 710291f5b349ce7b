"""Lists, pages and citations say what the cards and sources say."""

import ast
import inspect
import re

import pytest

import nearfar
from nearfar.catalogue import citation, listing, page, source
from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.parts import Part, built_in, find


def made(tmp_path, text, name="made", **fields):
    path = tmp_path / f"{name}.py"
    path.write_text(text)
    return Part(Card(name=name, summary="made here", **fields), "objectives", "", f"x.{name}", str(path), 1)


def test_choose():
    symmetric = {part.name for part in listing.choose("objectives", has="symmetric")}
    assert "sigmoid" in symmetric
    assert "info_nce" not in symmetric
    by_label = {part.name for part in listing.choose("relations", reads="label")}
    assert {"labelled", "masked_views"} <= by_label
    assert not {"paired", "multi_view"} & by_label
    needing = {part.name for part in listing.choose("objectives", needs="negative")}
    assert "decoupled" in needing
    assert "info_nce" not in needing
    assert "info_nce" in {part.name for part in listing.choose(word="SOFTMAX")}
    assert listing.choose(word="no such word") == []


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_list_fits_the_terminal_and_holds_every_name(width):
    text = listing.as_text(built_in(), width)
    assert max(map(len, text.splitlines())) <= width
    for part in built_in():
        assert re.search(rf"^  {part.name}\b", text, re.MULTILINE)


@pytest.mark.parametrize("part", [*built_in(), *source.face()], ids=lambda part: part.name)
def test_every_page(part):
    text, markdown, data = page.as_text(part), page.as_markdown(part), page.as_data(part)
    for shown in (text, markdown):
        assert part.name in shown
        assert part.card.summary in " ".join(shown.split())
    assert data["name"] == part.name
    fits = inspect.ismethod(
        getattr(getattr(nearfar, part.attribute, None), "fit", None)
    )  # a classmethod: what its users call
    begins = (f"{part.attribute}.fit(",) if fits else (f"{part.attribute}(", f"{part.attribute} = ")
    assert data["signature"].startswith(begins)


def test_signature_is_that_of_the_function():
    from nearfar.relations.paired import paired

    assert page.as_data(find("paired"))["signature"] == f"paired{inspect.signature(paired)}".replace(
        "'str'", "str"
    ).replace("'Relation'", "Relation")


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("def f(a, /, b: int = 1, *c: str, d=2, **e) -> None: ...", "f(a, b: int = 1, *c: str, d=2, **e) -> None"),
        ("def f(*, a: int): ...", "f(*, a: int)"),
        ("class f:\n def __init__(self, a: int) -> None: ...", "f(a: int)"),
        ("f = g(1)", "f = g(1)"),
        ("class f:\n a: int\n b: str = 'x'", "f(a: int, b: str = 'x')"),
    ],
)
def test_signatures(code, shown):
    assert source.signature(source.defined(ast.parse(code), "f")[0]) == shown


def test_long_signature_takes_a_line_an_argument():
    code = "def f(" + ", ".join(f"argument_{i}: int" for i in range(9)) + ") -> int: ..."
    lines = source.signature(source.defined(ast.parse(code), "f")[0]).splitlines()
    assert len(lines) == 11
    assert lines[-1] == ") -> int"


def test_split_example():
    assert source.split_example("Prose.\n\n>>> 1 + 1\n2\n\nMore.") == ("Prose.\n\n\nMore.", ">>> 1 + 1\n2")
    assert source.split_example("Prose.") == ("Prose.", "")


def test_papers_come_from_card_and_text(tmp_path):
    text = '"""A.\n\nSource: van den Oord et al. 2018 (arXiv 1807.99748v2); Tian and\nIsola 2020 (doi 10.1234/ab.c-d), not 3.14159.\n"""\n'
    part = made(tmp_path, text, papers=("2110.99848",))
    papers = citation.papers_of(part)
    assert [(p.id, p.author, p.year) for p in papers] == [
        ("2110.99848", "", "2021"),
        ("1807.99748", "van den Oord and others", "2018"),
        ("10.1234/ab.c-d", "Tian and Isola", "2020"),
    ]


def test_bibtex(tmp_path):
    entry = citation.bibtex(citation.Paper("1807.03748", "Oord and others", "2018"), "nearfar: info_nce")
    assert entry.startswith("@misc{arxiv:1807.03748,\n")
    assert entry.count("{") == entry.count("}")
    assert re.search(r"eprint +=\s+\{1807\.03748\},", entry)
    assert "author" not in citation.bibtex(citation.Paper("10.1/x"), "n")
    assert nearfar.__version__ in citation.software()


def test_a_paper_that_two_parts_name_is_cited_once(tmp_path):
    first = made(tmp_path, '"""A. (arXiv 1807.99748)"""\n', "first")
    second = made(tmp_path, '"""B: Oord et al. 2018 (arXiv 1807.99748)"""\n', "second")
    ((paper, users),) = citation.citations([first, second])
    assert (paper.author, users) == ("Oord and others", ["first", "second"])


def test_a_paper_without_an_id_is_cited_by_the_title_of_its_system(tmp_path):
    text = '"""A.\n\nSource: Wilkie et al. 2025 (CLAN, pages 1-2), by hand.\n"""\n'
    (paper,) = citation.papers_of(made(tmp_path, text, systems=("012",)))
    assert (paper.id, paper.author, paper.year) == ("system 012", "Wilkie and others", "2025")
    assert paper.title.startswith("Contrastive Self-Supervised Network Intrusion Detection")
    entry = citation.bibtex(paper, "n")
    assert entry.startswith("@misc{system:012,\n")
    assert "doi" not in entry
    assert "eprint" not in entry
    # with an id on the card, the title of the table has no say
    assert [p.id for p in citation.papers_of(made(tmp_path, text, systems=("012",), papers=("2110.06848",)))] == [
        "2110.06848"
    ]


def test_a_system_is_cited_by_the_recipes_that_hold_it_else_by_its_title():
    from nearfar.catalogue.systems import systems

    held = next(system for system in systems() if system.recipes)
    empty = next(system for system in systems() if not system.recipes)
    papers, without = citation.cited([held.id, empty.id, "digits"])
    assert set(held.recipes) <= {name for _, names in papers for name in names}
    assert [(p.title, names) for p, names in papers][-1] == (empty.title, [f"system {empty.id}"])
    assert without == ["digits"]
    with pytest.raises(UsageError, match="no system '999'"):
        citation.cited(["999"])


@pytest.mark.parametrize(
    ("author", "told"),
    [("Oord, A. and Li, Y. and V, O.", "Oord and others"), ("Tian, Y. and Isola, P.", "Tian and Isola"), ("", "")],
)
def test_a_paper_in_words(author, told):
    paper = citation.Paper("1807.03748", author, "2018", "On it")
    assert citation.in_words(paper) == f"{told} 2018. On it. arXiv 1807.03748.".strip()


def test_every_arxiv_paper_that_a_part_names_is_in_the_papers_file():
    from nearfar.core.parts import built_in

    named = {p.id for part in built_in() for p in citation.papers_of(part) if citation.is_arxiv(p.id)}
    assert named
    assert named <= set(citation.known_papers())
    assert all(p.title and p.author and p.year for p in citation.known_papers().values())


def test_the_page_of_a_class_says_what_it_is_made_by(tmp_path):
    """Its settings are those of `fit`, its own or that of a base, in the same file or another one."""
    for name in ("convolutional", "place_network", "static", "gru"):
        part = find(name, "encoders")
        fit = getattr(nearfar, part.attribute).fit
        shown = page.as_text(part)
        assert f"{part.attribute}.fit(" in shown
        for setting in inspect.signature(fit).parameters:
            assert re.search(rf"^ +{setting}: ", shown, re.MULTILINE), (name, setting)
        assert inspect.getdoc(fit).partition("\n")[0] in shown
    text = "class Base:\n    @classmethod\n    def fit(cls, size=3):\n        'A small one.'\n\nclass made(Base):\n    'It.'\n"
    about = source.describe(made(tmp_path, text))
    assert (about.signature, about.prose) == ("made.fit(size=3) -> made", "It.\n\nmade.fit: A small one.")
    plain = "class made:\n    'It.'\n    def __init__(self, size): pass\n    def fit(self, x): pass\n"
    assert source.describe(made(tmp_path, plain.replace("made", "other"), "other")).signature == "other(size)"
