"""TRACE inside TRL: `TreeGRPOTrainer` is a `GRPOTrainer` whose rollouts are trees.

Use it as TRL's own, with one argument more:

    from treeroll.integrations.trl import TreeGRPOTrainer, TreeOptions

    trainer = TreeGRPOTrainer(model, reward_funcs, args, train_dataset=..., tree=TreeOptions(method="trace"))

The files, in the order in which a generation passes through them:

    trainer     the class: one of TRL's methods overridden, and what checkpoints need
    options     what is said about the trees, and what of TRL's settings they cannot go with
    planting    from rows of a data set to tasks
    grove       one rank's trees: sampled, predicted, credited
    episode     one rollout as an environment that can be continued from its middle
    host        the trainer as an episode sees it: tools, environments, rewards, chat template
    wording     texts that bring their tokens along, and the dialogue made of them
    sampler     turns that together keep to max_completion_length
    report      metrics and the table of completions
    batch       from trees and credit to the tensors that TRL's loss takes
    state       what a checkpoint needs beside TRL's own

`asynchronous` has the same for TRL's experimental AsyncGRPOTrainer.
"""

from treeroll.errors import require

for _package in ("trl", "torch", "transformers"):
    require(_package, "trl")

from treeroll.integrations.trl.options import TreeOptions  # noqa: E402
from treeroll.integrations.trl.trainer import TreeGRPOTrainer  # noqa: E402

__all__ = ["TreeGRPOTrainer", "TreeOptions"]
