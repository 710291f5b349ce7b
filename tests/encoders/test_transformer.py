"""The transformer for texts, its byte pairs and its blocks; what all encoders keep to is in test_contract.py."""

import copy
import json
import math
import random
import subprocess
import sys

import pytest
import torch
from torch.nn import functional

import nearfar as nf
from encoders.cases import QUERIES
from encoders.shared import close, loss_after, vectors
from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.core.model import Model
from nearfar.core.tokens import Tokens
from nearfar.encoders.shared.byte_pairs import ALPHABET, FIRST, MASK, SPECIAL, BytePairs
from nearfar.maths.transformer_blocks import Block, seen

DOCUMENTS = ["date parser", "get url", "a parser", "closing", "adding", "nothing", "a place"]
SMALL = {"dimension": 16, "depth": 2, "heads": 2, "vocabulary": 320, "max_tokens": 24}


def encoder(**options):
    return nf.Transformer.fit({"query": QUERIES, "document": DOCUMENTS}, **{**SMALL, **options})


def test_tokens_are_the_same_alone_and_carry_their_mask():
    model = encoder(pooling="tokens").eval()
    inputs = model.prepare(QUERIES)
    made = model(inputs)
    assert made.vectors.shape == (7, int(inputs.lengths.max()), 16)
    assert made.mask.sum(1).tolist() == inputs.lengths.tolist()
    assert bool((made.vectors[~made.mask] == 0).all())
    for i in range(7):
        alone = model(inputs.take([i])).vectors[0]
        assert close(made.vectors[i][made.mask[i]], alone)


def test_dropout_makes_two_views_of_a_text_and_only_while_training():
    model = encoder(dropout=0.1).train()
    inputs = model.prepare(QUERIES)
    one, two = (functional.normalize(model(inputs).vectors, dim=1) for _ in range(2))
    likeness = (one * two).sum(1)
    assert bool((likeness < 1 - 1e-4).all())
    assert bool((likeness > (one @ two.T).fill_diagonal_(-1).max(1).values).all())  # still nearest to itself
    model.eval()
    assert torch.equal(model(inputs).vectors, model(inputs).vectors)
    still = encoder(dropout=0).train()
    assert torch.equal(still(inputs).vectors, still(inputs).vectors)


def test_order_of_words_matters_and_case_as_asked():
    model = encoder().eval()
    one, other, upper = vectors(model, ["close the file", "file the close", "CLOSE the File"])
    assert not torch.allclose(one, other, atol=1e-4)
    assert torch.allclose(one, upper, atol=1e-6)
    kept = encoder(lowercase=False).eval()
    assert not torch.allclose(*vectors(kept, ["close the file", "CLOSE the File"]), atol=1e-4)


def test_outputs_of_layers_for_local_terms():
    model = encoder(depth=3).eval()
    inputs = model.prepare(QUERIES)
    made = model.outputs(inputs)
    ids, mask = inputs.padded(0)
    assert torch.equal(made.columns["token"], ids)
    assert torch.equal(made.mask, mask)
    assert torch.equal(made.vectors, model.norm(model.outputs(inputs, layer=3).vectors))
    assert torch.equal(model.outputs(inputs, layer=-1).vectors, model.outputs(inputs, layer=3).vectors)
    places = model.places.weight[: ids.shape[1]]
    assert torch.equal(model.outputs(inputs, layer=0).vectors, model.tokens(ids) + places)
    first = model.blocks[0](model.outputs(inputs, layer=0).vectors, mask)
    assert torch.equal(model.outputs(inputs, layer=1).vectors, first)
    assert not close(model(inputs, layer=1).vectors, model(inputs).vectors)
    for layer in (4, -5):
        with pytest.raises(UsageError):
            model.outputs(inputs, layer=layer)


def test_masked_tokens_are_learned_by_a_local_term():
    texts = [f"{a} {b}" for a, b in [("red", "apple"), ("yellow", "banana"), ("green", "leaf")]] * 4
    model = nf.Transformer.fit({"x": texts}, **{**SMALL, "vocabulary": 400}, seed=1)
    inputs = model.prepare(texts)
    last = inputs.offsets[1:] - 1
    ids = inputs.ids.clone()
    ids[last] = model.mask_id
    assert int((ids == MASK).sum()) == 12
    hidden = Tokens(ids, inputs.offsets)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(40):
        out = model.outputs(hidden)
        loss = functional.cross_entropy(
            out.vectors[out.columns["token"] == MASK] @ model.tokens.weight.T, inputs.ids[last]
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1 * math.log(len(model.pairs))


def test_it_learns_what_cannot_be_read_off_words():
    chance = random.Random(0)
    words = [f"{a}{b}" for a in "bdfgk" for b in ("ano", "elu", "iri", "opa")]
    chance.shuffle(words)
    pairs = list(zip(words[:10], words[10:], strict=True))
    chosen = [chance.sample(range(10), 3) for _ in range(48)]
    queries = [" ".join(pairs[i][0] for i in three) for three in chosen]
    documents = [" ".join(pairs[i][1] for i in three[::-1]) for three in chosen]
    fresh = nf.Transformer.fit({"q": queries, "d": documents}, **{**SMALL, "dimension": 32})
    assert loss_after(copy.deepcopy(fresh), queries, documents, 0) > 2
    assert loss_after(fresh, queries, documents, 60) < 0.7


@pytest.mark.parametrize(
    "options",
    [
        {"dimension": 15},
        {"dropout": 1.0},
        {"pooling": "max"},
        {"max_tokens": 1},
        {"vocabulary": 258},
        {"vocabulary": 10**9},
        {"min_count": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(options):
    with pytest.raises(UsageError) as caught:
        encoder(**options)
    assert caught.value.remedy


def test_a_record_that_is_no_text_is_named():
    with pytest.raises(DataError) as caught:
        encoder().prepare(["a", "b", None])
    assert caught.value.where == "record 2"
    with pytest.raises(DataError) as caught:
        nf.Transformer.fit({"query": ["a", b"b"]})
    assert caught.value.where == "record 1"


def test_damaged_configurations_are_refused(tmp_path):
    good = json.loads(json.dumps(encoder().config()))
    assert nf.Transformer.from_config(good).config() == good
    setup = good["setup"]
    bad = [
        {},
        {"setup": setup},
        {**good, "merges": "ab"},
        {**good, "merges": [1]},
        {**good, "merges": ["no blank".replace(" ", "")]},
        {**good, "merges": ["zzzz a"]},
        {**good, "merges": [*good["merges"], " "]},
        {**good, "setup": {**setup, "more": 1}},
        {**good, "setup": {k: v for k, v in setup.items() if k != "depth"}},
    ]
    for config in bad:
        with pytest.raises(DataError):
            nf.Transformer.from_config(config)
    path = Model({"query": encoder()}).save(tmp_path / "model")
    text = (path / "model.json").read_text("utf-8")
    (path / "model.json").write_text(text.replace('"depth": 2', '"depth": 3'), "utf-8")
    with pytest.raises(DataError, match="do not fit"):
        Model.load(path)


# Byte pairs


def test_the_alphabet_is_the_librarys():
    from tokenizers import pre_tokenizers

    assert list(ALPHABET) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert len(ALPHABET) == 256


def test_byte_pairs_merge_what_is_frequent():
    pairs = BytePairs.fit(["low lower lowest slow"] * 3, vocabulary=262, min_count=2, lowercase=True)
    assert pairs.merges == ["l o", "lo w", "\u0120 low"]
    assert len(pairs) == 262
    low, lower = pairs.encode(["Low", "lower"], most=9)
    assert low == [FIRST, SPECIAL + 258]
    assert lower == [FIRST, SPECIAL + 258, *(SPECIAL + ALPHABET.index(c) for c in "er")]
    assert BytePairs(pairs.merges, True).encode(["slow lowly"], 9) == pairs.encode(["slow lowly"], 9)
    assert len(BytePairs.fit(["aa"], vocabulary=400, min_count=2, lowercase=True)) == 259
    assert len(BytePairs.fit([], vocabulary=400, min_count=2, lowercase=True)) == 259


def test_no_text_is_unknown_or_special():
    pairs = BytePairs.fit(QUERIES, vocabulary=300, min_count=2, lowercase=False)
    odd = ["", " ", "\x00", "[CLS] <pad>", "\ud800", "\u6c34", "a" * 500]
    for ids in pairs.encode(odd, most=40):
        assert ids[0] == FIRST
        assert len(ids) <= 40
        assert all(SPECIAL <= i < len(pairs) for i in ids[1:])
    assert pairs.encode(["\ud800"], 9) == pairs.encode(["?"], 9)
    # Every byte has a token, so what was written can be read again.
    back = {number: token for token, number in pairs.vocabulary.items()}
    assert "".join(back[i - SPECIAL] for i in pairs.encode(["[CLS]"], 40)[0][1:]).lstrip("\u0120") == "[CLS]"


def test_the_same_texts_give_the_same_merges_in_any_process():
    script = (
        "from nearfar.encoders.shared.byte_pairs import BytePairs; import random; r = random.Random(0)\n"
        "t = [' '.join(''.join(r.choices('abcde', k=4)) for _ in range(9)) for _ in range(200)]\n"
        "print(BytePairs.fit(t, vocabulary=600, min_count=2, lowercase=True).merges)"
    )
    made = set()
    for threads, hashing in (("true", "1"), ("false", "2")):
        environment = {"TOKENIZERS_PARALLELISM": threads, "PYTHONHASHSEED": hashing, "PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        made.add(done.stdout)
    assert len(made) == 1
    assert len(made.pop()) > 1000


def test_a_missing_package_is_named(monkeypatch):
    config = encoder().config()
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    model = nf.Transformer.from_config(config)  # reading needs no tokenizer
    with pytest.raises(ResourceError, match="nearfar\\[text\\]"):
        model.prepare(["a"])


# Blocks


def naive_block(block, x, mask, causal):
    """The formula of the file, token by token and head by head."""
    t, d = x.shape
    size = d // block.heads
    made = x.clone()
    q, k, v = block.query_key_value(block.attention_norm(x)).split(d, dim=1)
    for i in range(t):
        parts = []
        for h in range(block.heads):
            part = slice(h * size, (h + 1) * size)
            seen_by_i = [j for j in range(t) if mask[j] and (j <= i or not causal)] or [i]
            scores = torch.stack([q[i, part] @ k[j, part] / size**0.5 for j in seen_by_i])
            parts.append(sum(w * v[j, part] for w, j in zip(scores.softmax(0), seen_by_i, strict=True)))
        made[i] = x[i] + block.out(torch.cat(parts))
    return made + block.narrow(functional.gelu(block.widen(block.mlp_norm(made))))


@pytest.mark.parametrize("causal", [False, True])
def test_a_block_is_its_formula(causal):
    torch.manual_seed(0)
    block = Block(12, heads=3, mlp_ratio=2).double().eval()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(4, 5, 12, dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 1, 0, 1], [0, 0, 0, 0, 0]]).bool()
    made = block(x, mask, causal=causal)
    assert bool(torch.isfinite(made).all())
    for i in range(3):
        wanted = naive_block(block, x[i], mask[i], causal)
        assert torch.allclose(made[i][mask[i]], wanted[mask[i]], atol=1e-12)
        other = naive_block(block, x[i], mask[i], not causal)
        assert not torch.allclose(made[i][mask[i]], other[mask[i]], atol=1e-3)  # known bad
    assert torch.allclose(block(x[:1], causal=causal), made[:1], atol=1e-12)  # without a mask


def test_nobody_looks_at_nothing():
    mask = torch.tensor([[True, False, True], [False, False, False]])
    assert seen(mask)[:, 0, 0].tolist() == [[True, False, True], [True, True, True]]
    causal = seen(mask, causal=True)[:, 0]
    assert causal[0].tolist() == [[True, False, False], [True, True, False], [True, False, True]]
    assert bool(causal.any(2).all())


def test_blocks_refuse_what_does_not_fit_and_drop_only_while_training():
    for bad in (
        {"dimension": 10, "heads": 3},
        {"dimension": 8, "heads": 0},
        {"dimension": 8, "heads": 2, "dropout": 1.0},
    ):
        with pytest.raises(UsageError):
            Block(**bad)
    block, x = Block(8, 2, dropout=0.5), torch.randn(2, 3, 8)
    assert not torch.equal(block(x), block(x))
    assert torch.equal(block.eval()(x), block(x))
