"""Whether the nearest training records tell a record's class: nothing is trained, so it is the model alone that is measured.

Kin: `linear_accuracy` asks whether a plane could tell it. The probe is `knn`, which says how votes are counted.
"""

from __future__ import annotations

from nearfar.core.card import Card
from nearfar.core.model import Model
from nearfar.data.dataset import Dataset
from nearfar.measures.shared import encoded
from nearfar.probes.knn import knn
from nearfar.probes.outcome import Outcome

CARD = Card(
    name="knn_accuracy", summary="accuracy of the nearest training records' classes", related=("knn", "linear_accuracy")
)


def knn_accuracy(
    model: Model, dataset: Dataset, split: str, *, k: int = 20, label: str = "label", field: str = ""
) -> Outcome:
    """Vectors of the part against those of the training part; `label` names the column of classes."""
    part, train = dataset.part(split), dataset.train
    known = (encoded(model, train, field), train.columns[label])
    return knn(encoded(model, part, field), part.columns[label], train=known, k=k)
