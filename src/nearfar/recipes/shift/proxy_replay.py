"""Classes that come task by task, seen once: records of stream and memory contrast with the proxies of the classes present (PCR).

Near is the proxy of a record's own class, a learned vector; far are the proxies of the other classes that occur in the step, each as
often as it occurs; classes that do not occur do not compete. Cross-entropy over all classes lets the many records of new classes push
down the old ones, of which the memory brings a few: forgetting. Here an old class is pushed only in steps in which it is pulled too, and
in proportion; contrast among records, without proxies, has too few of them in so small a batch. `distilled_proxy_replay` adds what
the memory remembers as a teacher. The labels say which task a record belongs to: two classes each, in their order, unless set; the data are passed
over once. Of held-out records the run tells accuracy and forgetting.

    nearfar train proxy_replay --data photos/ --set replay.memory=500 --set replay.task=5

Source: Lin et al. 2023 (arXiv 2304.04408) by the authors' code: temperature 0.09, batches of 10 with 10 replayed, each plain and
with an augmentation, SGD at 0.1 without momentum, nothing learned while the memory is empty. The loss there runs over the proxies of
all records of the step, which is `counted`. Their network has batch norm, ours group norm; they leave the last, short batch of a task
out. Memories of 100 to 5,000 records there. The bodies of the papers were not seen.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.predicate import key_has
from nearfar.core.recipe import Contrast, Feed, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.use import Use
from nearfar.recipes.image.image_views import VIEWS
from nearfar.relations.paired import paired
from nearfar.training.replay import Replay
from nearfar.training.train import train_run

CARD = Card(
    name="proxy_replay",
    summary="classes task by task, seen once: stream and memory contrast with proxies of the classes present (PCR)",
    related=("counted", "prototypes", "info_nce", "distilled_proxy_replay"),
    data=("images", "labels"),
    papers=("2304.04408",),
    systems=("099",),
)

CONTRAST = Contrast(rule="info_nce", relation="counted", temperature=0.09, both_ways=False, y=None)
SEEN = paired("label").only(key_has("seen"))  # every class seen so far, each once

SMOKE = Smoke(
    "images",
    {"encoder.size": 16, "encoder.width": 8, "encoder.stages": 2, "replay.memory": 12},
)

SMALL = {
    "encoder.size": 8,
    "encoder.channels": 1,
    "encoder.width": 16,
    "encoder.stages": 2,
    "replay.memory": 50,
    "augmented.views": '[{"part": "random_resized_crop", "options": {"area": [0.4, 1.0]}}]',
}


def trial(recipe: Recipe, dataset: Any, seed: int, split: str, _: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy over all classes at the end of the stream, and forgetting, of a part of the data set."""
    with tempfile.TemporaryDirectory(prefix="nearfar-claim-") as folder:
        made = train_run(recipe, dataset.train, out=f"{folder}/run", seed=seed, held_out=dataset.part(split))
    return made.model.about["measured"]["replay"]


def cross_entropy() -> Recipe:
    """Experience replay: a linear classifier of the classes seen so far, on the same records and looks."""
    classifier = Contrast(
        rule="info_nce",
        relation=SEEN,
        similarity="dot",
        temperature=1.0,
        both_ways=False,
        y=None,
    )
    return replace(recipe(), name="cross_entropy", objective=classifier)


def seen_proxies() -> Recipe:
    """The same proxies, and all classes seen so far compete in every step, each once."""
    return replace(recipe(), name="seen_proxies", objective=replace(CONTRAST, relation=SEEN))


CLAIM = Claim(
    "contrast with the proxies of the classes present forgets less than replay with cross-entropy: higher accuracy over all classes",
    expect="present > cross_entropy",
    arms={
        "present": Arm(),
        "cross_entropy": Arm(recipe=cross_entropy),
        "seen": Arm(recipe=seen_proxies),
        "balanced": Arm(recipe=cross_entropy, settings={"objective.relation": "counted"}),
    },
    data="digits",
    trial=trial,
    metric="accuracy",
    margin=0.01,
    both=SMALL,
    tune={"replay.learning_rate": (0.01, 0.03, 0.1, 0.3, 1.0)},
    source="the abstract: consistently superior to the state of the art in online class-incremental learning on three data sets; replay "
    "with cross-entropy is the baseline that it starts from",
    scale="five tasks of two digits, a thousand pictures of 8 x 8 pixels seen once, a memory of 50, a small convolutional network with "
    "group norm; all arms have the same memory, looks, steps and mask of classes; `seen` is a control, proxies with all classes seen, and "
    "`balanced` another, the linear classifier with the softmax of the classes present",
    reading="twice as accurate as replay with cross-entropy. Most of the gain is the softmax over the classes present "
    "(`balanced`), and a good part beyond it comes from proxies and the cosine",
)


def recipe() -> Recipe:
    """Each record plain and with an augmentation, against the proxies of the classes of the step."""
    return Recipe(
        name="proxy_replay",
        encoder=Use("convolutional"),
        objective=CONTRAST,
        stages=(Replay(),),
        data="images",
        streams=(Feed("x", "image"), Feed("augmented", "image", views=VIEWS)),
        columns=("label",),
    )
