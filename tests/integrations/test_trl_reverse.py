"""The other way round: method grpo in one round is TRL's own GRPO, update for update, on the same rollouts."""

from collections import defaultdict

import pytest
import trl_runs
from trl import GRPOTrainer

from treeroll.integrations.trl import TreeGRPOTrainer, TreeOptions

pytestmark = pytest.mark.filterwarnings(trl_runs.OLD_NAMES)

LOGGED = [
    "reward", "reward_std", "frac_reward_zero_std", "rewards/right/mean", "completions/mean_length",
    "completions/max_length", "completions/clipped_ratio", "num_tokens", "tools/call_frequency",
]  # fmt: skip


class Replayed(GRPOTrainer):
    """Stock TRL, but for its model's words: each history is answered as it was in recorded trees."""

    def learn(self, forest):
        self.turns = defaultdict(list)
        for tree in forest:
            for index, node in enumerate(tree.nodes[1:], start=1):
                history = tuple(tree.token_ids(node.parent).tolist())
                self.turns[history].append(tree.nodes[index].token_ids[node.sampled_mask].tolist())

    def _generate_single_turn(self, prompt_ids, *args, **named):
        return [self.turns[tuple(ids)].pop(0) for ids in prompt_ids], None


@pytest.mark.parametrize(("credit", "scale"), [("group", "group"), ("group-unscaled", "none")])
def test_grpo_in_one_round_is_stock_grpo(tmp_path, credit, scale):
    """Tools, observations and all: a prompt or an observation in other tokens would be a history nobody recorded."""
    ours = trl_runs.trainer(TreeGRPOTrainer, tmp_path, tree=TreeOptions(method="grpo", credit=credit))
    start = trl_runs.weights(ours.model)
    ours.train()
    forest = ours.generation.forest
    assert [len(tree.bare_leaves) for tree in forest] == [4] * 4
    assert max(len(tree.nodes) for tree in forest) > 9  # some rollouts use tools

    stock = trl_runs.trainer(Replayed, tmp_path, scale_rewards=scale)
    stock.learn(forest)
    stock.train()
    assert not any(stock.turns.values())  # every recorded turn was said, none of them twice
    assert trl_runs.farthest(trl_runs.weights(ours.model), start) > 1e-3
    assert trl_runs.farthest(trl_runs.weights(ours.model), trl_runs.weights(stock.model)) < 1e-6
    own, theirs = ours.state.log_history[0], stock.state.log_history[0]
    for name in LOGGED:
        assert own[name] == pytest.approx(theirs[name], abs=1e-5), name


def test_texts_without_tools(tmp_path):
    """One turn a rollout, prompts as plain texts."""
    data = trl_runs.questions(32).map(lambda row: {"prompt": row["prompt"][0]["content"]})

    def brief(completions, **_):
        return [float(len(text) % 2) for text in completions]

    named = {"environment_factory": None, "reward_funcs": brief}
    ours = trl_runs.trainer(TreeGRPOTrainer, tmp_path, tree=TreeOptions(method="grpo"), data=data, named=named)
    ours.train()
    stock = trl_runs.trainer(Replayed, tmp_path, data=data, named=named)
    stock.learn(ours.generation.forest)
    stock.train()
    assert trl_runs.farthest(trl_runs.weights(ours.model), trl_runs.weights(stock.model)) < 1e-6
