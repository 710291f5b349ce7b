"""Stories of `tinystories_prefixes` continued by a decoder, and what is measured of them: for the trials of claims about decoding."""

from __future__ import annotations

from typing import Any

import torch

from nearfar.data.dataset import Dataset
from nearfar.datasets.tinystories_prefixes import POSITIONS, story_model
from nearfar.generation.language_model import language_model, states_and_log_probabilities
from nearfar.generation.shared.beginnings import beginning, continued
from nearfar.probes.coherence import coherence
from nearfar.probes.diversity import diversity
from nearfar.probes.isotropy import isotropy
from nearfar.probes.outcome import Outcome

NEW = 120  # characters, some 25 words


def continued_stories(dataset: Dataset, seed: int, split: str, **options: Any) -> Outcome:
    """Diversity of words, coherence and isotropy of what is written after a part's beginnings; `options` are those of `generate`.

    Coherence is under the model that wrote them, for want of a second one: it favours whatever searches for likely text.
    """
    encoder = story_model()
    model = language_model(encoder)
    texts = dataset.part(split).fields["text"]
    # The model was trained on stories that a space stands before.
    beginnings = [beginning(encoder, f" {text}", POSITIONS - NEW) for text in texts]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        written = continued(model, beginnings, NEW, **options)
    whole = [[*before, *after] for before, after in zip(beginnings, written, strict=True)]
    found = states_and_log_probabilities(model, whole)
    likely = coherence([p[-len(after) :].numpy() for (_, p), after in zip(found, written, strict=True)])
    spread = isotropy([states for states, _ in found])
    words = diversity([encoder.tokenizer.decode(after).split() for after in written])
    return Outcome(
        "diversity",
        "diversity",
        "texts",
        {**words.columns, **likely.columns, **spread.columns},
        means=likely.means,
        metrics={**words.metrics, **spread.metrics},
        swapped=(*words.swapped, *spread.swapped, *likely.means),
        names=list(texts),
        higher=words.higher,
    )
