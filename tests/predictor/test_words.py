import numpy as np
import pytest

from handmade import bare, plant
from treeroll.predictor.words import KEPT, SHRINK, WordRecord
from treeroll.tree import Node, RolloutTree, Task


def prompt(*tokens: int) -> Node:
    size = len(tokens)
    return Node(-1, np.array(tokens, np.int32), np.zeros(size, np.bool_), np.zeros(size, np.float32))


def tree(tokens: tuple[int, ...], *rewards: float) -> RolloutTree:
    asked = RolloutTree(Task("t", "?"), (prompt(*tokens),))
    for reward in rewards:
        asked = bare(asked, reward)
    return asked


def logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


def test_evidence_by_hand() -> None:
    record = WordRecord()
    record.update([tree((1, 2), 1.0, 1.0, 1.0, 0.0), tree((1, 3, 3), 0.0, 0.0, 0.0, 0.0)])
    mean = 3 / 8
    words = {1: (3, 8), 2: (3, 4), 3: (0, 4)}
    told = {word: logit((won + SHRINK * mean) / (all_ + SHRINK)) - logit(mean) for word, (won, all_) in words.items()}
    for tokens in ((1,), (2,), (3,), (1, 2), (2, 3, 3)):
        assert record.evidence(prompt(*tokens)) == pytest.approx(sum(told[word] for word in set(tokens)))
    assert told[3] < 0 < told[2]


def test_words_that_are_new_or_everywhere_say_nothing() -> None:
    record = WordRecord()
    assert record.evidence(prompt(5, 7)) == 0
    record.update([tree((1, 2), 1.0)])
    assert record.evidence(prompt(1, 2)) == 0  # all rollouts ended alike
    record.update([tree((1, 3), 0.0)])
    assert record.evidence(prompt(0, 900)) == pytest.approx(0)
    assert record.evidence(prompt(1)) == pytest.approx(0)
    assert record.evidence(prompt(2)) > 0 > record.evidence(prompt(3))


def test_the_record_fades_and_ignores_tasks_without_rollouts() -> None:
    record = WordRecord()
    record.update([tree((4,), 1.0), tree((9,))])
    record.update([plant()])
    seen = record.state_dict()["words_seen"]
    assert seen.shape == (2, 6)  # tokens 0..4, and all prompts
    assert seen[:, [4, 5]] == pytest.approx(np.full((2, 2), KEPT))


def test_a_record_goes_on_where_it_was_saved() -> None:
    one, other = WordRecord(), WordRecord()
    one.update([tree((1, 2), 1.0, 0.0), tree((1, 5), 1.0)])
    other.load_state_dict(one.state_dict())
    for record in (one, other):
        record.update([tree((2, 30), 0.0)])
    assert one.evidence(prompt(1, 2, 30)) == other.evidence(prompt(1, 2, 30)) != 0
