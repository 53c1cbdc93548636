"""From trees and their credit to what a trainer computes: rows, or rows packed so that each prefix is computed once.

row      one row a rollout, each turn trained on once: the seam for any trainer
batch    which trees count in a step, and what its summed loss is divided by
packed   rows as one sequence in depth-first order, each shared prefix once
cut      a step's rows as packs of bounded size, with the fewest prefix tokens computed twice
blocks   which dense attention calls make up the attention of a pack
"""

from treeroll.packing.batch import denominator, kept, teaches
from treeroll.packing.row import TreeRow, rows

__all__ = ["TreeRow", "denominator", "kept", "rows", "teaches"]
