"""Whether anomalies lie farther from the centre of the training part than normal records do: one cosine a record, at any number of records.

        centre = mean of the training part's vectors        score(x) = 1 - cos(x, centre)

The vectors are those that the model gives out, of unit length for most. Kin: `knn_accuracy` compares with all training records. The
probe is `anomaly`.
Source: the score of CLAN (Wilkie et al. 2025), by the authors' code, which averages vectors before they are brought to unit length.
"""

from __future__ import annotations

from nearfar.core.card import Card
from nearfar.core.model import Model
from nearfar.data.dataset import Dataset
from nearfar.measures.shared import encoded
from nearfar.probes.anomaly import anomaly
from nearfar.probes.outcome import Outcome

CARD = Card(
    name="centroid_anomaly",
    summary="AUROC of anomalies by their cosine to the centre of the training part",
    related=("anomaly", "knn_accuracy"),
)


def centroid_anomaly(
    model: Model, dataset: Dataset, split: str, *, anomalous: str = "anomalous", field: str = ""
) -> Outcome:
    """Of the part's vectors; `anomalous` names the column of 1 for anomalies and 0 for normal records.

    The training part should hold normal records alone; nothing checks that.
    """
    part = dataset.part(split)
    centre = encoded(model, dataset.train, field).mean(0, keepdims=True)
    return anomaly(encoded(model, part, field), part.columns[anomalous], normal=centre)
