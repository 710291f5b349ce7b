"""The loss of `within_image_contrast` in loops over single numbers: patches of one picture, of one label and of others."""

import math

TEMPERATURE = 0.1


def cosine(a, b):
    return sum(u * v for u, v in zip(a, b, strict=True)) / math.sqrt(sum(u * u for u in a) * sum(v * v for v in b))


def loss(made, *, of_all_pictures=False):
    rows = made.rows["x"]
    z = rows.vectors.detach().double().tolist()
    label, scene = rows.columns["label"].tolist(), rows.columns["scene"].tolist()
    assert len(set(scene)) > 1
    assert -1 in label
    losses = []
    for i in range(len(z)):
        others = [k for k in range(len(z)) if k != i and (of_all_pictures or scene[k] == scene[i])]
        alike = [k for k in others if label[i] >= 0 and label[k] == label[i]]
        if not alike:  # background, and what is alone in its picture
            continue
        below = math.log(sum(math.exp(cosine(z[i], z[k]) / TEMPERATURE) for k in others))
        losses.append(sum(below - cosine(z[i], z[k]) / TEMPERATURE for k in alike) / len(alike))
    return sum(losses) / len(losses)


def loops(made):
    return loss(made)


def wrong(made):
    """Patches of other pictures are pairs too."""
    return loss(made, of_all_pictures=True)
