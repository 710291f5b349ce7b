"""What a temperature did to a model: how evenly records spread, how near those of one class stayed, how many negatives would count.

        uniformity                log mean exp(-2 |x_i - x_j|^2), lower is more even
        within, between           mean cosine of records of one class, and of two
        effective_negatives@tau   exp of the entropy of the negatives' gradient shares at tau

Without a column of classes (or with one class alone, or one record of each) there are no cosines of classes. The figures describe;
none of them says by itself which model is better: `knn_accuracy` and `linear_accuracy` do. The probes are `alignment_uniformity`, `tolerance` and `negative_shares`; the shares' are
those of a batch as large as the part, with each record as its own positive, which does not touch them.
"""

from __future__ import annotations

import numpy as np

from nearfar.core.card import Card
from nearfar.core.model import Model
from nearfar.data.dataset import Dataset
from nearfar.measures.shared import encoded
from nearfar.probes.alignment_uniformity import alignment_uniformity
from nearfar.probes.negative_shares import negative_shares
from nearfar.probes.outcome import Outcome
from nearfar.probes.tolerance import tolerance

CARD = Card(
    name="temperature_effects",
    summary="uniformity, cosines within and between classes, effective negatives at a temperature",
    related=("temperature_behaviour", "tolerance", "alignment_uniformity", "negative_shares", "knn_accuracy"),
)


def temperature_effects(
    model: Model, dataset: Dataset, split: str, *, temperature: float = 0.3, label: str = "label", field: str = ""
) -> Outcome:
    """Of the part's vectors; `temperature` is the one at which shares are taken, `label` names the column of classes, if there is one.

    Raises DataError for a part with fewer than two records.
    """
    part = dataset.part(split)
    vectors = encoded(model, part, field)
    spread, shares = alignment_uniformity(vectors), negative_shares(vectors, vectors, temperature)
    share = f"effective_negatives@{temperature:g}"
    columns = {"uniformity": spread.columns["uniformity"], share: shares.columns["effective_negatives"]}
    names = ["uniformity", share]
    if _tells_classes_apart(part.columns.get(label)):
        near = tolerance(vectors, part.columns[label])
        columns |= {name: near.columns[name] for name in ("within", "between")}
        names += ["within", "between"]
    return Outcome(
        "temperature_effects",
        "uniformity",
        "records",
        columns,
        means=tuple(names),
        higher={"uniformity": False, "between": False},
        facts={"temperature": temperature},
    )


def _tells_classes_apart(labels: np.ndarray | None) -> bool:
    """Whether there are two classes, and two records of one."""
    sizes = np.zeros(0) if labels is None else np.unique(labels, return_counts=True)[1]
    return len(sizes) > 1 and bool(sizes.max() > 1)
