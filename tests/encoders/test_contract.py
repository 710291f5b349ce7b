"""What every encoder of the catalogue must keep to, whatever it reads: law one, one gradient however cut, and a model that comes back.

The table is in `cases.py`; what only one encoder does is tested in a file of its name.
"""

from __future__ import annotations

import copy
import inspect
import json
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import nearfar as nf
from encoders.cases import CASES, NO_ENCODERS
from nearfar.core.encoder import Encoder
from nearfar.core.errors import DataError, UsageError
from nearfar.core.model import Model
from nearfar.core.parts import find, parts
from nearfar.data.records import Records
from nearfar.execution.micro_batches import cost_of, count, micro_batches, take
from tiny_models import speech_folder, text_folder, vision_folder

every = pytest.mark.parametrize("name", CASES)
KINDS = sorted({case.part for case in CASES.values()})


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Local folders of tiny models, by what they read."""
    writers = {"text": text_folder, "vision": vision_folder, "speech": speech_folder}
    return {kind: writer(tmp_path_factory.mktemp(kind)) for kind, writer in writers.items()}


@pytest.fixture
def fitted(folders):
    """Makes the encoder of a case, ready for use, with further options."""

    def make(name, **options):
        case = CASES[name]
        if case.folder:
            options["folder"] = folders[case.folder]
        maker = find(case.part, "encoders")
        return maker.load(maker.public[0]).fit({"query": case.records}, **case.options | options).eval()

    return make


def test_no_encoder_of_the_catalogue_is_missing():
    assert sorted([*KINDS, *NO_ENCODERS]) == sorted(part.name for part in parts("encoders"))


def by_record(rows, n):
    """The vectors of each of n records [rows d]: one, or as many as it has nodes or tokens."""
    if "source" in rows.columns:
        return [rows.vectors[rows.columns["source"] == i] for i in range(n)]
    if rows.mask is not None:
        return [vectors[mask] for vectors, mask in zip(rows.vectors, rows.mask, strict=True)]
    return list(rows.vectors[:, None])


def embedded(encoder, inputs, side="query"):
    with torch.no_grad():
        return by_record(encoder(inputs, side), count(inputs))


def close(some, others):
    if [v.shape for v in some] != [v.shape for v in others]:
        return False
    a, b = torch.cat(list(some)), torch.cat(list(others))
    return torch.allclose(a, b, rtol=0, atol=1e-5 * max(1.0, float(b.abs().max())))


@every
def test_a_records_vector_is_its_own(name, fitted):
    case, encoder = CASES[name], fitted(name)
    n, before = len(case.records), Records({"x": case.records}).fingerprint
    inputs = encoder.prepare(case.records)
    together = embedded(encoder, inputs)
    assert isinstance(encoder, Encoder)
    assert all(v.shape[1] == encoder.dimension and v.dtype == torch.float32 for v in together)
    assert bool(torch.isfinite(torch.cat(together)).all())

    alone = [embedded(encoder, encoder.prepare(case.records[i : i + 1]))[0] for i in range(n)]
    assert close(together, alone)
    order = list(range(n))[::-1]
    assert close(embedded(encoder, encoder.prepare([case.records[i] for i in order])), [alone[i] for i in order])
    assert close(embedded(encoder, take(inputs, torch.tensor([2, 0, 2]))), [alone[2], alone[0], alone[2]])
    cost = cost_of(encoder, inputs)
    assert cost.shape == (n,)
    pieces = micro_batches(cost, 2 * float(cost.max()))
    assert len(pieces) > 1
    for piece in pieces:
        assert close(embedded(encoder, take(inputs, piece)), [alone[i] for i in piece])
    assert embedded(encoder, encoder.prepare([])) == []

    if case.spoilt is not None:
        wrong = embedded(encoder, case.spoilt(inputs))
    else:
        mean = torch.cat(together).mean(0)
        wrong = [v - mean / 2 for v in together]
    assert not close(wrong, alone)  # known bad: batch mates that are seen
    assert Records({"x": case.records}).fingerprint == before


@every
def test_preparing_is_the_same_in_any_thread_and_a_copy_the_same_encoder(name, fitted):
    case, encoder = CASES[name], fitted(name)
    expected = embedded(encoder, encoder.prepare(case.records))
    with ThreadPoolExecutor(4) as pool:
        for inputs in pool.map(lambda _: encoder.prepare(case.records), range(8)):
            assert all(torch.equal(a, b) for a, b in zip(embedded(encoder, inputs), expected, strict=True))
    twin = copy.deepcopy(encoder)  # what a momentum teacher is made of
    assert close(embedded(twin, twin.prepare(case.records)), expected)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1)
    assert not close(embedded(encoder, encoder.prepare(case.records)), expected)
    assert close(embedded(twin, twin.prepare(case.records)), expected)


def contrast_of(encoder, x, y, records):
    columns = {"record": torch.arange(records)}
    streams = {"x": nf.Stream(encoder, x, columns), "y": nf.Stream(encoder, y, columns)}
    return nf.Objective({"": nf.Scored(nf.info_nce, nf.paired(), temperature=0.2)}), streams


def gradient(encoder):
    return torch.cat([p.grad.flatten() for p in encoder.parameters() if p.grad is not None])


@every
def test_the_gradient_reaches_every_parameter_and_is_the_same_in_micro_batches(name, fitted):
    case, encoder = CASES[name], fitted(name)
    n = len(case.records)
    x = encoder.prepare(case.records)
    y = encoder.prepare([*case.records[1:], *case.records[:1]])
    most = 2 * float(cost_of(encoder, x).max())
    objective, streams = contrast_of(encoder, x, y, n)
    nf.backward(objective, streams)
    dead = [name for name, p in encoder.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert dead == list(case.still)
    whole = gradient(encoder)
    assert bool(torch.isfinite(whole).all())
    tolerance = 1e-4 * float(whole.abs().max())

    encoder.zero_grad()
    nf.backward(objective, streams, micro_batch=most)
    assert torch.allclose(gradient(encoder), whole, rtol=0, atol=tolerance)

    encoder.zero_grad()
    for piece in micro_batches(cost_of(encoder, x), most):  # known bad: each contrasts its own records alone
        nf.backward(*contrast_of(encoder, take(x, piece), take(y, piece), len(piece)))
    assert not torch.allclose(gradient(encoder), whole, rtol=0, atol=tolerance)


@every
def test_a_stored_model_has_the_same_vectors(name, fitted, tmp_path):
    case, encoder = CASES[name], fitted(name)
    config = json.loads(json.dumps(encoder.config()))
    model = Model({"query": encoder, "document": encoder}, "dot")
    read = Model.load(model.save(tmp_path / "model")).tower("document")
    before = embedded(encoder, encoder.prepare(case.records))
    after = embedded(read, read.prepare(case.records))
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
    assert read.config() == config
    assert not any(tensor.is_meta for tensor in [*read.parameters(), *read.buffers()])
    torch.manual_seed(9)
    again = type(encoder).from_config(config).eval()
    assert not close(embedded(again, again.prepare(case.records)), before)  # known bad: fresh weights
    again.load_state_dict(encoder.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(embedded(again, again.prepare(case.records)), before, strict=True))


@every
def test_weights_come_from_the_seed_alone(name, fitted):
    case, state = CASES[name], torch.get_rng_state()
    one, same, other = (fitted(name, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one), case.part


@every
def test_a_record_that_cannot_be_used_is_named(name, fitted):
    case = CASES[name]
    with pytest.raises(DataError) as caught:
        fitted(name).prepare([*case.records[:3], case.bad])
    assert caught.value.where.split(",")[0] == "record 3"
    assert caught.value.remedy


def leaves(node, path=()):
    """Paths to the values of a configuration: of lists the first item; the library's own architecture is left to its reader."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key != "architecture":
                yield from leaves(value, (*path, key))
    elif isinstance(node, list) and node:
        yield from leaves(node[0], (*path, 0))
    if path:
        yield path


def damaged(config, path, value):
    made = copy.deepcopy(config)
    node = made
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return made


@every
def test_damaged_configurations_are_refused(name, fitted):
    encoder = fitted(name)
    read, config = type(encoder).from_config, json.loads(json.dumps(encoder.config()))
    with torch.device("meta"):
        assert read(config).config() == config
        for missing in ({}, *({k: v for k, v in config.items() if k != key} for key in config)):
            with pytest.raises(DataError):
                read(missing)
        for path in leaves(config):
            with pytest.raises(DataError):
                read(damaged(config, path, {"odd": 1}))
            for value in (None, True, -1, 0, 1.5, 10**12, math.nan, "odd", [], [2]):
                wrong = damaged(config, path, value)
                try:
                    made = read(wrong)
                except DataError:
                    continue
                assert made.config() == wrong, f"{path} = {value!r} was taken for something else"


def numbers_of(fit):
    """The options of `fit` that are numbers, by name: True for whole ones."""
    found = {}
    for option in inspect.signature(fit).parameters.values():
        kind = str(option.annotation).split(" ")[0]
        if option.kind is option.KEYWORD_ONLY and option.name != "seed" and kind in ("int", "float"):
            found[option.name] = kind == "int"
    return found


@pytest.mark.parametrize("part", KINDS)
def test_settings_that_make_no_sense_are_refused(part, fitted):
    name = next(name for name, case in CASES.items() if case.part == part)
    options = numbers_of(type(fitted(name)).fit)
    assert options
    for option, whole in options.items():
        for value in (-1,) if whole else (-1.0, math.nan):
            with pytest.raises(UsageError) as caught:
                fitted(name, **{option: value})
            assert caught.value.where.startswith("encoder"), option
            assert caught.value.remedy, option
