"""Sentences in four languages with their English translations, a source each: tatoeba/ under NEARFAR_DATA.

German, Spanish, Finnish and Turkish. A record is a pair of texts, `query` in its language and `document` in English, and its `source`.
Of every language train has 600 pairs, dev 100 and test 250, drawn once; an English sentence stands in one pair only, whatever its
language. Facts: the languages.
Source: sentences of Tatoeba (CC BY 2.0 FR) in the selection of Artetxe and Schwenk 2019 (arXiv 1812.10464), a thousand a language.
"""

from __future__ import annotations

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.core.optional import needed
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset, data_folder

CARD = Card(name="tatoeba_four", summary="pairs of sentences, four languages with English, a source each")

LANGUAGES = ("deu", "spa", "fin", "tur")
SIZES = {"train": 600, "dev": 100, "test": 250}


def tatoeba_four() -> Dataset:
    """The three parts. Raises ResourceError where NEARFAR_DATA is not set or has no such file, DataError for one with too few pairs."""
    parquet = needed("pyarrow.parquet", "parquet")
    path = data_folder("tatoeba", "tatoeba.parquet")
    rows = parquet.read_table(path, columns=["lang", "text", "english"]).to_pylist()
    found: dict[str, list[tuple[str, str, str]]] = {name: [] for name in SIZES}
    seen: set[str] = set()
    for language in LANGUAGES:
        mine = []
        for row in rows:
            if row["lang"] == language and not {row["text"], row["english"]} & seen:
                seen |= {row["text"], row["english"]}
                mine.append((row["text"], row["english"], language))
        if len(mine) < sum(SIZES.values()):
            raise DataError(f"{len(mine)} pairs of {language}", where=str(path), remedy="give the whole file")
        order = np.random.default_rng(0).permutation(len(mine))
        ends = np.cumsum(list(SIZES.values()))
        for (name, size), end in zip(SIZES.items(), ends, strict=True):
            found[name] += [mine[i] for i in np.sort(order[end - size : end])]
    parts = {}
    for name, pairs in found.items():
        query, document, source = zip(*pairs, strict=True)
        parts[name] = array_records(query=query, document=document, source=source, columns=("source",))
    return Dataset("tatoeba_four", parts, {"languages": LANGUAGES})
