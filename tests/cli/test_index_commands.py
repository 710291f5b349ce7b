"""`nearfar dedupe`, `cluster` and `tag` on an index of texts with planted copies, topics and tags, and on one of images."""

import json
import random

import numpy as np
import pytest

import nearfar
from nearfar.cli.main import main
from nearfar.search.index import Index
from small_world import QUICK

TOPICS = {
    "animals": "cat dog horse bird mouse fur paw tail",
    "food": "bread soup rice cake salad oven salt plate",
    "music": "guitar drum violin song chorus tune singer stage",
}


def sentences(topic, count, draws):
    words = TOPICS[topic].split()
    return [
        f"the {a} and the {b} with a {c} {i}"
        for i, (a, b, c) in enumerate(draws.sample(words, 3) for _ in range(count))
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a model of topics, and the texts and topics of an index."""
    folder, draws = tmp_path_factory.mktemp("world"), random.Random(0)
    pairs = [
        (a, f"{t} {b}") for t in TOPICS for a, b in zip(sentences(t, 80, draws), sentences(t, 80, draws), strict=True)
    ]
    nearfar.train("pairs", pairs, out=folder / "run", settings=QUICK, progress=False)
    rows = [{"text": text, "topic": topic} for topic in TOPICS for text in sentences(topic, 30, draws)]
    draws.shuffle(rows)
    return (
        nearfar.load(folder / "run"),
        folder / "run",
        [*rows, rows[4], rows[4], {**rows[7], "text": f"{rows[7]['text']}."}],
    )


@pytest.fixture
def index(world, tmp_path):
    model, run, rows = world
    place = tmp_path / "index"
    vectors = model.encode([row["text"] for row in rows], side="document")
    Index.build(place, vectors, rows, model=model.fingerprint, about={"model": str(run), "side": "document"}).close()
    return place


def said(capsys, *words):
    """The JSON of a command."""
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *words):
    """What is said on standard error by a command that fails."""
    assert main([str(w) for w in words]) in (2, 3, 4)
    return capsys.readouterr().err


def everything(place):
    with Index.open(place) as index:
        return {index.key(slot): index.row(slot) for slot in index.slots().tolist()}


# dedupe


def test_copies_are_shown_and_nothing_is_changed(index, capsys):
    before = everything(index)
    found = said(capsys, "dedupe", index)
    groups = {
        group["stays"]: {member["key"]: member["same_text"] for member in group["go"]} for group in found["groups"]
    }
    assert groups["4"] == {"90": True, "91": True}
    assert groups["7"] == {"92": False}, "a full stop more is no copy to the letter"
    assert (found["go"], found["same_text"], found["every_pair_compared"]) == (3, 2, True)
    assert main(["dedupe", str(index), "--quiet"]) == 0
    text = capsys.readouterr().out
    assert "2 groups of near-duplicates" in text
    assert "nothing was changed" in text
    assert " same  [90]" in text
    assert everything(index) == before


def test_what_stays_is_written_and_the_rest_dropped(index, tmp_path, capsys):
    kept, pairs = tmp_path / "kept.jsonl", tmp_path / "pairs.jsonl"
    found = said(capsys, "dedupe", index, "--drop", "--out", kept, "--pairs", pairs)
    assert found["deleted"] == 3
    assert set(everything(index)) == {str(n) for n in range(90)}
    records = [json.loads(line) for line in kept.read_text("utf-8").splitlines()]
    assert records == list(everything(index).values())
    linked = [(line["a"], line["b"]) for line in map(json.loads, pairs.read_text("utf-8").splitlines())]
    assert sorted(linked) == [("4", "90"), ("4", "91"), ("7", "92"), ("90", "91")]
    again = said(capsys, "dedupe", index, "--drop")
    assert (again["groups"], again["deleted"]) == ([], 0)


def test_an_index_with_many_rows_is_compared_by_neighbours_and_says_so(index, capsys, monkeypatch):
    exact = said(capsys, "dedupe", index, "--threshold", "0.95")
    with Index.open(index, write=True) as opened:
        opened.delete(["0", "50"])  # slots are no places any more
    monkeypatch.setattr("nearfar.search.dedupe.EXACT", 10)
    found = said(capsys, "dedupe", index, "--threshold", "0.95")
    assert not found["every_pair_compared"]

    def keys(answer):
        groups = [{g["stays"], *(m["key"] for m in g["go"])} - {"0", "50"} for g in answer["groups"]]
        return {frozenset(group) for group in groups if len(group) > 1}

    assert keys(found) == keys(exact)
    main(["dedupe", str(index), "--quiet"])
    assert "some may be missing" in capsys.readouterr().out


def test_dedupe_refuses_before_it_writes(index, tmp_path, capsys):
    before = everything(index)
    assert "no least cosine" in refused(capsys, "dedupe", index, "--threshold", "2", "--drop")
    assert "no name of a jsonl file" in refused(capsys, "dedupe", index, "--drop", "--out", tmp_path / "kept.csv")
    assert "written" in refused(capsys, "dedupe", index, "--drop", "--out", tmp_path / "no" / "kept.jsonl")
    assert everything(index) == before
    assert "no such directory" in refused(capsys, "dedupe", tmp_path / "missing")


# cluster


def test_topics_are_found_named_and_written(index, capsys):
    found = said(capsys, "cluster", index, "--write", "group")
    assert len(found["clusters"]) == 3
    for cluster in found["clusters"]:
        words = {word["word"] for word in cluster["words"]}
        assert any(words <= set(TOPICS[topic].split()) for topic in TOPICS), words
        assert cluster["name"] == " ".join(word["word"] for word in cluster["words"][:3])
        assert len(cluster["examples"]) == 3
    rows = everything(index).values()
    assert len({(row["topic"], row["group"]) for row in rows}) == 3, "a cluster a topic"
    assert {row["group"] for row in rows} == {cluster["name"] for cluster in found["clusters"]}
    wrong = said(capsys, "cluster", index, "--clusters", "2")  # known bad
    assert wrong["silhouette"] < found["silhouette"]
    assert "have a column 'group' already" in refused(capsys, "cluster", index, "--write", "group")
    assert "cannot be written" in refused(capsys, "cluster", index, "--write", "text", "--overwrite")
    said(capsys, "cluster", index, "--clusters", "2", "--write", "group", "--overwrite")
    assert len({row["group"] for row in everything(index).values()}) == 2
    assert "200 clusters of 93 rows" in refused(capsys, "cluster", index, "--clusters", "200")


# tag


def test_planted_tags_are_found_judged_and_written(index, tmp_path, capsys):
    tags = "animals,food,music"
    found = said(
        capsys,
        "tag",
        index,
        "--tags",
        tags,
        "--template",
        "{}",
        "--truth",
        "topic",
        "--write",
        "guess",
        "--out",
        tmp_path / "t.jsonl",
    )
    assert sum(tag["rows"] for tag in found["tags"]) == 93
    truth = found["truth"]
    assert truth["accuracy"] > 0.8
    assert truth["interval"][0] <= truth["accuracy"] <= truth["interval"][1]
    assert truth["most_frequent_alone"] < 0.4
    rows = everything(index)
    assert np.mean([row["guess"] == row["topic"] for row in rows.values()]) == pytest.approx(
        truth["accuracy"], abs=1e-3
    )
    lines = {line["key"]: line for line in map(json.loads, (tmp_path / "t.jsonl").read_text("utf-8").splitlines())}
    assert {key: row["guess"] for key, row in rows.items()} == {
        key: line["tags"][0]["tag"] for key, line in lines.items()
    }
    assert all(1 / 3 < line["nearest_probability"] <= 1 for line in lines.values())
    file = tmp_path / "tags.txt"  # known bad: descriptions exchanged
    file.write_text("animals\tfood\nfood\tmusic\nmusic\tanimals\n", "utf-8")
    wrong = said(capsys, "tag", index, "--tags", file, "--template", "{}", "--truth", "topic")
    assert wrong["truth"]["accuracy"] < 0.2


def test_a_row_may_have_no_tag_or_several(index, capsys):
    everywhere = ("tag", index, "--tags", "animals,food,music", "--template", "{}")
    none = said(capsys, *everywhere, "--least", "0.9999", "--write", "guess")
    assert none["none"] == 93
    assert {row["guess"] for row in everything(index).values()} == {"none"}
    several = said(capsys, *everywhere, "--least", "-1", "--several", "--write", "guess", "--overwrite")
    assert [tag["rows"] for tag in several["tags"]] == [93] * 3
    assert {len(row["guess"].split(", ")) for row in everything(index).values()} == {3}


def test_tag_says_what_is_wrong(index, tmp_path, capsys):
    assert "1 tags" in refused(capsys, "tag", index, "--tags", "animals")
    assert "no place for a tag" in refused(capsys, "tag", index, "--tags", "a,b", "--template", "x")
    assert "from which cosine" in refused(capsys, "tag", index, "--tags", "animals,food", "--several")
    assert "its values are animals" in refused(
        capsys, "tag", index, "--tags", "a,b", "--truth", "topic", "--template", "{} food"
    )
    assert "name a column that rows have" in refused(
        capsys, "tag", index, "--tags", "animals,food", "--truth", "colour"
    )
    assert "no word of" in refused(capsys, "tag", index, "--tags", "animals,☃", "--template", "{}")


# images


def test_an_index_of_images_has_classes_and_paths_for_words(tmp_path, capsys):
    draws = np.random.default_rng(0)
    vectors = np.repeat(np.eye(2, 8), 12, axis=0) + 0.1 * draws.standard_normal((24, 8))
    vectors[3] = vectors[1]
    rows = [{"image": f"photos/{n}.jpg", "class": ("cat", "dog")[n // 12]} for n in range(24)]
    Index.build(tmp_path / "photos", vectors, rows, model="m", about={}).close()
    found = said(capsys, "cluster", tmp_path / "photos", "--clusters", "2")
    assert {cluster["name"] for cluster in found["clusters"]} == {"cat", "dog"}
    copies = said(capsys, "dedupe", tmp_path / "photos", "--threshold", "0.9999")
    assert [(g["stays"], [m["key"] for m in g["go"]], g["go"][0]["same_text"]) for g in copies["groups"]] == [
        ("1", ["3"], True)
    ]
    assert "does not say where its model is" in refused(capsys, "tag", tmp_path / "photos", "--tags", "cat,dog")


def test_a_model_of_images_alone_reads_no_tags(tmp_path, capsys):
    from nearfar.core.model import Model
    from nearfar.encoders.convolutional import Convolutional

    pictures = [np.zeros((8, 8, 3), dtype=np.uint8)] * 2
    model = Model({"image": Convolutional.fit({"image": pictures}, dimension=8, width=8, stages=1, size=8)})
    model.save(tmp_path / "model")
    Index.build(
        tmp_path / "photos",
        np.eye(3, 8),
        [{"image": f"{n}.png"} for n in range(3)],
        model=model.fingerprint,
        about={"model": "../model"},
    ).close()
    assert "reads no text" in refused(capsys, "tag", tmp_path / "photos", "--tags", "cat,dog")
