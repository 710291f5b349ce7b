"""`Model`: named towers and a similarity, the only thing that is published. Stored as safetensors and JSON, never a pickle.

`encode` turns records into float32 vectors. `save` writes a directory, with a page for people in it; `Model.load` trusts nothing in
it: names resolve through the catalogue only, shapes are checked before memory is taken, and the weights must have the digest that
was written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from nearfar.core.directories import latest, replaced
from nearfar.core.encoding import encoded, node_matrices, token_matrices
from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.core.files import read_json, sha256
from nearfar.core.model_card import MODEL_CARD, model_card
from nearfar.core.parts import find

FORMAT, VERSION = "nearfar-model", 1
DESCRIPTION, WEIGHTS = "model.json", "model.safetensors"
MAX_DIMENSION = 1 << 16  # of a stored transformation: a damaged file must not ask for all memory


class Model(nn.Module):
    """Encoders by the name of their side. Sides that share an encoder share its weights.

    `similarity` is "cosine" (vectors are given out at unit length), "dot", or "late_interaction" for encoders that give a vector a
    token (`encode_tokens` gives the matrices). `about` is what is worth knowing later: the
    recipe, the data's fingerprint, the figures; JSON.
    """

    def __init__(
        self, towers: Mapping[str, nn.Module], similarity: str = "cosine", about: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        distinct = {id(t): t for t in towers.values()}
        self.encoders = nn.ModuleList(distinct.values())
        self.sides = {side: list(distinct).index(id(tower)) for side, tower in towers.items()}
        self.similarity = similarity
        self.shift: torch.Tensor | None
        self.matrix: torch.Tensor | None
        self.register_buffer("shift", None)
        self.register_buffer("matrix", None)
        self.about = dict(about or {})

    def tower(self, side: str) -> Any:
        """The encoder of a side."""
        if side not in self.sides:
            raise UsageError(f"this model has no side {side!r}", remedy=f"it has {sorted(self.sides)}")
        return self.encoders[self.sides[side]]

    @property
    def document_side(self) -> str:
        """The side that what is searched is encoded with: `document`, or the first of a model that has none of that name."""
        return "document" if "document" in self.sides else next(iter(self.sides))

    @torch.inference_mode()
    def encode(
        self,
        records: Sequence[Any],
        side: str | None = None,
        *,
        precision: str = "float32",
        at_once: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Vectors [n d] float32 of n records, in their order; unit length under the cosine. `side`: the first one unless given.

        precision  "float32", or "bfloat16": a fraction of the time where the processor multiplies it natively (AMX, AVX512_BF16);
                   weights are cast once, pooling and normalisation stay in float32
        at_once    units of cost (tokens, units, frames), padding included, in one forward pass; chosen for the device unless given

        Raises UsageError for an unknown side or precision or a single string, DataError for a record that is no text.
        """
        if isinstance(records, str):
            raise UsageError("encode takes a list of records, not one string", remedy="write model.encode([text])")
        records = list(records)
        side = next(iter(self.sides)) if side is None else side
        tower, training = self.tower(side), self.training
        if not records:
            return np.zeros((0, self.dimension), dtype=np.float32)
        self.eval()
        try:
            return encoded(tower, records, side, self.finished, precision=precision, at_once=at_once, progress=progress)
        finally:
            self.train(training)

    @torch.inference_mode()
    def encode_tokens(
        self, records: Sequence[Any], side: str | None = None, *, at_once: int = 2048
    ) -> list[np.ndarray]:
        """One matrix [t d] float32 a record, of unit vectors, one a token: what late interaction compares.

        at_once  tokens, padding included, in one forward pass

        Raises UsageError for an encoder that gives one vector a record, and what `encode` raises.
        """
        if isinstance(records, str):
            raise UsageError("encode_tokens takes a list of records, not one string", remedy="write [text]")
        side = next(iter(self.sides)) if side is None else side
        tower, training = self.tower(side), self.training
        self.eval()
        try:
            return token_matrices(tower, list(records), side, at_once)
        finally:
            self.train(training)

    @torch.inference_mode()
    def encode_nodes(
        self, graphs: Sequence[Any], side: str | None = None, *, at_once: int = 65_536
    ) -> list[np.ndarray]:
        """One matrix [v d] float32 a graph, a vector a node, finished as those of `encode`: of unit length under the cosine.

        at_once  nodes and edges in one forward pass; a graph is never cut

        Raises UsageError for an encoder that gives no row a node, DataError for a record that is no graph.
        """
        side = next(iter(self.sides)) if side is None else side
        tower, training = self.tower(side), self.training
        self.eval()
        try:
            return node_matrices(tower, list(graphs), side, self.finished, at_once)
        finally:
            self.train(training)

    def transform(self, shift: np.ndarray, matrix: np.ndarray) -> None:
        """From now on every vector v is given out as (v - shift) @ matrix; shift [d], matrix [d m]. A second one follows the first.

        Raises UsageError for shapes that do not fit.
        """
        if shift.shape != (self.dimension,) or matrix.ndim != 2 or len(matrix) != self.dimension:
            raise UsageError(
                f"a shift of shape {list(shift.shape)} and a matrix of {list(matrix.shape)} for vectors of {self.dimension}",
                remedy="give shapes [d] and [d m]",
            )
        moved, turned = torch.from_numpy(shift).float(), torch.from_numpy(matrix).float()
        if self.shift is not None and self.matrix is not None:
            # (v - a) A, then (w - b) B: one shift and one matrix again, if the first matrix can be undone for the shift.
            moved = self.shift + moved @ torch.linalg.pinv(self.matrix)
            turned = self.matrix @ turned
        self.shift, self.matrix = moved, turned

    def finished(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors [n d] of an encoder as they are given out: transformed, and of unit length under the cosine."""
        if self.matrix is not None and self.shift is not None:
            vectors = (vectors - self.shift) @ self.matrix
        return nn.functional.normalize(vectors, dim=-1) if self.similarity == "cosine" else vectors

    def _distinct(self) -> list[Any]:
        """The encoders, each once; torch types its containers as plain modules."""
        return list(self.encoders)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._distinct()[0].dimension) if self.matrix is None else int(self.matrix.shape[1])

    def description(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        encoders = [{"part": _part_name(e), "config": e.config()} for e in self._distinct()]
        return {
            "encoders": encoders,
            "sides": self.sides,
            "similarity": self.similarity,
            "transform": None if self.matrix is None else list(self.matrix.shape),
            "about": self.about,
        }

    def save(self, directory: str | Path) -> Path:
        """Write `model.json`, `model.safetensors` and a page for people, `README.md`, into a directory, whole or not at all; returns it.

        A model already there is replaced, its page too; any other directory is refused. The page is made from `about`, where
        "licence" says under which licence the model may be used.
        """
        path = Path(directory)
        files = (DESCRIPTION, WEIGHTS, MODEL_CARD)
        with replaced(path, written_as=FORMAT, description=DESCRIPTION, files=files) as temporary:
            weights = {k: v.detach().cpu().contiguous().clone() for k, v in self.state_dict().items()}
            try:
                save_file(weights, temporary / WEIGHTS)
            except SafetensorError as error:
                raise ResourceError(
                    f"the model cannot be written: {error}; an older one is as it was",
                    where=str(path),
                    remedy="make room on the disk, or choose another place",
                ) from error
            data = {"format": FORMAT, "version": VERSION, **self.description(), "weights": sha256(temporary / WEIGHTS)}
            (temporary / DESCRIPTION).write_text(json.dumps(data, indent=1) + "\n", "utf-8")
            (temporary / MODEL_CARD).write_text(self.card(), "utf-8")
        return path

    def card(self, use: str = "", library: str = "nearfar", further: str = "") -> str:
        """The page about the model, Markdown. For copies in another format: `use`, how it is used; its `library`; one `further` section."""
        try:
            reads = find(_part_name(self._distinct()[0]), "encoders").card.reads
        except UsageError:  # an encoder of one's own, without a card
            reads = ()
        return model_card(self.description(), self.dimension, reads, use=use, library=library, further=further)

    @property
    def fingerprint(self) -> str:
        """A digest of architecture and weights; an index refuses vectors of a model with another one."""
        import hashlib

        digest = hashlib.sha256(json.dumps(self.description() | {"about": None}, sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:32]

    @classmethod
    def load(cls, directory: str | Path) -> Model:
        """Read what `save` wrote. Raises DataError for anything missing, damaged, tampered with, or of another version."""
        path = latest(directory)
        if not path.is_dir():
            raise DataError(
                f"there is no model directory {path}", where=str(path), remedy="give the directory that `save` wrote"
            )
        data = read_json(path / DESCRIPTION, format=FORMAT, version=VERSION)
        place = str(path / DESCRIPTION)
        try:
            with torch.device("meta"):
                encoders = [_build(e["part"], e["config"]) for e in data["encoders"]]
            towers = {str(side): encoders[int(i)] for side, i in data["sides"].items()}
            model = cls(towers, str(data["similarity"]), dict(data["about"]))
            if data.get("transform") is not None:
                d, m = (int(size) for size in data["transform"])
                if not 0 < m <= d <= MAX_DIMENSION:
                    raise ValueError(f"a transformation of shape {data['transform']}")
                model.shift, model.matrix = torch.empty(d), torch.empty(d, m)
        except DataError as error:
            raise DataError(error.what, where=f"{place}, {error.where}", remedy=error.remedy) from error
        except ResourceError:
            raise
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError, OverflowError) as error:
            raise DataError(
                f"the description does not make a model: {type(error).__name__}: {error}",
                where=place,
                remedy="the file is damaged or was edited; save the model anew",
            ) from error
        model.load_state_dict(_read_weights(path / WEIGHTS, data.get("weights"), model.state_dict()), assign=True)
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        return model.eval()


def _build(part: str, config: Mapping[str, Any]) -> nn.Module:
    if not isinstance(part, str) or not isinstance(config, Mapping):
        raise ValueError("an encoder is a name and a configuration")
    found = find(part, "encoders")
    return found.load(found.public[0]).from_config(config)


def _part_name(encoder: Any) -> str:
    return type(encoder).__module__.rpartition(".")[2]


def _read_weights(path: Path, digest: Any, expected: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights, after name, shape, type and digest have been compared with what the description says."""
    if not path.is_file():
        raise DataError(
            f"there is no {path.name}", where=str(path.parent), remedy="the model is incomplete; save it anew"
        )
    damaged = "the weights are damaged or were exchanged; save the model anew"
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            if names != set(expected):
                odd = sorted(names ^ set(expected))[:3]
                raise DataError(f"the weights do not fit the description: {odd}", where=str(path), remedy=damaged)
            for name, tensor in expected.items():
                found = list(file.get_slice(name).get_shape())
                if found != list(tensor.shape):
                    raise DataError(
                        f"{name} has shape {found}, described as {list(tensor.shape)}", where=str(path), remedy=damaged
                    )
            if sha256(path) != digest:
                raise DataError(
                    "the digest of the weights is not the one that was written", where=str(path), remedy=damaged
                )
            weights = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"these are no safetensors: {error}", where=str(path), remedy=damaged) from error
    for name, tensor in weights.items():
        if tensor.dtype != expected[name].dtype:
            raise DataError(
                f"{name} is {tensor.dtype}, described as {expected[name].dtype}", where=str(path), remedy=damaged
            )
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise DataError(
                f"{name} holds values that are not finite", where=str(path), remedy="train anew with a lower rate"
            )
    return weights
