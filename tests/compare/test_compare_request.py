import pytest

from comparison_runs import record
from treeroll.compare.arms import parse_arms, parse_seeds, parse_sweep, parse_worlds
from treeroll.compare.jobs import check_same, reported, sweeping
from treeroll.compare.request import Request, make_plan, resolved
from treeroll.comparison.plan import Arm, World
from treeroll.config import Config
from treeroll.errors import ConfigError, DataError
from treeroll.sinks import RunFolder, tree_steps, trees_file


@pytest.fixture
def plan(tmp_path):
    """Plans of requests; the folder holds nothing unless a test saves a plan there."""

    def made(methods="trace,grpo", **changed):
        return make_plan(Request(methods=methods, out=tmp_path, seeds=changed.pop("seeds", "2"), **changed))

    return made


def fails(call, *words, **named):
    with pytest.raises(ConfigError) as raised:
        call(*words, **named)
    return str(raised.value)


def names(plan):
    return [arm.name for arm in plan.arms]


# Words --------------------------------------------------------------------------------------------------------------


def test_arms():
    assert parse_arms("trace, grpo:budget.group=4,small=grpo:budget.group=2:learner.rise=3,") == (
        Arm("trace", "trace"),
        Arm("grpo:budget.group=4", "grpo", {"budget.group": "4"}),
        Arm("small", "grpo", {"budget.group": "2", "learner.rise": "3"}),
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("tracee", "unknown method 'tracee'. Did you mean 'trace'?"),
        ("grpo:group", "'group' is not an option. Write it as key=value, e.g. budget.group=4"),
        ("grpo:seed=3", "seed=3 is set by the comparison. Name seeds in --seeds"),
        ("grpo:trees_every=2", "trees_every=2 is set by the comparison. Say which trees are saved in --trees"),
        ("grpo,grpo", "--methods: grpo, grpo have one name. Give one of them another: NAME=grpo"),
        ("", "--methods names nothing"),
    ],
)
def test_arms_that_are_none(words, message):
    assert message in fails(parse_arms, words)


def test_worlds():
    assert parse_worlds("atlas,long=atlas:budget.tokens=9000") == (
        World("atlas", "atlas"),
        World("long", "atlas", {"budget.tokens": "9000"}),
    )


def test_worlds_of_ones_own():
    assert parse_worlds("games:higher,low=games:higher:world.largest=7") == (
        World("games:higher", "games:higher"),
        World("low", "games:higher", {"world.largest": "7"}),
    )


def test_values_of_worlds_may_have_colons():
    (world,) = parse_worlds("musique:world.data=a/b:train:world.retrieval=http://127.0.0.1:80:world.passages=2")
    assert world.options == {
        "world.data": "a/b:train", "world.retrieval": "http://127.0.0.1:80", "world.passages": "2"
    }  # fmt: skip


def test_a_worlds_own_options_are_held_against_it_before_any_run_starts(plan, tmp_path):
    problems = tmp_path / "problems.jsonl"
    problems.write_text('{"problem": "1 + 1", "answer": "2"}\n' * 4)
    assert plan(envs=f"math:world.data={problems}:world.tool=none")
    assert "has no option 'tol'" in fails(plan, envs=f"math:world.data={problems}:world.tol=none")


def test_seeds():
    assert parse_seeds("3") == (0, 1, 2)
    assert parse_seeds("3,5,9") == (3, 5, 9)
    assert parse_seeds("3,") == (3,)
    for words in ("0", "1,1", "-1", "a", ""):
        assert "--seeds" in fails(parse_seeds, words)


def test_sweeps():
    assert parse_sweep(None, 2, [0]) == ((), ())
    assert parse_sweep("2e-3,1e-3", 2, [0]) == ((0.001, 0.002), (1000, 1001))
    assert "two or more different rates" in fails(parse_sweep, "1e-3,1e-3", 2, [0])
    assert "must be numbers" in fails(parse_sweep, "fast,slow", 2, [0])
    assert "none that is reported" in fails(parse_sweep, "1e-3,2e-3", 2, [1001])
    assert "--sweep-seeds 0" in fails(parse_sweep, "1e-3,2e-3", 0, [1])


# Plans --------------------------------------------------------------------------------------------------------------


def test_grpo_is_shown_at_the_group_size_and_the_number_of_tasks_of_small_groups(plan):
    """128 rollouts: 16 tasks in groups of 8, and 32 in groups of 4, as small as TRACE's may be."""
    made, notes = plan()
    assert names(made) == ["trace", "grpo", "grpo-4"]
    assert made.reference == "grpo"
    assert len(notes) == 1
    assert "added grpo-4" in notes[0]
    configs = [resolved(made, made.worlds[0], arm, 0) for arm in made.arms[1:]]
    assert [config.pool(10**6) for config in configs] == [16, 32]


def test_the_partner_has_the_groups_that_trace_may_have(plan):
    assert names(plan("trace:budget.min_group=2,grpo")[0])[-1] == "grpo-2"
    assert names(plan("grpo")[0]) == ["grpo", "grpo-4"]


@pytest.mark.parametrize(
    ("methods", "changed"),
    [
        ("trace,grpo", {"pair": False}),
        ("trace,pcl", {}),
        ("trace,grpo,four=grpo:budget.group=4", {}),
        ("trace:budget.min_group=8,grpo", {}),
        ("trace,grpo", {"options": ["budget.group=4"]}),
    ],
)
def test_no_partner_where_it_is_not_wanted_or_there_already(plan, methods, changed):
    made, notes = plan(methods, **changed)
    assert names(made) == [arm.name for arm in parse_arms(methods)]
    assert notes == []


@pytest.mark.parametrize(
    ("methods", "changed", "message"),
    [
        ("trace,grpo", {"options": ["budget.min_group=2"]}, "arm 'grpo' on atlas: budget.min_group=2, but method"),
        ("trace:budget.rollouts=4,grpo", {}, "arm 'trace:budget.rollouts=4' on atlas: budget.rollouts=4 leaves"),
        ("grpo:budget.gruop=4", {}, "unknown option 'budget.gruop'. Did you mean 'budget.group'?"),
        ("grpo", {"envs": "atlsa"}, "unknown world 'atlsa'"),
        ("grpo", {"reference": "trace"}, "--reference 'trace' is not among the arms"),
        ("grpo", {"unit": "tokens"}, "--budget-unit tokens needs the tokens of a step on atlas: give budget.tokens=N"),
        ("grpo", {"unit": "steps"}, "--budget-unit steps: unknown"),
        ("trace,grpo:budget.turns=900", {}, "budgets must be in one unit to be compared"),
        ("grpo", {"unit": "rollouts", "options": ["budget.tokens=2200"]}, "has a budget in tokens. Leave out one"),
        ("grpo:learner.learning_rate=1e-3", {"sweep": "1e-3,2e-3"}, "which grpo:learner.learning_rate=1e-3 sets"),
        ("grpo", {"options": ["model=nowhere/at/all"]}, "nowhere/at/all"),
    ],
)
def test_what_cannot_work_is_named_before_anything_starts(plan, tmp_path, methods, changed, message):
    assert message in fails(plan, methods, **changed)
    assert list(tmp_path.iterdir()) == []


def test_one_budget_for_all_arms(plan):
    made, _ = plan(unit="tokens", options=["budget.tokens=2200"])
    assert made.unit == "tokens"
    configs = [resolved(made, world, arm, 0) for world, arm in made.cells()]
    assert {(config.budget.unit, config.budget.amount) for config in configs} == {("tokens", 2200)}
    assert {config.threads for config in configs} == {1}


def test_worlds_may_have_budgets_of_their_own(plan):
    made, _ = plan("grpo", unit="tokens", envs="atlas:budget.tokens=2200,far=atlas:budget.tokens=9000")
    budgets = {world.name: resolved(made, world, arm, 0).budget.amount for world, arm in made.cells()}
    assert budgets == {"atlas:budget.tokens=2200": 2200, "far": 9000}


def test_arms_worlds_and_seeds_may_be_added(plan, tmp_path):
    plan("trace,grpo", seeds="2")[0].save(tmp_path)
    made, _ = plan("pcl", seeds="1,5", envs="far=atlas", pair=False)
    assert names(made) == ["trace", "grpo", "grpo-4", "pcl"]
    assert made.seeds == (0, 1, 5)
    assert [world.name for world in made.worlds] == ["atlas", "far"]
    assert made.reference == "grpo"


def test_a_sweep_cannot_change(plan, tmp_path):
    plan("grpo", sweep="1e-3,2e-3")[0].save(tmp_path)
    assert "--sweep 0.001,0.002 over seeds 1000,1001, not none" in fails(plan, "grpo")


# Jobs ---------------------------------------------------------------------------------------------------------------


def test_all_arms_of_a_seed_come_before_the_next_seed(plan, tmp_path):
    made, _ = plan(envs="atlas,far=atlas", pair=False)
    assert [job.name for job in reported(tmp_path, made)][:5] == [
        "atlas trace seed 0",
        "atlas grpo seed 0",
        "far trace seed 0",
        "far grpo seed 0",
        "atlas trace seed 1",
    ]


def test_jobs_of_a_sweep_and_what_it_chose(plan, tmp_path):
    made, _ = plan(pair=False, sweep="1e-3,2e-3", seeds="1")
    jobs = sweeping(tmp_path, made)
    assert len(jobs) == 2 * 2 * 2
    assert {(job.config.seed, job.config.learner.learning_rate) for job in jobs} == {
        (seed, rate) for seed in (1000, 1001) for rate in (0.001, 0.002)
    }
    chosen = reported(tmp_path, made, {("atlas", "trace"): 0.002, ("atlas", "grpo"): None})
    assert [(job.name, job.config.learner.learning_rate) for job in chosen] == [("atlas trace seed 0", 0.002)]


def test_close_rates_have_runs_of_their_own(plan, tmp_path):
    rates = (0.0010000001, 0.0010000002)
    made, _ = plan("grpo", pair=False, sweep=",".join(map(repr, rates)), sweep_seeds=1)
    jobs = sweeping(tmp_path, made)
    assert [job.config.learner.learning_rate for job in jobs] == list(rates)
    assert [job.folder.parent.name for job in jobs] == ["rate-0.0010000001", "rate-0.0010000002"]
    assert len({job.name for job in jobs}) == 2


def begun(job):
    """Whether a run starts or goes on, once room was made for it."""
    job.prepare()
    return job.arguments()[0]


def test_a_damaged_run_is_run_anew(plan, tmp_path):
    """Finished, so without checkpoints; then its last record was damaged."""
    made, _ = plan("grpo", pair=False, seeds="1", options=["steps=1"])
    (job,) = reported(tmp_path, made)
    folder = RunFolder.create(job.folder, job.config.to_dict())
    for step in (0, 1):
        folder.append_metrics(record(step, step, 0.5))
    assert job.damage is None
    metrics = job.folder / "metrics.jsonl"
    metrics.write_text('{"step":0}\n{"step":')
    folder.checkpoint(1).mkdir(parents=True)
    assert (job.damage, begun(job)) == (None, "resume")  # it goes on from there
    folder.checkpoint(1).rmdir()
    assert job.damage.startswith(f"{metrics}, line 2: not JSON (")
    assert begun(job) == "start"
    assert not job.folder.exists()
    assert job.damage is None
    (kept,) = job.folder.parent.iterdir()
    assert kept.name == "seed-0.damaged-1"
    assert (kept / "metrics.jsonl").read_text() == '{"step":0}\n{"step":'


def test_damaged_folders_are_set_aside_under_the_first_free_number(plan, tmp_path):
    (job,) = reported(tmp_path, plan("grpo", pair=False, seeds="1")[0])
    for number in ("1", "3"):
        job.folder.with_name(f"seed-0.damaged-{number}").mkdir(parents=True)
    for number in ("2", "4"):
        job.folder.mkdir()
        (job.folder / number).write_text("what there was")
        kept = job.prepare()
        assert kept.name == f"seed-0.damaged-{number}"
        assert (kept / number).exists()


def test_trees_without_options_and_records_are_set_aside(plan, tmp_path):
    (job,) = reported(tmp_path, plan("grpo", pair=False, seeds="1")[0])
    folder = RunFolder.create(job.folder, job.config.to_dict())
    folder.write_trees(1, [])
    for name in ("config.json", "metrics.jsonl"):
        (job.folder / name).unlink()
    assert job.damage.startswith(f"{job.folder / 'config.json'}: no such file")
    assert begun(job) == "start"
    assert trees_file(job.folder.with_name("seed-0.damaged-1"), 1).exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "cannot be read as JSON"), ("", "cannot be read as JSON"), ("[]", "holds a list"), (None, "no such")],
)
def test_a_run_without_its_options_is_run_anew_and_holds_up_no_other(plan, tmp_path, text, said):
    made, _ = plan("grpo", pair=False, options=["steps=1"])
    jobs = reported(tmp_path, made)
    for job in jobs:
        folder = RunFolder.create(job.folder, job.config.to_dict())
        for step in (0, 1):
            folder.append_metrics(record(step, step, 0.5))
    first, second = jobs
    config = first.folder / "config.json"
    if text is None:
        config.unlink()
    else:
        config.write_text(text)
    check_same(jobs)
    assert [job.finished for job in jobs] == [False, True]
    assert first.damage.startswith(f"{config}: {said}")
    assert second.damage is None
    assert (begun(first), first.folder.exists(), second.finished) == ("start", False, True)


def test_options_that_the_system_does_not_let_be_read_are_not_taken_for_damaged(plan, tmp_path):
    made, _ = plan("grpo", pair=False, seeds="1", options=["steps=1"])
    (job,) = reported(tmp_path, made)
    (job.folder / "config.json").mkdir(parents=True)
    for asked in (lambda: job.damage, job.prepare, lambda: check_same([job])):
        with pytest.raises(DataError, match=r"config\.json: cannot be read"):
            asked()
    assert job.folder.exists()


def test_a_run_of_options_that_this_version_does_not_know_is_named(plan, tmp_path):
    made, _ = plan("grpo", pair=False, seeds="1")
    (job,) = reported(tmp_path, made)
    RunFolder.create(job.folder, job.config.to_dict() | {"zeal": 1})
    message = fails(check_same, [job])
    assert message.startswith(f"{job.folder / 'config.json'}: ")
    assert "'zeal'" in message
    assert message.endswith("Remove its folder to run it anew, or start elsewhere: --out DIR")


def test_a_last_record_without_an_evaluation_is_damage_even_beside_a_checkpoint(plan, tmp_path):
    """To go on would not evaluate again."""
    made, _ = plan("grpo", pair=False, seeds="1", options=["steps=1"])
    (job,) = reported(tmp_path, made)
    folder = RunFolder.create(job.folder, job.config.to_dict())
    folder.append_metrics(record(0, 0, 0.5))
    folder.append_metrics(record(1, 1, None))
    folder.checkpoint(1).mkdir(parents=True)
    assert not job.finished
    assert job.damage == "the record of step 1 holds no readable heldout.success"
    assert begun(job) == "start"


def test_a_finished_run_whose_meter_falls_is_run_anew(plan, tmp_path):
    """While it is unfinished it may go on: from a checkpoint, which may drop the record that is wrong."""
    for steps, damaged in ((2, True), (3, False)):
        made, _ = plan("grpo", pair=False, seeds="1", options=[f"steps={steps}"])
        (job,) = reported(tmp_path / str(steps), made)
        folder = RunFolder.create(job.folder, job.config.to_dict())
        for step, tokens in enumerate((0, 20, 10)):
            folder.append_metrics(record(step, tokens, 0.5))
        assert not job.finished
        assert begun(job) == ("start" if damaged else "resume")
        assert job.folder.with_name("seed-0.damaged-1").exists() == damaged


def test_a_run_that_was_stopped_before_its_first_checkpoint_is_not_damaged(plan, tmp_path):
    made, _ = plan("grpo", pair=False, seeds="1", options=["steps=2"])
    (job,) = reported(tmp_path, made)
    RunFolder.create(job.folder, job.config.to_dict()).append_metrics({"step": 0})
    assert (job.damage, begun(job)) == (None, "resume")


def test_a_run_of_other_options_is_named(plan, tmp_path):
    made, _ = plan("grpo", pair=False, options=["steps=3"])
    first, second = reported(tmp_path, made)
    RunFolder.create(first.folder, first.config.to_dict() | {"out": str(first.folder), "threads": 4})
    check_same([first, second])
    changed, _ = plan("grpo", pair=False, options=["steps=4", "learner.rise=2"])
    message = fails(check_same, reported(tmp_path, changed))
    assert f"{first.folder} holds a run with other options: steps=4 (was 3), learner.rise=2 (was 15)" in message
    check_same(reported(tmp_path, changed), ("steps", "learner.rise"))


def test_a_finished_run_keeps_no_checkpoint(plan, tmp_path):
    (job,) = reported(tmp_path, plan("grpo", pair=False, seeds="1")[0])
    folder = RunFolder.create(job.folder, job.config.to_dict())
    folder.write_trees(20, [])
    folder.checkpoint(20).mkdir(parents=True)
    job.tidy()
    job.tidy()
    assert not (job.folder / "checkpoints").exists()
    assert tree_steps(job.folder) == [20]


def test_runs_save_the_trees_that_are_wanted_and_those_of_a_sweep_none(plan, tmp_path):
    saved = {"all": range(1, 42), "last": [20, 40, 41], "none": []}
    for kept, steps in saved.items():
        made, _ = plan("grpo", pair=False, seeds="1", options=["steps=41"], trees=kept, sweep="1e-3,2e-3")
        (job,), swept = reported(tmp_path, made), sweeping(tmp_path, made)
        assert [step for step in range(1, 42) if job.config.keeps_trees(step)] == list(steps)
        assert {one.config.trees_every for one in swept} == {0}
        for one in (job, *swept):
            assert Config.resolve(one.words).trees_every == one.config.trees_every


def test_which_trees_are_saved_may_change_while_a_comparison_grows(plan, tmp_path):
    made, _ = plan("grpo", pair=False, seeds="1")
    (job,) = reported(tmp_path, made)
    RunFolder.create(job.folder, job.config.to_dict())
    again = reported(tmp_path, plan("grpo", pair=False, seeds="1", trees="all")[0])
    check_same(again)
    assert again[0].arguments() == ["resume", str(job.folder), "trees_every=1"]


def test_a_partner_of_an_earlier_version_keeps_its_name(plan, tmp_path):
    plan("grpo,grpo:budget.group=4")[0].save(tmp_path)
    made, notes = plan("trace,grpo")
    assert names(made) == ["grpo", "grpo:budget.group=4", "trace"]
    assert notes == []
