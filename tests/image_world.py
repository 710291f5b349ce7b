"""Small pictures, and what every encoder of images must do with them; the tests of each say which one."""

import numpy as np
import torch

import nearfar as nf


def photographs(n, size=16, channels=3, seed=0):
    """n smooth pictures as arrays [size size c] of bytes, each another one."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    waves = random.normal(0, 4, (n, 3, channels))
    phase = waves[:, 0, None, None] + waves[:, 1, None, None] * x[..., None] + waves[:, 2, None, None] * y[..., None]
    return [(127.5 + 120 * np.sin(p)).round().astype(np.uint8) for p in phase]


def shapes(n, seed=0):
    """n small pictures [16 16] of discs and of bars (label 0 and 1), of random place, size, and brightness, in noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:16, 0:16]
    made, labels = [], random.integers(0, 2, n)
    for label in labels:
        cy, cx, r = *random.uniform(5, 10, 2), random.uniform(2.5, 4)
        inside = (y - cy) ** 2 + (x - cx) ** 2 < r**2 if label == 0 else (abs(y - cy) < 1) & (abs(x - cx) < 2 * r)
        made.append((0.1 + random.uniform(0.5, 0.8) * inside + random.normal(0, 0.03, (16, 16))).clip(0, 1))
    return made, torch.from_numpy(labels)


def apart(a, b):
    """The largest difference, in units of the length of a vector."""
    return float((a - b).abs().max() / b.norm(dim=1).mean())


def learns_shapes(encoder, steps, rate):
    """Accuracy of the nearest class mean on held-out shapes, before and after supervised contrastive training."""
    records, labels = shapes(192)
    held_out, truth = shapes(200, seed=1)
    objective = nf.Objective({"contrast": nf.Scored(nf.info_nce, nf.labelled(), temperature=0.2, keys_from=None)})
    optimiser = torch.optim.Adam(encoder.parameters(), lr=rate)

    def accuracy():
        encoder.eval()
        with torch.no_grad():
            seen = torch.nn.functional.normalize(encoder(encoder.prepare(records)).vectors, dim=1)
            new = torch.nn.functional.normalize(encoder(encoder.prepare(held_out)).vectors, dim=1)
        means = torch.stack([seen[labels == k].mean(0) for k in (0, 1)])
        return float(((new @ means.T).argmax(1) == truth).float().mean())

    before = accuracy()
    encoder.train()
    inputs = encoder.prepare(records)
    for step in range(steps):
        index = torch.randperm(192, generator=torch.Generator().manual_seed(step))[:64]
        optimiser.zero_grad()
        nf.backward(
            objective, {"x": nf.Stream(encoder, inputs[index], {"record": index, "label": labels[index]})}, step=step
        )
        optimiser.step()
    return before, accuracy()
