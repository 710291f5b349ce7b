"""Where two modalities lie and what shape they have: two clouds off the origin, how common their records are, and the gap between them.

        offset, thickness, spread, tilt   of each cloud, before normalisation: `ellipsoid`
        conformity                        of each, the mean over records of their mean cosine to the others
        gap, separation                   of the two means; whether they can be told apart along it: `modality_gap`
        divergence, wasserstein           how differently records of the two are distributed by conformity: `conformity_divergence`

The figures describe; none says by itself which model is better: `two_way_retrieval` does. "first_" and "second_" stand before those of one
cloud. Towers that nothing has trained may be two shells that are apart as well, so compare with those.
"""

from __future__ import annotations

from copy import copy
from functools import partial

from nearfar.core.card import Card
from nearfar.core.model import Model
from nearfar.data.dataset import Dataset
from nearfar.measures.shared import encoded
from nearfar.probes.conformity import conformity, conformity_divergence
from nearfar.probes.ellipsoid import ellipsoid
from nearfar.probes.modality_gap import modality_gap
from nearfar.probes.outcome import Columns, Metric, Outcome

CARD = Card(
    name="modality_shells",
    summary="shape and place of two modalities' clouds, conformity, and the gap between them",
    related=("ellipsoid", "conformity", "modality_gap", "two_way_retrieval"),
)

BINS = 20  # of the histograms of conformity, for some hundred records


def shell(columns: Columns, side: str, figure: str) -> float:
    """A figure of one cloud's shape."""
    return ellipsoid(columns[side]).figure(figure)


def average(columns: Columns, side: str) -> float:
    """The mean conformity of one cloud."""
    return conformity(columns[side]).figure("average_cosine")


def between(columns: Columns, figure: str) -> float:
    """A figure of the gap."""
    return modality_gap(columns["first"], columns["second"]).figure(figure)


def apart(columns: Columns, figure: str) -> float:
    """A distance of the two distributions of conformity."""
    return conformity_divergence(columns["first"], columns["second"], bins=BINS).figure(figure)


METRICS: dict[str, Metric] = {
    **{figure: partial(apart, figure=figure) for figure in ("divergence", "wasserstein")},
    **{figure: partial(between, figure=figure) for figure in ("gap", "separation")},
    **{f"{side}_conformity": partial(average, side=side) for side in ("first", "second")},
    **{
        f"{side}_{figure}": partial(shell, side=side, figure=figure)
        for side in ("first", "second")
        for figure in ("offset", "thickness", "spread", "tilt")
    },
}


def modality_shells(model: Model, dataset: Dataset, split: str, *, first: str, second: str) -> Outcome:
    """Of two fields of the part, whose vectors are taken as the towers give them, before they are brought to length one.

    Raises DataError for a part with fewer than four records.
    """
    part = dataset.part(split)
    raw = copy(model)
    raw.similarity = "dot"
    return Outcome(
        "modality_shells",
        "divergence",
        "records",
        {"first": encoded(raw, part, first), "second": encoded(raw, part, second)},
        metrics=METRICS,
        higher=dict.fromkeys(("divergence", "wasserstein"), False),
        facts={"bins": BINS},
    )
