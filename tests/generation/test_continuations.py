"""An encoder as a language model, and a recipe's texts continued by it."""

import pytest
import torch
import transformers

import nearfar as nf
from nearfar.core.errors import UsageError
from nearfar.generation.amateur_continuations import amateur_continuations
from nearfar.generation.continuations import continuations
from nearfar.generation.hidden_condition_answers import hidden_condition_answers
from nearfar.generation.language_model import language_model, left_padded, states_and_log_probabilities
from nearfar.generation.layer_continuations import layer_continuations
from tiny_models import saved, text_config, text_folder

TEXTS = ["a cat sat on the mat", "dogs chase cats", "the sum of two numbers"]


@pytest.fixture(scope="module")
def characters():
    return nf.CharacterModel.fit({"text": TEXTS}, dimension=16, depth=2, heads=2, max_tokens=40).eval()


def test_characters_are_tokens_and_come_back(characters):
    ids = characters.tokenizer.encode("a cat\n").ids
    assert len(ids) == 7
    assert ids[0] == 1
    assert ids[-1] == 0
    assert characters.tokenizer.decode(ids[:-1]) == "a cat"
    assert len(characters.prepare(["a" * 100]).ids) == 40


@pytest.mark.parametrize(
    "options", [{"heads": 16}, {"dimension": 0}, {"depth": 101}, {"max_tokens": 1}, {"pooling": "sum"}]
)
def test_sizes_that_make_no_sense(options):
    with pytest.raises(UsageError):
        nf.CharacterModel.fit({"text": TEXTS}, **{"dimension": 16, "heads": 2} | options)


def test_a_language_model_scores_with_the_weights_of_its_encoder(characters):
    model = language_model(characters)
    ids = torch.tensor([[1, 5, 4, 7]])
    states = characters.model(ids).last_hidden_state
    table = characters.model.get_input_embeddings().weight
    assert torch.allclose(model(ids).logits, states @ table.T, atol=1e-5)
    assert not torch.allclose(model(ids).logits, states @ table.flip(0).T, atol=1e-2)
    with torch.no_grad():
        table[7] += 1
        assert torch.equal(model.lm_head.weight[7], table[7])
        table[7] -= 1


def test_likelihoods_are_those_of_each_token_given_the_earlier_ones(characters):
    model = language_model(characters)
    text = [1, 5, 4, 7]
    ((states, found),) = states_and_log_probabilities(model, [text])
    assert states.shape == (4, 16)
    for i in range(1, 4):
        p = model(torch.tensor([text[:i]])).logits[0, -1].log_softmax(0).detach()
        assert float(found[i - 1]) == pytest.approx(float(p[text[i]]), abs=1e-5)
        assert float(found[i - 1]) != pytest.approx(float(p[text[i - 1]]), abs=1e-5)


def test_texts_are_padded_on_the_left():
    ids, mask = left_padded([[1, 2, 3], [4]], 9)
    assert ids.tolist() == [[1, 2, 3], [9, 9, 4]]
    assert mask.tolist() == [[True, True, True], [False, False, True]]


def test_encoders_that_cannot_go_on(tmp_path):
    with pytest.raises(UsageError, match="cannot go on"):
        language_model(torch.nn.Linear(2, 2))
    bert = nf.Pretrained.fit({}, folder=text_folder(tmp_path / "bert"))
    with pytest.raises(UsageError, match="what comes next"):
        language_model(bert)
    config = text_config("llama", tie_word_embeddings=False)
    apart = nf.Pretrained.fit({}, folder=saved(tmp_path / "apart", transformers.AutoModel.from_config(config)))
    with pytest.raises(UsageError, match="weights of their own"):
        language_model(apart)
    assert language_model(nf.Pretrained.fit({}, folder=text_folder(tmp_path / "gpt2", "gpt2"))) is not None


class State:
    def __init__(self, encoder, records):
        self.towers, self.records, self.held_out = {"encoder": encoder}, records, None


def test_a_runs_texts_are_continued(characters):
    from nearfar.data.array_records import array_records

    state = State(characters, array_records(text=TEXTS))
    found = continuations(texts=2, prefix=6, new=5)(state)
    assert list(found) == ["contrastive 1", "contrastive 2", "greedy 1", "greedy 2"]
    assert all(len(text) <= 5 for text in found.values())
    same = continuations(k=1, texts=2, prefix=6, new=5)(state)
    assert same["contrastive 1"] == same["greedy 1"] == found["greedy 1"]
    state.held_out = array_records(text=["the mat sat"])
    assert list(continuations(prefix=6, new=5)(state)) == ["contrastive 1", "greedy 1"]
    assert (
        len(continuations(texts=1, prefix=30, new=100)(State(characters, array_records(text=["a" * 50])))["greedy 1"])
        <= 10
    )
    with pytest.raises(UsageError, match="no room"):
        continuations(prefix=40)(State(characters, array_records(text=["a" * 50])))
    with pytest.raises(UsageError, match="new is 0"):
        continuations(new=0)


def test_contrasts_write_beside_greedy_search(characters, tmp_path):
    from nearfar.data.array_records import array_records

    state = State(characters, array_records(text=TEXTS, less=[text[2:] for text in TEXTS]))
    for part in (
        amateur_continuations(context=4, alpha=1.0, texts=2, prefix=6, new=5),
        layer_continuations(alpha=1.0, texts=2, prefix=6, new=5),
        hidden_condition_answers(1.0, texts=2, new=5, field="text", hidden="less"),
    ):
        found = part(state)
        assert list(found) == ["contrast 1", "contrast 2", "greedy 1", "greedy 2"]
        assert found["contrast 1"] == found["greedy 1"]
        assert found["contrast 2"] == found["greedy 2"]
    other = amateur_continuations(text_folder(tmp_path / "gpt2", "gpt2"), None, prefix=6, new=5)
    with pytest.raises(UsageError, match="the amateur"):
        other(state)
    for part in (amateur_continuations, layer_continuations, hidden_condition_answers):
        with pytest.raises(UsageError, match="new is 0"):
            part(new=0)
