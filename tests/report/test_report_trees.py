import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treeroll.report import branches
from treeroll.report.drawing import one_line
from treeroll.report.trees import NESTING, outcome_of, view
from treeroll.tree import Node, Origin, RolloutTree, Task

DRAWING = """\
Which currency is used where Lyon lies?
± 2 of 4 succeed; 2 rollouts, predicted success 0.50, expected contrast 0.50, rank 1
├─ rollout 1: ✓ answer, reward 1
│   1  Action: search[Lyon country] -> Lyon: located in France. Area 47.9 sq km. Time z...
│   2  Action: answer[euro]
└─ rollout 2: ± 1 of 3 succeed
    1  Action: search[Lyon country] -> Lyon: located in France. Area 47.9 sq km. Time z...
    *  2 continuations of a failed rollout, predicted success 0.70, expected contrast
       0.91, rank 1
   ├─ as first sampled: ✗ answer, reward 0
   │   2  Action: answer[I cannot tell, perhaps the dollar]
   ├─ continuation 1 of 2: ✓ answer, reward 1
   │   2  Action: answer[euro]
   └─ continuation 2 of 2: ✗ answer, reward 0
       2  Action: answer[I cannot tell, perhaps the dollar]"""


def node(parent, text="", observation="", *, reward=None, stop_reason=None, origin=None):
    empty = np.zeros(0)
    return Node(
        parent, empty.astype(np.int32), empty.astype(np.bool_), empty.astype(np.float32), text, observation, reward,
        stop_reason, origin or Origin("bare" if parent >= 0 else "root"),
    )  # fmt: skip


def test_a_tree_is_drawn_as_its_branches(mixed_tree):
    drawn = branches(mixed_tree, width=90)
    assert drawn == DRAWING
    assert max(map(len, drawn.splitlines())) <= 90


def test_a_view_counts_leaves_and_segments(mixed_tree):
    shown = view(mixed_tree)
    assert (shown.successes, shown.leaves) == (2, 4)
    first, second = shown.rollouts
    assert [(turn.node, turn.number) for turn in first.turns] == [(1, 1), (2, 2)]
    assert (first.outcome, first.ending, first.children) == ("success", "answer, reward 1", ())
    assert (second.outcome, second.successes, second.leaves, second.ending) == ("mixed", 1, 3, "")
    assert [child.label for child in second.children] == [
        "as first sampled", "continuation 1 of 2", "continuation 2 of 2",
    ]  # fmt: skip
    assert [child.kind for child in second.children] == ["bare", "continuation", "continuation"]


def test_a_tree_without_rollouts_is_its_question():
    assert (
        branches(RolloutTree(Task("a", "Where?"), (node(-1, "You are an agent.\nWhere?"),))) == "Where?\n? unfinished"
    )


def test_unfinished_and_unscored_rollouts_are_told_apart():
    crashed = node(0, "boom", stop_reason="error: the tool failed")
    late = node(0, "x", reward=0.0, stop_reason="turn limit")
    tree = RolloutTree(Task("a", "Where?"), (node(-1), node(0, "search"), crashed, late))
    endings = [(part.outcome, part.ending) for part in view(tree).rollouts]
    assert endings == [
        ("unfinished", "unfinished"),
        ("unfinished", "error: the tool failed, no reward"),
        ("failure", "turn limit, reward 0"),
    ]


def test_two_rounds_at_one_prefix_are_two_reasons():
    rounds = [Origin("continuation", round=r, anchor=1, count=1, outcome=0.0, propensity=0.25) for r in (1, 2)]
    done = {"reward": 1.0, "stop_reason": "answer"}
    nodes = (node(-1), node(0), node(1, **done), node(1, **done, origin=rounds[0]), node(1, **done, origin=rounds[1]))
    (rollout,) = view(RolloutTree(Task("a", "Where?"), nodes)).rollouts
    assert rollout.branching == (
        "1 continuation of a failed rollout, chosen with probability 0.25",
        "1 continuation of a failed rollout in round 2, chosen with probability 0.25",
    )


def test_a_blind_choice_names_the_outcome_and_that_it_was_not_looked_at():
    why = Origin(
        "continuation", round=1, anchor=1, count=2, gain=0.03, outcome=1.0, blind=True, score=0.00612, promised=0.0059,
        price=0.0021,
    )  # fmt: skip
    done = {"reward": 1.0, "stop_reason": "answer"}
    nodes = (node(-1), node(0), node(1, **done), *(node(1, **done, origin=why) for _ in range(2)))
    (rollout,) = view(RolloutTree(Task("a", "Where?"), nodes)).rollouts
    assert rollout.branching == (
        "2 continuations of a successful rollout, expected contrast 0.03, chosen without a look at the outcome, "
        "score 0.00612 a unit of cost, price 0.0021 (first rollout 0.0059)",
    )


def test_branches_beyond_the_nesting_are_counted():
    nodes = [node(-1)]
    for depth in range(NESTING + 5):
        parent = 0 if depth == 0 else 2 * depth - 1
        nodes += [node(parent, "go on"), node(parent, "stop", reward=0.0, stop_reason="answer")]
    tree = RolloutTree(Task("a", "Where?"), tuple(nodes))
    drawn = branches(tree)
    assert drawn.count(" stop") == NESTING
    assert "5 leaves below are not drawn" in drawn


def test_a_tree_without_nodes_is_an_error():
    with pytest.raises(ValueError, match="no nodes"):
        branches(RolloutTree(Task("a", "Where?"), ()))


def test_control_characters_cannot_steer_a_terminal():
    hostile = "\x1b[2J\x1b]0;owned\x07 \u202eright to left \x9b31m"
    tree = RolloutTree(
        Task("a", hostile), (node(-1), node(0, hostile, hostile), node(1, hostile, reward=1.0, stop_reason=hostile))
    )
    drawn = branches(tree)
    assert all(char.isprintable() for char in drawn.replace("\n", ""))


@given(text=st.text(max_size=200), width=st.integers(4, 60))
@settings(max_examples=60, deadline=None)
def test_one_line_fits_and_prints(text, width):
    line = one_line(text, width)
    assert len(line) <= width
    assert line.isprintable()


@pytest.mark.parametrize(
    ("successes", "leaves", "outcome"),
    [(0, 0, "unfinished"), (2, 2, "success"), (0, 2, "failure"), (1, 2, "mixed")],
)
def test_outcomes_of_sets_of_leaves(successes, leaves, outcome):
    assert outcome_of(successes, leaves) == outcome
