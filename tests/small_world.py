"""A small corpus with known structure: pairs that share rare words, so that a few seconds of training must find them."""

import json

COLOURS = ("amber", "azure", "coral", "ivory", "khaki", "lilac", "ochre", "olive", "sepia", "topaz")
ANIMALS = (
    "badger",
    "beaver",
    "falcon",
    "gibbon",
    "jaguar",
    "lizard",
    "magpie",
    "ocelot",
    "parrot",
    "weasel",
    "walrus",
    "turtle",
)
TALKS = (
    "vermilion gleam",
    "sea glow",
    "reef tint",
    "tusk pale",
    "dust tan",
    "bloom violet",
    "earth rust",
    "grove green",
    "ink brown",
    "gem gold",
)


def world():
    """120 pairs: a question names a colour and an animal, its answer the same animal and another word for the colour."""
    return [
        (f"where does the {colour} {animal} live", f"the {talk} {animal}s live in the {animal} house")
        for colour, talk in zip(COLOURS, TALKS, strict=True)
        for animal in ANIMALS
    ]


def write_jsonl(path, pairs, columns=("question", "answer")):
    path.write_text("".join(json.dumps(dict(zip(columns, p, strict=True))) + "\n" for p in pairs), "utf-8")
    return path


QUICK = ["fit.epochs=6", "fit.min_steps=0", "fit.learning_rate=0.01", "fit.batch_size=64", "encoder.dimension=32"]
