"""cMIM as loops: the latent vector of each record is drawn, rebuilt, and repelled by all others; densities number by number."""

import math

import torch

from nearfar.core.draws import normal

T, LEAST = 0.1, -6.0


def log_normal(x, mean, log_scale):
    return -0.5 * ((x - mean) / math.exp(log_scale)) ** 2 - log_scale - 0.5 * math.log(2 * math.pi)


def loss(made, *, sign=1.0):
    seen = made.streams["x"].inputs
    learner = made.prepared.learner
    (decoder,) = [m for m in learner.terms.modules() if hasattr(m, "log_scale")]
    with torch.no_grad():
        features = learner.towers["encoder"](seen.inputs).vectors.double().tolist()
    size = len(features[0]) // 2
    numbers = seen.inputs.double().tolist()
    latent = []
    for h, record in zip(features, seen.columns["record"], strict=True):
        noise = normal(made.recipe.seed, "gaussian_sample", 0, record, 0, torch.arange(size)).tolist()
        latent.append([h[d] + math.exp(max(LEAST, h[size + d])) * noise[d] for d in range(size)])
    with torch.no_grad():
        rebuilt = decoder.double()(torch.tensor(latent).double()).tolist()
    spread = max(LEAST, decoder.log_scale.item())
    decoder.float()
    alone = 0.0
    for h, z, x, y in zip(features, latent, numbers, rebuilt, strict=True):
        certain = sum(log_normal(z[d], h[d], max(LEAST, h[size + d])) for d in range(size))
        likely = sum(log_normal(v, 0.0, 0.0) for v in z)
        alone -= sum(log_normal(a, b, spread) for a, b in zip(x, y, strict=True)) + 0.5 * (sign * certain + likely)
    repelled = 0.0
    units = [[v / math.sqrt(sum(u * u for u in z)) for v in z] for z in latent]
    for i, one in enumerate(units):
        cosines = [sum(a * b for a, b in zip(one, other, strict=True)) for k, other in enumerate(units) if k != i]
        repelled += math.log(1 + sum(math.exp((c - 1) / T) for c in cosines) / len(cosines))
    return (alone + repelled) / len(latent)


def loops(made):
    return loss(made)


def wrong(made):
    """log q with the sign that it has in a variational autoencoder."""
    return loss(made, sign=-1.0)
