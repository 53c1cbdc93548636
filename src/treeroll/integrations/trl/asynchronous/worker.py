"""`TreeRolloutWorker`: TRL's protocol of rollout workers, over a thread that grows trees."""

from __future__ import annotations

import atexit
import itertools
import queue
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from treeroll.errors import ConfigError, TrainingError
from treeroll.integrations.trl import report
from treeroll.integrations.trl.asynchronous.desk import Desk
from treeroll.integrations.trl.asynchronous.forests import Forests, endless
from treeroll.integrations.trl.asynchronous.samples import samples
from treeroll.integrations.trl.asynchronous.served import ServedSampler
from treeroll.integrations.trl.asynchronous.settings import check_settings, no_hidden, sees_hidden
from treeroll.integrations.trl.asynchronous.watched import Pulse, Stopped, WatchedSampler
from treeroll.integrations.trl.grove import Generation
from treeroll.integrations.trl.options import TreeOptions, planned
from treeroll.samplers.base import Sampler
from treeroll.samplers.vllm.terms import Terms

POLL = 0.05
"""Seconds between two looks at a queue that is full."""
PATIENCE = 15.0
"""Seconds that `stop` waits for the turns that are being sampled."""

SamplerFactory = Callable[[frozenset[int]], Sampler]
"""Maps the tokens that end a turn to what samples turns."""


class TreeRolloutWorker:
    """A `rollout_worker` of TRL's `AsyncGRPOTrainer` whose rollouts are trees.

    While the trainer learns from one forest, the worker samples the next one, in a thread of the main process; a forest
    is not begun while samples of more than one are waiting. `max_staleness` then discards what has grown too old, as
    always.

    Args:
      model, reward_funcs, args, train_dataset, processing_class, peft_config, tools, environment_factory: the trainer's
        own.
      rollouts: the budget of a forest, bare ones and continuations. Its tasks are the next rollouts / num_generations
        rows of the data set.
      sampler: called once training begins, with the tokens that end a turn; the trainer's vLLM server where None.
      tree: how trees are sampled and learned from.
      keep_zero: whether turns whose advantage is 0 are trained on. They have no gradient, but count in the number of
        tokens that TRL divides by. False saves their forward and backward passes, and makes updates larger.

    Raises:
      ConfigError: a setting that cannot go with trees; nothing was loaded.
    """

    def __init__(
        self,
        model: str,
        reward_funcs: Any = None,
        args: Any = None,
        train_dataset: Any = None,
        processing_class: Any = None,
        *,
        rollouts: int,
        peft_config: Any = None,
        tools: list[Any] | None = None,
        environment_factory: Any = None,
        tree: TreeOptions | None = None,
        keep_zero: bool = True,
        sampler: SamplerFactory | None = None,
    ) -> None:
        check_settings(args, train_dataset, reward_funcs)
        self.options, self.keep_zero = tree or TreeOptions(), keep_zero
        self.plan = planned(self.options, rollouts, args.num_generations, "rollouts")
        if sampler is None and sees_hidden(self.plan, self.options):
            raise no_hidden("a vLLM server")
        self.rollout_buffer: queue.Queue[Any] = queue.Queue(max(args.queue_maxsize, 0))
        """Samples that wait for the trainer."""
        self.metrics_queue: queue.Queue[dict[str, float]] = queue.Queue()
        """What the trainer shall log, a record a forest."""
        self.generation: Generation | None = None
        """The trees and the credit of the last forest."""
        self._args, self._dataset = args, train_dataset
        batch = args.max_inflight_tasks if args.max_inflight_tasks > 0 else rollouts
        self._make = sampler or partial(_served, model, args, batch, peft_config is not None)
        self._desk = partial(
            Desk, model, args, reward_funcs=reward_funcs, tools=tools, factories=environment_factory,
            tokenizer=processing_class,
        )  # fmt: skip
        self._pulse, self._groups, self._version = Pulse(), itertools.count(), 0
        self._sampler: Sampler | None = None
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self) -> None:
        """Begins to sample. TRL calls it once the server has the trainer's weights."""
        if self._thread is not None:
            raise ConfigError("the worker was started before; make a new one for another training")
        self._pulse.beat()
        desk = self._desk()
        self._sampler = sampler = WatchedSampler(self._make(desk.stop_ids), self._pulse)
        sampler.version = self._version
        forests = Forests(desk, sampler, self.plan, self.options, seed=self._args.seed)
        self._thread = threading.Thread(target=self._work, args=[forests], name="treeroll rollouts", daemon=True)
        self._thread.start()
        atexit.register(self.stop)  # a thread that is inside torch when Python ends aborts the process

    def update_model_version(self, model_version: int) -> None:
        """Tells which weights sample from now on."""
        self._version = model_version
        if self._sampler is not None:
            self._sampler.version = model_version

    def check_health(self, stale_after_s: float) -> None:
        """Raises `TrainingError` where sampling failed, or nothing was heard of it for `stale_after_s` seconds."""
        if self._error is not None:
            raise TrainingError(f"sampling failed: {type(self._error).__name__}: {self._error}") from self._error
        if self._pulse.age > stale_after_s:
            raise TrainingError(
                f"no turn was sampled, and no tool answered, for {self._pulse.age:.0f} seconds. Look at the server and "
                f"at the tools, or raise heartbeat_stale_after_s={stale_after_s:g}"
            )

    def stop(self) -> None:
        """Ends the thread; what is being sampled is given up."""
        self._pulse.stop()
        if self._thread is not None:
            self._thread.join(PATIENCE)
            if self._thread.is_alive():
                report.tell(
                    f"a turn or a tool has not ended within {PATIENCE:g} seconds; the process goes on without it"
                )
            else:
                atexit.unregister(self.stop)

    def _work(self, forests: Forests) -> None:
        try:
            for generation in forests.grown(endless(self._dataset)):
                self.generation = generation
                self.metrics_queue.put(forests.told(generation))
                self._hand_over(generation)
        except Stopped:
            pass
        except BaseException as error:  # raised where the trainer asks: nobody waits for this thread's end
            self._error = error
        finally:
            forests.desk.close()

    def _hand_over(self, generation: Generation) -> None:
        """Puts a forest's samples into the queue, and waits until the trainer has taken those of the one before."""
        for note in generation.notes:
            report.tell(note)
        found = [
            sample
            for tree, credit in zip(generation.forest, generation.credit, strict=True)
            for sample in samples(tree, credit, group=next(self._groups), keep_zero=self.keep_zero)
        ]
        for sample in found:
            sample.enqueued_at = time.time()
            while True:
                try:
                    self.rollout_buffer.put(sample, timeout=POLL)
                    break
                except queue.Full:
                    self._pulse.beat()
        while self.rollout_buffer.qsize() > len(found):
            self._pulse.wait(POLL)


def _served(model: str, args: Any, batch: int, peft: bool, stop_ids: frozenset[int]) -> Sampler:
    """Returns a sampler of the trainer's vLLM server."""
    own = {"revision": (args.model_init_kwargs or {}).get("revision"), "trust_remote_code": args.trust_remote_code}
    vocabulary = AutoConfig.from_pretrained(model, **own).get_text_config().vocab_size
    terms = Terms(stop_ids, args.temperature, vocabulary, context=sys.maxsize)
    folder = Path(args.output_dir, ".vllm_lora").absolute() if peft else None
    return ServedSampler(args.vllm_server_base_url, terms, batch=batch, patience=args.request_timeout, adapters=folder)
