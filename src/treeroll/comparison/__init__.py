"""What a comparison came to: read from its folder alone, with numpy only. `treeroll.compare` is what runs one.

| file | what it holds |
|---|---|
| `plan.py` | what was asked, and where its runs are |
| `outcomes.py` | what one run came to |
| `curves.py` | held-out success over what was sampled: interpolation, area, what a target costs |
| `statistics.py`, `student.py` | intervals over seeds |
| `columns.py` | what is compared: each column documented once |
| `sweep.py` | learning rates, chosen on seeds that are not reported |
| `summary.py` | all of it as `comparison.json` |
| `table.py` | the same as `comparison.md` |
| `forests.py`, `replay.py`, `replay_page.py` | allocation rules judged on recorded forests |
"""

from treeroll.comparison.columns import COLUMNS, Column
from treeroll.comparison.plan import COMPARISON, PLAN, TABLE, Arm, Plan, World
from treeroll.comparison.summary import summarise, write

__all__ = ["COLUMNS", "COMPARISON", "PLAN", "TABLE", "Arm", "Column", "Plan", "World", "summarise", "write"]
