"""Contrasts of models, layers and prompts: against loops without a cache, in closed form, in batches, with stops and streams; bad calls."""

import math

import pytest
import torch

import nearfar as nf
from generation.decoded import NEW, PROMPTS, Heard, generated, generated_with_padding_seen, model_of
from nearfar.core.errors import DataError, UsageError
from nearfar.encoders.shared.architecture import quiet
from nearfar.generation.language_model import left_padded
from nearfar.generation.layer_contrast import divergence
from nearfar.maths.plausible import contrasted, plausible

ALPHA = 0.1
HIDDEN = [prompt[1:] for prompt in PROMPTS]


@pytest.fixture(scope="module")
def expert():
    return model_of(num_hidden_layers=5)


@pytest.fixture(scope="module")
def amateur():
    return model_of(seed=1)


@pytest.fixture(autouse=True)
def _without_advice():
    with quiet():
        yield


def log_softmax(scores):
    top = max(scores)
    total = top + math.log(sum(math.exp(s - top) for s in scores))
    return [s - total for s in scores]


def said(model, ids, layer=None):
    """Log-probabilities of the next token, by the last layer or by an early one; the whole text is read anew."""
    with torch.no_grad():
        made = model(torch.tensor([ids]), output_hidden_states=True)
        scores = made.logits[0, -1] if layer is None else model.lm_head(made.hidden_states[layer][0, -1])
    return log_softmax(scores.double().tolist())


def looped(prompt, better, worse, *, alpha=ALPHA, weight=1.0, new=NEW):
    """Token by token: better(ids) and worse(ids, better's) are log-probabilities."""
    ids = list(prompt)
    for _ in range(new):
        p = better(ids)
        q = worse(ids, p)
        values = {v: p[v] - weight * q[v] for v in range(len(p)) if p[v] >= max(p) + math.log(alpha)}
        ids.append(max(values, key=values.get))
    return ids[len(prompt) :]


def jensen_shannon(p, q):
    total = 0.0
    for a, b in zip(p, q, strict=True):
        a, b = math.exp(a), math.exp(b)
        mean = (a + b) / 2
        total += (a * math.log(a / mean) if a else 0.0) / 2 + (b * math.log(b / mean) if b else 0.0) / 2
    return total


def by_amateur(expert, amateur, prompt, *, temperature=1.0, context=None, **settings):
    def worse(ids, p):
        if amateur is expert and len(ids) <= context:
            return [0.0] * len(p)  # it sees all there is: nothing to take off
        return log_softmax([s / temperature for s in said(amateur, ids[-context:] if context else ids)])

    return looped(prompt, lambda ids: said(expert, ids), worse, **settings)


def by_layer(model, prompt, layers, chosen=max, **settings):
    def worse(ids, p):
        return chosen((said(model, ids, layer) for layer in layers), key=lambda q: jensen_shannon(p, q))

    return looped(prompt, lambda ids: said(model, ids), worse, **settings)


def by_prompt(model, prompt, hidden, weight=1.0):
    def worse(ids, _):
        return said(model, [*hidden, *ids[len(prompt) :]])

    return looped(prompt, lambda ids: said(model, ids), worse, weight=weight)


def prompt_contrast(hidden, **settings):
    ids, mask = left_padded(hidden, 0)
    return nf.prompt_contrast(ids, mask.long(), **settings)


# The contrast itself


def test_equal_models_leave_plausibility_alone():
    scores = torch.randn(5, 40) * 3
    mask = scores.softmax(1) >= 0.1 * scores.softmax(1).amax(1, keepdim=True)
    left = contrasted(scores, scores, 0.1)
    assert torch.allclose(left.exp(), mask.float(), atol=1e-5)
    assert torch.allclose(left.softmax(1), mask / mask.sum(1, keepdim=True), atol=1e-5)
    assert not torch.allclose(contrasted(scores, scores / 0.5, 0.1).softmax(1), mask / mask.sum(1, keepdim=True))


def test_alpha_one_is_the_likeliest_token_and_alpha_zero_rules_out_nothing():
    better, worse = torch.randn(6, 40), torch.randn(6, 40)
    assert torch.equal(contrasted(better, worse, 1.0).argmax(1), better.argmax(1))
    assert torch.equal(
        contrasted(better, worse, 0.0).argmax(1), (better.log_softmax(1) - worse.log_softmax(1)).argmax(1)
    )
    assert not torch.equal(contrasted(better, worse, 0.1).argmax(1), better.argmax(1))
    banned = better.clone()
    banned[:, 3] = -torch.inf
    assert not plausible(banned, 0.0)[:, 3].any()
    assert plausible(banned, 0.0).sum() == 6 * 39


def test_a_weight_below_one_keeps_the_likeliest_token_where_nothing_changes():
    scores = torch.randn(6, 40)
    assert torch.equal(contrasted(scores, scores, 0.1, 0.9).argmax(1), scores.argmax(1))
    assert not torch.equal(contrasted(scores, scores, 0.1, 1.1).argmax(1), scores.argmax(1))


def test_the_divergence_is_that_of_both_from_their_mean():
    last, early = torch.randn(3, 9), torch.randn(4, 3, 9)
    found = divergence(last, early)
    for layer in range(4):
        for row in range(3):
            p, q = log_softmax(last[row].tolist()), log_softmax(early[layer, row].tolist())
            assert float(found[layer, row]) == pytest.approx(jensen_shannon(p, q), abs=1e-6)
    assert float(divergence(last, last[None]).abs().max()) < 1e-6
    assert float(found.max()) < math.log(2)
    one_way = torch.nn.functional.kl_div(early.log_softmax(-1), last.softmax(-1), reduction="none").sum(-1)
    assert not torch.allclose(found, one_way, atol=1e-2)
    sure = torch.tensor([[0.0, -torch.inf]])
    assert float(divergence(sure, sure.flip(1)[None])) == pytest.approx(math.log(2))


# Decoders against loops


@pytest.mark.parametrize("settings", [{"temperature": 1.0}, {"temperature": 0.5}, {"context": 3}])
def test_against_an_amateur_it_is_what_the_loops_give(expert, amateur, settings):
    by = nf.amateur_contrast(amateur, ALPHA, **settings)
    alone = [generated(expert, [prompt], by)[0] for prompt in PROMPTS]
    assert alone == [by_amateur(expert, amateur, prompt, **settings) for prompt in PROMPTS]
    assert alone != [by_amateur(amateur, expert, prompt, **settings) for prompt in PROMPTS], "who is whom matters"
    assert alone != [by_amateur(expert, amateur, prompt, **settings, alpha=1e-9) for prompt in PROMPTS]


def test_a_model_against_its_own_short_sight(expert):
    by = nf.amateur_contrast(context=3)
    made = generated(expert, PROMPTS, by)
    assert made == [by_amateur(expert, expert, prompt, context=3) for prompt in PROMPTS]
    assert made != [by_amateur(expert, expert, prompt, context=2) for prompt in PROMPTS]


@pytest.mark.parametrize("layers", [(2,), (0, 1, 3, 4)])
def test_against_early_layers_it_is_what_the_loops_give(expert, layers):
    alone = [generated(expert, [prompt], nf.layer_contrast(layers, ALPHA))[0] for prompt in PROMPTS]
    assert alone == [by_layer(expert, prompt, layers) for prompt in PROMPTS]
    if len(layers) > 1:
        assert alone != [by_layer(expert, prompt, layers, min) for prompt in PROMPTS], "the layer farthest away"
    else:
        assert alone != [by_layer(expert, prompt, (3,)) for prompt in PROMPTS]


def test_against_a_prompt_that_hides_something_it_is_what_the_loops_give(expert):
    for weight in (0.5, 1.0):
        alone = [
            generated(expert, [p], prompt_contrast([h], weight=weight))[0] for p, h in zip(PROMPTS, HIDDEN, strict=True)
        ]
        assert alone == [by_prompt(expert, p, h, weight) for p, h in zip(PROMPTS, HIDDEN, strict=True)]
        assert alone != [by_prompt(expert, p, p[:1], weight) for p in PROMPTS]


DECODERS = {
    "amateur": lambda amateur, **more: nf.amateur_contrast(amateur, **more),
    "window": lambda _, **more: nf.amateur_contrast(context=3, **more),
    "layers": lambda _, **more: nf.layer_contrast((0, 1, 3, 4), **more),
    "prompt": lambda _, **more: prompt_contrast(HIDDEN, **more),
}


@pytest.mark.parametrize("kind", DECODERS)
def test_a_batch_of_unequal_prompts_gives_each_its_own_text(kind, expert, amateur):
    alone = {
        "amateur": lambda p, _: by_amateur(expert, amateur, p),
        "window": lambda p, _: by_amateur(expert, expert, p, context=3),
        "layers": lambda p, _: by_layer(expert, p, (0, 1, 3, 4)),
        "prompt": lambda p, h: by_prompt(expert, p, h),
    }[kind]
    by = DECODERS[kind](amateur)
    assert generated(expert, PROMPTS, by) == [alone(p, h) for p, h in zip(PROMPTS, HIDDEN, strict=True)]
    assert generated_with_padding_seen(expert, PROMPTS, by) != generated(expert, PROMPTS, by)


@pytest.mark.parametrize("kind", DECODERS)
def test_alpha_one_is_greedy_search(kind, expert, amateur):
    greedy = generated(expert, PROMPTS)
    assert generated(expert, PROMPTS, DECODERS[kind](amateur, alpha=1.0)) == greedy
    assert generated(expert, PROMPTS, DECODERS[kind](amateur)) != greedy


def test_positions_that_a_model_counts_itself():
    bigger, smaller = model_of("gpt2"), model_of("gpt2", seed=1)
    made = generated(bigger, PROMPTS, nf.amateur_contrast(smaller))
    assert made == [by_amateur(bigger, smaller, prompt) for prompt in PROMPTS]


def test_layers_that_agree_leave_plausibility_alone():
    """Blocks that add nothing and no last norm: every layer says the same, and the first plausible token is taken."""
    model = model_of(num_hidden_layers=3)
    model.model.norm = torch.nn.Identity()
    with torch.no_grad():
        for block in model.model.layers:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
        ids = torch.tensor([PROMPTS[0]])
        made = model(ids, output_hidden_states=True)
        early = model.lm_head(torch.stack([h[:, -1] for h in made.hidden_states[:3]]))
    assert float(divergence(made.logits[:, -1], early).max()) < 1e-6
    left = contrasted(made.logits[0, -1], early[1, 0], ALPHA).softmax(-1)
    mask = plausible(made.logits[0, -1], ALPHA)
    assert torch.allclose(left, mask / mask.sum(), atol=1e-5)
    assert int(mask.sum()) > 1


@pytest.mark.parametrize(
    ("layers", "depth", "tied", "numbers"),
    [
        ("high", 5, True, [2, 4]),
        ("low", 5, True, [2]),
        ("low", 12, False, [0, 2, 4]),
        ("low", 2, True, [1]),
        ("high", 2, True, [1]),
        ("low", 48, False, list(range(0, 20, 2))),
        ("high", 48, False, list(range(28, 48, 2))),
        ((3, 1), 5, True, [3, 1]),
    ],
)
def test_candidates(layers, depth, tied, numbers):
    config = type("Config", (), {"num_hidden_layers": depth, "tie_word_embeddings": tied})
    assert nf.layer_contrast(layers).candidates(config) == numbers


def test_texts_end_processors_rule_out_and_tokens_are_heard(expert, amateur):
    free = generated(expert, PROMPTS, nf.amateur_contrast(amateur))
    end = free[0][3]
    made = generated(expert, PROMPTS, nf.amateur_contrast(amateur), eos_token_id=end, pad_token_id=1)
    for row, whole in zip(made, free, strict=True):
        stop = whole.index(end) + 1 if end in whole else len(whole)
        assert row[:stop] == whole[:stop]
        assert set(row[stop:]) <= {1}
    allowed = sorted({token for row in free for token in row})[:2]
    banned = [[token] for token in range(expert.config.vocab_size) if token not in allowed]
    for by in (nf.amateur_contrast(amateur, 0.0), nf.layer_contrast(alpha=0.0), prompt_contrast(HIDDEN, alpha=0.0)):
        assert {t for row in generated(expert, PROMPTS, by, bad_words_ids=banned) for t in row} <= set(allowed)
    heard = Heard()
    made = generated(expert, PROMPTS[:1], nf.layer_contrast(streamer=heard))[0]
    assert [heard.put_[0].tolist(), *map(int, heard.put_[1:])] == [[PROMPTS[0]], *made]
    assert heard.ended


@pytest.mark.parametrize("kind", DECODERS)
def test_what_generate_offers_and_these_do_not_is_said(kind, expert, amateur):
    for options, told in (({"num_beams": 2}, "beam"), ({"use_cache": False}, "without a cache")):
        with pytest.raises(UsageError, match=told):
            generated(expert, PROMPTS, DECODERS[kind](amateur), **options)
    broken = model_of(num_hidden_layers=5)
    with torch.no_grad():
        broken.lm_head.weight.fill_(float("nan"))
    with pytest.raises(DataError, match="no numbers"):
        generated(broken, PROMPTS, DECODERS[kind](amateur))


def test_bad_settings(expert):
    ids = torch.tensor([[1, 2]])
    for make, told in (
        (lambda: nf.amateur_contrast(expert, 1.5), "alpha = 1.5"),
        (lambda: nf.amateur_contrast(expert, temperature=0.0), "temperature = 0.0"),
        (lambda: nf.amateur_contrast(expert, context=0), "sees 0 tokens"),
        (lambda: nf.amateur_contrast(), "against itself"),
        (lambda: nf.layer_contrast("middle"), "no 'middle' layers"),
        (lambda: nf.layer_contrast([]), "no early layer"),
        (lambda: nf.layer_contrast(alpha=float("nan")), "alpha = nan"),
        (lambda: nf.prompt_contrast(ids, weight=-1.0), "weight = -1.0"),
        (lambda: generated(expert, PROMPTS, nf.prompt_contrast(ids)), "3 prompts and 1 that hide"),
        (lambda: generated(expert, PROMPTS, nf.layer_contrast([7])), "layer 7 is none"),
        (lambda: generated(expert, PROMPTS, nf.amateur_contrast(model_of(vocab_size=50))), "the amateur 50"),
    ):
        with pytest.raises(UsageError, match=told):
            make()
