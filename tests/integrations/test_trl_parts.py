"""The parts around the trainer, without one."""

import copy

import numpy as np
import pytest
import torch

from treeroll.errors import SamplerError, TrainingError
from treeroll.integrations.trl.batch import tensors
from treeroll.integrations.trl.planting import runs
from treeroll.integrations.trl.sampler import BoundedSampler
from treeroll.integrations.trl.wording import Dialogue, Words
from treeroll.packing import TreeRow
from treeroll.samplers.base import TurnRequest
from treeroll.samplers.scripted import ScriptedSampler


def row(prompt, completion, trained):
    loss = np.array(trained, dtype=bool)
    zeros = np.zeros(len(completion), np.float32)
    ids = [np.array(part, np.int32) for part in (prompt, completion)]
    return TreeRow(*ids, loss, zeros - 1, np.where(loss, 0.5, 0).astype(np.float32), "task", 0)


def test_rows_are_padded_on_both_sides_and_filled_up():
    batch = tensors([row([7], [1, 2, 3], [1, 0, 1]), row([7, 8], [4], [1])], count=3, pad=9)
    assert batch["prompt_ids"].tolist() == [[9, 7], [7, 8], [9, 9]]
    assert batch["prompt_mask"].tolist() == [[0, 1], [1, 1], [0, 1]]
    assert batch["completion_ids"].tolist() == [[1, 2, 3], [4, 9, 9], [9, 9, 9]]
    assert batch["completion_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert batch["tool_mask"].tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert batch["advantages"].tolist() == [[0.5, 0, 0.5], [0.5, 0, 0], [0, 0, 0]]
    assert batch["old_per_token_logps"].tolist() == [[-1, -1, -1], [-1, 0, 0], [0, 0, 0]]
    assert batch["completion_ids"].dtype == torch.int64


def test_lengths_are_multiples_and_an_empty_forest_is_a_batch():
    batch = tensors([], count=2, pad=0, multiple=4)
    assert batch["completion_ids"].shape == batch["prompt_ids"].shape == (2, 4)
    assert batch["prompt_mask"].sum() == 2
    assert tensors([row([1], [2] * 5, [1] * 5)], count=1, pad=0, multiple=4)["advantages"].shape == (1, 8)


def test_more_rollouts_than_rows_are_an_error():
    with pytest.raises(TrainingError, match="2 rollouts were sampled for a batch of 1 rows"):
        tensors([row([1], [2], [1])] * 2, count=1, pad=0)


def test_turns_take_what_is_left_of_a_completion():
    """Five tokens after each prompt, whatever its length; the second turn has what the first and a word left."""
    sampler = BoundedSampler(ScriptedSampler(lambda words, rng: ["a"] * 9, ["stop", "a", "b"]), completion=5)
    short, long = sampler.plant([np.array([2], np.int32), np.array([2] * 4, np.int32)])
    none = np.empty(0, np.int32)
    turns = sampler.sample([TurnRequest(short, none, 3, 0), TurnRequest(long, none, 99, 0)])
    assert [len(turn.token_ids) for turn in turns] == [3, 5]
    again = sampler.sample([TurnRequest(turns[0].prefix, np.array([1, 1, 1, 2], np.int32), 99, 0)])
    assert len(again[0].token_ids) == 1
    sampler.version = 3
    assert sampler.inner.version == sampler.version == 3


def test_the_context_bounds_a_turn_too():
    sampler = BoundedSampler(ScriptedSampler(lambda words, rng: ["a"] * 9, ["stop", "a"]), completion=50)
    sampler.inner.context = 6
    prefix = sampler.plant([np.array([1] * 4, np.int32)])[0]
    assert len(sampler.sample([TurnRequest(prefix, np.empty(0, np.int32), 50, 0)])[0].token_ids) == 2


def test_texts_bring_their_tokens_along():
    class Tokenizer:
        def decode(self, ids, *, skip_special_tokens):
            return "/".join(str(token) for token in ids)

    dialogue = Dialogue(Tokenizer(), [3])
    said = dialogue.action(np.array([5, 3], np.int32))
    assert (said, said.token_ids, copy.deepcopy(said).token_ids) == ("5/3", (5, 3), (5, 3))
    assert dialogue.observation(Words("seen", [4]), stopped=True).tolist() == [4]
    with pytest.raises(SamplerError, match="no tokens of its own"):
        dialogue.prompt("plain")


def test_rows_that_follow_one_another_are_one_task():
    one, other = {"prompt": "a"}, {"prompt": "b"}
    assert runs([one, dict(one), other, one]) == [(one, 2), (other, 1), (one, 1)]
