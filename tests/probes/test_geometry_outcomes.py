"""Outcomes of geometry as others use them: stored and read again, one metric at a time on a resample."""

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.errors import UsageError
from nearfar.probes.stored_outcomes import load_outcomes, save_outcomes

X, Y = torch.randn(2, 40, 5, generator=torch.Generator().manual_seed(0)) + 0.3
LABELS = [*(i % 4 for i in range(39)), 9]  # the last one is alone in its class
COARSE = [label % 2 for label in LABELS]
FOUND = {
    "alignment_uniformity": lambda: nf.alignment_uniformity(X, Y),
    "tolerance": lambda: nf.tolerance(X, LABELS),
    "conformity": lambda: nf.conformity(X),
    "hubness": lambda: nf.hubness(X, k=3),
    "neighbourhood_overlap": lambda: nf.neighbourhood_overlap(X, Y, k=3),
    "modality_gap": lambda: nf.modality_gap(X, Y),
    "negative_shares": lambda: nf.negative_shares(X, Y),
    "class_collapse": lambda: nf.class_collapse(X, COARSE, LABELS, Y, COARSE, LABELS),
    "feature_suppression": lambda: nf.feature_suppression((X, Y), (Y, X), LABELS, LABELS),
}


@pytest.mark.parametrize("name", FOUND)
def test_stored_and_resampled(name, tmp_path):
    outcome = FOUND[name]()
    assert outcome.probe == name
    save_outcomes(tmp_path, {name: outcome}, {})
    again = load_outcomes(tmp_path)[0][name]
    assert again.figures() == outcome.figures()
    half, every = np.arange(0, len(outcome), 2), np.arange(len(outcome))
    for metric in outcome.names_of_metrics:
        assert outcome.figure(metric, every) == pytest.approx(outcome.figure(metric))
        assert np.isfinite(outcome.figure(metric, half))
        assert np.isfinite(outcome.figure(metric, np.zeros(len(outcome), int))), "one record drawn every time"
    assert outcome.figure(rows=half) != outcome.figure(), "a figure that ignores its rows has no interval"
    with pytest.raises(UsageError, match="no metric"):
        outcome.figure("no such metric")
