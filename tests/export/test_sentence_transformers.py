"""Folders that sentence-transformers reads: its vectors are ours, whichever encoder they came from."""

from pathlib import Path

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.errors import UsageError
from nearfar.core.model import Model
from nearfar.encoders.pretrained import Pretrained
from nearfar.encoders.shared.architecture import quiet
from nearfar.encoders.shared.byte_pairs import FIRST, NAMES
from nearfar.export.sentence_transformers import to_sentence_transformers
from tiny_models import TEXTS, text_folder

# That library warns about itself.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
ODD = ["", "Ünïcode straße 你好 🦡", "e\u0301", " two  blanks\n", "<s> [CLS] <pad>", "far " * 99, "FAR away"]


def transformer(**more) -> nf.Transformer:
    settings = {"dimension": 16, "depth": 2, "heads": 2, "vocabulary": 300, "max_tokens": 12, **more}
    made = nf.Transformer.fit({"query": [*TEXTS, *TEXTS]}, **settings)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return made.eval()


def theirs(directory: Path, texts) -> np.ndarray:
    import sentence_transformers

    with quiet():
        return sentence_transformers.SentenceTransformer(str(directory), device="cpu").encode_query(texts)


def turned(model: Model, to: int = 5) -> Model:
    rng = np.random.default_rng(0)
    model.transform(rng.normal(size=model.dimension), rng.normal(size=(model.dimension, to)))
    return model


@pytest.mark.parametrize(
    "settings", [{}, {"pooling": "cls"}, {"pooling": "last", "lowercase": False}], ids=["mean", "cls", "last"]
)
def test_our_transformer_is_a_bert_there(settings, tmp_path):
    encoder = transformer(**settings)
    model = Model({"query": encoder, "document": encoder}).eval()
    texts = [*TEXTS, *ODD]
    directory = to_sentence_transformers(model, tmp_path / "there")
    assert np.abs(theirs(directory, texts) - model.encode(texts)).max() < 1e-5
    again = nf.load(directory)
    assert np.abs(again.encode(texts) - model.encode(texts)).max() < 1e-5
    with torch.no_grad():
        encoder.places.weight[1, 0] += 3
    assert np.abs(theirs(directory, texts) - model.encode(texts)).max() > 1e-3  # known bad: other weights


def test_its_tokens_are_the_same_there_and_its_names_are_odd():
    from tokenizers import Tokenizer

    pairs = transformer().pairs
    there = Tokenizer.from_str(pairs.to_json())
    texts = [*TEXTS, *ODD, *NAMES]
    assert [e.ids for e in there.encode_batch(texts)] == pairs.encode(texts, 10_000)
    assert there.encode(NAMES[FIRST]).ids.count(FIRST) == 1, "a text cannot name a special token"
    there.add_special_tokens([NAMES[FIRST]])  # known bad, and what transformers does with the one of padding
    assert there.encode(NAMES[FIRST]).ids.count(FIRST) == 2


def test_a_transformation_becomes_a_layer(tmp_path):
    model = turned(Model({"query": transformer()}))
    directory = to_sentence_transformers(model, tmp_path / "there")
    made = theirs(directory, TEXTS)
    assert made.shape == (len(TEXTS), 5)
    assert np.abs(made - model.encode(TEXTS)).max() < 1e-5
    plain = to_sentence_transformers(Model({"query": model.tower("query")}), tmp_path / "plain")
    assert theirs(plain, TEXTS).shape == (len(TEXTS), 16)  # known bad: without it


def test_a_transformation_of_a_pretrained_encoder(tmp_path):
    encoder = Pretrained.fit({}, folder=text_folder(tmp_path / "bert"), dimension=8)
    model = turned(Model({"query": encoder, "document": encoder}, about={"licence": "mit"}))
    directory = to_sentence_transformers(model, tmp_path / "there")
    assert np.abs(theirs(directory, TEXTS) - model.encode(TEXTS)).max() < 1e-5
    card = (directory / "README.md").read_text("utf-8")
    assert card.startswith("---\nlicense: mit\nlibrary_name: sentence-transformers\n")
    assert "from sentence_transformers import" in card
    encoder.setup = encoder.setup.__class__(**{**vars(encoder.setup), "normalize": True})
    with pytest.raises(UsageError, match="normalised and transformed after that"):
        to_sentence_transformers(model, tmp_path / "no")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        (lambda: nf.Static.fit({"query": TEXTS}), r"1 \+ log n"),
        (lambda: nf.Convolutional.fit({}, size=8, width=4), "no folder for Convolutional"),
        (lambda: transformer(pooling="tokens"), "one vector a token"),
    ],
)
def test_what_cannot_be_said_there_is_refused(encoder, said, tmp_path):
    with pytest.raises(UsageError, match=said) as caught:
        to_sentence_transformers(Model({"query": encoder()}), tmp_path / "there")
    assert caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_of_two_encoders_one_is_chosen(tmp_path):
    model = Model({"query": transformer(), "document": transformer(dimension=8)}).eval()
    with pytest.raises(UsageError, match="encoders of their own") as caught:
        to_sentence_transformers(model, tmp_path / "there")
    assert "--side query" in caught.value.remedy
    directory = to_sentence_transformers(model, tmp_path / "there", "document")
    made = theirs(directory, TEXTS)
    assert np.abs(made - model.encode(TEXTS, "document")).max() < 1e-5
    assert made.shape != model.encode(TEXTS, "query").shape  # known bad: the other side
    with pytest.raises(UsageError, match="no side 'image'"):
        to_sentence_transformers(model, tmp_path / "other", "image")
