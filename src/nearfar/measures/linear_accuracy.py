"""Whether planes could tell the classes: a logistic regression on frozen vectors, its strength of regularisation chosen on the dev part.

Where it is the dev part that is measured, the strength is chosen within the training part. Kin: `knn_accuracy`; the probe is
`linear_probe`.
"""

from __future__ import annotations

from nearfar.core.card import Card
from nearfar.core.model import Model
from nearfar.data.dataset import Dataset
from nearfar.measures.shared import encoded
from nearfar.probes.linear_probe import linear_probe
from nearfar.probes.outcome import Outcome

CARD = Card(
    name="linear_accuracy",
    summary="accuracy of a linear classifier on frozen vectors",
    related=("linear_probe", "knn_accuracy"),
)


def linear_accuracy(model: Model, dataset: Dataset, split: str, *, label: str = "label", field: str = "") -> Outcome:
    """Trained on the training part's vectors; `label` names the column of classes."""
    part, train, dev = dataset.part(split), dataset.train, None
    if split != "dev" and "dev" in dataset.parts:
        other = dataset.part("dev")
        dev = (encoded(model, other, field), other.columns[label])
    known = (encoded(model, train, field), train.columns[label])
    return linear_probe(encoded(model, part, field), part.columns[label], train=known, dev=dev)
