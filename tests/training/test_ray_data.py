"""The adapter for Ray Data: a batch gets the vectors that the model gives, and what is wrong is named; with Ray itself where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from nearfar.core.errors import DataError, NearfarError, UsageError
from nearfar.core.model import Model
from nearfar.encoders.static import Static
from nearfar.training.ray_data import Encode
from small_world import world, write_jsonl

TEXTS = [answer for _, answer in world()]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ray")
    encoder = Static.fit({"document": TEXTS}, dimension=16, buckets=64)
    Model({"query": encoder, "document": encoder}).save(folder / "model")
    write_jsonl(folder / "my.jsonl", world())
    return folder


def batch(**more):
    return {"answer": np.array(TEXTS, dtype=object), "id": np.arange(len(TEXTS)), **more}


def test_a_batch_gets_the_vectors_of_the_model(place):
    made = Encode(place / "model", "answer")(batch())
    assert list(made) == ["answer", "id", "vector"]
    expected = Model.load(place / "model").encode(TEXTS, side="document")
    assert made["vector"].dtype == np.float32
    np.testing.assert_array_equal(made["vector"], expected)
    assert (made["vector"] != expected[::-1]).any(), "vectors of other records would be seen"
    assert Encode(str(place / "model"), "answer", into="v", side="query")(batch())["v"].shape == (120, 16)


def test_columns_of_fixed_width_text_are_read_too(place):
    made = Encode(place / "model", "answer")({"answer": np.array(TEXTS[:3])})
    np.testing.assert_array_equal(made["vector"], Model.load(place / "model").encode(TEXTS[:3], side="document"))


@pytest.mark.parametrize(
    ("settings", "given", "said"),
    [
        ({"column": "answr"}, {}, "no column 'answr'"),
        ({"column": "answer"}, {"vector": np.zeros(120)}, "a column 'vector' already"),
        ({"column": "id"}, {}, "record 0"),
    ],
)
def test_what_is_wrong_with_a_batch_is_named(settings, given, said, place):
    encode = Encode(place / "model", **settings)
    with pytest.raises(DataError, match=said):
        encode(batch(**given))


def test_what_is_wrong_with_the_model_is_said_at_once(place, tmp_path):
    with pytest.raises(UsageError, match="no side 'title'"):
        Encode(place / "model", "answer", side="title")
    with pytest.raises(NearfarError, match="no model"):
        Encode(tmp_path, "answer")


@pytest.mark.filterwarnings("ignore")
def test_by_ray_itself(place, optional_package):
    ray = optional_package("ray")
    optional_package("ray.data")
    ray.init(num_cpus=4, include_dashboard=False)  # actors take one each, and reading needs one too
    try:
        answers = ray.data.read_json(str(place / "my.jsonl"), lines=True)
        made = {"model": str(place / "model"), "column": "answer"}
        actors = ray.data.ActorPoolStrategy(size=2)
        rows = answers.map_batches(Encode, fn_constructor_kwargs=made, batch_size=32, compute=actors).take_all()
    finally:
        ray.shutdown()
    assert sorted(row["answer"] for row in rows) == sorted(TEXTS)
    expected = Model.load(place / "model").encode([row["answer"] for row in rows], side="document")
    np.testing.assert_allclose(np.stack([row["vector"] for row in rows]), expected, atol=1e-6)
