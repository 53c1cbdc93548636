"""Where the next rollouts go: solvers, and the rules (allocators) that apply them to a forest.

| file | rule | scope |
|---|---|---|
| `roots.py` | `allocate_roots`: exact group sizes over a pool of tasks | |
| `prefixes.py` | `expand_prefixes`: exact continuations over prefixes | |
| `trace.py` | `TraceRoots`, `TracePrefixes`: the two stages of TRACE | pool, task or pool |
| `sequential.py` | `SequentialRoots`: stage 1 in rounds, with looks in between | pool, repeats |
| `uniform.py` | `UniformRoots`: the same group for each task (GRPO) | pool |
| `dapo.py` | `DapoRoots`: further tasks until enough groups are mixed | pool, repeats |
| `pcl.py` | `PclRoots`: tasks nearest to 1/2 | pool |
| `mopps.py` | `MoppsRoots`: the same, by Thompson sampling | pool |
| `gps.py` | `GpsRoots`: the same, and diverse | pool |
| `vip.py` | `VipRoots`: least variance of the gradient | pool |
| `knapsack.py` | `KnapsackRoots`: most gain of an update | pool |
| `reinforce_ada.py` | `ReinforceAdaRoots`: until both outcomes were seen | pool, repeats |
| `pilot_commit.py` | `PilotCommitRoots`: a pilot, then whole groups | pool, repeats |
| `random_prefixes.py` | `RandomPrefixes`: random branching | task |
| `tree_grpo.py` | `TreeGrpoPrefixes`: random nodes, in rounds | task, repeats |
| `treepo.py` | `TreePoPrefixes`: evenly, depth by depth | task, repeats |
| `entropy.py` | `EntropicPrefixes`: where entropy rose (ARPO) | task, repeats |
| `surprisal.py` | `SurprisingPrefixes`: the most surprising turns (AT2PO) | task, repeats |
| `infotree.py` | `CoveringPrefixes`: a submodular cover (InfoTree) | task |

A new rule is a new file with one frozen dataclass that has `scope`, `repeats` and `allocate` (see `base.Allocator`).
"""

from treeroll.allocation.base import Allocation, Allocator
from treeroll.allocation.dapo import DapoRoots
from treeroll.allocation.entropy import EntropicPrefixes
from treeroll.allocation.gps import GpsRoots
from treeroll.allocation.infotree import CoveringPrefixes
from treeroll.allocation.knapsack import KnapsackRoots
from treeroll.allocation.mopps import MoppsRoots
from treeroll.allocation.pcl import PclRoots
from treeroll.allocation.pilot_commit import PilotCommitRoots
from treeroll.allocation.prefixes import expand_prefixes
from treeroll.allocation.random_prefixes import RandomPrefixes
from treeroll.allocation.reinforce_ada import ReinforceAdaRoots
from treeroll.allocation.roots import allocate_roots
from treeroll.allocation.sequential import SequentialRoots
from treeroll.allocation.surprisal import SurprisingPrefixes
from treeroll.allocation.trace import TracePrefixes, TraceRoots
from treeroll.allocation.tree_grpo import TreeGrpoPrefixes
from treeroll.allocation.treepo import TreePoPrefixes
from treeroll.allocation.uniform import UniformRoots
from treeroll.allocation.vip import VipRoots

__all__ = [
    "Allocation",
    "Allocator",
    "CoveringPrefixes",
    "DapoRoots",
    "EntropicPrefixes",
    "GpsRoots",
    "KnapsackRoots",
    "MoppsRoots",
    "PclRoots",
    "PilotCommitRoots",
    "RandomPrefixes",
    "ReinforceAdaRoots",
    "SequentialRoots",
    "SurprisingPrefixes",
    "TracePrefixes",
    "TraceRoots",
    "TreeGrpoPrefixes",
    "TreePoPrefixes",
    "UniformRoots",
    "VipRoots",
    "allocate_roots",
    "expand_prefixes",
]
