import math

import pytest

from treeroll.report import grid, standings
from treeroll.report.compared import Arm, Column, Comparison, Estimate, Pooled


def arm(name, mean, gap=None, *, env="atlas", key="success_tokens", headline=None, seeds=8, each=(), bound=False):
    """An arm with one column; `gap` is (mean, low, high) to the reference, which has none."""
    gaps, heads = (
        {} if one is None else {key: Estimate(*one, seeds, each)} for one in (gap, headline or gap)
    )  # fmt: skip
    return Arm(
        env=env, name=name, method=name, options={}, learning_rate=None, seeds=["0"] * seeds, letter=name[0].upper(),
        place=None if gap is None else 0, mean={key: Estimate(*mean)}, difference=gaps, headline=heads, bound=bound,
    )  # fmt: skip


def comparison(*arms, pooled=()):
    envs = list(dict.fromkeys(arm.env for arm in arms))
    column = Column("success_tokens", "success at equal tokens", "", 3, "higher", "")
    return Comparison(
        path=None, about={}, options={}, unit="tokens", reference="grpo", seeds=8, envs=envs, target={},
        columns=[column], arms=list(arms), pooled=list(pooled), sweep=[], notices=[],
    )  # fmt: skip


GRPO = arm("grpo", (0.7, 0.68, 0.72))
AHEAD = arm("trace", (0.766, 0.75, 0.78), (0.066, 0.04, 0.09))
LEVEL = arm("pcl", (0.71, 0.68, 0.74), (0.01, -0.02, 0.03))
BEHIND = arm("tree", (0.6, 0.58, 0.62), (-0.1, -0.12, -0.08))


def test_a_clear_winner_is_named_with_its_interval():
    found = standings.standing(comparison(GRPO, AHEAD, LEVEL, BEHIND), "atlas")
    assert found.winner == "trace"
    assert found.words == (
        "is ahead of grpo (0.700) with 0.766, +0.066 [+0.040, +0.090]. "
        "Of 3 arms, 1 lies clearly above the reference and 1 clearly below."
    )
    assert standings.title(comparison(GRPO, AHEAD, LEVEL)) == "trace beats grpo by 0.066 on atlas"


def test_an_interval_that_holds_zero_makes_no_winner():
    found = standings.standing(comparison(GRPO, LEVEL), "atlas")
    assert found.winner == ""
    assert found.words == (
        "No arm is clearly ahead of grpo (0.700); the highest other is pcl, +0.010 [-0.020, +0.030]."
    )
    assert standings.title(comparison(GRPO, LEVEL)) == "No arm clearly beats grpo on atlas"


def test_the_reference_can_win():
    found = standings.standing(comparison(GRPO, BEHIND), "atlas")
    assert found.winner == "grpo"
    assert found.words.endswith("the nearest is tree, -0.100 [-0.120, -0.080].")
    assert standings.title(comparison(GRPO, BEHIND)) == "grpo beats tree on atlas"
    assert standings.title(comparison(GRPO, BEHIND, BEHIND)) == "grpo beats every other arm on atlas"


def test_the_winner_is_picked_among_those_that_are_clearly_ahead():
    """The highest mean has the widest interval: it says nothing, and hides nobody."""
    wide = arm("wild", (0.9, 0.6, 1.2), (0.2, -0.1, 0.5))
    found = comparison(GRPO, wide, AHEAD, LEVEL)
    assert standings.standing(found, "atlas").winner == "trace"
    assert standings.title(found) == "trace beats grpo by 0.066 on atlas"
    assert grid.best(found.arms, column()) is AHEAD


def test_a_headline_needs_an_interval_that_holds_for_all_arms():
    picked = arm("trace", (0.766, 0.75, 0.78), (0.066, 0.04, 0.09), headline=(0.066, -0.01, 0.14))
    found = comparison(GRPO, picked, LEVEL)
    assert standings.standing(found, "atlas").winner == ""
    assert "the highest other is trace, +0.066 [-0.010, +0.140]." in standings.standing(found, "atlas").words
    assert standings.title(found) == "No arm clearly beats grpo on atlas"
    assert grid.cell(picked, column()).verdict == "better"  # the table's cells are not corrected


def test_a_bound_wins_nothing():
    bound = arm("trace-oracle", (0.9, 0.88, 0.92), (0.2, 0.18, 0.22), bound=True)
    found = comparison(GRPO, bound, AHEAD, LEVEL)
    assert standings.title(found) == "trace beats grpo by 0.066 on atlas"
    assert "Of 2 arms, 1 lies" in standings.standing(found, "atlas").words
    assert grid.best(found.arms, column()) is AHEAD
    assert standings.standing(comparison(GRPO, bound), "atlas") is None


def test_seeds_that_are_missing_are_counted():
    half = arm("trace", (0.766, 0.75, 0.78), (0.066, 0.04, 0.09), seeds=6)
    assert "+0.066 [+0.040, +0.090] over 6 of 8 seeds." in standings.standing(comparison(GRPO, half), "atlas").words


def test_few_seeds_win_nothing():
    few = arm("trace", (0.9, None, None), (0.2, None, None), seeds=2, each=(0.1, 0.3))
    found = comparison(GRPO, few)
    assert standings.standing(found, "atlas").winner == ""
    assert standings.standing(found, "atlas").words == (
        "No verdict, as fewer than 5 seeds give no interval. Against grpo (0.700), the highest other is trace, "
        "+0.200 (+0.100; +0.300) over 2 of 8 seeds."
    )
    assert standings.title(found) == "Too few seeds for a verdict on atlas"
    assert grid.best(found.arms, column()) is None
    assert grid.cell(few, column()) == grid.Cell("0.900", "", "+0.200 (+0.100; +0.300)")


def test_several_worlds_are_headed_by_what_they_have_in_common():
    away = [arm("grpo", (0.5, 0.4, 0.6), env="far"), arm("trace", (0.6, 0.5, 0.7), (0.1, 0.05, 0.2), env="far")]
    over = {"success_tokens": Estimate(0.083, 0.05, 0.12)}
    wide = {"success_tokens": Estimate(0.2, -0.05, 0.45)}
    pooled = [
        Pooled("wild", over, wide, bound=False), Pooled("trace", over, over, bound=False),
        Pooled("oracle", over, {"success_tokens": Estimate(0.3, 0.2, 0.4)}, bound=True),
    ]  # fmt: skip
    found = comparison(GRPO, AHEAD, *away, pooled=pooled)
    assert standings.title(found) == "trace beats grpo by 0.083 over 2 worlds"
    assert standings.standing(found, "far").winner == "trace"


def test_without_a_reference_nobody_stands():
    assert standings.standing(comparison(AHEAD), "atlas") is None
    assert standings.title(comparison(GRPO)) == "A comparison on atlas"


# Tables -------------------------------------------------------------------------------------------------------------


def column(better="higher", key="success_tokens", digits=3):
    return Column(key, key, "", digits, better, "")


@pytest.mark.parametrize(
    ("arms", "better", "winner"),
    [
        ((GRPO, AHEAD, LEVEL), "higher", "trace"),
        ((GRPO, LEVEL), "higher", None),
        ((GRPO, BEHIND), "higher", "grpo"),
        ((GRPO, arm("even", (0.69, 0.6, 0.8), (-0.01, -0.1, 0.1))), "higher", None),
        ((GRPO, AHEAD, BEHIND), "lower", "tree"),
        ((GRPO, AHEAD), "none", None),
        ((GRPO,), "higher", None),
    ],
)
def test_the_best_is_bold_only_where_the_interval_says_so(arms, better, winner):
    best = grid.best(arms, column(better))
    assert (best and best.name) == winner


def test_a_ratio_is_held_against_one():
    key = "efficiency"
    reference = arm("grpo", (1.0, None, None), key="other")
    fast = arm("trace", (1.5, 1.2, 1.9), (9.0, 9.0, 9.0), key=key)
    near = arm("pcl", (1.1, 0.9, 1.3), (9.0, 9.0, 9.0), key=key)
    assert grid.best((reference, fast, near), column(key=key)) is fast
    assert grid.best((reference, near), column(key=key)) is None
    assert grid.cell(fast, column(key=key, digits=2)) == grid.Cell("1.50", "[1.20, 1.90]", "", "better")
    assert grid.cell(near, column(key=key, digits=2)).verdict == ""


def test_cells_in_words():
    assert grid.cell(AHEAD, column()) == grid.Cell("0.766", "[0.750, 0.780]", "+0.066 [+0.040, +0.090]", "better")
    assert grid.cell(BEHIND, column("lower")).verdict == "better"
    assert grid.cell(BEHIND, column()).verdict == "worse"
    assert grid.cell(AHEAD, column("none")) == grid.Cell("0.766", "[0.750, 0.780]")
    assert grid.cell(AHEAD, column(key="unknown")) == grid.Cell()
    many = arm("trace", (12345.6, 12000.0, 13000.0), key="tokens")
    assert grid.cell(many, column(key="tokens", digits=0)).mean == "12,346"
    assert grid.cell(arm("trace", (0.5, 0.4, 0.6), (0.0, 0.0, 0.0)), column()).gap == "0"
    small = arm("trace", (0.5, 0.4, 0.6), (0.0004, 0.0002, 0.0006))
    assert grid.cell(small, column()).gap == "+0.00040 [+0.00020, +0.00060]"
    endless = arm("trace", (math.inf, 2.5, math.inf), key="efficiency")
    assert grid.cell(endless, column(key="efficiency", digits=2)).interval == "[2.50, \u221e]"


def test_columns_come_in_groups_and_unknown_ones_last():
    arms = [arm("grpo", (0.5, None, None)), arm("trace", (1.0, None, None), (0.0, None, None), key="novel")]
    found = comparison(*arms)
    found.columns = [column(key="novel"), column(), column(key="pass_4")]
    tables = grid.grids(found, "atlas")
    assert [(one.heading, [shown.key for shown in one.columns]) for one in tables] == [
        ("Held-out success", ["success_tokens"]), ("Other", ["novel"]),
    ]  # fmt: skip
