"""A run's options: typed, validated before anything starts, and saved resolved.

Four layers, later ones win: the defaults of `sections`, what the method names (its predictor, credit and
continuations), a TOML or JSON file, and the command line. An option is written `section.key` everywhere: in messages,
on the command line (`--budget.rollouts 64` or `budget.rollouts=64`) and, as a table per section, in a file.
"""

from treeroll.config.options import Config, describe, options
from treeroll.config.sections import Budget
from treeroll.config.tables import read_file

__all__ = ["Budget", "Config", "describe", "options", "read_file"]
