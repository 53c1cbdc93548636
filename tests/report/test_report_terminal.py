import pytest

from treeroll import cli
from treeroll.errors import DataError
from treeroll.report.drawing import draw
from treeroll.report.terminal import choose, load_step, ranges
from treeroll.sinks import RunFolder

WITH_CREDIT = """\
Which currency is used where Lyon lies?
± 2 of 4 succeed; 2 rollouts, predicted success 0.50, expected contrast 0.50, rank 1
├─ rollout 1: ✓ answer, reward 1
│   1  +0.50  Action: search[Lyon country] -> Lyon: located in France. Area 47.9 sq km....
│   2      .  Action: answer[euro]"""


def test_credit_stands_before_the_turn(mixed_tree):
    lines = list(draw(mixed_tree, 90, [None, 0.5, None, -0.5, 0, 0, 0]))
    assert "\n".join("".join(text for text, _ in line) for line in lines[:5]) == WITH_CREDIT
    roles = {role for line in lines for _, role in line}
    assert {"success", "failure", "mixed", "later", "up", "down", "zero"} <= roles


def test_a_step_is_drawn_as_plain_text_into_a_pipe(run_dir, mixed_tree, capsys):
    RunFolder.open(run_dir).write_trees(3, [mixed_tree])
    assert cli.main(["tree", str(run_dir), "--step", "3"]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert printed.startswith("step 3, tree 0, task lyon; Credit is not shown: the configuration does not name a rule")
    assert "├─ rollout 1: ✓ answer, reward 1\n" in printed
    assert max(map(len, printed.splitlines()[1:])) <= 100


def test_a_terminal_gets_colours(run_dir, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert cli.main(["tree", str(run_dir), "--step", "3"]) == 0
    assert "\x1b[" in capsys.readouterr().out


def test_what_text_says_cannot_steer_the_terminal_or_be_markup(run_dir, mixed_tree, capsys):
    hostile = "[red]x[/red] \x1b[2J \u202e"
    tree = type(mixed_tree)(type(mixed_tree.task)(hostile, hostile), mixed_tree.nodes, step=3)
    RunFolder.open(run_dir).write_trees(3, [tree])
    assert cli.main(["tree", str(run_dir), "--step", "3"]) == 0
    printed = capsys.readouterr().out
    assert "[red]x[/red] \ufffd[2J \ufffd" in printed
    assert "\x1b" not in printed


def test_trees_are_chosen(run_dir):
    step, trees = load_step(run_dir, None)
    assert step == 12
    mixed = choose(trees, mixed=True)
    assert 0 < len(mixed) <= len(trees) == 6
    assert choose(trees, first=2) == [0, 1]
    assert choose(trees, mixed=True, first=1) == mixed[:1]
    assert choose(trees, task="atlas-12-4") == [4]
    assert len(choose(trees)) == 1
    assert choose(trees)[0] in mixed


def test_what_is_not_there_is_named(run_dir, tmp_path):
    with pytest.raises(DataError, match="no such run folder"):
        load_step(tmp_path / "none", None)
    with pytest.raises(DataError, match="no trees are saved"):
        load_step(RunFolder.create(tmp_path / "empty", {}, {}).path, None)
    (run_dir / "trees" / "step-0005.jsonl.gz").unlink()
    with pytest.raises(DataError, match=r"step 99 has no saved trees .* Steps that have: 1 to 4, 6 to 12$"):
        load_step(run_dir, 99)
    RunFolder.open(run_dir).write_trees(6, [])
    with pytest.raises(DataError, match="holds no trees"):
        load_step(run_dir, 6)
    _, trees = load_step(run_dir, 1)
    with pytest.raises(DataError, match=r"no tree of this step is of task 'atlas-1-9'\. Did you mean 'atlas-1-"):
        choose(trees, task="atlas-1-9")
    same = [tree for tree in trees if len({tree.succeeded(leaf) for leaf in tree.leaves}) == 1]
    with pytest.raises(DataError, match="holds both a success and a failure"):
        choose(same, mixed=True)


def test_errors_reach_the_command_line(run_dir, capsys):
    assert cli.main(["tree", str(run_dir), "--step", "99"]) == 2
    assert "Steps that have: 1 to 12" in capsys.readouterr().err
    assert cli.main(["tree", str(run_dir), "--first", "0"]) == 2
    assert "draw 1 tree or more" in capsys.readouterr().err


def test_steps_in_words():
    assert ranges([1, 2, 3, 5, 8, 9]) == "1 to 3, 5, 8 to 9"
