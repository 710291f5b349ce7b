"""A-MIM as loops: densities number by number, of records that were drawn from their own normal distributions."""

import math

import torch
from torch import nn

import nearfar as nf
from nearfar.core.draws import Draws
from nearfar.core.outputs import Outputs

N, SIZE, NUMBERS = 5, 3, 4
CHANCE = Draws(2, epoch=1, record=torch.arange(N) + 7)
INPUTS = torch.randn(N, NUMBERS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def objective():
    torch.manual_seed(4)
    term = nf.mutual_information_machine(SIZE, hidden=6, numbers=NUMBERS)
    decoder = term.function.__self__.double()
    nn.init.constant_(decoder.log_scale, -0.3)
    return nf.Objective({"": term})


def parameters(made):
    return list(made.terms[""].function.__self__.parameters())


def streams():
    drawn = torch.randn(N, 2 * SIZE, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return {"x": nf.rows(drawn.requires_grad_())}


def outputs(given):
    features = given["x"].vectors
    latent = nf.gaussian_sample(2 * SIZE)(features, CHANCE)
    return Outputs(nf.rows(latent), features, None, INPUTS, INPUTS, CHANCE, None)


def log_normal(x, mean, log_scale):
    return -0.5 * ((x - mean) / log_scale.exp()) ** 2 - log_scale - 0.5 * math.log(2 * math.pi)


def loss(made, given, sign):
    decoder = made.terms[""].function.__self__
    noise = CHANCE.normal("gaussian_sample", SIZE)
    nothing, total = torch.zeros((), dtype=torch.float64), 0.0
    for i, h in enumerate(given["x"].vectors):
        z = [h[d] + h[SIZE + d].exp() * noise[i, d] for d in range(SIZE)]
        rebuilt = decoder(torch.stack(z)[None])[0]
        likely = sum(log_normal(v, nothing, nothing) for v in z)
        certain = sum(log_normal(z[d], h[d], h[SIZE + d]) for d in range(SIZE))
        right = sum(log_normal(INPUTS[i, j], rebuilt[j], decoder.log_scale) for j in range(NUMBERS))
        total = total - right - 0.5 * (sign * certain + likely)
    return total / N


def loops(made, given):
    return loss(made, given, 1.0)


def wrong(made, given):
    """Certainty punished, as in a variational autoencoder."""
    return loss(made, given, -1.0)
