"""TRACE inside TRL's experimental AsyncGRPOTrainer: a rollout worker whose rollouts are trees.

The trainer stays TRL's own, with one argument more; the worker takes the arguments that the trainer takes:

    from trl.experimental.async_grpo import AsyncGRPOTrainer
    from treeroll.integrations.trl import TreeOptions
    from treeroll.integrations.trl.asynchronous import TreeRolloutWorker

    given = {"model": name, "reward_funcs": reward, "args": args, "train_dataset": dataset}
    worker = TreeRolloutWorker(**given, rollouts=256, tree=TreeOptions(encoder="wordllama"))
    trainer = AsyncGRPOTrainer(**given, rollout_worker=worker)

The files:

    worker      the class: TRL's protocol of rollout workers, over a thread
    settings    what of TRL's settings trees cannot go with
    desk        what episodes need of a trainer, made from the trainer's arguments
    forests     forest after forest from the rows of the data set
    samples     from trees and their credit to TRL's samples
    served      a sampler of the trainer's vLLM server
    watched     a sampler that can be stopped, and tells that it is alive
"""

from treeroll.errors import require

for _package in ("trl", "torch", "transformers"):
    require(_package, "trl")

from treeroll.integrations.trl.asynchronous.settings import check_installed  # noqa: E402

check_installed()

from treeroll.integrations.trl.asynchronous.worker import TreeRolloutWorker  # noqa: E402

__all__ = ["TreeRolloutWorker"]
