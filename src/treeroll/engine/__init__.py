"""The engine: the only place where environments meet samplers.

`Engine.plant` turns tasks into trees of one node each; `Engine.extend` samples what an allocation asks for and returns
larger trees. As soon as the last rollout of a task's round is in, the task's next round is asked for: no task waits for
another. How rollouts advance is one of two ways, and trees are the same in both:

waves    together, one turn at a time, so that the sampler always sees a full batch
stream   each by itself: its next turn is asked for as soon as its tool has answered
"""

from treeroll.engine.engine import Cancelled, Engine, NextRound, Playing

__all__ = ["Cancelled", "Engine", "NextRound", "Playing"]
