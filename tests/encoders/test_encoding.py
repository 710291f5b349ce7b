"""`Model.encode` with every encoder of the catalogue: each record its own vector whatever the batches, and nearly that in bfloat16."""

import numpy as np
import pytest
import torch

from encoders.cases import CASES
from nearfar.core import encoding
from nearfar.core.errors import UsageError
from nearfar.core.model import Model
from nearfar.core.parts import find
from tiny_models import speech_folder, text_folder, vision_folder

SEVERAL_ROWS = ("gcn", "gin, nodes", "node_mlp")  # a row a node
ROUGH = {"pretrained_audio": 0.25}  # random convolutions of raw waves add up to little, and cancel badly


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    writers = {"text": text_folder, "vision": vision_folder, "speech": speech_folder}
    return {kind: writer(tmp_path_factory.mktemp(kind)) for kind, writer in writers.items()}


@pytest.mark.parametrize("name", CASES)
def test_every_encoder_encodes(name, folders, monkeypatch):
    case = CASES[name]
    options = {"folder": folders[case.folder]} if case.folder else {}
    part = find(case.part, "encoders")
    encoder = part.load(part.public[0]).fit({"query": case.records}, **case.options | options).eval()
    model = Model({"query": encoder}, "dot")
    monkeypatch.setattr(encoding, "FIRST", 3)
    if name in SEVERAL_ROWS:
        with pytest.raises(UsageError, match="a matrix a record"):
            model.encode(case.records)
        return
    with torch.no_grad():
        alone = torch.cat([encoder(encoder.prepare([record])).vectors for record in case.records]).numpy()
    scale = np.abs(alone).max()
    assert np.allclose(model.encode(case.records), alone, atol=1e-5 * scale)
    low = model.encode(case.records, precision="bfloat16")
    assert np.abs(low - alone).max() < ROUGH.get(name, 0.05) * scale
    assert np.abs(np.roll(low, 1, axis=0) - alone).max() > ROUGH.get(name, 0.05) * scale, (
        "known bad: vectors of other records"
    )
