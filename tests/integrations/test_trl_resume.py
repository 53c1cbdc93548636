"""A run that was stopped and resumed ends as if it had not been."""

import re

import numpy as np
import pytest
import trl_runs

from treeroll.errors import DataError
from treeroll.integrations.trl import TreeGRPOTrainer, TreeOptions

pytestmark = pytest.mark.filterwarnings(trl_runs.OLD_NAMES)
LEARNING = TreeOptions(method="trace", rounds={"group": 4}, warmup=8)
RUN = {"plain": False, "tree": LEARNING, "gradient_accumulation_steps": 1, "steps_per_generation": 2,
       "learning_rate": 1e-3, "max_steps": 5, "save_strategy": "steps", "save_steps": 3}  # fmt: skip


def test_a_run_resumed_between_two_generations_ends_as_if_never_stopped(tmp_path):
    """Two updates a generation: the checkpoint after the third update holds what is left of the second one."""
    whole = trl_runs.trainer(TreeGRPOTrainer, tmp_path / "whole", **RUN)
    whole.train()
    resumed = trl_runs.trainer(TreeGRPOTrainer, tmp_path / "resumed", **RUN)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert trl_runs.farthest(trl_runs.weights(whole.model), trl_runs.weights(resumed.model)) == 0
    assert whole.trees.number == resumed.trees.number == 3
    assert whole.trees.engine.spent == resumed.trees.engine.spent
    one, other = whole.trees.predictor.state_dict(), resumed.trees.predictor.state_dict()
    assert one.keys() == other.keys()
    assert all(np.array_equal(value, other[key]) for key, value in one.items())
    assert whole.state.log_history[4]["reward"] == resumed.state.log_history[4]["reward"]
    for path in (tmp_path / "whole" / "checkpoint-3").glob("tree-rank-*"):
        path.rename(path.with_name(path.name.replace("0", "1")))
    with pytest.raises(DataError, match=re.escape("it has tree-rank-1.npz")):
        resumed._load_optimizer_and_scheduler(str(tmp_path / "whole" / "checkpoint-3"))
