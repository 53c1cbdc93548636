import pytest

from treeroll import credit, methods, predictor
from treeroll.allocation import RandomPrefixes, TracePrefixes, TraceRoots, UniformRoots
from treeroll.errors import ConfigError


def test_every_rival_of_the_method_page_is_there():
    assert methods.names() == [
        "trace", "trace-stage1", "trace-stage2", "trace-random", "trace-sequential", "trace-paper", "trace-oracle",
        "trace-shuffled",
        "grpo", "dapo", "sampo", "pcl", "mopps", "gps", "vip", "vip-dr-grpo", "knapsack", "reinforce-ada",
        "pilot-commit", "tree-random", "tree-grpo", "treepo", "arpo", "at2po", "infotree",
    ]  # fmt: skip


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(ConfigError, match=r"unknown method 'gpro'\. Did you mean 'grpo'\?"):
        methods.get("gpro")


@pytest.mark.parametrize("name", methods.names())
def test_a_recipe_names_parts_that_exist(name):
    method = methods.get(name)
    assert method.name == name
    assert method.predictor in predictor.NAMES
    assert credit.get(method.credit)
    assert method.paper.startswith("https://arxiv.org/abs/")


@pytest.mark.parametrize("name", methods.names())
def test_rules_over_the_pool_come_first_and_a_method_that_branches_has_more_than_one(name):
    method = methods.get(name)
    rules = method.rounds()
    scopes = [rule.scope for rule in rules]
    assert scopes == sorted(scopes)  # "pool" before "task"
    assert scopes[0] == "pool"
    assert (len(rules) > 1) == method.branches


def test_what_a_method_names_is_an_option_unless_the_user_says_otherwise():
    assert methods.get("dapo").defaults == {
        "predictor.name": "constant",
        "learner.credit": "group",
        "budget.continuations": 0.0,
        "learner.keep": "mixed",
    }


def test_a_method_tells_which_options_it_uses_and_has_its_own_by_default():
    assert methods.get("grpo").uses == {"group"}
    assert methods.get("tree-random").uses == {"group", "max_per_prefix"}
    roots, prefixes = methods.get("trace-paper").rounds()
    assert (roots.min_group, roots.explore, roots.posterior) == (2, 0.0, False)
    assert (prefixes.max_per_prefix, prefixes.mixed_weight, prefixes.posterior) == (None, 1.0, False)


@pytest.mark.parametrize(("group", "share"), [(30, 0.1), (60, 0.1), (15, 1.2)])
def test_rounding_asks_for_no_rollout_too_many(group, share):
    method = methods.get("trace")
    assert method.bare_rollouts(method.least_rollouts(group, share), share) == group


def test_rounds_take_the_options():
    options = methods.RoundOptions(
        group=6, min_group=3, max_group=9, max_active=5, max_per_prefix=4, mixed_weight=1.0, scope="pool",
        posterior=False, blind=True, explore=0.25,
    )  # fmt: skip
    assert methods.get("trace").rounds(options) == (
        TraceRoots(min_group=3, max_group=9, max_active=5, cold_group=6, explore=0.25, posterior=False),
        TracePrefixes(
            max_per_prefix=4, mixed_weight=1.0, posterior=False, blind=True, cold_continuations=4, scope="pool"
        ),
    )
    assert methods.get("trace-stage1").rounds(options) == methods.get("trace").rounds(options)[:1]
    assert methods.get("grpo").rounds(options) == (UniformRoots(6),)
    assert methods.get("tree-random").rounds(options) == (UniformRoots(6), RandomPrefixes(4))


def test_without_a_cap_random_prefixes_get_two():
    options = methods.RoundOptions(max_per_prefix=None)
    assert methods.get("tree-random").rounds(options)[1] == RandomPrefixes(2)
    trace = TracePrefixes(max_per_prefix=None, mixed_weight=0.0, cold_continuations=2)
    assert methods.get("trace").rounds(options)[1] == trace


@pytest.mark.parametrize(
    ("name", "rollouts", "continuations", "bare"),
    [("trace", 128, 1.0, 64), ("trace", 128, 2.0, 42), ("trace", 9, 0.5, 6), ("grpo", 128, 0.0, 128)],
)
def test_bare_rollouts_leave_room_for_their_continuations(name, rollouts, continuations, bare):
    assert methods.get(name).bare_rollouts(rollouts, continuations) == bare


@pytest.mark.parametrize(("name", "continuations"), [("trace", 1.0), ("trace", 0.3), ("trace", 2.5), ("grpo", 0.0)])
def test_least_rollouts_is_where_one_group_first_fits(name, continuations):
    method = methods.get(name)
    least = method.least_rollouts(8, continuations)
    assert method.bare_rollouts(least, continuations) >= 8 > method.bare_rollouts(least - 1, continuations)


def test_candidates_are_the_pool_only_where_the_method_chooses():
    assert methods.get("trace").candidates(pool=64, rollouts=128, group=8) == 64
    assert methods.get("grpo").candidates(pool=64, rollouts=128, group=8) == 16
    assert methods.get("grpo").candidates(pool=64, rollouts=129, group=8) == 17
