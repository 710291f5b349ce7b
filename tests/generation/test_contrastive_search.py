"""Contrastive search: against loops without a cache, in batches with padding, with processors, stops and streams; bad calls."""

import pytest
import torch
import transformers
from torch.nn import functional

import nearfar as nf
from generation.decoded import NEW, PROMPTS, Heard, generated, generated_with_padding_seen, model_of
from nearfar.core.errors import DataError, UsageError
from nearfar.encoders.shared.architecture import quiet
from nearfar.generation.contrastive_search import contrast, contrastive_search


@pytest.fixture(scope="module")
def llama():
    return model_of()


@pytest.fixture(scope="module")
def gpt2():
    return model_of("gpt2")


@pytest.fixture(autouse=True)
def _without_advice():
    with quiet():
        yield


def searched(model, prompt, k, alpha, *, new=NEW, with_prompt=True, last=True):
    """The same as loops: the whole text is read anew for every candidate."""
    ids = list(prompt)
    for _ in range(new):
        with torch.no_grad():
            now = model(torch.tensor([ids]), output_hidden_states=True)
        p = now.logits[0, -1].softmax(0)
        earlier = now.hidden_states[-1 if last else -2][0][0 if with_prompt else len(prompt) :]
        values = {}
        for v in p.topk(k).indices.tolist():
            with torch.no_grad():
                state = model(torch.tensor([[*ids, v]]), output_hidden_states=True).hidden_states[-1 if last else -2][
                    0, -1
                ]
            like = max((float(functional.cosine_similarity(state, h, dim=0)) for h in earlier), default=0.0)
            values[v] = (1 - alpha) * float(p[v]) - alpha * like
        ids.append(max(values, key=values.get))
    return ids[len(prompt) :]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_one_text_at_a_time_is_what_the_loops_give(kind, request):
    model = request.getfixturevalue(kind)
    for prompt in PROMPTS:
        ours = generated(model, [prompt], contrastive_search(4, 0.6))[0]
        assert ours == searched(model, prompt, 4, 0.6)
        assert ours != searched(model, prompt, 4, 0.0)
    assert any(
        generated(model, [p], contrastive_search(4, 0.6))[0] != searched(model, p, 4, 0.6, with_prompt=False)
        for p in PROMPTS
    ), "the prompt counts as text"


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_batch_of_unequal_prompts_gives_each_its_own_text(kind, request):
    model = request.getfixturevalue(kind)
    by = contrastive_search(4, 0.6)
    alone = [generated(model, [prompt], by)[0] for prompt in PROMPTS]
    assert generated(model, PROMPTS, by) == alone
    assert generated_with_padding_seen(model, PROMPTS, by) != alone, "padding that is seen changes the text"


def test_padding_is_no_earlier_token():
    found = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    earlier = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
    likely = torch.tensor([[0.5, 0.5]])
    real = contrast(likely, found, earlier, torch.tensor([[False, True]]), 0.5)
    assert torch.allclose(real, torch.tensor([[0.25 - 0.3, 0.25 - 0.4]]))
    assert not torch.allclose(real, contrast(likely, found, earlier, torch.tensor([[True, True]]), 0.5))


@pytest.mark.parametrize(("k", "alpha"), [(1, 0.6), (6, 0.0)])
def test_without_a_choice_or_a_penalty_it_is_greedy_search(llama, k, alpha):
    greedy = generated(llama, PROMPTS)
    assert generated(llama, PROMPTS, contrastive_search(k, alpha)) == greedy
    assert generated(llama, PROMPTS, contrastive_search(6, 0.6)) != greedy


def test_what_a_processor_rules_out_is_never_chosen(llama):
    by = contrastive_search(5, 0.95)
    free = generated(llama, PROMPTS, by)
    allowed = sorted({token for row in free for token in row})[:2]
    banned = [[token] for token in range(llama.config.vocab_size) if token not in allowed]
    made = generated(llama, PROMPTS, by, bad_words_ids=banned)
    assert {token for row in made for token in row} <= set(allowed)
    assert not {token for row in free for token in row} <= set(allowed)


def test_a_text_ends_at_its_end_and_the_others_go_on(llama):
    by = contrastive_search(4, 0.6)
    free = generated(llama, PROMPTS, by)
    end = free[0][3]
    made = generated(llama, PROMPTS, by, eos_token_id=end, pad_token_id=1)
    for row, whole in zip(made, free, strict=True):
        stop = whole.index(end) + 1 if end in whole else len(whole)
        assert row[:stop] == whole[:stop]
        assert set(row[stop:]) <= {1}
    assert len(set(map(tuple, made))) == len(made)


def test_tokens_are_heard_as_they_come(llama):
    heard = Heard()
    made = generated(llama, PROMPTS[:1], contrastive_search(4, 0.6, streamer=heard))[0]
    assert heard.put_[0].tolist() == [PROMPTS[0]]
    assert [int(t) for t in heard.put_[1:]] == made
    assert heard.ended


def test_the_dictionary_of_generate(llama):
    ids = torch.tensor(PROMPTS[:1])
    options = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None, "custom_generate": contrastive_search()}
    made = llama.generate(ids, attention_mask=torch.ones_like(ids), return_dict_in_generate=True, **options)
    assert torch.equal(made.sequences, llama.generate(ids, attention_mask=torch.ones_like(ids), **options))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"num_beams": 2}, "beam"),
        ({"use_cache": False}, "without a cache"),
        ({"output_scores": True, "return_dict_in_generate": True}, "output_scores"),
        ({"cache_implementation": "static"}, "fixed size"),
    ],
)
def test_what_generate_offers_and_this_does_not_is_said(llama, options, told):
    with pytest.raises(UsageError, match=told):
        generated(llama, PROMPTS, contrastive_search(), **options)


def test_bad_settings_and_bad_models(llama):
    for k, alpha, told in ((0, 0.5, "0 candidates"), (3, 1.5, "alpha = 1.5"), (3, float("nan"), "alpha = nan")):
        with pytest.raises(UsageError, match=told):
            nf.contrastive_search(k, alpha)
    with pytest.raises(UsageError, match="candidates of a vocabulary"):
        generated(llama, PROMPTS, contrastive_search(10_000))
    cache = transformers.DynamicCache(config=llama.config)
    llama(torch.tensor([[5, 9]]), past_key_values=cache)
    with pytest.raises(UsageError, match="cache that has something in it"):
        generated(llama, [[5, 9, 7]], contrastive_search(), past_key_values=cache)
    broken = model_of()
    with torch.no_grad():
        broken.lm_head.weight.fill_(float("nan"))
    with pytest.raises(DataError, match="no numbers"):
        generated(broken, PROMPTS, contrastive_search())
