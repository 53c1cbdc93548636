"""TRACE: Tree Rollout Allocation for Contrastive Exploration. Decides where the next rollout goes.

The core needs numpy only; `treeroll.config`, `treeroll.run` and what they start need the `train` extra.
"""

from treeroll import backup, contrast, credit, methods, metrics, packing, predictor
from treeroll.allocation import Allocation, Allocator, allocate_roots, expand_prefixes
from treeroll.budget import Spent
from treeroll.credit import Credit
from treeroll.errors import TreerollError
from treeroll.packing import TreeRow
from treeroll.predictor import Prediction, Predictor
from treeroll.tree import Anchor, Node, Origin, RolloutTree, Task
from treeroll.treefile import iter_trees, load_trees, save_trees

__version__ = "0.1.0"

__all__ = [
    "Allocation",
    "Allocator",
    "Anchor",
    "Credit",
    "Node",
    "Origin",
    "Prediction",
    "Predictor",
    "RolloutTree",
    "Spent",
    "Task",
    "TreeRow",
    "TreerollError",
    "__version__",
    "allocate_roots",
    "backup",
    "contrast",
    "credit",
    "expand_prefixes",
    "iter_trees",
    "load_trees",
    "methods",
    "metrics",
    "packing",
    "predictor",
    "save_trees",
]
