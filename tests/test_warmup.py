"""A warm-up of a few steps: the same seed gives the same bytes, and what is saved is what was trained."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from treeroll import warmup
from treeroll.envs.atlas import compact
from treeroll.learner.policy import load_policy

STEPS = 2


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return warmup.warmup(tmp_path_factory.mktemp("warm"), steps=STEPS, quiet=True)


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def test_the_same_seed_gives_the_same_model_and_another_does_not(made, tmp_path):
    again = warmup.warmup(tmp_path / "again", steps=STEPS, quiet=True)
    assert sorted(file.name for file in made.iterdir()) == sorted(file.name for file in again.iterdir())
    assert all((made / file.name).read_bytes() == file.read_bytes() for file in again.iterdir())
    assert weights(warmup.warmup(tmp_path / "other", steps=1, seed=1, quiet=True)) != weights(made)


def test_it_learns_and_says_what_it_is(made, tmp_path, capsys):
    once = warmup.warmup(tmp_path / "once", steps=1, quiet=True)
    assert weights(once) != weights(made)
    record = json.loads((made / "warmup.json").read_text())
    assert (record["steps"], record["seed"]) == (STEPS, 0)
    assert record["parameters"] == load_policy(str(made), device="cpu").parameters
    assert capsys.readouterr().out == ""


def test_it_is_small_enough_for_the_package(made):
    assert 5e5 / 2 <= load_policy(str(made), device="cpu").parameters <= 5e6
    assert sum(file.stat().st_size for file in made.iterdir()) <= 12 * 2**20


def test_the_tokenizer_has_one_token_a_word(made):
    tokenizer = AutoTokenizer.from_pretrained(made)
    vocabulary = compact.vocabulary(compact.known())
    ids = [tokenizer.encode(word, add_special_tokens=False) for word in vocabulary]
    assert all(len(one) == 1 for one in ids)
    assert len({one[0] for one in ids}) == len(vocabulary)
    assert [tokenizer.decode(one) for one in ids] == vocabulary
    text = " ".join(vocabulary)
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    unknown = tokenizer.convert_tokens_to_ids(warmup.UNKNOWN)
    assert tokenizer.encode("nowhere-at-all", add_special_tokens=False) == [unknown]
    assert unknown not in [one[0] for one in ids]


def test_a_saved_model_computes_what_it_did(tmp_path):
    torch.manual_seed(0)
    policy = warmup.build(["a", "b", compact.STOP])
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    ids = torch.tensor([[2, 3, 4, 2, 2, 3]])
    for loaded in (load_policy(str(tmp_path), device="cpu").model, AutoModelForCausalLM.from_pretrained(tmp_path)):
        with torch.no_grad():
            assert torch.equal(loaded.eval()(ids).logits, policy.model.eval()(ids).logits)


def test_the_learning_rate_rises_and_falls():
    rates = [warmup._schedule(step / 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.02)
    assert max(rates) == rates[50] == 1.0
    assert rates[99] == pytest.approx(0.01 / warmup.FALL + 0.02)
    assert rates[:10] == sorted(rates[:10])
    assert rates[60:] == sorted(rates[60:], reverse=True)


def test_batches_are_of_rows_of_about_one_length_and_hold_each_row_once():
    class Row:
        def __init__(self, length):
            self.prompt_ids, self.completion_ids = [0], [0] * length

    rows = [Row((7 * number) % 101) for number in range(warmup.BATCH * 3)]
    batches = list(warmup._batches(iter(rows), seed=0))
    assert sorted(id(row) for batch in batches for row in batch) == sorted(map(id, rows))
    spread = [
        max(lengths) - min(lengths) for lengths in ([len(row.completion_ids) for row in batch] for batch in batches)
    ]
    assert max(spread) <= 101 / 3 + 1
