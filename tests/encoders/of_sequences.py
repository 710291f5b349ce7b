"""What an encoder of texts or sequences must keep to: a record's vector is its own, weights come back, every parameter learns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch

import nearfar as nf
from nearfar.core.model import Model
from nearfar.core.tokens import Tokens
from nearfar.execution.micro_batches import micro_batches


def vectors(encoder: Any, records: Sequence[Any]) -> torch.Tensor:
    """The vectors of records, without a gradient."""
    with torch.no_grad():
        return encoder(encoder.prepare(records)).vectors


def close(some: torch.Tensor, others: torch.Tensor) -> bool:
    """Equal to a millionth."""
    return some.shape == others.shape and torch.allclose(some, others, rtol=0, atol=1e-6)


def padding_not_masked(inputs: Tokens, pad: int) -> Tokens:
    """The wrong variant: every record is made as long as the longest, and what was added counts."""
    ids, mask = inputs.padded(pad)
    return Tokens(ids.flatten(), torch.arange(len(mask) + 1) * mask.shape[1])


def check_local(encoder: Any, records: Sequence[Any], pad: int) -> None:
    """A record's vector is the same alone, in any batch and order, among others taken, and in micro-batches."""
    encoder.eval()
    together = vectors(encoder, records)
    assert bool(torch.isfinite(together).all())
    alone = torch.cat([vectors(encoder, [record]) for record in records])
    assert close(together, alone)
    order = list(range(len(records)))[::-1]
    assert close(vectors(encoder, [records[i] for i in order]), together[order])
    inputs = encoder.prepare(records)
    with torch.no_grad():
        assert close(encoder(inputs.take([2, 0])).vectors, together[[2, 0]])
        pieces = micro_batches(encoder.cost(inputs).float(), 12)
        assert len(pieces) > 2
        for piece in pieces:
            assert close(encoder(inputs.take(piece)).vectors, together[piece])
        wrong = encoder(padding_not_masked(inputs, pad)).vectors
    assert not close(wrong, together)
    assert len(vectors(encoder, [])) == 0
    assert encoder.cost(inputs).tolist() == inputs.lengths.tolist()


def check_backward(encoder: Any, records: Sequence[Any], others: Sequence[Any], dropout: bool) -> None:
    """The gradient of a contrast is that of the undivided batch in micro-batches too, and reaches every parameter."""
    gradients = []
    for most in (None, 12.0):
        encoder.train(dropout).zero_grad(set_to_none=True)
        objective = nf.Objective({"": nf.Scored(nf.info_nce, nf.paired(), temperature=0.1)})
        columns = {"record": torch.arange(len(records))}
        streams = {
            "x": nf.Stream(encoder, encoder.prepare(records), columns),
            "y": nf.Stream(encoder, encoder.prepare(others), columns),
        }
        nf.backward(objective, streams, micro_batch=most)
        missing = [n for n, p in encoder.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]
        assert missing == []
        gradients.append(torch.cat([p.grad.flatten() for p in encoder.parameters()]))
    if not dropout:
        assert torch.allclose(gradients[0], gradients[1], atol=1e-5 * float(gradients[0].abs().max()) + 1e-7)
    else:
        # Known bad: other masks of dropout are another gradient.
        assert not torch.allclose(gradients[0], gradients[1], atol=1e-5 * float(gradients[0].abs().max()) + 1e-7)


def check_stored(encoder: Any, records: Sequence[Any], folder: Any) -> None:
    """A stored model gives the same vectors, and another one does not."""
    model = Model({"query": encoder, "document": encoder}, "dot")
    before = model.encode(records)
    read = Model.load(model.save(folder / "model"))
    assert (read.encode(records) == before).all()
    json.dumps(read.tower("query").config())
    assert read.tower("query").config() == encoder.config()
    with torch.no_grad():
        next(iter(read.parameters())).add_(0.1)
    assert (read.encode(records) != before).any()


def loss_after(encoder: Any, records: Sequence[Any], others: Sequence[Any], steps: int, rate: float = 3e-3) -> float:
    """InfoNCE of the pairs after some steps on all of them."""
    optimiser = torch.optim.AdamW(encoder.parameters(), rate)
    x, y = encoder.prepare(records), encoder.prepare(others)

    def loss() -> torch.Tensor:
        return nf.contrast(nf.info_nce, encoder(x).vectors, encoder(y).vectors, nf.paired(), temperature=0.1)

    encoder.train()
    for _ in range(steps):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    encoder.eval()
    with torch.no_grad():
        return float(loss())
