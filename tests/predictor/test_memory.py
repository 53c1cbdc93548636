from dataclasses import replace

import numpy as np

from handmade import flat, fork
from treeroll.predictor.memory import TaskMemory
from treeroll.tree import Anchor, RolloutTree, Task


def of(name: str, *rewards: float) -> RolloutTree:
    return replace(flat(*rewards), task=Task(name, ""))


def recalled(memory: TaskMemory, *trees: RolloutTree) -> list[list[float]]:
    return memory.recall([Anchor(tree) for tree in trees]).tolist()


def test_counts_fade_with_each_update():
    memory = TaskMemory(forgetting=0.5)
    memory.update([of("a", 1, 1, 0), of("b", 0)])
    assert recalled(memory, of("a"), of("b"), of("c")) == [[2, 1], [0, 1], [0, 0]]
    memory.update([of("b", 1, 1)])
    assert recalled(memory, of("a"), of("b")) == [[1, 0.5], [2, 0.5]]


def test_bare_rollouts_alone_count():
    memory = TaskMemory()
    memory.update([fork(of("a", 1), 1, 0.0)])
    assert recalled(memory, of("a")) == [[1, 0]]


def test_prefixes_have_none():
    memory = TaskMemory()
    memory.update([of("a", 1)])
    assert memory.recall([Anchor(of("a", 1), 1)]).tolist() == [[0, 0]]


def test_what_counts_next_to_nothing_is_dropped():
    """2 rollouts at 0.5 a step: 2^-7 = .0078 after the eighth update."""
    memory = TaskMemory(forgetting=0.5)
    memory.update([of("a", 1, 1)])
    for update in range(8):
        assert len(memory) == 1 + min(update, 7)
        memory.update([of(f"other {update}", 1)])
    assert recalled(memory, of("a")) == [[0, 0]]


def test_state_goes_on_exactly():
    memory, other = TaskMemory(forgetting=0.7), TaskMemory(forgetting=0.7)
    memory.update([of("a", 1, 0), of("b", 1)])
    memory.update([of("a", 1)])
    other.load_state_dict({key: np.asarray(value) for key, value in memory.state_dict().items()})
    for one in (memory, other):
        one.update([of("c", 0)])
    assert recalled(memory, of("a"), of("b"), of("c")) == recalled(other, of("a"), of("b"), of("c"))


def test_state_of_an_empty_memory():
    other = TaskMemory()
    other.load_state_dict(TaskMemory().state_dict())
    assert len(other) == 0
