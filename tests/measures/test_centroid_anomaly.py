"""Distance to the centre of the training part: AUROC by counting pairs, and the parts of NSL-KDD that it is measured on."""

import numpy as np
import pytest

import nearfar as nf
from nearfar.core.errors import ResourceError
from nearfar.core.model import Model
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset
from nearfar.datasets.nsl_kdd import nsl_kdd
from nearfar.measures.centroid_anomaly import centroid_anomaly

CHANCE = np.random.default_rng(0)
NORMAL, OTHERS = (CHANCE.normal(size=(n, 5)).astype(np.float32) + 0.4 for n in (30, 16))
OTHERS[8:] -= 0.8


def test_it_is_the_share_of_pairs_in_the_right_order():
    anomalous = np.repeat([0, 1], 8)
    parts = {"train": array_records(row=NORMAL), "test": array_records(row=OTHERS, anomalous=anomalous)}
    model = Model({"row": nf.Mlp.fit({"row": list(OTHERS)}, layers=1, dimension=5, hidden=5)}).eval()
    found = centroid_anomaly(model, Dataset("made up", parts), "test").figure("auroc")
    units, others = model.encode(list(NORMAL)), model.encode(list(OTHERS))

    def by_pairs(centre):
        score = [1 - float(x @ centre) / np.linalg.norm(x) / np.linalg.norm(centre) for x in others]
        return np.mean([float(score[a] > score[n]) for a in range(8, 16) for n in range(8)])

    assert found == pytest.approx(by_pairs(units.mean(0)))
    assert found != pytest.approx(by_pairs(others.mean(0)))  # known bad: the centre of what is measured
    assert 0.6 < found < 1


def test_without_the_files_it_says_what_to_set(monkeypatch):
    monkeypatch.delenv("NEARFAR_DATA", raising=False)
    with pytest.raises(ResourceError, match="NEARFAR_DATA"):
        nsl_kdd()


def test_nsl_kdd_has_no_attack_but_in_its_test_part(real_data):
    made = nsl_kdd()
    assert (len(made.train), len(made.part("dev")), len(made.part("test"))) == (3000, 2000, 4000)
    assert not made.train.columns["anomalous"].any()
    train, dev, test = (np.stack(p.many("row", range(len(p)))) for p in made.parts.values())
    assert (train.std(0) > 0).all()
    assert len(made.facts["features"]) == train.shape[1]
    changed = (dev[:1000] != dev[1000:]).sum(1)
    assert 0 < changed.mean() < changed.max() <= round(train.shape[1] / 3)  # often what they take over is what they had
    columns = made.part("test").columns
    assert ((columns["attack"] >= 0) == columns["anomalous"].astype(bool)).all()
    assert 0.5 < columns["anomalous"].mean() < 0.65
    assert np.isfinite(test).all()
    encoder = nf.Mlp.fit({"row": list(train)}, hidden=4, layers=1, dimension=2)
    assert (encoder.factor > 0).all()
