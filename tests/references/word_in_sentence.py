"""Word in sentence as loops over words and spans; which words are targets and which are drawn is read from the term."""

import torch
from harness import leaf
from torch import nn

import nearfar as nf
from nearfar.core.draws import Draws
from nearfar.core.outputs import Outputs
from nearfar.testing.scalars import exp, log

TEXTS = ["a b c a", "b d", "c", "d a c b d"]
WORDS, D, BUCKETS = "abcd", 3, 5
FACTOR = 116_049_371

ENCODER = nf.WordNgrams.fit({"text": [t + " " + t for t in TEXTS]}, dimension=D, buckets=BUCKETS, ngrams=2)
NUMBER = {word: i for i, word in enumerate(ENCODER.words)}
ENCODER.table = nn.Parameter(leaf(len(WORDS) + BUCKETS, D, seed=1))
DRAWS = Draws(0, 0, torch.arange(len(TEXTS)))


def objective():
    made = nf.word_in_sentence(drawn=3, threshold=0.05, dropped=1, towers={"encoder": ENCODER})
    made.function.double().eval()
    with torch.no_grad():
        made.function.targets.copy_(leaf(len(WORDS), D, seed=2))
    return nf.Objective({"": made})


def streams():
    return {"x": nf.rows(torch.zeros(len(TEXTS), D, dtype=torch.float64))}


def outputs(streams):
    inputs = ENCODER.prepare(TEXTS)
    rows = streams["x"]
    return Outputs(rows, rows.vectors, None, inputs, inputs, DRAWS, ENCODER)


def parameters(objective):
    return [objective.terms[""].function.targets, ENCODER.table]


def mean(rows):
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def total(objective, word_stays):
    term = objective.terms[""].function
    inputs = ENCODER.prepare(TEXTS)
    drawn = term.others(inputs.ids, inputs.lengths, DRAWS).tolist()
    chance = torch.cat(DRAWS.each("target", inputs.lengths)).tolist()
    counts = ENCODER.counts.tolist()
    loss, targets, place = 0.0, 0, 0
    for text in TEXTS:
        ids = [NUMBER[word] for word in text.split()]
        for i, word in enumerate(ids):
            share = counts[word] / sum(counts)
            is_target = chance[place] < min(1, (0.05 / share) ** 0.5 + 0.05 / share)
            others, place = drawn[place], place + 1
            assert word not in others
            rest = [w for j, w in enumerate(ids) if word_stays or j != i]
            for j in range(len(ids) - 1):
                if word_stays or i not in (j, j + 1):
                    rest.append(len(WORDS) + (ids[j] * FACTOR + ids[j + 1]) % BUCKETS)
            if not rest or len(ids) == 1 or not is_target:
                continue
            v = mean([ENCODER.table[row] for row in rest])
            score = [sum(a * b for a, b in zip(term.targets[w], v, strict=True)) for w in (word, *others)]
            loss = loss + log(1 + exp(-score[0])) + sum(log(1 + exp(s)) for s in score[1:])
            targets += 1
    return loss / targets


def loops(objective, streams):
    return total(objective, False)


def wrong(objective, streams):
    """The word stays in the sentence that is to foretell it."""
    return total(objective, True)
