"""What a run says before it loads anything, and how its options are resolved."""

import json

import pytest
import torch
import trl_multihop
import trl_runs
from trl import GRPOConfig

from treeroll.errors import ConfigError
from treeroll.integrations.trl import TreeGRPOTrainer, TreeOptions
from treeroll.integrations.trl.options import check_arguments, check_version, plan

pytestmark = pytest.mark.filterwarnings(trl_runs.OLD_NAMES)


def settings(**own):
    return GRPOConfig("out", **{**trl_runs.SMALL, **own})


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"loss_type": "grpo"}, "loss_type='grpo'"),
        ({"loss_type": "bnpo"}, "use one of dapo, cispo, dr_grpo"),
        ({"importance_sampling_level": "sequence"}, "importance_sampling_level='sequence'"),
        ({"top_p": 0.9}, "top_p=0.9"),
        ({"top_k": 20, "repetition_penalty": 1.1}, "repetition_penalty=1.1"),
        ({"mask_truncated_completions": True}, "mask_truncated_completions"),
        ({"off_policy_mask_threshold": 0.5}, "off_policy_mask_threshold"),
        ({"use_vllm": True}, "use_vllm=True"),
        ({"top_entropy_quantile": 0.8}, "top_entropy_quantile"),
    ],
)
def test_settings_that_cannot_go_with_trees_are_refused(own, said):
    check_arguments(settings(), None, [], len)
    with pytest.raises(ConfigError, match=said):
        check_arguments(settings(**own), None, [], len)


def test_everything_that_is_wrong_is_said_at_once():
    with pytest.raises(ConfigError) as refusal:
        check_arguments(settings(top_p=0.9), len, None, [torch.nn.Linear(1, 1)])
    assert str(refusal.value).count("\n- ") == 4


def test_a_refusal_comes_before_the_model_is_loaded():
    with pytest.raises(ConfigError, match="use_vllm"):
        TreeGRPOTrainer("no/such-model", len, settings(use_vllm=True), train_dataset=[1])
    with pytest.raises(ConfigError, match="tace"):
        TreeGRPOTrainer("no/such-model", len, settings(), train_dataset=[1], tree=TreeOptions(method="tace"))


@pytest.mark.parametrize(
    ("tree", "own", "said"),
    [
        (TreeOptions(), {"num_generations": 16}, "Lower num_generations"),
        (TreeOptions(), {"gradient_accumulation_steps": 1}, "do not pay for one group of 8"),
        (TreeOptions(method="grpo", continuations=1.0), {}, "has no continuations"),
        (TreeOptions(rounds={"min_grup": 3}), {}, "Did you mean 'min_group'"),
        (TreeOptions(predictor="oracle"), {}, "oracle"),
        (TreeOptions(credit="sibling-tre"), {}, "sibling-tree"),
        (TreeOptions(method="tace"), {}, "trace"),
    ],
)
def test_options_that_cannot_work_are_refused(tree, own, said):
    with pytest.raises(ConfigError, match=said):
        plan(tree, settings(**{"gradient_accumulation_steps": 4, **own}))


def test_a_rank_has_whole_groups(monkeypatch):
    args = settings(per_device_train_batch_size=8, gradient_accumulation_steps=1)
    args.num_generations = 3  # TRL holds num_generations against all ranks together
    with pytest.raises(ConfigError, match="no multiple of num_generations=3"):
        plan(TreeOptions(method="grpo"), args)


def test_methods_that_take_tasks_as_they_come_have_groups_of_num_generations():
    own = plan(TreeOptions(method="grpo"), settings())
    assert (own.rounds.group, own.budget, own.pool, own.continuations) == (4, 16, 4, 0.0)
    own = plan(TreeOptions(rounds={"min_group": 2}), settings(gradient_accumulation_steps=4))
    assert (own.rounds.group, own.rounds.min_group, own.rounds.scope, own.pool) == (8, 2, "pool", 8)
    assert (own.continuations, own.credit, own.predictor) == (0.33, "sibling-tree", "head")


def test_other_versions_are_refused(monkeypatch):
    check_version()
    monkeypatch.setattr("treeroll.integrations.trl.options.version", lambda name: "1.11.3")
    with pytest.raises(ConfigError, match=r"trl 1\.11\.3 is installed; TreeGRPOTrainer needs trl>=1\.12,<2"):
        check_version()


def test_the_example_puts_curves_side_by_side(tmp_path, capsys):
    logs = {"grpo-0": [(0, 0.5), (10, 0.25)], "trace-0": [(0, 0.5), (10, 0.0)]}
    for name, points in logs.items():
        log = [{"step": step, "eval_reward": value} for step, value in points] + [{"step": 3, "reward": 1.0}]
        (tmp_path / f"{name}.json").write_text(json.dumps(log))
    trl_multihop.table(tmp_path)
    assert capsys.readouterr().out.splitlines() == [
        "| update | grpo-0 | trace-0 |", "|---|---|---|", "| 0 | 0.500 | 0.500 |", "| 10 | 0.250 | 0.000 |",
    ]  # fmt: skip
