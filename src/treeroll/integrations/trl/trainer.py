"""`TreeGRPOTrainer`: TRL's GRPOTrainer with trees for rollouts."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import GRPOTrainer
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from treeroll import packing
from treeroll.budget import Spent
from treeroll.errors import ConfigError
from treeroll.integrations.trl import report, state
from treeroll.integrations.trl.batch import tensors
from treeroll.integrations.trl.grove import Generation, Grove
from treeroll.integrations.trl.host import Host
from treeroll.integrations.trl.options import TreeOptions, check_arguments, check_version, plan
from treeroll.integrations.trl.sampler import BoundedSampler
from treeroll.integrations.trl.wording import Dialogue
from treeroll.samplers.base import Sampler
from treeroll.samplers.local import LocalSampler
from treeroll.seeding import derive

check_version()


class TreeGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """A `GRPOTrainer` whose rollouts are trees.

    Everything else is TRL's: data, tools, environments, rewards, loss, optimizer, PEFT, accelerate, logging. A rank's
    part of a generation batch, per_device_train_batch_size * steps_per_generation, is its budget of rollouts, and the
    prompts in it, each num_generations times, are the tasks that the method may spend it on.

    Args:
      tree: how trees are sampled and learned from.
      model, reward_funcs, args, and all others: as of `GRPOTrainer`.

    Raises:
      ConfigError: a setting that cannot go with trees; nothing was sampled.
    """

    def __init__(self, *given: Any, tree: TreeOptions | None = None, **named: Any) -> None:
        bound = inspect.signature(GRPOTrainer.__init__).bind(self, *given, **named).arguments
        around = [bound.get(name) for name in ("rollout_func", "train_dataset", "reward_funcs")]
        self.tree_options = tree or TreeOptions()
        if bound.get("args") is not None:  # before anything is loaded
            check_arguments(bound["args"], *around)
            plan(self.tree_options, bound["args"])
        super().__init__(*given, **named)
        check_arguments(self.args, *around)
        if self._is_vlm:
            raise ConfigError("the model takes images; TreeGRPOTrainer works with texts only")
        self.generation: Generation | None = None
        """The trees and the credit of this rank's last generation; evaluations leave it."""
        self.trees = self._grove()

    def tree_sampler(self, stop_ids: frozenset[int], context: int) -> Sampler:
        """Returns what samples turns; override it to sample otherwise.

        Args:
          stop_ids: tokens that end a turn.
          context: most tokens of a history.
        """
        attention = self.model.config._attn_implementation
        if attention != "sdpa":
            raise ConfigError(
                f"the model's attention is {attention!r}; the tree sampler needs 'sdpa': load the model with "
                "attn_implementation='sdpa'"
            )
        batch = self.tree_options.sampling_batch
        return LocalSampler(self.model, stop_ids=stop_ids, temperature=self.temperature, batch=batch, context=context)

    def _grove(self) -> Grove:
        context = getattr(self.model.config, "max_position_embeddings", None)
        if context is None:
            raise ConfigError("the model's config has no max_position_embeddings, so nobody knows its context; set it")
        stop_ids = frozenset(_stop_ids(self))
        with self._sampling():
            sampler = BoundedSampler(self.tree_sampler(stop_ids, context), self.max_completion_length)
        seed = derive(self.args.seed, "trl", self.accelerator.process_index)
        return Grove(
            Host(self, context),
            sampler,
            Dialogue(self._tokenizer, stop_ids),
            plan(self.tree_options, self.args),
            self.tree_options,
            seed=seed,
        )

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        mode = "train" if self.model.training else "eval"
        host = self.trees.host
        before = host.calls, host.failures
        self.trees.sampler.version = self.state.global_step
        with self._sampling():
            generation = self.trees.sample(inputs) if mode == "train" else self.trees.examine(inputs)
        for note in generation.notes:
            report.tell(note)
        report.write(self, generation, mode, (host.calls - before[0], host.failures - before[1]))
        if mode == "train":
            self.generation = generation
        pairs = zip(generation.forest, generation.credit, strict=True)
        rows = [row for tree, credit in pairs for row in packing.rows(tree, credit, keep_zero=True)]
        batch = tensors(
            rows,
            count=len(inputs),
            pad=self._tokenizer.pad_token_id,
            multiple=getattr(self, "pad_to_multiple_of", None),
            device=self.accelerator.device,
        )
        batch["num_items_in_batch"] = self.accelerator.gather(
            (batch["tool_mask"] * batch["completion_mask"]).sum()
        ).sum()
        if self.beta != 0.0:
            batch["ref_per_token_logps"] = self._reference(batch, mode)
        return batch

    @contextmanager
    def _sampling(self) -> Iterator[None]:
        """Under the trainer's precision; a model in training is so again afterwards."""
        training = self.model.training
        try:
            with self.accelerator.autocast():
                yield
        finally:
            self.model.train(training)

    def _reference(self, batch: Mapping[str, torch.Tensor], mode: str) -> Any:
        """Returns [B, T] the reference model's log-probabilities, as GRPOTrainer computes them."""
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
        args = self.args
        size = args.per_device_train_batch_size if mode == "train" else args.per_device_eval_batch_size
        length = batch["completion_ids"].size(1)
        with torch.no_grad(), disable_gradient_checkpointing(self.model, args.gradient_checkpointing_kwargs):
            if self.ref_model is not None:
                return self._get_per_token_logps_and_entropies(self.ref_model, ids, mask, length, batch_size=size)[0]
            model = self.accelerator.unwrap_model(self.model)
            with use_adapter(model, adapter_name="ref" if "ref" in model.peft_config else None):
                return self._get_per_token_logps_and_entropies(self.model, ids, mask, length, batch_size=size)[0]

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        folder = Path(self._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        trees, every = self.trees, self.args.steps_per_generation * self.num_iterations
        own = {"step": self._step, "generation": trees.number, "spent": asdict(trees.engine.spent)}
        rest = self._buffered_inputs if self._step % every else None
        state.save(folder, self.accelerator.process_index, trees.predictor.state_dict(), own, rest)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        predictor, own, rest = state.load(Path(checkpoint), self.accelerator.process_index)
        self.trees.predictor.load_state_dict(predictor)
        self.trees.engine.spent = Spent(**own["spent"])
        self.trees.number, self._step = own["generation"], own["step"]
        if rest is not None:
            device = self.accelerator.device
            self._buffered_inputs = [{key: value.to(device) for key, value in part.items()} for part in rest]


def _stop_ids(trainer: Any) -> Sequence[int]:
    """Returns the tokens that end a turn: TRL's since 1.13, before it the tokenizer's and the model's own."""
    known = getattr(trainer, "eos_token_ids", None)
    if known is not None:
        return list(known)
    own = trainer.model.generation_config.eos_token_id
    return [trainer._tokenizer.eos_token_id, *([own] if isinstance(own, int) else own or [])]
