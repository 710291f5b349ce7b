"""Clusters of an index's rows by direction, how well they are told apart, and the words that set each apart.

        silhouette of a row:  (b - a) / max(a, b);   a its mean cosine distance to the others of its cluster, b to the nearest other one

Centres are those of spherical k-means (`maths/spherical_k_means.py`) on a sample of the rows, the best of some starts by the mean cosine
of a row with its centre; then every row is put with its nearest centre. Where the number of clusters is not said, it is the one of
`COUNTS` with the largest mean silhouette on the sample.

A cluster's words are those with the largest log-odds against all other rows, with the corpus as the prior, in units of their standard
deviation:

        log-odds  = ln((y + p) / (n + P - y - p)) - ln((y' + p) / (n' + P - y' - p)),      variance = 1 / (y + p) + 1 / (y' + p)
        p = PRIOR * (share of the word among all words),      P = PRIOR

where y of the n words of the cluster are this word, and y' of the n' words of the others. A text counts a word once. A word that is
everywhere has log-odds of about zero, and one that is rare a large variance. A word must also be in twice the share of texts (`LIFT`) that
it has elsewhere: in short texts even "the" may lead otherwise. So there is no list of stop words, and it works in any language.

Sources: Rousseeuw 1987 (silhouette); Monroe, Colaresi and Quinn 2008, "Fightin' Words" (doi 10.1093/pan/mpn018), for the words. The sizes
are ours.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from nearfar.core.draws import uniform
from nearfar.core.errors import UsageError
from nearfar.maths.spherical_k_means import spherical_k_means
from nearfar.search.living import Living

# No more than a person reads: of a corpus without clear groups the most are always best.
COUNTS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 25, 30)
SAMPLE = 256  # rows a centre is found from
LEAST_SAMPLE = 10_000
STARTS = 10
BLOCK = 8192
PRIOR = 1000.0  # words
LIFT = 2.0  # how many times the share of texts elsewhere a word has
WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Clusters:
    """k clusters of n rows, the largest first.

    cluster     [n] int64, from 0 to k - 1
    cosines     [n] float32, with the centre
    centres     [k d] float32 of unit length
    silhouette  the mean over the sample
    tried       {number of clusters: mean silhouette on the sample}, of every number that was tried
    """

    cluster: np.ndarray
    cosines: np.ndarray
    centres: np.ndarray
    silhouette: float
    tried: dict[int, float]

    def sizes(self) -> list[int]:
        """Rows of each cluster."""
        return np.bincount(self.cluster, minlength=len(self.centres)).tolist()

    def nearest(self, number: int, count: int) -> np.ndarray:
        """The rows [count] of a cluster that are nearest to its centre."""
        rows = np.flatnonzero(self.cluster == number)
        return rows[np.argsort(-self.cosines[rows], kind="stable")[:count]]


def clusters(vectors: np.ndarray | Living, count: int | None = None, *, seed: int = 0) -> Clusters:
    """Cluster rows of unit length [n d]. Clusters that no row is nearest to are left out.

    count   of clusters; None: the one of `COUNTS` with the largest silhouette, at least five rows a cluster on average
    seed    of the sample and of the first centres, the only chance there is

    >>> x = np.array([[1, 0], [0.98, 0.199], [0, 1], [0.199, 0.98], [0, 0.9999]], dtype="float32")
    >>> clusters(x, 2).cluster.tolist()
    [1, 1, 0, 0, 0]

    Raises UsageError for a count below 1 or above the rows.
    """
    n = len(vectors)
    if n == 0 or (count is not None and not 1 <= count <= n):
        raise UsageError(
            f"{count} clusters of {n} rows" if n else "there are no rows to cluster",
            where="clusters",
            remedy=f"ask for 1 to {n}" if n else "add some first",
        )
    tried = [count] if count is not None else [k for k in COUNTS if 5 * k <= n] or [min(2, n)]
    size = min(n, max(LEAST_SAMPLE, SAMPLE * max(tried)))
    drawn = np.sort(uniform(seed, "clusters of an index, sample", torch.arange(n)).argsort(stable=True)[:size].numpy())
    sample = vectors[drawn]
    found: dict[int, tuple[float, np.ndarray]] = {}
    for k in tried:
        centres = _best_centres(sample, drawn, k, seed)
        found[k] = silhouette(sample, _assigned(sample, centres)[0]), centres
    best = max(found, key=lambda k: found[k][0])
    cluster, cosines = _assigned(vectors, found[best][1])
    order = np.argsort(-np.bincount(cluster, minlength=len(found[best][1])), kind="stable")
    filled = order[: len(np.unique(cluster))]
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    return Clusters(
        number[cluster], cosines, found[best][1][filled], found[best][0], {k: value for k, (value, _) in found.items()}
    )


def silhouette(vectors: np.ndarray, cluster: np.ndarray) -> float:
    """The mean silhouette of rows of unit length [n d] in clusters [n]; 0 for a row alone, and where there is one cluster only.

    The mean cosine distance to a cluster is that to the mean of its rows, so that it takes no n by n table.

    >>> round(silhouette(np.array([[1, 0], [1, 0], [0, 1], [0, 1]]), np.array([0, 0, 1, 1])), 3)
    1.0
    """
    _, number, size = np.unique(cluster, return_inverse=True, return_counts=True)
    if len(size) < 2:
        return 0.0
    exact, own = vectors.astype(np.float64), np.arange(len(number))
    sums = np.zeros((len(size), exact.shape[1]))
    np.add.at(sums, number, exact)
    distance = 1 - exact @ (sums / size[:, None]).T
    others = np.maximum(size[number] - 1, 1)
    # Of its own cluster the row itself, at distance 0, does not count.
    inner = distance[own, number] * size[number] / others
    distance[own, number] = np.inf
    outer = distance.min(1)
    value = (outer - inner) / np.maximum(np.maximum(inner, outer), 1e-12)
    return float(np.where(size[number] > 1, value, 0.0).mean())


def cluster_words(texts: Iterable[str], cluster: np.ndarray, count: int = 5) -> list[list[tuple[str, float]]]:
    """For each cluster the `count` words that set it apart, with their log-odds in standard deviations, largest first.

    texts [n]; cluster [n]. Words of digits alone are left out, and those of a single text where there are more. A cluster that no
    word sets apart has none.

    >>> texts = ["the cat sat", "the cat ran", "the dog sat", "the dog ran"]
    >>> [[word for word, _ in words] for words in cluster_words(texts, np.array([0, 0, 1, 1]), 1)]
    [['cat'], ['dog']]
    """
    said = [Counter[str]() for _ in range(int(cluster.max()) + 1)] if len(cluster) else []
    for text, number in zip(texts, cluster.tolist(), strict=True):
        said[number].update({word for word in WORD.findall(text.casefold()) if not word.isdigit()})
    whole = Counter[str]()
    for counter in said:
        whole.update(counter)
    sizes = np.bincount(cluster, minlength=len(said)).tolist()
    return [_apart(counter, whole, size, sum(sizes) - size, count) for counter, size in zip(said, sizes, strict=True)]


def _apart(cluster: Counter[str], whole: Counter[str], size: int, others: int, count: int) -> list[tuple[str, float]]:
    least = 2 if size > 2 else 1

    def often(word: str, times: int) -> bool:
        return times >= least and times * others >= LIFT * size * (whole[word] - times)

    words = sorted(word for word, times in cluster.items() if often(word, times)) if others else []
    n, total = cluster.total(), whole.total()
    inside = np.array([cluster[word] for word in words], dtype=np.float64)
    everywhere = np.array([whole[word] for word in words], dtype=np.float64)
    p = PRIOR * everywhere / max(total, 1)
    y, other = inside + p, everywhere - inside + p
    odds = np.log(y / (n + PRIOR - y)) - np.log(other / (total - n + PRIOR - other))
    z = odds / np.sqrt(1 / y + 1 / other)
    first = [i for i in np.argsort(-z, kind="stable")[:count] if z[i] > 0]
    return [(words[i], float(z[i])) for i in first]


def _best_centres(sample: np.ndarray, ids: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Centres [k d] of the start whose rows are nearest to theirs."""
    vectors, ids_ = torch.from_numpy(sample), torch.from_numpy(ids)
    made = [spherical_k_means(vectors, count, ids_, seed=seed, step=start).numpy() for start in range(STARTS)]
    return max(made, key=lambda centres: float(_assigned(sample, centres)[1].mean(dtype=np.float64)))


def _assigned(vectors: np.ndarray | Living, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centre of each row [n] int64, and its cosine [n] float32."""
    cluster, cosines = np.empty(len(vectors), dtype=np.int64), np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), BLOCK):
        part = slice(start, start + BLOCK)
        scores = vectors[part] @ centres.T
        cluster[part], cosines[part] = scores.argmax(1), scores.max(1)
    return cluster, cosines
