"""Folders of sentence-transformers: read as models of ours, and written so that it reads them; the vectors are the same.

What is read is refused rather than changed: other modules than a transformer, mean, cls or last-token pooling, dense layers and
normalisation are an error. What is written needs nothing of this library. Kin: `pretrained` is the encoder that both ways are
about. The library is that of Reimers and Gurevych 2019 (arXiv 1908.10084).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nearfar.core.card import Card
from nearfar.core.directories import exchange
from nearfar.core.errors import DataError, UsageError
from nearfar.core.files import umask, unwritable
from nearfar.core.model import Model
from nearfar.core.model_card import MODEL_CARD
from nearfar.core.parts import find
from nearfar.encoders.shared.architecture import quiet
from nearfar.encoders.shared.sentence_folder import Layer, TextSetup, read_sentence_folder, write_sentence_folder

CARD = Card(
    name="sentence_transformer",
    summary="folders of sentence-transformers, read and written with equal vectors",
    reads=("text",),
    related=("pretrained",),
    public=("load_sentence_transformer", "save_sentence_transformer"),
)

USE = """```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("PATH/TO/THIS/FOLDER")
queries, documents = model.encode_query(["a question"]), model.encode_document(["a text"])
```"""


def load_sentence_transformer(directory: str | os.PathLike[str]) -> Model:
    """The model of a local folder that sentence-transformers wrote: sides "query" and "document", which share the encoder.

    Its prompts are those of the sides. Its similarity is the folder's, cosine if it names none; under the cosine `encode` gives
    vectors of unit length, whether or not the folder's own are.

    Errors: DataError for a folder that is damaged, holds pickles or modules unknown here; ResourceError without transformers.

        model = nf.load_sentence_transformer("all-MiniLM-L6-v2")     # a folder, not a name on a hub
        vectors = model.encode(["how to parse a date"])
    """
    folder = Path(directory).expanduser()
    found = read_sentence_folder(folder)
    if not (folder / "modules.json").is_file():
        raise DataError(
            "there is no modules.json: sentence-transformers did not write this folder",
            where=str(folder),
            remedy="for a plain transformer use nf.Pretrained.fit({}, folder=..., pooling=...)",
        )
    encoder = find("pretrained", "encoders").load("Pretrained").fit({}, folder=str(folder))
    towers = {"query": encoder, "document": encoder}
    return Model(towers, found.similarity, {"source": "sentence-transformers"}).eval()


def save_sentence_transformer(model: nn.Module, directory: str | os.PathLike[str]) -> Path:
    """Write a pretrained text encoder, or a model whose sides share one, as a folder of sentence-transformers; returns it.

    `SentenceTransformer(directory)` gives the vectors that `encode` gives; its `encode_query` and `encode_document` put the
    prompts of the sides. Adapters are added to the weights, and a model's transformation becomes a dense layer. A model's page is
    written too. The folder is there whole or not at all.

    Errors: UsageError for another kind of encoder, sides with encoders of their own, vectors for each token, a transformation of
    vectors that the encoder has normalised, or a directory that holds something already; ResourceError where it cannot be written.

        nf.save_sentence_transformer(model, "my-model")
        SentenceTransformer("my-model").encode_query(["how to parse a date"])
    """
    encoder, similarity = _encoder(model)
    setup: TextSetup = encoder.setup
    if setup.pooling == "tokens":
        raise UsageError(
            "one vector a token is nothing that a folder of sentence-transformers can say",
            remedy="save it by model.save(directory)",
        )
    if setup.lora_rank:
        encoder = encoder.merged()
    weights = [dict(layer[0].state_dict()) for layer in encoder.layers]
    if isinstance(model, Model) and model.matrix is not None and model.shift is not None:
        if setup.normalize:
            raise UsageError(
                "the vectors are normalised and transformed after that, which is nothing that these folders can say",
                remedy="save it by model.save(directory)",
            )
        inputs, outputs = model.matrix.shape
        setup = replace(setup, layers=(*setup.layers, Layer(inputs, outputs)))
        # (v - shift) M is v M + (-shift M): a linear layer and its bias.
        weights.append({"weight": model.matrix.T, "bias": -(model.shift @ model.matrix)})
    if isinstance(model, Model) and similarity == "cosine":
        setup = replace(setup, normalize=True)
    target = Path(os.path.realpath(Path(directory).expanduser()))
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError("there is something already", where=str(target), remedy="choose a new directory")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.building-", dir=target.parent))
    except OSError as error:
        raise unwritable(target, error) from None
    try:
        _write(work, encoder, setup, weights, similarity)
        if isinstance(model, Model):
            (work / MODEL_CARD).write_text(model.card(USE, library="sentence-transformers"), "utf-8")
        for path in (p for p in work.rglob("*") if p.is_file()):
            with open(path, "rb+") as file:
                os.fsync(file.fileno())
        work.chmod(0o777 & ~umask())  # mkdtemp makes it private
        exchange(work, target)
    except OSError as error:
        raise unwritable(target, error) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _encoder(model: nn.Module) -> tuple[Any, str]:
    """The one text encoder of a model, or itself; and the similarity."""
    encoders = list(model.encoders) if isinstance(model, Model) else [model]
    encoder: Any = encoders[0]
    if len(encoders) != 1 or not isinstance(getattr(encoder, "setup", None), TextSetup):
        kinds = " and ".join(type(e).__name__ for e in encoders)
        raise UsageError(
            f"sentence-transformers has no folder for {kinds}",
            remedy="save it by model.save(directory); one shared encoder of the part `pretrained` can be saved this way",
        )
    return encoder, model.similarity if isinstance(model, Model) else "cosine"


def _write(folder: Path, encoder: Any, setup: TextSetup, weights: list[dict[str, Tensor]], similarity: str) -> None:
    with quiet():
        encoder.model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(encoder.tokenizer_text, "utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": setup.max_tokens,
        "pad_token": encoder.tokenizer.id_to_token(encoder.pad),
        "padding_side": "right",
        "model_input_names": ["input_ids", "attention_mask"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n", "utf-8")
    write_sentence_folder(folder, setup, encoder.width, weights, similarity)
