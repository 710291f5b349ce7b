"""Folders of sentence-transformers, both ways: what that library computes and what we compute is the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.core.model import Model
from nearfar.encoders.pretrained import Pretrained
from nearfar.encoders.sentence_transformer import load_sentence_transformer, save_sentence_transformer
from nearfar.encoders.shared.architecture import quiet
from nearfar.encoders.static import Static
from tiny_models import TEXTS, text_folder

# That library warns about itself.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
SIDES = {"query": "encode_query", "document": "encode_document"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    return {kind: text_folder(tmp_path_factory.mktemp(kind), kind) for kind in ("bert", "roberta", "llama", "t5")}


def theirs(folder: str, tmp_path: Path, pooling: str = "mean", dense=(), normalize: bool = False, **options) -> Path:
    """A folder that sentence-transformers itself wrote."""
    import sentence_transformers
    from sentence_transformers.sentence_transformer import modules

    torch.manual_seed(1)
    with quiet():
        chain = [modules.Transformer(folder, max_seq_length=9), modules.Pooling(32, pooling_mode=pooling), *dense]
        model = sentence_transformers.SentenceTransformer(
            modules=chain + ([modules.Normalize()] if normalize else []), device="cpu", **options
        )
        model.save(str(tmp_path / "theirs"))
    return tmp_path / "theirs"


def their_vectors(directory: Path, side: str) -> np.ndarray:
    import sentence_transformers

    with quiet():
        model = sentence_transformers.SentenceTransformer(str(directory), device="cpu")
        return getattr(model, SIDES[side])(TEXTS)


def our_vectors(encoder: Pretrained, side: str) -> np.ndarray:
    with torch.no_grad():
        return encoder.eval()(encoder.prepare(TEXTS, side), side).vectors.numpy()


def dense_layers() -> list:
    from sentence_transformers.sentence_transformer import modules

    return [modules.Dense(32, 16), modules.Dense(16, 8, bias=False, activation_function=torch.nn.Identity())]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("bert", {}),
        ("bert", {"pooling": "cls", "normalize": True, "prompts": {"query": "the sum of ", "passage": "cats "}}),
        ("roberta", {"dense": True, "prompts": {"query": "mat: ", "document": "cats "}, "similarity_fn_name": "dot"}),
        ("llama", {"pooling": "lasttoken", "normalize": True, "dense": True}),
        ("bert", {"prompts": {"web": "download "}, "default_prompt_name": "web"}),
        ("t5", {}),
    ],
)
def test_what_they_wrote_gives_their_vectors(folders, kind: str, options: dict, tmp_path) -> None:
    directory = theirs(folders[kind], tmp_path, **{**options, "dense": dense_layers() if "dense" in options else ()})
    model = load_sentence_transformer(directory)
    assert model.similarity == options.get("similarity_fn_name", "cosine")
    assert model.tower("query") is model.tower("document")
    for side in SIDES:
        expected = their_vectors(directory, side)
        assert np.abs(our_vectors(model.tower(side), side) - expected).max() < 1e-5
    assert not np.allclose(our_vectors(Pretrained.fit({}, folder=folders[kind]), "query"), 0)
    other = "cls" if options.get("pooling", "mean") == "mean" else "mean"
    wrong = Pretrained.fit({}, folder=str(directory), pooling=other)  # known bad: the folder is overruled
    assert wrong.setup.pooling == other
    assert not np.allclose(our_vectors(wrong, "query"), their_vectors(directory, "query"), atol=1e-3)


def test_what_the_folder_says_is_taken_unless_overruled(folders, tmp_path) -> None:
    directory = theirs(folders["bert"], tmp_path, "cls", prompts={"query": "q: ", "document": "d: "}, normalize=True)
    setup = Pretrained.fit({}, folder=str(directory)).setup
    assert (setup.pooling, setup.max_tokens, setup.normalize) == ("cls", 9, True)
    assert (setup.query_prompt, setup.document_prompt) == ("q: ", "d: ")
    ours = Pretrained.fit({}, folder=str(directory), max_tokens=5, query_prompt="", dimension=4)
    assert (ours.setup.max_tokens, ours.setup.query_prompt, ours.setup.document_prompt) == (5, "", "d: ")
    assert ours.dimension == 4
    plain = Pretrained.fit({}, folder=folders["bert"]).setup
    assert (plain.pooling, plain.max_tokens, plain.query_prompt, plain.normalize) == ("mean", 256, "", False)


def test_older_folders_say_the_same_in_other_words(folders, tmp_path) -> None:
    directory = theirs(folders["bert"], tmp_path, "cls", normalize=True)
    expected = our_vectors(Pretrained.fit({}, folder=str(directory)), "query")
    old = [f"sentence_transformers.models.{k}" for k in ("Transformer", "Pooling", "Normalize")]
    modules = json.loads((directory / "modules.json").read_text("utf-8"))
    renamed = [m | {"type": kind} for m, kind in zip(modules, old, strict=True)]
    (directory / "modules.json").write_text(json.dumps(renamed), "utf-8")
    pooling = {"word_embedding_dimension": 32, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(pooling), "utf-8")
    said = {"max_seq_length": 9, "do_lower_case": True}
    (directory / "sentence_bert_config.json").write_text(json.dumps(said), "utf-8")
    model = Pretrained.fit({}, folder=str(directory))
    assert model.setup.lower_case
    lower = [i for i, text in enumerate(TEXTS) if text == text.lower()]
    assert np.allclose(our_vectors(model, "query")[lower], expected[lower], atol=1e-6)
    assert np.abs(our_vectors(model, "query") - their_vectors(directory, "query")).max() < 1e-5
    assert not np.allclose(our_vectors(model, "query"), expected, atol=1e-3)  # known bad: capitals kept


@pytest.mark.parametrize(
    ("kind", "pooling"),
    # The first token of a decoder has seen nothing, so "cls" is no pooling for llama.
    [("bert", "mean"), ("bert", "cls"), ("roberta", "last"), ("llama", "mean"), ("llama", "last"), ("t5", "mean")],
)
def test_what_we_write_gives_them_our_vectors(folders, kind: str, pooling: str, tmp_path) -> None:
    encoder = Pretrained.fit(
        {},
        folder=folders[kind],
        pooling=pooling,
        dimension=8,
        lora_rank=2,
        query_prompt="the sum of ",
        document_prompt="cats ",
        max_tokens=9,
    )
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    directory = save_sentence_transformer(encoder, tmp_path / "ours")
    for side in SIDES:
        assert np.abs(their_vectors(directory, side) - our_vectors(encoder, side)).max() < 1e-5
    assert not np.allclose(their_vectors(directory, "query"), our_vectors(encoder, "document"), atol=1e-3)  # known bad
    assert not list(tmp_path.glob(".*"))  # nothing half-made is left


def test_a_cosine_model_gives_unit_vectors_there_too(folders, tmp_path) -> None:
    encoder = Pretrained.fit({}, folder=folders["bert"])
    model = Model({"query": encoder, "document": encoder})
    directory = save_sentence_transformer(model, tmp_path / "ours")
    made = their_vectors(directory, "query")
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    assert np.abs(made - model.encode(TEXTS)).max() < 1e-5
    dot = save_sentence_transformer(Model({"query": encoder}, "dot"), tmp_path / "dot")
    assert not np.allclose(np.linalg.norm(their_vectors(dot, "query"), axis=1), 1, atol=1e-2)  # known bad
    assert load_sentence_transformer(dot).similarity == "dot"


def test_there_and_back_again(folders, tmp_path) -> None:
    encoder = Pretrained.fit({}, folder=folders["bert"], pooling="cls", dimension=8, query_prompt="mat ")
    directory = save_sentence_transformer(encoder, tmp_path / "ours")
    again = load_sentence_transformer(directory).tower("query")
    assert again.setup == encoder.setup
    assert np.allclose(our_vectors(again, "query"), our_vectors(encoder, "query"), atol=1e-6)


def test_what_cannot_be_written_says_so(folders, tmp_path) -> None:
    encoder = Pretrained.fit({}, folder=folders["bert"])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear", "utf-8")
    with pytest.raises(UsageError, match="something already"):
        save_sentence_transformer(encoder, tmp_path / "full")
    assert (tmp_path / "full" / "letter.txt").read_text("utf-8") == "dear"
    with pytest.raises(UsageError, match="one vector a token"):
        save_sentence_transformer(Pretrained.fit({}, folder=folders["bert"], pooling="tokens"), tmp_path / "a")
    static = Static.fit({"query": ["a b"]}, dimension=4, buckets=8)
    with pytest.raises(UsageError, match="no folder for Static"):
        save_sentence_transformer(Model({"query": static}), tmp_path / "a")
    with pytest.raises(UsageError, match="Pretrained and Pretrained"):
        two = Model({"query": encoder, "document": Pretrained.fit({}, folder=folders["bert"])})
        save_sentence_transformer(two, tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", "[{}]", "no list of modules"),
        ("modules.json", None, "no modules.json"),
        (
            "modules.json",
            [("", "x.Transformer"), ("1_Pooling", "x.Pooling"), ("", "x.LSTM")],
            "Transformer, Pooling, LSTM",
        ),
        ("modules.json", [("../elsewhere", "x.Transformer"), ("1_Pooling", "x.Pooling")], "lies outside"),
        ("1_Pooling/config.json", {"pooling_mode": "max"}, "the pooling is max"),
        ("1_Pooling/config.json", {"pooling_mode": ["mean", "cls"]}, "mean and cls"),
        ("1_Pooling/config.json", {"pooling_mode": "mean", "include_prompt": False}, "prompts left out"),
        ("1_Pooling/config.json", "{", "no JSON"),
        (
            "2_Dense/config.json",
            {"in_features": 32, "out_features": 8, "activation_function": "os.system"},
            "not known",
        ),
        ("2_Dense/config.json", {"in_features": 32, "out_features": 10**12}, "not known"),
        ("2_Dense/config.json", {"in_features": 32, "out_features": 9}, "do not fit"),
        ("2_Dense/model.safetensors", "nonsense", "no safetensors"),
        ("2_Dense/model.safetensors", None, "pickles are not read"),
        ("config_sentence_transformers.json", {"prompts": ["a"]}, "no texts by name"),
        ("config_sentence_transformers.json", {"similarity_fn_name": "manhattan"}, "manhattan"),
        ("model.safetensors", None, "no model.safetensors"),
    ],
)
def test_damaged_folders_are_data_errors(folders, file: str, content, message: str, tmp_path) -> None:
    encoder = Pretrained.fit({}, folder=folders["bert"], dimension=8)
    directory = save_sentence_transformer(encoder, tmp_path / "ours")
    load_sentence_transformer(directory)
    if content is None:
        (directory / file).unlink()
    else:
        if isinstance(content, list):
            content = [{"idx": i, "name": str(i), "path": p, "type": k} for i, (p, k) in enumerate(content)]
        text = content if isinstance(content, str) else json.dumps(content)
        (directory / file).write_text(text, "utf-8")
    with pytest.raises(DataError, match=message):
        load_sentence_transformer(directory)
