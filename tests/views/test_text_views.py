"""Views of texts: what they do to words, how often; the chance of records is in test_contract.py."""

import dataclasses
import math

import pytest

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.core.text_fields import FIELD
from views.cases import SYNONYMS, TEXTS, WORDS
from views.shared import draws

VIEWS = {
    "word_deletion": nf.word_deletion(share=0.3),
    "word_blanking": nf.word_blanking(share=0.3),
    "word_crop": nf.word_crop(),
    "word_swap": nf.word_swap(share=0.3),
    "word_repetition": nf.word_repetition(),
    "synonyms": nf.synonyms(table=SYNONYMS, share=0.3),
}
MILDEST = {
    "word_deletion": nf.word_deletion(share=0),
    "word_blanking": nf.word_blanking(share=0),
    "word_crop": nf.word_crop(least=1, most=1),
    "word_swap": nf.word_swap(share=0),
    "word_repetition": nf.word_repetition(share=0),
    "synonyms": nf.synonyms(table=SYNONYMS, share=0),
}
STRONGEST = {
    "word_deletion": nf.word_deletion(share=1),
    "word_blanking": nf.word_blanking(share=1),
    "word_crop": nf.word_crop(least=1e-9, most=1e-9),
    "word_swap": nf.word_swap(share=1),
    "word_repetition": nf.word_repetition(share=1),
    "synonyms": nf.synonyms(table=SYNONYMS, share=1),
}


def within_error(found: float, expected: float, of: int) -> bool:
    """Four standard errors of a share."""
    return abs(found - expected) < 4 * math.sqrt(expected * (1 - expected) / of)


@pytest.mark.parametrize("name", MILDEST)
def test_the_mildest_leaves_texts_as_they_are_white_space_included(name):
    texts = [*TEXTS, "", "  ", "one", "a\n\n  b\tc ", f"head{FIELD} body  text", FIELD]
    assert MILDEST[name](texts, draws(len(texts))) == texts
    assert STRONGEST[name](texts, draws(len(texts))) != texts


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("views", [VIEWS, STRONGEST])
def test_odd_texts(name, views):
    odd = [
        "",
        " ",
        "w1",
        FIELD,
        f"w1{FIELD}",
        f"{FIELD}w2",
        f"w1 w2{FIELD}w3 w4{FIELD}w5",
        "\u6c34\u5728\u6d41",
        "w1\x00 w2\ud800",
    ]
    for made, text in zip(views[name](odd, draws(len(odd))), odd, strict=True):
        assert made.count(FIELD) == text.count(FIELD)
        for field, before in zip(made.split(FIELD), text.split(FIELD), strict=True):
            assert bool(field.split()) == bool(before.split())  # never all words


@pytest.mark.parametrize("name", sorted(set(VIEWS) - {"word_blanking", "synonyms"}))
def test_words_never_cross_from_a_field_to_another(name):
    texts = [" ".join(f"h{i}" for i in range(9)) + FIELD + " ".join(f"b{i}" for i in range(30))] * 50
    made = VIEWS[name](texts, draws(50))
    for text in made:
        head, body = text.split(FIELD)
        assert {w[0] for w in head.split()} == {"h"}
        assert {w[0] for w in body.split()} == {"b"}
    if name == "word_swap":  # known bad: the same view without a division into fields
        mixed = VIEWS[name]([t.replace(FIELD, " ") for t in texts], draws(50))
        assert any(w[0] == "b" for text in mixed for w in text.split()[:9])


def test_the_field_is_divided_at_before_words_are():
    assert FIELD.isspace()  # which is why texts are divided at it before they are divided into words


def test_deletion_takes_the_share_it_says_in_order():
    texts = [" ".join(WORDS)] * 500
    made = [text.split() for text in nf.word_deletion(share=0.25)(texts, draws(500))]
    gone = 1 - sum(map(len, made)) / (500 * 40)
    assert within_error(gone, 0.25, 500 * 40)
    assert not within_error(gone, 0.27, 500 * 40)
    assert all(words == sorted(words, key=WORDS.index) for words in made)
    for word in WORDS:
        assert within_error(sum(word in words for words in made) / 500, 0.75, 500)


def test_deletion_of_all_keeps_one_word_any_of_them():
    made = nf.word_deletion(share=1)(["a b c d"] * 400, draws(400))
    assert {len(text.split()) for text in made} == {1}
    for word in "abcd":
        assert within_error(made.count(word) / 400, 0.25, 400)


def test_blanking_keeps_places():
    made = [text.split() for text in nf.word_blanking(share=0.2, blank="<b>")([" ".join(WORDS)] * 300, draws(300))]
    assert all(len(words) == 40 for words in made)
    assert all(word in (known, "<b>") for words in made for word, known in zip(words, WORDS, strict=True))
    assert within_error(sum(words.count("<b>") for words in made) / (300 * 40), 0.2, 300 * 40)
    strongest = [text.split() for text in nf.word_blanking(share=1)([" ".join(WORDS)] * 50, draws(50))]
    assert {words.count("_") for words in strongest} == {39}


def test_crop_is_a_span_of_uniform_length_and_place():
    made = [text.split() for text in nf.word_crop(least=0.25, most=0.75)([" ".join(WORDS)] * 2000, draws(2000))]
    starts = [WORDS.index(words[0]) for words in made]
    assert all(words == WORDS[s : s + len(words)] for words, s in zip(made, starts, strict=True))
    lengths = [len(words) for words in made]
    assert min(lengths) == 10
    assert max(lengths) == 30
    assert abs(sum(lengths) / 2000 - 20) < 4 * 5.8 / math.sqrt(2000)
    places = [s / (40 - length) for s, length in zip(starts, lengths, strict=True)]
    assert abs(sum(places) / 2000 - 0.5) < 4 * 0.3 / math.sqrt(2000)
    assert min(places) == 0
    assert max(places) == 1


def test_swap_moves_the_words_it_says_and_loses_none():
    made = [text.split() for text in nf.word_swap(share=0.05)([" ".join(WORDS)] * 800, draws(800))]
    assert all(sorted(words) == sorted(WORDS) for words in made)
    moved = sum(word != known for words in made for word, known in zip(words, WORDS, strict=True)) / (800 * 40)
    # A swap moves two words; some words are hit twice.
    assert 0.085 < moved < 0.1
    pairs = set(nf.word_swap(share=1)(["a b"] * 9, draws(9)))
    assert pairs == {"a b"}  # each of the two is swapped with the other: twice is not at all
    others = [text.split()[1] for text in nf.word_swap(share=0.02)(["a " + " ".join(WORDS[:4])] * 4000, draws(4000))]
    first = [word for word in others if word != "w0"]
    for word in ("a", "w1", "w2", "w3"):  # its partner is any of the others
        assert abs(first.count(word) / len(first) - 0.25) < 0.15


def test_repetition_doubles_a_number_that_is_uniform():
    made = [text.split() for text in nf.word_repetition(share=0.2)([" ".join(WORDS[:20])] * 1500, draws(1500))]
    extra = [len(words) - 20 for words in made]
    assert set(extra) == {0, 1, 2, 3, 4}
    for number in range(5):
        assert within_error(extra.count(number) / 1500, 0.2, 1500)
    assert all(list(dict.fromkeys(words)) == WORDS[:20] and max(map(words.count, words)) <= 2 for words in made)
    short = {len(text.split()) for text in nf.word_repetition(share=0.01)(["a b c d"] * 300, draws(300))}
    assert short == {4, 5, 6}  # at least up to two


def test_synonyms_are_drawn_uniformly_from_the_table():
    view = nf.synonyms(table={"w0": ["x", "y z"], "w1": "one"}, share=0.4)
    made = [text.split() for text in view(["w0 w1 w2"] * 2000, draws(2000))]
    assert within_error(sum(words[0] != "w0" for words in made) / 2000, 0.4, 2000)
    assert within_error(sum(words[0] == "x" for words in made) / 2000, 0.2, 2000)
    assert within_error(sum(words[:2] == ["y", "z"] for words in made) / 2000, 0.2, 2000)
    assert all(words[-1] == "w2" and words[-2] in ("w1", "one") for words in made)


def test_synonyms_keep_case_and_punctuation():
    view = nf.synonyms(table={"Quick": ["fast"], "i": ["me"], "d'accord": ["ok"]}, share=1)
    assert view(["(Quick), quick! QUICK? i I d'accord... quickly"], draws(1)) == [
        "(Fast), fast! FAST? me Me ok... quickly"
    ]


def test_synonyms_from_a_file(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("\ufeffquick\tfast, very  rapid\n\nslow\ttardy\r\nquick\tswift\n", "utf-8")
    view = nf.synonyms(table=str(path), share=1)
    assert view.table == {"quick": ("fast", "very rapid", "swift"), "slow": ("tardy",)}
    assert nf.synonyms(table=path).table == view.table


@pytest.mark.parametrize(
    ("text", "line"), [("quick fast\n", 1), ("a\tb\nquick\t\n", 2), ("a\tb\n\n\tc\n", 3), ("two words\tc\n", 1)]
)
def test_a_bad_line_of_a_table_is_named(tmp_path, text, line):
    path = tmp_path / "table.tsv"
    path.write_text(text, "utf-8")
    with pytest.raises(DataError) as caught:
        nf.synonyms(table=path)
    assert caught.value.where == f"{path}:{line}"


def test_a_table_that_is_none(tmp_path):
    for table in ("", {}):
        with pytest.raises(UsageError, match="no table"):
            nf.synonyms(table=table)
    (tmp_path / "latin").write_bytes(b"caf\xe9\tbar\n")
    for table in (tmp_path / "missing", tmp_path / "latin", {"a": [1]}, {"a": []}, {"a b": ["c"]}, {"": ["c"]}):
        with pytest.raises(DataError):
            nf.synonyms(table=table)


@pytest.mark.parametrize("name", VIEWS)
def test_a_record_that_is_no_text_is_named(name):
    for bad in (None, 3, b"bytes", ["w1"]):
        with pytest.raises(DataError) as caught:
            VIEWS[name](["w1 w2", bad], draws(2))
        assert caught.value.where == "record 1"


@pytest.mark.parametrize("name", VIEWS)
def test_bad_shares_are_refused(name):
    field = "least" if name == "word_crop" else "share"
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(UsageError) as caught:
            dataclasses.replace(VIEWS[name], **{field: bad})
        assert name in caught.value.where
    if name == "word_crop":
        with pytest.raises(UsageError):
            nf.word_crop(least=0.6, most=0.5)
    if name == "word_blanking":
        with pytest.raises(UsageError):
            nf.word_blanking(blank="a b")
