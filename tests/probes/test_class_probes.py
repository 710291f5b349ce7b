"""Probes of classes (k-NN, linear, multi-label, few-shot, zero-shot, clustering): references, chance, nothing chosen on test records."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.anomaly import anomaly
from nearfar.probes.clustering import clustering
from nearfar.probes.few_shot import few_shot
from nearfar.probes.knn import knn
from nearfar.probes.linear_probe import linear_probe
from nearfar.probes.multi_label_probe import multi_label_probe
from nearfar.probes.outcome import Outcome
from nearfar.probes.pair_classification import pair_classification
from nearfar.probes.regression import regression
from nearfar.probes.shared.episodes import drawn
from nearfar.probes.shared.strength import folds
from nearfar.probes.stored_outcomes import load_outcomes, save_outcomes
from nearfar.probes.sts import sts
from nearfar.probes.zero_shot import zero_shot

RANDOM = np.random.default_rng(0)
CENTRES = RANDOM.normal(size=(4, 6))


def blobs(n: int, spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Four classes that overlap, one of them rare."""
    y = RANDOM.choice(4, size=n, p=[0.4, 0.3, 0.2, 0.1])
    return CENTRES[y] + spread * RANDOM.normal(size=(n, 6)), y


TRAIN, DEV, TEST = blobs(120), blobs(60), blobs(90)


@pytest.fixture(autouse=True)
def _own_chance():
    """Each test draws the same, whichever ran before."""
    globals()["RANDOM"] = np.random.default_rng(1)


def votes(x, base, labels, k, weigh) -> np.ndarray:
    """For each row the votes of every class, by loops."""
    made = []
    for i, one in enumerate(x):
        near = [
            (float(one @ b / np.linalg.norm(one) / np.linalg.norm(b)), c)
            for j, (b, c) in enumerate(zip(base, labels, strict=True))
            if not (base is x and i == j)
        ]
        best = sorted(near, key=lambda pair: -pair[0])[:k]
        made.append([sum(weigh(cosine) for cosine, c in best if c == label) for label in range(4)])
    return np.array(made)


def by_lot(vote: np.ndarray, y: np.ndarray) -> np.ndarray:
    top = np.isclose(vote, vote.max(1, keepdims=True), rtol=1e-9)
    return top[np.arange(len(y)), y] / top.sum(1)


@pytest.mark.parametrize("k", [1, 4, 9])
@pytest.mark.parametrize("left_out", [True, False])
def test_knn_equals_loops(k: int, left_out: bool):
    x, y = TEST
    base = TEST if left_out else TRAIN
    found = knn(x, y, train=None if left_out else TRAIN, k=k, temperature=0.2)
    plain, weighted = (votes(x, *base, k, weigh) for weigh in (lambda c: 1.0, lambda c: np.exp(c / 0.2)))
    assert found.columns["accuracy"] == pytest.approx(by_lot(plain, y))
    assert found.columns["weighted_accuracy"] == pytest.approx(by_lot(weighted, y))
    assert found.figure("balanced_accuracy") == pytest.approx(
        np.mean([by_lot(plain, y)[y == c].mean() for c in range(4)])
    )
    if k == 4:  # votes are tied often; the known-bad variant gives ties to the class of the lowest number
        assert found.columns["accuracy"] != pytest.approx((plain.argmax(1) == y).astype(float))
    if left_out:
        itself = KNeighborsClassifier(1, metric="cosine").fit(x, y).score(x, y)
        assert found.figure() < itself == 1


def test_knn_equals_scikit_learn_where_no_votes_are_tied():
    model = KNeighborsClassifier(1, metric="cosine").fit(*TRAIN)
    found = knn(*TEST, train=TRAIN, k=1)
    assert found.columns["accuracy"].tolist() == (model.predict(TEST[0]) == TEST[1]).tolist()
    euclidean = KNeighborsClassifier(1).fit(*TRAIN)
    assert found.columns["accuracy"].tolist() != (euclidean.predict(TEST[0]) == TEST[1]).tolist()


def test_knn_of_equal_records_does_not_find_itself():
    x, y = np.tile(np.eye(2)[0], (30, 1)), np.arange(30) % 2
    assert knn(x, y, k=29).columns["accuracy"].tolist() == [0.0] * 30  # of all others, most are of the other class
    assert 0 <= knn(x, y, k=1).figure() <= 0.6


def fitted(strength, train, test) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and class scores of scikit-learn's classifier."""
    scale = StandardScaler().fit(train[0])
    model = LogisticRegression(C=1 / (len(train[0]) * strength), solver="newton-cholesky", tol=1e-8)
    model.fit(scale.transform(train[0]), train[1])
    return model.predict(scale.transform(test)), model.decision_function(scale.transform(test))


def test_linear_probe_equals_scikit_learn():
    predicted, _ = fitted(0.01, TRAIN, TEST[0])
    found = linear_probe(*TEST, train=TRAIN, strengths=[0.01])
    assert (found.columns["predicted"] == predicted).mean() > 0.98  # records at the border may fall either way
    shuffled, _ = fitted(0.01, (TRAIN[0], RANDOM.permutation(TRAIN[1])), TEST[0])
    assert (shuffled == predicted).mean() < 0.9
    predicted = found.columns["predicted"]
    assert found.figures() == pytest.approx(
        {
            "accuracy": sk.accuracy_score(TEST[1], predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(TEST[1], predicted),
            "macro_f1": sk.f1_score(TEST[1], predicted, average="macro"),
        }
    )
    assert found.figure("accuracy") != pytest.approx(found.figure("balanced_accuracy"))
    rows = RANDOM.integers(0, 90, size=90)
    assert found.figure("macro_f1", rows) == pytest.approx(sk.f1_score(TEST[1][rows], predicted[rows], average="macro"))


STRENGTHS = (30.0, 3.0, 0.3, 0.03)


@pytest.mark.parametrize("with_dev", [True, False])
def test_the_strength_of_a_linear_probe_is_chosen_without_the_test_labels(with_dev: bool):
    dev = DEV if with_dev else None
    found = linear_probe(*TEST, train=TRAIN, dev=dev, strengths=STRENGTHS)
    quality = []
    for strength in STRENGTHS:
        if with_dev:
            quality.append(linear_probe(*DEV, train=TRAIN, strengths=[strength]).figure())
        else:
            fold, right = folds(TRAIN[1]), []
            for f in range(5):
                kept, left = fold != f, fold == f
                part = linear_probe(
                    TRAIN[0][left], TRAIN[1][left], train=(TRAIN[0][kept], TRAIN[1][kept]), strengths=[strength]
                )
                right += part.columns["accuracy"].tolist()
            quality.append(np.mean(right))
    assert len(set(quality)) > 1
    assert found.facts["strength"] == STRENGTHS[int(np.argmax(quality))]  # the strongest of the best
    assert found.facts["chosen_on"] == ("dev" if with_dev else "5 folds")
    for _ in range(3):
        again = linear_probe(TEST[0], RANDOM.permutation(TEST[1]), train=TRAIN, dev=dev, strengths=STRENGTHS)
        assert again.facts == found.facts
        assert again.columns["predicted"].tolist() == found.columns["predicted"].tolist()
    # Other records beside a test record do not change what is predicted for it.
    part = linear_probe(TEST[0][:7], TEST[1][:7], train=TRAIN, dev=dev, strengths=STRENGTHS)
    assert part.columns["predicted"].tolist() == found.columns["predicted"][:7].tolist()


def test_dev_chooses():
    """Dev labels that say nothing choose another strength than those that do: the choice does listen to them."""
    chosen = {
        linear_probe(
            *TEST, train=TRAIN, dev=(DEV[0], np.random.default_rng(s).permutation(DEV[1])), strengths=STRENGTHS
        ).facts["strength"]
        for s in range(5)
    }
    assert len(chosen) > 1


def test_a_class_of_one_record_can_be_in_a_fold_by_itself():
    x, y = np.r_[TRAIN[0], [[50.0] * 6]], np.r_[TRAIN[1], [9]]
    found = linear_probe(x[:5], y[:5], train=(x, y), strengths=(1.0, 0.1))
    assert found.facts["classes"] == [0, 1, 2, 3, 9]


def several(n: int) -> tuple[np.ndarray, np.ndarray]:
    x = RANDOM.normal(size=(n, 5))
    return x, (x @ np.random.default_rng(3).normal(size=(5, 3)) + RANDOM.normal(size=(n, 3)) > [0, 1, 2]).astype(int)


def test_multi_label_probe_equals_scikit_learn():
    train, test = several(150), several(80)
    scores = np.stack([fitted(0.05, (train[0], train[1][:, c]), test[0])[1] for c in range(3)], axis=1)
    found = multi_label_probe(*test, train=train, strengths=[0.05])
    assert found.figures() == pytest.approx(
        {
            "macro_ap": sk.average_precision_score(test[1], scores, average="macro"),
            "micro_f1": sk.f1_score(test[1], scores >= 0, average="micro"),
        },
        abs=5e-3,
    )
    assert abs(found.figure("macro_ap") - sk.average_precision_score(test[1], scores, average="micro")) > 5e-3
    assert abs(found.figure("micro_f1") - sk.f1_score(test[1], scores >= 0, average="macro")) > 5e-3


def test_a_multi_label_strength_is_chosen_without_the_test_labels_and_a_missing_label_is_left_out():
    train, dev, (x, y) = several(60), several(60), several(40)
    for held in (dev, None):
        found = multi_label_probe(x, y, train=train, dev=held)
        again = multi_label_probe(x, RANDOM.permutation(y), train=train, dev=held)
        assert (again.facts, again.columns["rank"].tolist()) == (found.facts, found.columns["rank"].tolist())
        assert again.figure() < found.figure()
    without = y.copy()
    without[:, 1] = 0
    found = multi_label_probe(x, without, train=train, strengths=[0.1])
    each = [sk.average_precision_score(y[:, c], found.columns["rank"][:, c]) for c in (0, 2)]
    assert found.figure() == pytest.approx(np.mean(each))
    assert found.figure() != pytest.approx(np.sum(each) / 3)


def drawn_by_hand(x, y, episode, ways, shots, queries, seed) -> list[float]:
    """Accuracy of one episode by loops over single records."""
    from nearfar.core.draws import uniform

    names = [c for c in sorted(set(y)) if (y == c).sum() >= shots + queries]
    lot = {c: float(uniform(seed, "few-shot, class", episode, i)) for i, c in enumerate(names)}
    chosen = sorted(names, key=lambda c: lot[c])[:ways]
    support, asked = {}, []
    for c in chosen:
        rows = sorted(np.flatnonzero(y == c), key=lambda r: float(uniform(seed, "few-shot, record", episode, int(r))))
        unit = [x[r] / np.linalg.norm(x[r]) for r in rows]
        support[c] = np.mean(unit[:shots], axis=0)
        asked += [(z, c) for z in unit[shots : shots + queries]]
    return [
        float(max(chosen, key=lambda c: z @ support[c] / np.linalg.norm(support[c])) == truth) for z, truth in asked
    ]


def test_few_shot_prototypes_equal_loops():
    x, y = blobs(150)
    found = few_shot(x, y, ways=3, shots=2, queries=6, episodes=5, seed=3)
    loops = [np.mean(drawn_by_hand(x, y, e, 3, 2, 6, 3)) for e in range(5)]
    assert found.columns["prototype_accuracy"] == pytest.approx(loops)
    assert found.columns["prototype_accuracy"] != pytest.approx(
        [np.mean(drawn_by_hand(x, y, e, 3, 2, 6, 4)) for e in range(5)]
    )


def test_few_shot_logistic_equals_scikit_learn():
    x, y = blobs(150)
    found = few_shot(x, y, ways=2, shots=4, queries=10, episodes=30, seed=1)
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    expected, chance = [], np.random.default_rng(0)
    members = [torch.from_numpy(np.flatnonzero(y == c)) for c in range(4) if (y == c).sum() >= 14]
    for e in range(30):
        rows = drawn(e, members, 2, 14, 1).numpy()
        # Two weights with a penalty each are one weight with half of it.
        model = LogisticRegression(C=2.0, tol=1e-8).fit(unit[rows[:, :4].ravel()], np.repeat([0, 1], 4))
        expected.append(model.score(unit[rows[:, 4:].ravel()], np.repeat([0, 1], 10)))
    assert found.columns["logistic_accuracy"] == pytest.approx(expected)
    assert found.columns["logistic_accuracy"] != pytest.approx(chance.permutation(expected))
    assert found.columns["logistic_accuracy"] != pytest.approx(found.columns["prototype_accuracy"])


def test_an_episode_does_not_depend_on_how_many_there_are():
    x, y = blobs(150)
    few, many = (few_shot(x, y, ways=2, shots=1, queries=5, episodes=n) for n in (3, 20))
    for name in few.means:
        assert few.columns[name] == pytest.approx(many.columns[name][:3])
    assert few_shot(x, y, ways=2, shots=1, queries=5, episodes=20, seed=1).figures() != many.figures()


def test_zero_shot_equals_loops_for_several_prompts():
    x, y = TEST
    prompts = RANDOM.normal(size=(7, 3, 6)) + np.r_[CENTRES, RANDOM.normal(size=(3, 6))][:, None]
    names = np.array(["d", "a", "f", "b", "g", "c", "e"])
    found = zero_shot(torch.from_numpy(x).float(), names[y], prompts=torch.from_numpy(prompts), classes=names)
    centres = np.stack([np.mean([p / np.linalg.norm(p) for p in group], axis=0) for group in prompts])
    score = x @ (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T
    rank = (score > score[np.arange(90), y][:, None]).sum(1)
    assert found.columns["accuracy"].tolist() == (rank == 0).tolist()
    assert found.columns["top_5_accuracy"].tolist() == (rank < 5).tolist()
    assert found.figure("balanced_accuracy") == pytest.approx(np.mean([(rank == 0)[y == c].mean() for c in range(4)]))
    assert found.facts["classes"] == names.tolist()
    assert found.columns["label"].tolist() == y.tolist()
    assert (score.argsort(1)[:, 0] == y).tolist() != found.columns["accuracy"].tolist()
    longest = x @ prompts.mean(1).T  # the known-bad variant: long prompts have more say
    assert (longest.argmax(1) == y).tolist() != found.columns["accuracy"].tolist()


def test_classes_that_score_the_same_are_a_lot():
    found = zero_shot(np.ones((6, 3)), np.arange(6), prompts=np.ones((6, 3)))
    assert found.figures() == pytest.approx({"accuracy": 1 / 6, "top_5_accuracy": 5 / 6, "balanced_accuracy": 1 / 6})


def test_clustering_is_the_mean_over_seeds():
    x, y = blobs(120, spread=0.8)
    found = clustering(x, y, seeds=3)
    clusters = found.columns["cluster"]
    assert clusters.shape == (120, 3)
    each = [sk.adjusted_rand_score(y, c) for c in clusters.T]
    assert found.figure("ari") == pytest.approx(np.mean(each))
    assert found.figure("ari") != pytest.approx(max(each))
    assert found.figure("nmi") == pytest.approx(np.mean([sk.v_measure_score(y, c) for c in clusters.T]))
    assert clustering(x, y, seeds=3).figures() == found.figures()
    assert clustering(x, RANDOM.permutation(y), seeds=3).columns["cluster"].tolist() == clusters.tolist()


# What each probe gives on vectors [n d], classes in turn. (few_shot has episodes of all four classes.)
N, C = 400, 4
Y = np.arange(N) % C
HALF = N // 2


def every_probe(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    rest = (x[HALF:], y[HALF:])
    return {
        "knn": knn(x, y, k=5).figure(),
        "knn, train": knn(x[:HALF], y[:HALF], train=rest, k=5).figure("weighted_accuracy"),
        "linear_probe": linear_probe(x[:HALF], y[:HALF], train=rest, strengths=(1.0, 0.01)).figure(),
        "prototypes": few_shot(x, y, ways=C, shots=3, queries=10, episodes=20).figure(),
        "logistic": few_shot(x, y, ways=C, shots=3, queries=10, episodes=20).figure("logistic_accuracy"),
        "zero_shot": zero_shot(x, y, prompts=np.stack([x[y == c][:1] for c in range(C)])).figure(),
    }


def test_random_vectors_are_at_chance():
    x = RANDOM.normal(size=(N, 16))
    for name, found in every_probe(x, Y).items():
        assert found == pytest.approx(1 / C, abs=0.12), name
    clusters = clustering(x, Y)
    assert abs(clusters.figure("ari")) < 0.03
    assert clusters.figure("nmi") < 0.05


def test_collapsed_vectors_are_at_chance():
    x = np.ones((N, 16))
    for name, found in every_probe(x, Y).items():
        assert found == pytest.approx(1 / C, abs=0.01) or (name == "knn" and found <= 1 / C), name
    clusters = clustering(x, Y)
    assert clusters.figures() == pytest.approx(
        {"nmi": 0, "homogeneity": 0, "completeness": 1, "ari": 0, "purity": 1 / C}, abs=1e-9
    )


def test_vectors_that_are_the_classes_are_perfect():
    x = np.eye(16)[Y] + 0.01 * RANDOM.normal(size=(N, 16))
    assert every_probe(x, Y) == dict.fromkeys(every_probe(x, Y), 1.0)
    assert clustering(x, Y, seeds=1, k=C).figure("homogeneity") > 0.7  # one start may split a class
    assert clustering(x, np.roll(Y, 1)).figure() > 0.7


def test_labels_may_be_strings_tensors_and_floats_of_whole_numbers():
    (x, y), (base, known) = TEST, TRAIN
    words = np.array(["ash", "bay", "elm", "oak"])
    figures = linear_probe(x, y, train=(base, known), strengths=[0.1]).figures()
    for change in (lambda v: words[v], lambda v: words[v].tolist(), torch.from_numpy, lambda v: v.astype(float)):
        found = linear_probe(x, change(y), train=(base, change(known)), strengths=[0.1])
        assert found.figures() == figures
    assert linear_probe(x, words[y], train=(base, words[known]), strengths=[0.1]).facts["classes"] == words.tolist()


def test_half_precision_and_huge_vectors_are_measured():
    x, y = TEST
    assert knn(torch.from_numpy(x).bfloat16(), y).figure() == pytest.approx(knn(x, y).figure(), abs=0.1)
    assert knn(x * 1e200, y).figures() == knn(x, y).figures()


def outcomes_of_all() -> dict[str, Outcome]:
    pairs, labels = RANDOM.normal(size=90), several(90)
    return {
        "sts": sts(pairs, RANDOM.normal(size=90)),
        "pair_classification": pair_classification(pairs, TEST[1] > 1, dev=(pairs, TEST[1] > 1)),
        "anomaly": anomaly(pairs, TEST[1] > 1),
        "regression": regression(TEST[0], pairs, train=(TEST[0], pairs), strengths=[1.0]),
        "knn": knn(*TEST, train=TRAIN),
        "linear_probe": linear_probe(*TEST, train=TRAIN, strengths=[1.0, 0.1]),
        "multi_label_probe": multi_label_probe(*labels, train=labels, strengths=[1.0]),
        "few_shot": few_shot(*TRAIN, ways=2, shots=1, queries=5, episodes=3),
        "clustering": clustering(*TEST, seeds=2),
        "zero_shot": zero_shot(*TEST, prompts=CENTRES),
    }


def test_stored_outcomes_have_the_same_figures(tmp_path):
    made = outcomes_of_all()
    save_outcomes(tmp_path, made, {})
    loaded, _ = load_outcomes(tmp_path)
    for name, outcome in made.items():
        assert outcome.probe == name
        assert loaded[name].figures() == outcome.figures()
        assert loaded[name].facts == outcome.facts
        rows = np.arange(40)
        assert loaded[name].figures() != {m: outcome.figure(m, rows[: len(outcome) - 1]) for m in outcome.figures()}


def test_every_metric_is_a_number_on_a_resample_of_one_unit():
    for name, outcome in outcomes_of_all().items():
        for metric in outcome.names_of_metrics:
            assert np.isfinite(outcome.figure(metric, np.zeros(20, dtype=np.int64))), (name, metric)


X, L = RANDOM.normal(size=(8, 3)), ["a", "b"] * 4
HOLE = X.copy()
HOLE[5, 1] = np.nan


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: knn(HOLE, L), DataError, "the first in row 5.*vectors"),
        (lambda: knn(X, L, k=8), UsageError, "8 neighbours, where 1 to 7"),
        (lambda: knn(X, L, k=0), UsageError, "0 neighbours"),
        (lambda: knn(X, L, train=(X[:4], L[:4]), k=5), UsageError, "5 neighbours, where 1 to 4"),
        (lambda: knn(X, L, train=(X[:, :2], L), k=1), UsageError, "2 dimensions stand beside others of 3"),
        (lambda: knn(X, L, train=(X, ["a"] * 8), k=1), DataError, r"one class only: a.*train\[1\]"),
        (lambda: knn(X, ["a", "c"] * 4, train=(X, L), k=1), DataError, "label c of record 1 is none of the 2"),
        (lambda: knn(X, [0, 1] * 4, train=(X, L), k=1), DataError, "cannot be classes like"),
        (lambda: knn(X, L[:7], k=1), UsageError, "7 of them stand beside 8"),
        (lambda: knn(X, L, temperature=0.0, k=1), UsageError, "temperature"),
        (lambda: knn(X[0], L, k=1), UsageError, r"\[n d\]"),
        (lambda: knn(X, [0.0, 1.5] * 4, k=1), DataError, "1.5 is no class"),
        (lambda: knn(X, [0.0, np.nan] * 4, k=1), DataError, "NaN"),
        (lambda: knn(X, ["a", None] * 4, k=1), DataError, "mixed or no classes"),
        (lambda: knn(X, ["a", 1] * 4, k=1), DataError, "mixed or no classes"),
        (lambda: linear_probe(X, L, train=(X, ["a"] * 8)), DataError, "one class only"),
        (lambda: linear_probe(X, L, train=(X, L), dev=(X, ["z"] * 8)), DataError, r"label z.*dev\[1\]"),
        (lambda: linear_probe(X, L, train=(HOLE, L)), DataError, r"train\[0\]"),
        (lambda: linear_probe(X, L, train=(X, L), dev=(HOLE, L)), DataError, r"dev\[0\]"),
        (lambda: linear_probe(X, L, train=(X, L), strengths=[-1.0]), UsageError, "above zero"),
        (lambda: few_shot(X, L, ways=2, shots=3, queries=2), DataError, "0 of 2 classes have the 5 records"),
        (lambda: few_shot(X, L, ways=1), UsageError, "1 ways"),
        (lambda: few_shot(X, L, ways=2, shots=0), UsageError, "0 shots"),
        (lambda: clustering(X, ["a"] * 8), DataError, "one class only"),
        (lambda: clustering(X, L, k=9), UsageError, "9 clusters, where 1 to 8"),
        (lambda: clustering(X, L, seeds=0), UsageError, "0 seeds"),
        (lambda: zero_shot(X, [0, 2] * 4, prompts=X[:2]), DataError, "label 2 of record 1"),
        (lambda: zero_shot(X, L, prompts=X[:3], classes=["a", "b"]), UsageError, "2 different names .* 3 classes"),
        (lambda: zero_shot(X, L, prompts=X[:2], classes=["a", "a"]), DataError, "one class only"),
        (lambda: zero_shot(X, L, prompts=X[:3], classes=["a", "b", "b"]), UsageError, "2 different names"),
        (lambda: zero_shot(X, L, prompts=X[:2], classes=["a", 1]), DataError, "mixed or no classes"),
        (lambda: zero_shot(X, L, prompts=X[0], classes=["a", "b"]), UsageError, r"\[c d\] or \[c p d\]"),
        (lambda: zero_shot(X, L, prompts=HOLE[4:6], classes=["a", "b"]), DataError, "prompts"),
        (lambda: multi_label_probe(X, np.ones((8, 2)), train=(X, np.ones((8, 2)))), DataError, "1 for every record"),
        (lambda: multi_label_probe(X, X, train=(X, X)), DataError, r"label 0 of record 0.*train\[1\]"),
        (
            lambda: multi_label_probe(X, np.zeros((8, 2)), train=(X, np.eye(2)[[0, 1] * 4])),
            DataError,
            "0 for every record.*labels",
        ),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
