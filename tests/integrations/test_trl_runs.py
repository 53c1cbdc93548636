"""Whole generations: tools, environments, evaluation, tables, budgets."""

import asyncio
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
import trl_runs

from treeroll.errors import ConfigError, TrainingError
from treeroll.integrations.trl import TreeGRPOTrainer, TreeOptions

pytestmark = pytest.mark.filterwarnings(trl_runs.OLD_NAMES)


@pytest.fixture
def grown(tmp_path):
    """A trainer of the given arguments and what one generation of 16 rollouts over 4 questions gave."""

    def grow(**named):
        trainer = trl_runs.trainer(TreeGRPOTrainer, tmp_path, **named)
        trainer.model.train()
        rows = [row for row in trl_runs.questions(4) for _ in range(4)]
        batch = trainer._generate_and_score_completions(rows)
        assert trainer.model.training
        return trainer, batch

    return grow


def test_each_sampled_token_is_trained_on_once_and_no_budget_is_exceeded(grown):
    trainer, batch = grown()
    forest, credit = trainer.generation.forest, trainer.generation.credit
    sampled = sum(
        tree.nodes[index].sampled_tokens
        for tree, own in zip(forest, credit, strict=True)
        for index in range(len(tree.nodes))
        if own[index] is not None
    )
    assert batch["num_items_in_batch"].item() == (batch["tool_mask"] * batch["completion_mask"]).sum().item() == sampled
    leaves = sum(len(tree.leaves) for tree in forest)
    assert leaves == trainer.generation.spent.rollouts <= 16 == len(batch["advantages"])
    assert batch["completion_mask"].any(dim=1).sum() == leaves
    assert not batch["advantages"][batch["tool_mask"] == 0].any()
    shared = batch["old_per_token_logps"][batch["tool_mask"] == 0]
    assert (shared != 0).any()  # the prefixes of continuations: another row trains on them


def test_the_sampler_says_what_the_model_says(grown):
    trainer, batch = grown()
    trainer.model.eval()
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    with torch.no_grad():
        logps = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, batch["completion_ids"].size(1))[0]
    off = ((logps - batch["old_per_token_logps"]) * batch["tool_mask"] * batch["completion_mask"]).abs().max()
    assert off < 1e-5


def test_the_reference_is_the_model_that_it_began_as(grown):
    trainer, batch = grown(beta=0.1)
    assert trainer.ref_model is not None
    trained = batch["tool_mask"] * batch["completion_mask"]
    assert ((batch["ref_per_token_logps"] - batch["old_per_token_logps"]) * trained).abs().max() < 1e-5


class Locked(trl_runs.example.Atlas):
    """An environment that cannot be copied."""

    def reset(self, task, **row):
        super().reset(task, **row)
        self._lock = threading.Lock()


def test_environments_that_cannot_be_copied_are_replayed(grown, caplog):
    trainer, _ = grown(named={"environment_factory": Locked})
    told = trainer.generation.told
    assert told["continuations"] >= 2
    assert told["replayed"] >= told["continuations"]
    assert told["withdrawn"] == told["errors"] == 0
    assert "prefixes are continued by replay of their actions" in " ".join(trainer.generation.notes)
    copied, _ = grown()  # a copied environment answers the same, and so do several at the same time
    threads, _ = grown(tree=replace(trl_runs.BRANCHING, tool_workers=3))
    for trees in zip(*(it.generation.forest for it in (trainer, copied, threads)), strict=True):
        one, *others = [[node.token_ids.tolist() for node in tree.nodes] for tree in trees]
        assert others == [one, one]


def test_functions_as_tools_some_of_them_async(grown):
    async def search(entity: str, relation: str) -> str:
        """Asks later.

        Args:
            entity: of what.
            relation: which.
        """
        await asyncio.sleep(0)
        return f"O {relation} {entity} T"

    def lookup(entity: str, relation: str) -> str:
        """Fails.

        Args:
            entity: of what.
            relation: which.
        """
        raise ValueError("O none T")

    trainer, _ = grown(named={"environment_factory": None, "tools": [search, lookup]})
    seen = {node.observation for tree in trainer.generation.forest for node in tree.nodes if node.observation}
    assert any(text.startswith("O ") and text.endswith(" T") for text in seen)
    host = trainer.trees.host
    said = host.answered(
        [
            {"type": "function", "function": {"name": "lookup", "arguments": {"entity": "a", "relation": "b"}}},
            {"type": "function", "function": {"name": "search", "arguments": {"entity": "a", "relation": "b"}}},
            {"type": "function", "function": {"name": "fly", "arguments": {}}},
        ],
        None,
    )
    assert [message["content"] for message in said] == [
        "{'error': 'O none T'}", "O b a T", "{'error': 'Tool fly not found.'}",
    ]  # fmt: skip


def test_rewards_are_weighted_sums_of_one_rollout_each(grown):
    def half(completions, prompts, log_metric, log_extra, **named):
        lists = [named[name] for name in ("answer", "environments", "completion_ids")]
        assert {len(completions), len(prompts), *map(len, lists)} == {1}
        assert named["trainer_state"].global_step == 0
        log_metric("half", 0.5)
        log_extra("said", [completions[0][-1]["content"]])
        return [0.5]

    async def none(completions, **_):
        return [None for _ in completions]

    trainer, _ = grown(
        named={"reward_funcs": [trl_runs.example.right, half, none]},
        reward_weights=[1.0, 2.0, 5.0],
        log_completions=True,
    )
    rewards = {node.reward for tree in trainer.generation.forest for node in tree.nodes if node.is_leaf}
    assert rewards <= {1.0, 2.0}
    logged, leaves = trainer._metrics["train"], trainer.generation.spent.rollouts
    assert logged["rewards/half/mean"] == logged["half"] == [0.5]
    assert (
        len(trainer._logs["prompt"]) == len(trainer._logs["completion"]) == len(trainer._logs["advantages"]) == leaves
    )
    assert len(trainer._logs["extra"]["said"]) == leaves
    assert set(map(len, trainer._logs["rewards"].values())) == {leaves}


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        (lambda **_: [None], "every reward function returned None"),
        (lambda **_: [1.0, 2.0], "returned 2 rewards for 1 rollout"),
        (lambda **_: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_a_reward_that_is_none_stops_the_run(grown, reward, said):
    with pytest.raises(TrainingError, match=said):
        grown(named={"reward_funcs": reward})


def test_an_environment_that_starts_otherwise_each_time_is_refused(grown):
    class Moody(trl_runs.example.Atlas):
        moods = iter(range(99))

        def reset(self, task, **row):
            super().reset(task, **row)
            return f" {next(self.moods)}"

    with pytest.raises(ConfigError, match="make reset\\(\\) depend on the row alone"):
        grown(named={"environment_factory": Moody})


def test_evaluation_plays_bare_rollouts_with_draws_of_its_own(tmp_path):
    trainer = trl_runs.trainer(
        TreeGRPOTrainer, tmp_path, named={"eval_dataset": trl_runs.questions(6, start=32)},
        per_device_eval_batch_size=8, num_generations_eval=2,
    )  # fmt: skip
    before = trl_runs.weights(trainer.model)
    one = trainer.evaluate()
    trainer.trees.exams = 0
    other = trainer.evaluate()
    assert one["eval_reward"] == other["eval_reward"]
    assert 0 < one["eval_completions/mean_length"] == other["eval_completions/mean_length"]
    assert not any(name.startswith("eval_tree/") for name in one)
    assert trainer.trees.number == 0
    assert trl_runs.farthest(before, trl_runs.weights(trainer.model)) == 0


def test_the_predictor_learns_and_its_method_uses_it(tmp_path):
    tree = TreeOptions(method="trace", rounds={"group": 4, "min_group": 2}, warmup=16)
    trainer = trl_runs.trainer(
        TreeGRPOTrainer, tmp_path, plain=False, tree=tree, num_generations=2, max_steps=4, learning_rate=1e-4
    )
    trainer.train()
    steps = [record for record in trainer.state.log_history if "tree/rollouts" in record]
    assert [record["tree/pool"] for record in steps] == [8] * 4
    assert all(record["tree/rollouts"] + record["tree/left"] == 16 for record in steps)
    assert steps[0]["tree/predictor/informed"] == 0
    assert all(trl_runs.finite(record["tree/predictor/root_brier"]) for record in steps)
    assert np.isfinite(trainer.generation.forest[0].values[0])


def test_what_continuations_leave_goes_back_to_stage_one(tmp_path):
    """No episode can be continued, and four tasks of four rollouts fill the budget all the same."""
    tree = replace(trl_runs.BRANCHING, forking="roots")
    trainer = trl_runs.trainer(TreeGRPOTrainer, tmp_path, tree=tree)
    trainer.train()
    told = trainer.generation.told
    assert told["withdrawn"] == 4
    assert (told["bare_rollouts"], told["continuations"], told["left"], told["active_tasks"]) == (16, 0, 0, 4)


def test_half_precision_samples_under_the_trainers_autocast(tmp_path):
    trainer = trl_runs.trainer(TreeGRPOTrainer, tmp_path, bf16=True)
    trainer.train()
    assert trainer.model.dtype == torch.float32
    assert trl_runs.finite(trainer.state.log_history[0]["loss"])
    assert trainer.state.log_history[0]["clip_ratio/region_mean"] < 0.05
