"""Pretrained text encoders: a text's vector is its own, what is stored is the same encoder, and nothing foreign is run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.core.model import Model
from nearfar.core.terms import Terms
from nearfar.core.tokens import Tokens
from nearfar.encoders.pretrained import Pretrained
from nearfar.encoders.shared.architecture import quiet
from nearfar.execution.micro_batched import Stream, backward
from nearfar.execution.micro_batches import micro_batches, take
from nearfar.objectives.composed import Objective
from nearfar.objectives.info_nce import info_nce
from nearfar.objectives.scored import Scored
from nearfar.relations.paired import paired
from tiny_models import TEXTS, saved, text_config, text_folder

KINDS = ("bert", "roberta", "modernbert", "llama", "t5", "gpt2")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    return {kind: text_folder(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


@pytest.fixture
def bert(folders) -> str:
    return folders["bert"]


def encoder(folder: str, **options) -> Pretrained:
    return Pretrained.fit({}, folder=folder, **options).eval()


def vectors(model: Pretrained, texts: list[str], side: str = "query") -> torch.Tensor:
    with torch.no_grad():
        return model(model.prepare(texts, side), side).vectors


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_records_vector_does_not_depend_on_its_batch(folders, kind: str, pooling: str) -> None:
    model = encoder(folders[kind], pooling=pooling)
    inputs = model.prepare(TEXTS)
    together = vectors(model, TEXTS)
    assert together.shape == (len(TEXTS), 32)
    for i, text in enumerate(TEXTS):
        assert torch.allclose(vectors(model, [text])[0], together[i], atol=1e-5)
    pieces = micro_batches(model.cost(inputs).float(), 14)
    assert len(pieces) > 1
    with torch.no_grad():
        parts = torch.cat([model(take(inputs, index)).vectors for index in pieces])
        assert torch.allclose(parts, together[torch.cat(pieces)], atol=1e-5)
        assert model(model.prepare([])).vectors.shape == (0, 32)
        ids, _ = inputs.padded(model.pad)
        blind = model.model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.mean(1)
    if pooling == "mean":
        assert not torch.allclose(blind, together, atol=1e-2)  # known bad: padding looked at


def test_token_matrices_are_those_of_the_text_alone(bert) -> None:
    model = encoder(bert, pooling="tokens", dimension=8)
    with torch.no_grad():
        made = model(model.prepare(TEXTS))
        assert made.mask is not None
        for i, text in enumerate(TEXTS):
            alone = model(model.prepare([text])).vectors[0]
            assert made.mask[i].sum() == len(alone)
            assert torch.allclose(made.vectors[i][made.mask[i]], alone, atol=1e-5)
    assert torch.equal(made.vectors[~made.mask], torch.zeros_like(made.vectors[~made.mask]))


def test_vector_is_the_formula(bert) -> None:
    import transformers

    with quiet():
        plain = transformers.AutoModel.from_pretrained(bert).eval()
        tokens = transformers.AutoTokenizer.from_pretrained(bert)(TEXTS, padding=True, return_tensors="pt")
        with torch.no_grad():
            states = plain(**tokens).last_hidden_state
    mask = tokens["attention_mask"][..., None]
    expected = (states * mask).sum(1) / mask.sum(1)
    assert torch.allclose(vectors(encoder(bert), TEXTS), expected, atol=1e-5)
    assert not torch.allclose(vectors(encoder(bert, pooling="cls"), TEXTS), expected, atol=1e-2)  # known bad
    assert torch.allclose(vectors(encoder(bert, pooling="cls"), TEXTS), states[:, 0], atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"dimension": 8, "lora_rank": 2}, {"pooling": "last", "freeze": True}])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_encoder_is_the_same_without_its_folder(folders, kind: str, options: dict, tmp_path) -> None:
    model = encoder(folders[kind], **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    expected = vectors(model, TEXTS)
    Model({"query": model, "document": model}).save(tmp_path / "model")
    assert folders[kind] not in (tmp_path / "model" / "model.json").read_text("utf-8")
    read = Model.load(tmp_path / "model").tower("query")
    assert torch.equal(vectors(read, TEXTS), expected)
    assert not any(tensor.is_meta for tensor in [*read.parameters(), *read.buffers()])
    assert [p.requires_grad for p in read.parameters()] == [p.requires_grad for p in model.parameters()]
    again = Pretrained.from_config(json.loads(json.dumps(model.config()))).eval()  # outside of the meta device
    assert not torch.allclose(vectors(again, TEXTS), expected, atol=1e-2)  # known bad: fresh weights
    again.load_state_dict(model.state_dict())
    assert torch.equal(vectors(again, TEXTS), expected)


def test_buffers_that_are_not_stored_have_their_values(folders) -> None:
    for kind in ("llama", "modernbert", "bert"):
        model = encoder(folders[kind])
        with torch.device("meta"):
            read = Pretrained.from_config(model.config())
        assert all(parameter.is_meta for parameter in read.model.get_input_embeddings().parameters())
        computed = {n: b for n, b in read.named_buffers() if n not in read.state_dict()}
        expected = dict(model.named_buffers())
        assert computed
        for name, buffer in computed.items():
            assert torch.equal(buffer, expected[name]), name
    naive_state = {n for n, b in model.named_buffers()} - set(model.state_dict())
    assert naive_state  # known bad: loading the stored tensors alone would leave these on the meta device


def test_shared_weights_are_shared_again_after_loading(folders, tmp_path) -> None:
    model = encoder(folders["t5"])
    Model({"query": model}).save(tmp_path / "model")
    read = Model.load(tmp_path / "model").tower("query").model
    assert read.shared.weight is read.encoder.embed_tokens.weight
    read.shared.weight.data.add_(1)
    assert torch.equal(read.encoder.embed_tokens.weight, read.shared.weight)


def test_prompts_belong_to_sides(bert) -> None:
    model = encoder(bert, query_prompt="the sum of ", document_prompt="cats ")
    plain = encoder(bert)
    texts = TEXTS[:2]
    assert torch.equal(vectors(model, texts), vectors(plain, ["the sum of " + t for t in texts]))
    assert torch.equal(vectors(model, texts, "document"), vectors(plain, ["cats " + t for t in texts]))
    assert torch.equal(vectors(model, texts, "other"), vectors(plain, texts))
    assert not torch.allclose(vectors(model, texts), vectors(model, texts, "document"), atol=1e-2)  # known bad


def test_long_texts_are_cut_and_costs_are_tokens(bert) -> None:
    model = encoder(bert, max_tokens=6)
    tokens = model.prepare(["cat " * 50, "mat"])
    assert tokens.lengths.tolist() == model.cost(tokens).tolist() == [6, 3]
    assert tokens.ids[5] == 2  # [SEP] stays
    assert encoder(bert).prepare(["cat " * 500]).lengths.tolist() == [256]
    assert torch.equal(vectors(model, ["cat " * 50]), vectors(model, ["cat " * 60]))
    assert not torch.allclose(vectors(model, ["cat " * 50]), vectors(encoder(bert), ["cat " * 50]), atol=1e-2)


def test_empty_and_bad_records(bert, folders, tmp_path) -> None:
    model = encoder(bert)
    assert model.prepare(["", "mat"]).lengths.tolist() == [2, 3]  # the tokenizer's two special tokens
    assert torch.isfinite(vectors(model, [""])).all()
    with pytest.raises(DataError, match=re.escape("reads texts, not int [record 1]")):
        model.prepare(["fine", 3])
    bare = json.loads((Path(bert) / "tokenizer.json").read_text("utf-8")) | {"post_processor": None}
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((Path(bert) / name).read_bytes())
    (tmp_path / "tokenizer.json").write_text(json.dumps(bare), "utf-8")
    with pytest.raises(DataError, match=re.escape("[record 2]")):
        encoder(str(tmp_path)).prepare(["mat", "cat", ""])


def test_roberta_numbers_positions_by_its_padding(folders, tmp_path) -> None:
    other = text_folder(tmp_path / "five", "roberta", pad_token_id=4)
    model = encoder(other)
    assert model.pad == 4
    ids, mask = model.prepare(TEXTS).padded(0)
    right = vectors(model, TEXTS)
    with torch.no_grad():
        wrong = model.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        ids, mask = model.prepare(TEXTS).padded(4)
        fine = model.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    # Positions of real tokens do not change here, but the limit of positions does: padding counts as tokens.
    assert torch.allclose(wrong[mask], fine[mask], atol=1e-5)
    assert torch.allclose(right, vectors(model, TEXTS))
    with pytest.raises(UsageError, match="507 positions"):
        encoder(other, max_tokens=508)
    assert encoder(other, max_tokens=507).prepare(["cat " * 600]).lengths.tolist() == [507]
    assert torch.isfinite(vectors(encoder(other, max_tokens=507), ["cat " * 600])).all()


def test_gradients_reach_every_parameter(folders) -> None:
    for kind in KINDS:
        model = encoder(folders[kind], dimension=8)
        model(model.prepare(TEXTS)).vectors.square().sum().backward()
        dead = [name for name, p in model.named_parameters() if p.grad is None]
        assert dead == [], kind


def test_adapters_alone_learn_and_can_be_merged(bert, tmp_path) -> None:
    plain, model = encoder(bert), encoder(bert, lora_rank=3, dimension=None)
    assert torch.allclose(vectors(model, TEXTS), vectors(plain, TEXTS), atol=1e-5)  # at first nothing changes
    learned = {n for n, p in model.named_parameters() if p.requires_grad}
    assert learned
    assert all("lora_" in name and "attention" in name for name in learned)
    model.train()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for _ in range(3):
        optimiser.zero_grad()
        model(model.prepare(TEXTS)).vectors.square().sum().backward()
        optimiser.step()
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == learned
    assert all(p.grad is None for n, p in model.named_parameters() if n not in learned)
    model.eval()
    expected = vectors(model, TEXTS)
    assert not torch.allclose(expected, vectors(plain, TEXTS), atol=1e-2)  # known bad: the base alone
    merged = model.merged()
    assert merged.setup.lora_rank == 0
    assert set(merged.state_dict()) == set(plain.state_dict())
    assert torch.allclose(vectors(merged, TEXTS), expected, atol=1e-5)
    assert torch.equal(vectors(model, TEXTS), expected)  # the original is as it was
    assert all(p.requires_grad for p in merged.parameters())
    Model({"query": merged}).save(tmp_path / "model")
    assert torch.equal(vectors(Model.load(tmp_path / "model").tower("query"), TEXTS), vectors(merged, TEXTS))
    with pytest.raises(DataError, match="no adapters"):
        plain.merged()


def test_a_frozen_model_is_still(bert) -> None:
    model = encoder(bert, freeze=True, dimension=8).train()
    assert {n for n, p in model.named_parameters() if p.requires_grad} == {"layers.0.0.weight"}
    inputs = model.prepare(TEXTS)
    assert torch.equal(model(inputs).vectors, model(inputs).vectors)  # no dropout
    model(inputs).vectors.sum().backward()
    loose = encoder(bert).train()
    assert not torch.equal(loose(inputs).vectors, loose(inputs).vectors)  # known bad: dropout of its configuration


def test_new_layers_are_drawn_from_the_seed(bert) -> None:
    made = [encoder(bert, dimension=8, lora_rank=2, seed=seed).state_dict() for seed in (1, 1, 2)]
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert not torch.equal(made[0]["layers.0.0.weight"], made[2]["layers.0.0.weight"])
    state = torch.get_rng_state()
    encoder(bert, dimension=8)
    assert torch.equal(torch.get_rng_state(), state)


def test_micro_batches_give_the_gradient_of_the_whole(bert) -> None:
    objective = Objective({"contrast": Scored(info_nce, paired(), temperature=0.5)})
    made = []
    for micro_batch in (None, 14.0):
        model = encoder(bert)
        streams = {
            name: Stream(model, model.prepare(texts), {"record": torch.arange(len(TEXTS))})
            for name, texts in (("x", TEXTS), ("y", [t + " too" for t in TEXTS]))
        }
        terms: Terms = backward(objective, streams, micro_batch=micro_batch)
        made.append((float(terms.loss), [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    assert made[0][0] == pytest.approx(made[1][0], abs=1e-6)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(made[0][1], made[1][1], strict=True))
    assert max(g.abs().max() for g in made[0][1]) > 1e-3  # known bad: all zero


def test_training_brings_pairs_together(bert) -> None:
    model = encoder(bert)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.003)
    other = ["zebra", "hounds run", "adding", "rug", "fetch", "distant"]
    losses = []
    for _ in range(15):
        x, y = (torch.nn.functional.normalize(model(model.prepare(t)).vectors, dim=1) for t in (TEXTS, other))
        loss = torch.nn.functional.cross_entropy(x @ y.T / 0.1, torch.arange(len(other)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "max"}, "there are mean, cls, last, tokens"),
        ({"max_tokens": 2}, "no room"),
        ({"max_tokens": 100_000}, "512 positions"),
        ({"dimension": 0}, "sizes of the layers"),
        ({"lora_rank": -1}, "rank -1"),
        ({"lora_rank": 5000}, "lora_rank is 5000"),
        ({"folder": ""}, "needs a folder"),
    ],
)
def test_senseless_options_are_usage_errors(bert, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        encoder(**{"folder": bert, **options})


def damaged(config: dict, change: tuple) -> dict:
    config = json.loads(json.dumps(config))
    *way, last = change[0].split(".")
    node = config
    for name in way:
        node = node[name]
    node[last] = change[1]
    return config


@pytest.mark.parametrize(
    "change",
    [
        ("architecture", None),
        ("architecture.model_type", "os.system"),
        ("architecture.model_type", "timm_wrapper"),
        ("architecture.model_type", ["bert"]),
        ("architecture.num_hidden_layers", 10**9),
        ("architecture.num_hidden_layers", "2"),
        ("architecture.max_position_embeddings", 10**9),
        ("architecture.vocab_size", 10**12),
        ("architecture.vocab_size", 10),
        ("architecture.hidden_size", -32),
        ("architecture.hidden_size", 33),
        ("architecture.hidden_act", "evil"),
        ("architecture.quantization_config", {"quant_method": "bitsandbytes"}),
        ("tokenizer", "{}"),
        ("tokenizer", 3),
        ("setup", None),
        ("setup.pooling", "max"),
        ("setup.max_tokens", 10**9),
        ("setup.max_tokens", True),
        ("setup.max_tokens", 2),
        ("setup.layers", [{"inputs": 32, "outputs": 10**12, "bias": True, "activation": "tanh"}]),
        ("setup.layers", [{"inputs": 31, "outputs": 4, "bias": True, "activation": "tanh"}]),
        ("setup.layers", [{"inputs": 32, "outputs": 4, "bias": True, "activation": "os.system"}]),
        ("setup.lora_rank", 10**6),
        ("setup.other", 1),
    ],
)
def test_a_senseless_configuration_is_a_data_error(bert, change: tuple) -> None:
    config = encoder(bert).config()
    with torch.device("meta"):
        Pretrained.from_config(config)
        with pytest.raises(DataError):
            Pretrained.from_config(damaged(config, change))


def test_an_absurd_size_takes_no_memory(bert) -> None:
    config = damaged(encoder(bert).config(), ("architecture.vocab_size", 2_000_000_000))
    with torch.device("meta"):
        made = Pretrained.from_config(config)  # 256 GB of weights, were they made
    assert made.model.get_input_embeddings().weight.is_meta


def test_pickles_are_refused_and_what_to_do_is_said(bert, tmp_path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((Path(bert) / name).read_bytes())
    with pytest.raises(DataError, match=re.escape("no model.safetensors")):
        encoder(str(tmp_path))
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(DataError, match=r"pickle .*save_pretrained"):
        encoder(str(tmp_path))


def test_weights_elsewhere_are_refused(bert, tmp_path) -> None:
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_bytes((Path(bert) / name).read_bytes())
    adapters = tmp_path / "adapter_config.json"
    adapters.write_text(json.dumps({"base_model_name_or_path": "/etc", "peft_type": "LORA"}), "utf-8")
    with pytest.raises(DataError, match="adapters of another model"):
        encoder(str(tmp_path))
    adapters.unlink()
    (tmp_path / "model.safetensors").rename(tmp_path / "one.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    whole = encoder(bert).model.state_dict()
    for file, fine in (("one.safetensors", True), ("one.bin", False), ("../one.safetensors", False), (3, False)):
        index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(whole, file)}), "utf-8")
        if fine:
            assert torch.equal(vectors(encoder(str(tmp_path)), TEXTS), vectors(encoder(bert), TEXTS))
            continue
        with pytest.raises(DataError, match="lie in other files"):
            encoder(str(tmp_path))


def test_folders_that_are_not_what_they_say(bert, tmp_path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        encoder(str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=re.escape("no config.json")):
        encoder(str(tmp_path))
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((Path(bert) / name).read_bytes())
    with pytest.raises(DataError, match=re.escape("no tokenizer.json")):
        encoder(str(tmp_path))
    (tmp_path / "tokenizer.json").write_bytes((Path(bert) / "tokenizer.json").read_bytes())
    assert encoder(str(tmp_path)).dimension == 32
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}), "utf-8")
    with pytest.raises(DataError, match="without values"):
        encoder(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_size": 64}), "utf-8")
    with pytest.raises(DataError, match="cannot be read"):
        encoder(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "theirs", "auto_map": {}}), "utf-8")
    with pytest.raises(DataError, match="their own code"):
        encoder(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:-1000])
    with pytest.raises(DataError, match="cannot be read"):
        encoder(str(tmp_path))


def test_two_texts_at_once_are_refused(tmp_path) -> None:
    import transformers

    config = transformers.BartConfig(
        vocab_size=text_config("bert").vocab_size,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
    )
    folder = saved(tmp_path / "bart", transformers.BartModel(config))
    with pytest.raises(UsageError, match="two texts at once"):
        encoder(folder)


def test_prepared_texts_are_ragged(bert) -> None:
    model = encoder(bert)
    tokens = model.prepare(TEXTS)
    assert isinstance(tokens, Tokens)
    assert len(tokens.ids) == tokens.lengths.sum() < len(TEXTS) * tokens.lengths.max()


def test_a_hidden_layer_is_that_of_the_transformer(bert) -> None:
    made = encoder(bert, pooling="cls").eval()
    inputs = made.prepare(TEXTS[:3])
    ids, mask = inputs.padded(made.pad)
    with torch.no_grad():
        states = made.model(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True).hidden_states
        for layer in (0, 1, -1):
            assert torch.allclose(made(inputs, layer=layer).vectors, states[layer][:, 0], atol=1e-6)
        assert not torch.allclose(made(inputs, layer=1).vectors, made(inputs, layer=0).vectors, atol=1e-3)
        with pytest.raises(UsageError, match="no layer 9"):
            made(inputs, layer=9)
