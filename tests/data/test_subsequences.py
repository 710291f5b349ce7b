"""Histories and what came next: every one of them, and nothing else; the data of Beauty and the measure of rankings."""

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.core.model import Model
from nearfar.core.tree import override
from nearfar.data.dataset import Dataset
from nearfar.data.records import Records
from nearfar.datasets.beauty_sequences import beauty_sequences
from nearfar.measures.next_item_ranking import next_item_ranking
from nearfar.recipes.graphs.cross_subsequences import without_contrast
from nearfar.training.train import train_run


def test_every_item_with_what_came_before_it():
    made = nf.subsequences([[5, 0, 6, 7, 8], np.array([9, 9])], least=2, most=2)
    assert made.fields["items"] == [[5, 6], [6, 7]]
    assert made.columns["next"].tolist() == [7, 8]
    assert made.columns["sequence"].tolist() == [0, 0]
    one = nf.subsequences([[5, 0, 6, 7, 8], np.array([9, 9])])
    assert one.columns["next"].tolist() == [6, 7, 8, 9]
    assert one.fields["items"][2] == [5, 6, 7]


@pytest.mark.parametrize(
    ("sequences", "options", "error"),
    [
        ([[1]], {}, DataError),
        ([[1, -1]], {}, DataError),
        (["abc"], {}, DataError),
        ([[1, 2]], {"least": 0}, UsageError),
    ],
)
def test_what_gives_no_history_is_refused(sequences, options, error):
    with pytest.raises(error):
        nf.subsequences(sequences, **options)


def test_beauty_is_split_by_time(real_data):
    data = beauty_sequences()
    train, dev, test = (data.part(name) for name in ("train", "dev", "test"))
    assert len(dev) == len(test) == 400
    user = train.columns["sequence"]
    for number in (0, 7, 399):
        mine = np.flatnonzero(user == number)
        whole = [train.fields["items"][mine[0]][0], *train.columns["next"][mine].tolist()]
        assert dev.fields["items"][number] == whole[-20:]
        assert test.fields["items"][number] == [*whole, int(dev.columns["next"][number])][-20:]
    assert 1 <= min(map(min, train.fields["items"])) <= train.columns["next"].max() <= data.facts["items"]


def test_a_ranking_in_loops():
    encoder = nf.SelfAttention.fit({"items": [[1, 2, 3]]}, dimension=4, items=6).eval()
    assert encoder.setup.items == 6
    histories, following = [[1, 2], [3], [2, 4, 4]], np.array([3, 5, 4])
    part = Records({"items": histories}, {"next": following})
    with torch.no_grad():
        encoder.items.weight.mul_(40)
        states = encoder(encoder.prepare(histories)).vectors
        scores = states @ encoder.items.weight[:6].T
    found = next_item_ranking(Model({"items": encoder}), Dataset("d", {"dev": part}), "dev")
    ranks, plain = [], []
    for row, history, item in zip(scores.tolist(), histories, following.tolist(), strict=True):
        others = [i for i in range(1, 7) if i != item]
        ranks.append(1 + sum(row[i - 1] > row[item - 1] for i in others if i not in history))
        plain.append(1 + sum(row[i - 1] > row[item - 1] for i in others))
    assert found.figures()["mrr"] == pytest.approx(np.mean([1 / r for r in ranks]))
    assert ranks != plain, "items of the history would stand in the way"
    with pytest.raises(UsageError, match="no table of items"):
        next_item_ranking(
            Model({"row": nf.Mlp.fit({"row": [[1.0, 2.0], [2.0, 1.0]]}, dimension=2)}),
            Dataset("d", {"dev": Records({"row": [[1.0, 2.0]]}, {"next": np.array([1])})}),
            "dev",
            field="row",
        )


def test_an_item_beyond_the_table_is_told(tmp_path):
    records = nf.subsequences([[1, 2, 3, 9], [2, 1, 3, 9]] * 4)
    small = override(override(without_contrast(), "fit.epochs=1"), "encoder.dimension=8")
    with pytest.raises(DataError, match=r"the encoder knows 1 to 3.*encoder.items"):
        train_run(small, records, out=tmp_path / "run", settings=("held_out=0.0",))
    assert train_run(small, records, out=tmp_path / "more", settings=("held_out=0.0", "encoder.items=9")).fitted.steps
