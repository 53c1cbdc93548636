import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from treeroll.config import Budget, Config, describe, options, read_file
from treeroll.errors import ConfigError
from treeroll.methods import RoundOptions


def test_defaults():
    config = Config.resolve()
    assert (config.method, config.env, config.model, config.steps, config.seed) == ("trace", "atlas", "tiny", 80, 0)
    assert (config.predictor.name, config.learner.credit) == ("head", "sibling-tree")
    budget = config.budget
    assert (budget.rollouts, budget.group, budget.min_group) == (128, 8, 4)
    assert (budget.continuations, budget.max_per_prefix, budget.mixed_weight) == (0.33, 4, 1.0)
    assert (budget.blind, budget.scope, budget.worth) == (True, "pool", 5.0)
    learner = config.learner
    assert (learner.learning_rate, learner.rise, learner.schedule) == (1.5e-3, 15, "linear")


def test_round_options_have_the_same_defaults_as_the_library():
    assert Budget().options() == RoundOptions()


def test_every_option_has_a_description():
    assert [key for key, option in options() if not option.description] == []
    assert all(f"--{key} " in describe() for key, _ in options())
    assert "--steps " not in describe(skip=["steps"])


# Layers -----------------------------------------------------------------------------------------------------------


def test_a_method_sets_its_own_parts():
    config = Config.resolve(["method=grpo"])
    assert (config.predictor.name, config.learner.credit, config.budget.continuations) == ("constant", "group", 0.0)
    assert config == Config(method="grpo")


def test_a_model_of_ones_own_learns_in_small_steps_unless_told_otherwise():
    assert Config.resolve(["model=gpt2"]).learner.learning_rate == 1e-6
    assert Config.resolve(["model=tiny"]).learner.learning_rate == 1.5e-3
    said = Config.resolve(["model=gpt2", "learner.learning_rate=2e-5"])
    assert (said.learner.learning_rate, said.learner.credit) == (2e-5, "sibling-tree")


def test_what_is_said_wins_over_the_method():
    config = Config.resolve(["method=grpo", "learner.credit=sibling-tree"])
    assert (config.predictor.name, config.learner.credit) == ("constant", "sibling-tree")
    assert Config(method="grpo", budget=Budget(rollouts=64)).budget.continuations == 0.0


def test_overrides_win_over_the_base_and_later_ones_over_earlier():
    base = {"steps": 5, "budget": {"rollouts": 64, "pool": 32}}
    config = Config.resolve(["steps=6", "budget.pool=16", "steps=7"], base=base)
    assert (config.steps, config.budget.rollouts, config.budget.pool) == (7, 64, 16)


def test_the_words_of_the_command_line_become_typed_values():
    config = Config.resolve(["learner.learning_rate=3e-4", "report=false", "budget.max_per_prefix=none", "out=a=b"])
    assert config.learner.learning_rate == 3e-4
    assert config.report is False
    assert config.budget.max_per_prefix is None
    assert config.out == "a=b"


@pytest.mark.parametrize("method", ["trace", "grpo", "tree-random"])
def test_a_saved_configuration_resolves_to_itself(method):
    config = Config.resolve([f"method={method}", "budget.group=6", "out=somewhere"])
    assert Config.resolve(base=json.loads(json.dumps(config.to_dict()))) == config


def test_it_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Config.resolve().steps = 3


# Files ------------------------------------------------------------------------------------------------------------


def test_toml_and_json_files_say_the_same(tmp_path):
    (tmp_path / "a.toml").write_text("steps = 3\n[budget]\nrollouts = 64\n")
    (tmp_path / "a.json").write_text('{"steps": 3, "budget": {"rollouts": 64}}')
    assert read_file(tmp_path / "a.toml") == read_file(tmp_path / "a.json") == {"steps": 3, "budget": {"rollouts": 64}}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "steps = = 3", r"a\.toml: cannot be read as toml: .*line 1"),
        ("a.json", "{", r"a\.json: cannot be read as json: .*line 1"),
        ("a.json", "[1]", r"a\.json: holds a list, expected a table of options"),
    ],
)
def test_a_malformed_file_is_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_file(tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.toml: no such file"):
        read_file(tmp_path / "gone.toml")


# Bad options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stpes=3", "unknown option 'stpes'. Did you mean 'steps'?"),
        ("rollouts=3", "unknown option 'rollouts'. Did you mean 'budget.rollouts' or 'evaluation.rollouts'?"),
        ("budget.rolouts=3", "unknown option 'budget.rolouts'. Did you mean 'budget.rollouts'?"),
        ("learner.lr=3", "unknown option 'learner.lr'. Did you mean 'learner.learning_rate'?"),
        ("zzz=3", "unknown option 'zzz'. All options are listed by: treeroll train --help"),
        ("world=3", "'world' is a section, not an option. Set one of its options: world.rendering, world.data"),
        ("steps", "'steps' is not an option. Write it as key=value, e.g. budget.rollouts=64"),
        ("method=trce", "unknown method 'trce'. Did you mean 'trace'?"),
        ("env=atls", "unknown world 'atls'. Did you mean 'atlas'? Your own: package.module:function"),
        ("predictor.name=hed", "unknown predictor 'hed'. Did you mean 'head'? Your own: package.module:Class"),
        ("learner.credit=sibling_tree", "unknown credit 'sibling_tree'. Did you mean 'sibling-tree'?"),
    ],
)
def test_unknown_words_get_a_suggestion(override, message):
    with pytest.raises(ConfigError) as caught:
        Config.resolve([override])
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps=0", "steps=0: must be 1 or more. It is: policy updates (default 80)"),
        ("steps=1.5", "steps=1.5: must be a whole number."),
        ("learner.learning_rate=nan", "learner.learning_rate=nan: must be a finite number."),
        ("learner.learning_rate=fast", "learner.learning_rate=fast: must be a number."),
        ("learner.clip_low=1.5", "learner.clip_low=1.5: must be 1 or less."),
        ("sampling.temperature=0", "sampling.temperature=0: must be more than 0."),
        ("budget.explore=1.5", "budget.explore=1.5: must be 1 or less."),
        ("report=maybe", "report=maybe: must be true or false."),
        ("world.rendering=pros", "must be 'auto', 'compact' or 'prose'. Did you mean 'prose'?"),
        ("steps=none", "steps=none: must be a whole number."),
    ],
)
def test_a_bad_value_is_named_with_its_rule(override, message):
    with pytest.raises(ConfigError) as caught:
        Config.resolve([override])
    assert message in str(caught.value)


def test_all_bad_values_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        Config.resolve(["steps=0", "budget.pool=-1"], base={"model": 3})
    assert len(str(caught.value).splitlines()) == 3
    assert "model=3: must be a text." in str(caught.value)


def test_a_table_in_place_of_a_value_is_named():
    with pytest.raises(ConfigError, match=r"unknown option 'steps\.many'"):
        Config.resolve(base={"steps": {"many": 3}})


# What no option shows alone ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["budget.rollouts=9"],
            "leaves 6 bare rollouts, too few for one group of budget.group=8. Set budget.rollouts to 11 or more",
        ),
        (["method=grpo", "budget.rollouts=7"], "Set budget.rollouts to 8 or more"),
        (["budget.pool=11"], "need 12 different tasks, but a step has 11. Raise budget.pool or budget.group"),
        (["budget.continuations=0"], "budget.continuations=0, but method 'trace' branches."),
        (["method=grpo", "budget.continuations=1"], "budget.continuations=1, but method 'grpo' does not branch."),
        (["budget.max_group=4"], "budget.group=8 is outside budget.min_group=4 to budget.max_group=4"),
        (["budget.min_group=9"], "budget.group=8 is outside budget.min_group=9 to budget.max_group=None"),
    ],
)
def test_options_that_contradict_each_other(overrides, message):
    with pytest.raises(ConfigError) as caught:
        Config.resolve(overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "overrides", [["budget.rollouts=11"], ["method=grpo", "budget.rollouts=8"], ["budget.pool=12"]]
)
def test_the_smallest_that_fit(overrides):
    assert Config.resolve(overrides)


def test_a_step_looks_at_no_more_tasks_than_there_are():
    config = Config.resolve()
    assert [config.pool(tasks) for tasks in (1000, 64, 63, 12)] == [64, 64, 63, 12]
    with pytest.raises(ConfigError, match=r"need 12 different tasks, but a step has 11\. Raise the number of tasks"):
        config.pool(11)


def test_uniform_methods_look_at_what_groups_can_fill():
    assert Config.resolve(["method=grpo"]).pool(1000) == 16
    assert Config.resolve(["method=tree-random"]).pool(1000) == 16


# Where a run goes -------------------------------------------------------------------------------------------------


def test_a_run_gets_the_first_free_folder(tmp_path):
    config = Config.resolve(["method=grpo", "seed=4"])
    assert config.run_dir(tmp_path) == tmp_path / "grpo-atlas-s4-1"
    (tmp_path / "grpo-atlas-s4-1").mkdir()
    assert config.run_dir(tmp_path) == tmp_path / "grpo-atlas-s4-2"
    assert Config.resolve(["out=here"]).run_dir(tmp_path) == Path("here")
