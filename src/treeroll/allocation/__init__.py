"""Where the next rollouts go: solvers, and the rules (allocators) that apply them to a forest.

| file | rule | scope |
|---|---|---|
| `roots.py` | `allocate_roots`: exact group sizes over a pool of tasks | |
| `prefixes.py` | `expand_prefixes`: exact continuations over prefixes | |
| `uniform.py` | `UniformRoots`: the same group for each task (GRPO) | pool |
| `random_prefixes.py` | `RandomPrefixes`: random branching (Tree-GRPO, TreePO) | task |
| `trace.py` | `TraceRoots`, `TracePrefixes`: the two stages of TRACE | pool, task |

A new rule is a new file with one frozen dataclass that has `scope` and `allocate` (see `base.Allocator`).
"""

from treeroll.allocation.base import Allocation, Allocator
from treeroll.allocation.prefixes import expand_prefixes
from treeroll.allocation.random_prefixes import RandomPrefixes
from treeroll.allocation.roots import allocate_roots
from treeroll.allocation.trace import TracePrefixes, TraceRoots
from treeroll.allocation.uniform import UniformRoots

__all__ = [
    "Allocation",
    "Allocator",
    "RandomPrefixes",
    "TracePrefixes",
    "TraceRoots",
    "UniformRoots",
    "allocate_roots",
    "expand_prefixes",
]
