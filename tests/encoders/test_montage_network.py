"""Montages of pieces: each piece's vector comes back in its place, bags are cut off from one another, and micro-batches change nothing."""

import pytest
import torch

import nearfar as nf
from encoders.cases import IMAGES
from encoders.shared import close
from nearfar.core.draws import Draws
from nearfar.core.errors import DataError, UsageError
from nearfar.core.recipe import Use
from nearfar.recipes.views.shuffled_patches import recipe as shuffled_patches
from nearfar.testing.first_step import in_short
from nearfar.training.prepare import prepare, towers_of

BAGS = [tuple(IMAGES[i : i + 3]) for i in (0, 3, 6)]


def fitted(**settings):
    return nf.MontageNetwork.fit({"x": IMAGES}, **{"width": 8, "stages": 2, "size": 16, **settings}).eval()


def chance(records, seed=0):
    return Draws(seed, 0, torch.tensor(records))


def test_pieces_are_the_overlapping_quarters_of_each_picture():
    encoder = fitted()
    pictures, pieces = encoder.prepare(IMAGES), encoder.prepare(BAGS)
    assert pieces.shape == (3, 12, 3, 12, 12)
    assert encoder.cost(pieces).tolist() == [3, 3, 3]
    corners = [(0, 0), (0, 4), (4, 0), (4, 4)]
    for bag in range(3):
        for piece in range(12):
            down, across = corners[piece % 4]
            expected = pictures[3 * bag + piece // 4, :, down : down + 12, across : across + 12]
            assert torch.equal(pieces[bag, piece], expected)


def test_every_vector_is_that_of_its_own_piece_wherever_it_was_shown():
    encoder, seen = fitted(stages=1, width=3, dimension=None), []

    def pixels(montages):
        seen.append(montages)
        return montages

    encoder.features = pixels
    pieces = encoder.prepare(BAGS).float() / 255
    with torch.no_grad():
        table = encoder(pieces, draws=chance([4, 7, 9]))
    expected = pieces.mean((3, 4)).flatten(0, 1)
    assert torch.allclose(table.vectors, expected, atol=1e-6)
    assert not torch.allclose(table.vectors, expected.roll(1, 0), atol=1e-3)
    assert table.columns["source"].tolist() == [0] * 12 + [1] * 12 + [2] * 12
    assert table.columns["picture"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2] * 3
    assert table.columns["place"].tolist() == [0, 1, 2, 3] * 9
    (montages,) = seen
    assert montages.shape == (9, 3, 24, 24)
    # Each piece stands in one quarter of one montage of its bag, and hardly ever beside another one of its picture.
    found = []
    for bag in range(3):
        for piece in pieces[bag]:
            places = [
                (m, q)
                for m in range(3 * bag, 3 * bag + 3)
                for q, (a, b) in enumerate([(0, 0), (0, 12), (12, 0), (12, 12)])
                if torch.equal(montages[m, :, a : a + 12, b : b + 12], piece)
            ]
            assert len(places) == 1
            found += places
    assert len(set(found)) == 36
    with torch.no_grad():
        encoder(pieces, draws=chance([4, 7, 9], seed=1))
    assert not torch.equal(seen[0], seen[1])


def test_a_bag_does_not_depend_on_its_batch_mates():
    encoder = fitted()
    pieces = encoder.prepare(BAGS)
    with torch.no_grad():
        together = encoder(pieces, draws=chance([4, 7, 9])).vectors.unflatten(0, (3, 12))
        alone = [encoder(pieces[i : i + 1], draws=chance([r])).vectors for i, r in enumerate((4, 7, 9))]
        other = encoder(pieces[:1], draws=chance([5])).vectors
    assert close(together.flatten(0, 1), torch.cat(alone))
    assert not close(together[0], other)  # other neighbours, other vectors


def gradient(micro_batch):
    made, records = in_short("shuffled_patches")
    towers, heads = towers_of(made, records)
    learner, batches = (p := prepare(made.fits[0], made, records, towers, heads)).learner, p.batches
    learner.eval()
    nf.backward(learner.at_this_step(), batches.streams(0), micro_batch=micro_batch)
    return torch.cat([p.grad.flatten() for p in learner.parameters() if p.grad is not None])


def test_training_has_one_gradient_however_it_is_cut():
    whole = gradient(None)
    assert float(whole.abs().max()) > 1e-3
    assert torch.allclose(gradient(8), whole, rtol=0, atol=1e-4 * float(whole.abs().max()))


def test_what_makes_no_sense_is_refused():
    for wrong in ({"overlap": 0.6}, {"size": 10, "stages": 3}, {"size": 6}):
        with pytest.raises(UsageError) as caught:
            fitted(**wrong)
        assert caught.value.where in ("encoder.overlap", "encoder.size")
    encoder = fitted()
    with pytest.raises(UsageError, match="no chance"):
        encoder(encoder.prepare(BAGS))
    for mixed in ([BAGS[0], IMAGES[0]], [BAGS[0], BAGS[1][:2]]):
        with pytest.raises(DataError) as failed:
            encoder.prepare(mixed)
        assert failed.value.where == "record 1"
    with pytest.raises(DataError) as failed:
        encoder.prepare([BAGS[0], (IMAGES[0], "nowhere.png", IMAGES[1])])
    assert failed.value.where.startswith("record 1")


def test_views_look_at_each_picture_of_a_record_by_itself():
    assert Use("picture_bag") in shuffled_patches().streams[0].views
    made, records = in_short("shuffled_patches")
    towers, heads = towers_of(made, records)
    prepared = prepare(made.fits[0], made, records, towers, heads)
    stream = prepared.batches.streams(0)["x"]
    path = prepared.learner.paths["x"]
    same = stream.inputs.take(torch.tensor([0]))
    one = same.inputs[:, :1].expand_as(same.inputs)  # a bag of one piece, again and again
    seen = []
    path.tower.forward = lambda inputs, **_: seen.append(inputs) or nf.rows(inputs.flatten(1))
    path.head = None
    path(type(same)(one.contiguous(), same.draws, same.columns))
    (looks,) = seen
    assert looks.shape[:2] == one.shape[:2]
    assert not torch.equal(looks[0, 0], looks[0, 1])
