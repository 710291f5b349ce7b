"""SwAV (arXiv 2006.09882): prototypes are keys, replicated; the other view's Sinkhorn codes of the whole batch are a column."""

import torch
from harness import check, leaf, log_sum_exp, mean, unit

import nearfar as nf
from nearfar.execution.evaluate import evaluate_objective
from nearfar.maths.sinkhorn import sinkhorn

N, D, K, T, EPSILON = 10, 5, 4, 0.1, 0.05


def naive_codes(scores):
    """Alternate rows and columns of exp(scores / epsilon), one number at a time."""
    q = [[float(torch.exp(scores[i, k] / EPSILON)) for k in range(K)] for i in range(N)]
    for _ in range(3):
        for k in range(K):
            total = sum(q[i][k] for i in range(N))
            for i in range(N):
                q[i][k] /= total * K
        for i in range(N):
            total = sum(q[i])
            q[i] = [v / total / N for v in q[i]]
    return [[v * N for v in row] for row in q]


def test_prototypes_and_codes():
    x, y, prototypes = leaf(N, D, seed=0), leaf(N, D, seed=1), leaf(K, D, seed=2)

    def coded(queries, keys):
        return nf.Block(
            queries["code"][:, keys["prototype"]], torch.zeros(len(queries["code"]), len(keys["prototype"]))
        )

    def soft(scores, block):
        return -(block.pos * torch.log_softmax(scores, 1)).sum(1)

    def term(view):
        return nf.Scored(soft, coded, temperature=T, queries_from=view, keys_from="prototypes")

    objective = nf.Objective({"x": term("x"), "y": term("y")}, weights={"x": 0.5, "y": 0.5})

    def run(tile):
        codes = {
            n: sinkhorn(unit(v).detach() @ unit(prototypes).detach().T, EPSILON, 3) for n, v in (("x", x), ("y", y))
        }
        streams = {
            "x": nf.rows(x, code=codes["y"]),
            "y": nf.rows(y, code=codes["x"]),
            "prototypes": nf.rows(prototypes, replicated=True, prototype=torch.arange(K)),
        }
        return evaluate_objective(objective, streams, tile=tile).loss

    def loops(swapped):
        c, views = unit(prototypes), {"x": unit(x), "y": unit(y)}
        codes = {n: naive_codes((v @ c.T).detach()) for n, v in views.items()}
        total = []
        for name, other in (("x", "y"), ("y", "x")):
            for i in range(N):
                scores = [views[name][i] @ c[k] / T for k in range(K)]
                code = codes[other if swapped else name][i]
                total.append(sum(-code[k] * (scores[k] - log_sum_exp(scores)) for k in range(K)))
        return mean(total)

    check(run, lambda: loops(True), lambda: loops(False), [x, y, prototypes])
