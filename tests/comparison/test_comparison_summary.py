import json
import math
from pathlib import Path

import pytest

from comparison_runs import ATLAS, comparison, record, straight, write_run
from treeroll import comparison as compared
from treeroll.comparison import COLUMNS, Arm, World, table
from treeroll.comparison.outcomes import is_finished, number, read_outcome
from treeroll.comparison.plan import read_plan, run_path, slug, sweep_path
from treeroll.comparison.sweep import best_rate, tried
from treeroll.errors import DataError

OUTLINE = {
    "about", "options", "unit", "reference", "seeds", "envs", "target", "columns", "arms", "pooled", "sweep",
    "problems", "histograms",
}  # fmt: skip
ENTRY = {
    "env", "name", "method", "bound", "options", "learning_rate", "seeds", "runs", "values", "mean", "low", "high",
    "difference", "headline", "allocation",
}  # fmt: skip


@pytest.fixture
def root(tmp_path):
    """GRPO ends with 0.5 and 0.75, TRACE with 0.75 and 1.0, each after 200 tokens and 20 rollouts."""
    return comparison(tmp_path, {"grpo": [0.5, 0.75], "trace": [0.75, 1.0]})


def entry(found, name, env="atlas"):
    return next(arm for arm in found["arms"] if (arm["name"], arm["env"]) == (name, env))


def test_the_outline_is_what_the_report_reads(root):
    found = compared.write(root)
    assert found.keys() == OUTLINE
    assert json.loads((root / "comparison.json").read_text()) == found
    assert all(arm.keys() == ENTRY for arm in found["arms"])
    assert [column["key"] for column in found["columns"]] == [column.key for column in COLUMNS]
    for arm in found["arms"]:
        keys = {column.key for column in COLUMNS}
        assert arm["values"].keys() == arm["mean"].keys() == arm["low"].keys() == arm["difference"].keys() == keys
        assert all(len(values) == len(arm["seeds"]) == 2 for values in arm["values"].values())
    assert found["problems"] == []
    assert found["seeds"] == [0, 1]


def test_means_and_paired_differences(root):
    found = compared.summarise(root)
    trace, grpo = entry(found, "trace"), entry(found, "grpo")
    assert trace["runs"] == ["runs/atlas/trace/seed-0", "runs/atlas/trace/seed-1"]
    assert (grpo["mean"]["final"], grpo["low"]["final"], grpo["high"]["final"]) == (0.625, None, None)
    assert trace["difference"]["final"] == {"mean": 0.25, "low": None, "high": None, "seeds": 2, "each": (0.25, 0.25)}
    assert grpo["difference"]["final"] is None  # to itself
    assert trace["values"]["effective_ratio"] == pytest.approx([0.15, 0.15])
    assert trace["values"]["root_skill"] == [0.2, 0.2]  # null in the first step
    assert trace["values"]["tokens"] == [200, 200]
    assert trace["values"]["cpu"] == [4.5, 4.5]
    assert trace["values"]["cpu_sample"] == [3.0, 3.0]
    assert (trace["values"]["wall_sample"], trace["values"]["wall_other"]) == ([6.0, 6.0], [1.5, 1.5])
    assert trace["values"]["prefix_auc"] == [None, None]
    assert trace["mean"]["prefix_auc"] is None


def test_the_target_and_what_it_costs(root):
    """GRPO ends with 0.625 on average. Its seed 1 gets there at 0.225/0.35 of its 200 tokens, its seed 0 never."""
    found = compared.summarise(root)
    assert found["target"] == {"atlas": 0.625}
    assert entry(found, "grpo")["values"]["reached"] == [0, 1]
    assert entry(found, "grpo")["values"]["target_tokens"] == [None, pytest.approx(200 * 0.225 / 0.35)]
    assert entry(found, "grpo")["values"]["target_rollouts"] == [None, pytest.approx(20 * 0.225 / 0.35)]
    assert entry(found, "trace")["mean"]["reached"] == 1
    # The mean curves rise by 0.225 and 0.475 over 200 tokens.
    assert entry(found, "trace")["mean"]["efficiency"] == pytest.approx(0.475 / 0.225)
    assert entry(found, "grpo")["mean"]["efficiency"] is None


def test_equal_tokens_are_those_of_the_run_that_sampled_least(root):
    folder = root / run_path(ATLAS, Arm("trace", "trace"), 1)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in straight(1.0, tokens=100)))
    found = compared.summarise(root)
    assert entry(found, "grpo")["values"]["success_tokens"] == pytest.approx([0.45, 0.575])  # halfway
    assert entry(found, "trace")["values"]["success_tokens"] == pytest.approx([0.575, 1.0])
    assert entry(found, "grpo")["values"]["area"] == pytest.approx([0.425, 0.4875])
    assert entry(found, "grpo")["values"]["success_rollouts"] == pytest.approx([0.5, 0.75])


def test_five_seeds_have_intervals_and_those_of_a_headline_are_wider(tmp_path):
    """Differences of .1, .2, .3, .4, .5: mean .3, standard error sqrt(.025/5), t of 4 degrees of freedom 2.7764."""
    ends = {"grpo": [0.4] * 5, "trace": [0.5, 0.6, 0.7, 0.8, 0.9]}
    alone = entry(compared.summarise(comparison(tmp_path / "one", ends)), "trace")
    half = 2.776445 * 0.005**0.5
    assert alone["headline"]["final"]["low"] == pytest.approx(0.3 - half)
    assert 0.1 < alone["difference"]["final"]["low"] < 0.2
    many = ends | {name: [0.5] * 5 for name in ("pcl", "vip", "gps")}
    among = entry(compared.summarise(comparison(tmp_path / "more", many)), "trace")
    assert among["difference"] == alone["difference"]
    assert among["headline"]["final"]["low"] < alone["headline"]["final"]["low"] - 0.05


def test_an_arm_that_never_learns_is_a_word_in_json(tmp_path):
    found = compared.write(comparison(tmp_path, {"grpo": [0.4] * 5, "trace": [0.6] * 5}))
    assert entry(found, "trace")["mean"]["efficiency"] == "inf"
    assert "\u221e [\u221e, \u221e]" in (tmp_path / "comparison.md").read_text()
    assert json.loads((tmp_path / "comparison.json").read_text()) == found


def test_an_arm_that_the_oracle_tells_is_a_bound_and_no_rival(tmp_path):
    root = comparison(tmp_path, {"grpo": [0.4] * 5, "trace": [0.5, 0.6, 0.7, 0.8, 0.9], "trace-oracle": [0.9] * 5})
    for seed in range(5):
        path = root / run_path(ATLAS, Arm("trace-oracle", "trace-oracle"), seed) / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"predictor": {"name": "oracle"}}))
    found = compared.write(root)
    assert [arm["bound"] for arm in found["arms"]] == [False, False, True]
    half = 2.776445 * 0.005**0.5  # as for one arm
    assert entry(found, "trace")["headline"]["final"]["low"] == pytest.approx(0.3 - half)
    assert "| `trace-oracle` (bound, probes not charged) | 5 |" in (root / "comparison.md").read_text()


def test_a_predictor_that_never_informs_is_not_judged(root):
    path = root / run_path(ATLAS, Arm("grpo", "grpo"), 0) / "metrics.jsonl"
    told = {"informed": False, "root_skill": -0.4, "flips_realised": 0.25}
    records = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(one | ({"predictor": told} if one["step"] else {})) + "\n" for one in records))
    values = entry(compared.summarise(root), "grpo")["values"]
    assert values["root_skill"] == [None, 0.2]
    assert values["flips_realised"] == [0.25, None]


def test_mixed_groups_predicted_and_realised_and_none_in_older_runs(root):
    path = root / run_path(ATLAS, Arm("trace", "trace"), 1) / "metrics.jsonl"
    told = [{"informed": True, "mixed_predicted": 3.0 + step, "mixed_realised": 2.0 * step} for step in (0, 1, 2)]
    told[1] = {"informed": False, "mixed_predicted": None, "mixed_realised": None}  # before anything is known
    lines = [json.dumps(one | {"predictor": told[one["step"]]}) for one in straight(1.0)]
    path.write_text("\n".join(lines) + "\n")
    found = compared.write(root)
    values = entry(found, "trace")["values"]
    assert (values["mixed_predicted"], values["mixed_realised"]) == ([None, 5.0], [None, 4.0])
    assert entry(found, "grpo")["mean"]["mixed_predicted"] is None
    page = (root / "comparison.md").read_text()
    assert "| mixed groups predicted | mixed groups realised |" in page
    assert "| - | - |" in page.partition("| mixed groups predicted |")[2].partition("###")[0]


def test_seconds_by_phase_are_on_the_page(root):
    compared.write(root)
    table = (root / "comparison.md").read_text().partition("### Seconds by phase")[2]
    assert table.strip().startswith("| arm | seeds | CPU, sample | CPU, other | wall, sample | wall, other |")
    assert "| `trace` | 2 | 3.0 (3.0; 3.0) | 1.5 (1.5; 1.5) | 6.0 (6.0; 6.0) | 1.5 (1.5; 1.5) |" in table


def test_where_the_rollouts_went_is_added_up_over_steps_and_seeds(root):
    for seed in range(2):
        path = root / run_path(ATLAS, Arm("trace", "trace"), seed) / "metrics.jsonl"
        went = {"groups": {"2": 3, "10": seed}, "branch_turns": {"1": 4, "odd": 1, "2": None}}
        records = [one | ({"allocation": went} if one["step"] else {}) for one in straight(1.0)]
        path.write_text("".join(json.dumps(one) + "\n" for one in records))
    found = compared.write(root)
    assert found["histograms"].keys() == {"groups", "branch_turns"}
    assert entry(found, "trace")["allocation"] == {"groups": {"2": 12, "10": 2}, "branch_turns": {"1": 16}}
    assert entry(found, "grpo")["allocation"] == {"groups": {}, "branch_turns": {}}


def test_what_runs_cost_has_no_better():
    none = {column.key for column in COLUMNS if column.better == "none"}
    assert none >= {"cpu", "wall", "computed", "cpu_sample", "tokens"}


def test_options_in_common_and_of_each(tmp_path):
    root = comparison(tmp_path, {"grpo": [0.5], "trace": [0.5]})
    path = root / run_path(ATLAS, Arm("trace", "trace"), 0) / "config.json"
    config = json.loads(path.read_text())
    config["learner"]["learning_rate"] = 0.002
    path.write_text(json.dumps(config))
    found = compared.summarise(root)
    assert found["options"] == {"steps": 2}
    assert found["problems"] == []
    assert entry(found, "trace")["options"] == {"learner.learning_rate": 0.002}
    assert entry(found, "trace")["learning_rate"] == 0.002


def test_worlds_together(tmp_path):
    worlds = [ATLAS, World("far", "atlas")]
    found = compared.write(comparison(tmp_path, {"grpo": [0.5, 0.5], "trace": [0.75, 0.75]}, worlds))
    assert found["envs"] == ["atlas", "far"]
    (pooled,) = found["pooled"]
    assert pooled["name"] == "trace"
    assert pooled["difference"]["final"] == {"mean": 0.25, "low": None, "high": None, "seeds": 2, "each": []}
    assert pooled["headline"]["final"]["mean"] == 0.25
    assert pooled["difference"]["efficiency"] is None
    assert "## Difference to grpo, all worlds" in (tmp_path / "comparison.md").read_text()


def test_passes_are_columns_where_they_were_measured(root):
    path = root / run_path(ATLAS, Arm("trace", "trace"), 0) / "metrics.jsonl"
    last = record(2, 200, 0.75)
    last["heldout"]["pass"] = {"1": 0.75, "2": 0.875}
    path.write_text("".join(json.dumps(one) + "\n" for one in [*straight(0.75)[:2], last]))
    found = compared.summarise(root)
    assert [column["title"] for column in found["columns"]][-2:] == ["pass@1", "pass@2"]
    assert entry(found, "trace")["values"]["pass_2"] == [0.875, None]


# What cannot be read ------------------------------------------------------------------------------------------------


def test_a_corrupt_line_is_skipped_and_named(root):
    path = root / run_path(ATLAS, Arm("trace", "trace"), 0) / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:-9], lines[2]]) + "\n")
    found = compared.summarise(root)
    assert len(found["problems"]) == 1
    assert found["problems"][0].startswith("runs/atlas/trace/seed-0/metrics.jsonl, line 2: not JSON")
    assert found["problems"][0].endswith("the line is skipped")
    assert entry(found, "trace")["values"]["final"] == [0.75, 1.0]


def test_runs_that_are_not_finished_are_left_out_and_named(root):
    path = root / run_path(ATLAS, Arm("trace", "trace"), 1) / "metrics.jsonl"
    path.write_text(path.read_text()[:-40])  # killed while it wrote its last record
    (root / run_path(ATLAS, Arm("grpo", "grpo"), 1) / "config.json").unlink()
    found = compared.summarise(root)
    assert [problem.partition(": ")[0] for problem in found["problems"]] == [
        "runs/atlas/grpo/seed-1/config.json",
        "runs/atlas/trace/seed-1/metrics.jsonl, line 3",
        "runs/atlas/trace/seed-1",
    ]
    assert found["problems"][-1].endswith("step 1 of 2, not finished; the run is left out")
    assert [arm["seeds"] for arm in found["arms"]] == [[0], [0]]
    gap = entry(found, "trace")["difference"]["final"]
    assert (gap["mean"], gap["low"], gap["seeds"]) == (0.25, None, 1)
    compared.write(root)
    assert "| `trace` | 1 of 2 |" in (root / "comparison.md").read_text()


def test_an_evaluation_that_says_nothing_is_named(tmp_path):
    records = [record(0, 0, 0.4), record(1, 10, None, heldout={"success": "much"}), record(2, 20, 0.5)]
    write_run(tmp_path / "run", records)
    outcome, problems = read_outcome(tmp_path, Path("run"), {"seed": 0})
    assert problems == ["run/metrics.jsonl: evaluations that cannot be read: 1"]
    assert outcome.tokens.cost.tolist() == [0, 20]


def rewrite(root, arm, seed, records):
    path = root / run_path(ATLAS, Arm(arm, arm), seed) / "metrics.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records))


@pytest.mark.parametrize(
    ("changed", "lacks"),
    [
        ({"heldout": None}, "heldout.success"),
        ({"heldout": {"success": float("nan")}}, "heldout.success"),
        ({"spent": {"sampled_tokens": "many", "rollouts": 20}}, "spent.sampled_tokens"),
        ({"spent": {"sampled_tokens": 10**400, "rollouts": 20}}, "spent.sampled_tokens"),
        ({"spent": [], "heldout": {}}, "heldout.success, spent.sampled_tokens, spent.rollouts"),
    ],
)
def test_a_last_record_without_an_evaluation_moves_no_other_run(root, changed, lacks):
    """Else all were compared at what this run had spent before the evaluation that is left of it."""
    rewrite(root, "trace", 1, [*straight(1.0)[:2], straight(1.0)[2] | changed])
    found = compared.summarise(root)
    assert found["problems"] == [
        f"runs/atlas/trace/seed-1: the record of step 2 holds no readable {lacks}. treeroll compare runs it anew; "
        "the run is left out"
    ]
    assert entry(found, "grpo")["values"]["success_tokens"] == [0.5, 0.75]
    assert entry(found, "trace")["seeds"] == [0]
    assert not is_finished(root / run_path(ATLAS, Arm("trace", "trace"), 1), 2)


def test_numbers_are_found_by_path_or_not_at_all():
    record = {"a": {"b": 2, "bad": "x", "flag": True, "nan": math.nan, "null": None, "huge": 10**400}}
    assert number(record, "a", "b") == 2.0
    assert [number(record, "a", key) for key in record["a"]] == [2.0, None, None, None, None, None]
    assert [number(record, *keys) for keys in (("a",), ("a", "b", "c"), ("z", "b"))] == [None] * 3


def test_a_meter_that_falls_is_damage(root):
    rewrite(root, "trace", 1, [*straight(1.0)[:2], record(2, 7, 1.0)])
    assert compared.summarise(root)["problems"] == [
        "runs/atlas/trace/seed-1: spent.sampled_tokens falls from one record of metrics.jsonl to a later one, so one "
        "of them is damaged. treeroll compare runs it anew; the run is left out"
    ]
    assert not is_finished(root / run_path(ATLAS, Arm("trace", "trace"), 1), 2)


def test_the_run_that_holds_all_others_back_is_named(tmp_path):
    ends = {"grpo": [0.5] * 2, "trace": [0.75] * 2}
    root = comparison(tmp_path / "tokens", ends, unit="tokens")
    rewrite(root, "trace", 1, straight(0.75, tokens=188))
    (problem,) = compared.summarise(root)["problems"]
    assert problem.startswith(
        "atlas: success is compared at 188 tokens because of runs/atlas/trace/seed-1, where the median of the other "
        "runs is 200. "
    )
    rewrite(root, "trace", 1, straight(0.75, tokens=190))  # 5 % less
    assert compared.summarise(root)["problems"] == []
    for unit in ("rollouts", "turns"):  # at equal rollouts, a method may have fewer tokens
        root = comparison(tmp_path / unit, ends, unit=unit)
        rewrite(root, "trace", 1, straight(0.75, tokens=20))
        assert compared.summarise(root)["problems"] == []


def test_steps_that_are_there_twice_are_named_and_count_once(root):
    rewrite(root, "trace", 1, [*straight(1.0), record(2, 200, 0.0)])
    found = compared.summarise(root)
    assert found["problems"] == [
        "runs/atlas/trace/seed-1/metrics.jsonl, line 4: step 2 is there twice: it must come after step 2; the line is "
        "skipped"
    ]
    assert entry(found, "trace")["values"]["final"] == [0.75, 1.0]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("seed", 0, "seed=0 where the plan has seed=1"),
        ("seed", None, "seed=None where the plan has seed=1"),
        ("seed", "one", "seed='one' where the plan has seed=1"),
        ("seed", True, "seed=True where the plan has seed=1"),
        ("method", "grpo", "method='grpo' where the plan has method='trace'"),
        ("env", ["atlas"], "env=['atlas'] where the plan has env='atlas'"),
    ],
)
def test_a_run_that_is_not_the_plans_is_named_and_left_out(root, key, value, said):
    path = root / run_path(ATLAS, Arm("trace", "trace"), 1) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    found = compared.summarise(root)
    assert found["problems"] == [
        f"runs/atlas/trace/seed-1: config.json has {said}: copied from another run, or damaged. Remove the folder, and "
        "treeroll compare runs it anew; the run is left out"
    ]
    assert entry(found, "trace")["seeds"] == [0]


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (None, "config.json has steps=None, expected a whole number"),
        ("2", "config.json has steps='2', expected a whole number"),
        (1, "metrics.jsonl has step 2 where config.json has steps=1: one of them is damaged"),
        (3, "step 2 of 3, not finished"),
    ],
)
def test_why_a_run_does_not_count_as_finished(root, steps, said):
    path = root / run_path(ATLAS, Arm("trace", "trace"), 1) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"steps": steps}))
    assert compared.summarise(root)["problems"] == [f"runs/atlas/trace/seed-1: {said}; the run is left out"]


def test_runs_of_two_commits_are_named(root):
    (root / run_path(ATLAS, Arm("grpo", "grpo"), 0) / "run.json").write_text('{"commit": "def"}')
    assert compared.summarise(root)["problems"] == ["the runs are not all of one commit: abc, def"]


def test_runs_of_one_arm_must_have_its_options(root):
    path = root / run_path(ATLAS, Arm("grpo", "grpo"), 1) / "config.json"
    path.write_text(path.read_text().replace("0.001", "0.5"))
    assert compared.summarise(root)["problems"] == ["grpo on atlas: its runs differ in learner.learning_rate"]


def test_an_option_that_an_older_run_lacks_is_no_difference(tmp_path):
    root = comparison(tmp_path, {"grpo": [0.5, 0.5], "trace": [0.5, 0.5]})
    for seed in range(2):
        path = root / run_path(ATLAS, Arm("trace", "trace"), seed) / "config.json"
        config = json.loads(path.read_text()) | ({"budget": {"worth": 0.0}, "zeal": 1, "amount": 1} if seed else {})
        path.write_text(json.dumps(config))
    found = compared.summarise(root)
    assert found["problems"] == []
    assert found["options"]["budget.worth"] == 0.0
    assert entry(found, "trace")["options"] == {}


def test_differences_between_runs_are_named_in_order(root):
    for seed in range(2):
        path = root / run_path(ATLAS, Arm("trace", "trace"), seed) / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | dict.fromkeys("zcbay", seed)))
    assert [said[-1] for said in compared.summarise(root)["problems"]] == list("abcyz")


def test_nothing_run_yet(tmp_path):
    comparison(tmp_path / "other", {"grpo": [0.5]})
    (tmp_path / "plan.json").write_text((tmp_path / "other" / "plan.json").read_text())
    found = compared.write(tmp_path)
    assert found["arms"] == []
    assert found["target"] == {"atlas": None}
    assert found["problems"] == ["runs/atlas/grpo/seed-0: not run"]


def test_no_comparison_and_a_damaged_one(tmp_path):
    with pytest.raises(DataError, match="no comparison is there"):
        read_plan(tmp_path)
    (tmp_path / "plan.json").write_text('{"arms": []}')
    with pytest.raises(DataError, match=r"plan\.json: damaged"):
        read_plan(tmp_path)
    comparison(tmp_path / "other", {"grpo": [0.5]}, reference="trace")
    with pytest.raises(DataError, match="its reference 'trace' is none of its arms"):
        read_plan(tmp_path / "other")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": "x"}, "target: 'x' is not a finite number"),
        ({"target": True}, "target: True is not a finite number"),
        ({"rates": [None]}, "rates: None is not a finite number"),
        ({"about": [1]}, r"about: \[1\] is not an object"),
        ({"seeds": "ab"}, "seeds: 'a' is not a whole number"),
        ({"trees": ["all"]}, r"trees: \['all'\] is not one of all, last, none"),
        ({"unit": 5}, "unit: 5 is not a text"),
        ({"options": [1]}, r"options: \[1\] is not an object of texts"),
        ({"arms": [{"name": 5, "method": "grpo"}]}, "arm 5: 5 is not a text"),
        ({"worlds": [{"name": "a", "env": "atlas", "options": {"steps": 1}}]}, "options of world 'a': {'steps': 1} is"),
    ],
)
def test_a_plan_of_other_types_is_damaged(root, change, said):
    path = root / "plan.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=rf"plan\.json: damaged: {said}.*Mend it there, or start a new folder"):
        read_plan(root)


def test_a_plan_nested_too_deep_is_damaged(root):
    """600 levels can be parsed, but not walked through."""
    path = root / "plan.json"
    path.write_text(path.read_text().replace('"about": {}', '"about": ' + '{"a":' * 600 + "1" + "}" * 600))
    with pytest.raises(DataError, match=r"plan\.json: cannot be read as JSON: nested deeper than 100 levels"):
        compared.write(root)


def test_the_plan_comes_back_as_it_was(root):
    plan = read_plan(root)
    plan.save(root / "again")
    assert read_plan(root / "again") == plan


def test_folders_of_names():
    assert slug("grpo:budget.group=4") == "grpo_budget.group=4"
    arm = Arm("a b", "grpo")
    assert sweep_path(ATLAS, arm, 0.0015, 1000).as_posix() == "sweep/atlas/a_b/rate-0.0015/seed-1000"


def test_finished(root):
    folder = root / run_path(ATLAS, Arm("grpo", "grpo"), 0)
    assert is_finished(folder, 2)
    assert not is_finished(folder, 3)
    assert not is_finished(root / "nowhere", 2)


# Sweeps -------------------------------------------------------------------------------------------------------------


def test_the_best_rate_of_a_sweep(tmp_path):
    """0.001 ends with 0.5 and 0.7, 0.002 with 0.6 and 0.6, 0.004 once with 1.0 and once not at all."""
    root = comparison(tmp_path, {"grpo": [0.5]}, rates=(0.001, 0.002, 0.004), sweep_seeds=(1000, 1001))
    plan, arm = read_plan(root), Arm("grpo", "grpo")
    for rate, ends in ((0.001, (0.5, 0.75)), (0.002, (0.625, 0.625)), (0.004, (1.0,))):
        for seed, end in enumerate(ends, start=1000):
            write_run(root / sweep_path(ATLAS, arm, rate, seed), straight(end), seed=seed)
    values, problems = tried(root, plan)
    assert [entry["values"] for entry in values] == [[0.5, 0.75], [0.625, 0.625], [1.0, None]]
    assert problems == ["sweep/atlas/grpo/rate-0.004/seed-1001: not run"]
    assert best_rate(values, ATLAS, arm) == 0.001  # a tie: the smaller one
    assert best_rate(values[2:], ATLAS, arm) is None
    assert compared.summarise(root)["sweep"] == values
    compared.write(root)
    assert "| atlas, `grpo` | 0.004 | 1.000 - |" in (root / "comparison.md").read_text()


def test_the_page_says_what_was_measured(root):
    compared.write(root)
    page = (root / "comparison.md").read_text()
    assert "Target: held-out success of 0.625." in page
    assert "| `trace` | +0.250 (+0.250; +0.250) |" in page
    assert "0.625 (0.500; 0.750)" in page


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((0.066, 0.04, 0.09), "+0.066 [+0.040, +0.090]"),
        ((0.0004, -0.0002, 0.001), "+0.0004 [-0.0002, +0.0010]"),
        ((0.0, 0.0, 0.0), "0"),
        ((0.0, -0.25, 0.25), "+0.000 [-0.250, +0.250]"),
        ((0.5, None, None), "+0.500 (3 seeds)"),
        ((None, None, None), "-"),
    ],
)
def test_differences_keep_two_digits(numbers, words):
    assert table.cell(numbers, 3, sign=True, seeds=3) == words


def test_small_numbers_keep_two_digits():
    assert table.cell((0.04, 0.03, 0.05), 0) == "0.040 [0.030, 0.050]"
    assert table.cell((12345.6, None, None), 0) == "12,346"
    assert table.cell((0.0, 0.0, 0.0), 2) == "0.00 [0.00, 0.00]"
    assert table.cell((0.5, None, None), 3, each=[0.25, 0.75, None]) == "0.500 (0.250; 0.750)"
    assert table.cell((-0.0003, None, None), 3, each=[0.0125, -0.0131]) == "-0.000 (0.013; -0.013)"
