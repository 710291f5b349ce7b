"""Order the best records of a search anew by another model's scores: late interaction where the model gives a vector a token, else the cosine.

Late interaction: score = sum over the query's tokens of the greatest cosine with a token of the document (Khattab and Zaharia 2020,
arXiv 2004.12832). Too dear for a whole corpus, cheap for a hundred records.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nearfar.core.model import Model
from nearfar.search.searcher import Rerank


def reranker(model: Model) -> Rerank:
    """(text, texts of records) -> scores [n], by a model of sentences or of tokens; it need not be the one that made the index."""
    query = "query" if "query" in model.sides else next(iter(model.sides))
    document = model.document_side

    def by_tokens(text: str, records: Sequence[str]) -> np.ndarray:
        asked = model.encode_tokens([text], side=query)[0]
        return np.array(
            [(asked @ tokens.T).max(1).sum() for tokens in model.encode_tokens(list(records), side=document)]
        )

    def by_cosine(text: str, records: Sequence[str]) -> np.ndarray:
        return model.encode(list(records), side=document) @ model.encode([text], side=query)[0]

    return by_tokens if model.similarity == "late_interaction" else by_cosine
