"""What AsyncGRPOTrainer is given for a tree, without the trainer."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import trl_async_runs
import trl_runs
from trl.experimental.async_grpo.async_rollout_worker import (
    RolloutGroup,
    TurnRecord,
    _AsyncRolloutLoop,
    _chain_to_sequences,
)

import handmade
from treeroll.credit.base import Credit
from treeroll.integrations.trl import TreeOptions
from treeroll.integrations.trl.asynchronous.samples import samples

pytestmark = pytest.mark.filterwarnings(trl_runs.OLD_NAMES)


def planted(*rewards):
    tree = handmade.flat(*rewards)
    return replace(tree, task=replace(tree.task, data={"prompt": [{"role": "user", "content": "question"}]}))


def credit(tree, *scores):
    return Credit.of(np.array([np.nan if score is None else score for score in scores]))


def test_a_sample_for_each_advantage_of_a_rollout():
    """Two bare rollouts of two turns (nodes 1, 2 and 3, 4), and a continuation (5) from node 1."""
    tree = handmade.fork(planted(1.0, 0.0), 1, 0.0)
    found = samples(tree, credit(tree, None, 0.5, 0.25, -0.5, -0.5, 0.0), group=3)
    assert [sample.input_ids.tolist() for sample in found] == [
        [1, 2, 3, 10, 11, 12, 20, 21],  # the second turn of the first rollout
        [1, 2, 3, 10, 11],  # its first one, which the continuation shares
        [1, 2, 3, 30, 31, 32, 40, 41],  # both turns of the second
        [1, 2, 3, 10, 11, 12, 50, 51],
    ]
    assert [sample.completion_mask.tolist() for sample in found] == [
        [0, 0, 0, 0, 0, 0, 1, 1],
        [0, 0, 0, 1, 1],
        [0, 0, 0, 1, 1, 0, 1, 1],
        [0, 0, 0, 0, 0, 0, 1, 1],
    ]
    assert [sample.advantage for sample in found] == [0.25, 0.5, -0.5, 0.0]
    assert found[1].old_log_probs.tolist() == pytest.approx([0, 0, 0, -0.1, -0.1])
    assert found[0].old_log_probs[6:].tolist() == pytest.approx([-0.2, -0.2])
    assert {(sample.group_id, sample.model_version) for sample in found} == {(3, 7)}
    assert found[0].prompt == [{"role": "user", "content": "question"}]
    assert [message["role"] for message in found[0].completion] == ["assistant", "assistant"]


def test_turns_without_an_advantage():
    """None is in no sample; 0 is, unless it is not wanted."""
    tree = planted(1.0)
    assert [sample.advantage for sample in samples(tree, credit(tree, None, 0.0, 1.0), group=0)] == [0.0, 1.0]
    only = samples(tree, credit(tree, None, 0.0, 1.0), group=0, keep_zero=False)
    assert [sample.completion_mask.tolist() for sample in only] == [[0, 0, 0, 0, 0, 0, 1, 1]]
    assert samples(tree, credit(tree, None, None, None), group=0) == []


def test_every_sampled_token_is_trained_on_once_with_its_turns_advantage(tmp_path):
    """On trees that the model sampled: what the samples train on, put together, is the trees and nothing else."""
    generation = trl_async_runs.grown(trl_async_runs.settings(tmp_path))
    assert sum(node.origin.kind == "continuation" for tree in generation.forest for node in tree.nodes) >= 2
    for tree, own in zip(generation.forest, generation.credit, strict=True):
        expected = sorted(
            (*tree.token_ids(index)[: start + offset + 1].tolist(), round(float(logprob), 5), round(score, 5))
            for index, node in enumerate(tree.nodes)
            for start in [len(tree.token_ids(node.parent)) if index else 0]
            for score in [own[index]]
            for offset, logprob in enumerate(node.logprobs)
            if node.sampled_mask[offset] and score is not None
        )
        found = sorted(
            (*one.input_ids[: place + 1].tolist(), round(float(one.old_log_probs[place]), 5), round(one.advantage, 5))
            for one in samples(tree, own, group=0)
            for place in np.flatnonzero(one.completion_mask)
        )
        assert found == expected
    turns = sum(len(tree.nodes) - 1 for tree in generation.forest)
    given = [samples(tree, own, group=0) for tree, own in zip(generation.forest, generation.credit, strict=True)]
    assert sum(map(len, given)) < turns / 2  # turns with one advantage stand together


def test_grpo_gives_the_samples_of_trls_own_worker(tmp_path):
    """The other way round: TRL's worker, given the same turns, makes the same samples.

    Its advantages are divided by the deviation of a population, GRPOTrainer's by that of a sample.
    """
    args = trl_async_runs.settings(tmp_path)
    generation = trl_async_runs.grown(args, tree=TreeOptions(method="grpo", credit="group"))
    tokenizer, told = trl_runs.example.setup()[1], 0
    for number, (tree, own) in enumerate(zip(generation.forest, generation.credit, strict=True)):
        assert len(tree.bare_leaves) == len(tree.leaves) == 4
        asked = tokenizer.apply_chat_template(tree.task.data["prompt"], add_generation_prompt=True, return_dict=False)
        assert tree.nodes[0].token_ids.tolist() == asked
        ours, stock = samples(tree, own, group=number), as_stock(tree, number)
        assert len(ours) == len(stock) == 4
        for one, other in zip(ours, stock, strict=True):
            assert one.input_ids.tolist() == other.input_ids.tolist()
            assert one.completion_mask.tolist() == other.completion_mask.tolist()
            assert one.old_log_probs == pytest.approx(other.old_log_probs * other.completion_mask)
            assert one.advantage * np.sqrt(4 / 3) == pytest.approx(other.advantage, rel=1e-3)
            assert (one.group_id, one.model_version) == (other.group_id, other.model_version)
            told += bool(one.advantage)
    assert told >= 8


def as_stock(tree, number):
    """Returns what TRL's worker makes of a tree's bare rollouts: reconciles turns, scores the group."""
    names = {"prompts": [], "completions": [], "completions_ids": [], "tool_call_counts": [], "tool_failure_counts": []}
    sequences = []
    for leaf in tree.leaves:
        turns = [
            TurnRecord(
                tree.token_ids(node.parent).tolist(),
                node.token_ids[node.sampled_mask].tolist(),
                node.logprobs[node.sampled_mask].tolist(),
            )
            for node in [tree.nodes[index] for index in tree.path(leaf)[1:]]
        ]
        sequences.append(_chain_to_sequences(turns, str(leaf), fork_threshold=1024)[0])
    rewards = [tree.nodes[leaf].reward for leaf in tree.leaves]
    empty = {name: [0 if "count" in name else []] * len(rewards) for name in names}
    group = RolloutGroup(
        **empty, reward_kwargs={}, completions_sequences=sequences, model_version=tree.policy_version, group_id=number,
        env_rewards=[None] * len(rewards), rollout_rewards=[None] * len(rewards),
    )  # fmt: skip
    loop = SimpleNamespace(
        reward_funcs=[lambda **_: rewards], reward_func_names=["right"], _env_reward_types=[],
        _provides_rollout_reward=False,
    )  # fmt: skip
    with ThreadPoolExecutor(1) as thread:  # a browser's loop of other tests may run in this one
        return thread.submit(lambda: asyncio.run(_AsyncRolloutLoop._score_group(loop, group))).result()
