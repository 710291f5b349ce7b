"""PixContrast (arXiv 2011.10043): rows are cells of two crops; cells of the same picture that lie close are positives."""

import torch
from harness import check, leaf, log_sum_exp, mean, unit

import nearfar as nf
from nearfar.core.predicate import same, within

PICTURES, CELLS, D, T, NEAR = 5, 4, 5, 0.3, 0.5


def test_cells_are_rows_and_places_a_column():
    total = PICTURES * CELLS
    x, y = leaf(total, D, seed=0), leaf(total, D, seed=1)
    place = torch.rand(2, total, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    picture = torch.arange(total) // CELLS
    close = within("place", NEAR)
    relation = nf.paired("picture").only(same("picture"))

    def in_reach(queries, keys):
        block = relation(queries, keys)
        near = close(queries, keys)
        return nf.Block(block.pos & near, block.pos & ~near)

    def run(tile):
        a = nf.rows(x, picture=picture, place=place[0])
        b = nf.rows(y, picture=picture, place=place[1])
        return nf.contrast(nf.info_nce, a, b, in_reach, temperature=T, tile=tile)

    def loops(mean_over_positive_rows):
        q, k, losses, skipped = unit(x), unit(y), [], 0
        for i in range(total):
            mates = [j for j in range(total) if int(picture[j]) == int(picture[i])]
            near = [j for j in mates if float((place[0, i] - place[1, j]).norm()) <= NEAR]
            if not near:
                skipped += 1
                continue
            bottom = log_sum_exp([q[i] @ k[j] / T for j in mates])
            losses.append(bottom - sum(q[i] @ k[j] / T for j in near) / len(near))
        assert skipped, "every cell has a neighbour: rows without a positive are not tested"
        return mean(losses) if mean_over_positive_rows else sum(losses) / total

    check(run, lambda: loops(True), lambda: loops(False), [x, y])
