"""The ways to sample one step's turns that `sampling.py` compares, and the record of what to sample."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from treeroll.build import Parts
from treeroll.samplers.base import Prefix, Stream, Turn, TurnRequest
from treeroll.samplers.local import LocalSampler
from treeroll.samplers.stream import BatchStream
from treeroll.seeding import derive
from treeroll.step import evaluate, train_step
from treeroll.tree import RolloutTree

CACHE = 16384
"""Tokens that the paged cache holds: several times what a step needs, so that nothing is ever evicted."""

Sampled = list[tuple[NDArray[np.int64], list[int], list[float]]]
"""History, sampled tokens and their log-probabilities, for each request."""


class Recorder:
    """A sampler that remembers what it was asked for."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self.version, self.context, self.continuous = sampler.version, sampler.context, sampler.continuous
        self.prompts: list[NDArray[np.int32]] = []
        self.waves: list[list[TurnRequest]] = []
        self.forest: list[RolloutTree] = []
        """The step's trees, once it is over; none of an evaluation."""

    def plant(self, prompts: Sequence[NDArray[np.int32]]) -> list[Prefix]:
        self.prompts += prompts
        return list(self.sampler.plant(prompts))

    def sample(self, requests: Sequence[TurnRequest]) -> list[Turn]:
        self.waves.append(list(requests))
        return list(self.sampler.sample(requests))

    def update(self, policy: Any, version: int) -> None:
        self.sampler.update(policy, version)

    def stream(self) -> Stream:
        return BatchStream(self)


def local(parts: Parts) -> LocalSampler:
    """Returns the run's sampler, which must be the local one: the others keep no temperature and stop tokens."""
    assert isinstance(parts.sampler, LocalSampler)
    return parts.sampler


def record_step(parts: Parts, step: int) -> Recorder:
    """Trains up to a step, records what that step samples, and leaves the policy as it was while sampling."""
    left = 0.0
    for earlier in range(1, step):
        _, _, left = train_step(parts, earlier, left)
    weights = copy.deepcopy(parts.policy.model.state_dict())
    parts.engine.sampler = recorder = Recorder(parts.sampler)
    _, recorder.forest, _ = train_step(parts, step, left)
    parts.policy.model.load_state_dict(weights)
    return recorder


def continued(recorder: Recorder, seed: int, turns: int) -> tuple[list[bool], int]:
    """Returns for each recorded request whether a continuation made it, and the continuations' own tokens.

    Requests are known by their seeds; a tree's continuations are numbered after its bare rollouts.
    """
    seeds = {
        derive(seed, "turn", tree.step, tree.task.id, number, turn)
        for tree in recorder.forest
        for number in range(len(tree.bare_leaves), len(tree.leaves))
        for turn in range(turns)
    }
    nodes = [node for tree in recorder.forest for node in tree.nodes if node.origin.kind == "continuation"]
    own = sum(len(node.token_ids) for node in nodes)
    return [request.seed in seeds for wave in recorder.waves for request in wave], own


def record_evaluation(parts: Parts) -> Recorder:
    """Records what an evaluation of the held-out tasks samples."""
    parts.examiner.sampler = recorder = Recorder(parts.sampler)
    evaluate(parts)
    return recorder


def history(request: TurnRequest) -> NDArray[np.int64]:
    return np.concatenate([request.prefix.token_ids, request.token_ids]).astype(np.int64)


class Arms:
    """The ways to sample the recorded requests; each returns what it sampled."""

    def __init__(self, parts: Parts, recorder: Recorder) -> None:
        self.sampler, self.recorder = local(parts), recorder
        first = {request.prefix.token_ids.tobytes(): request.prefix.token_ids for request in recorder.waves[0]}
        self.prompts = list(first.values())
        """Prompts that rollouts start from; those of candidates that got no rollout are left out."""
        nothing = Prefix(np.empty(0, np.int32))
        self.bare = [
            [replace(request, prefix=nothing, token_ids=history(request).astype(np.int32)) for request in wave]
            for wave in recorder.waves
        ]
        self.histories = [[history(request) for request in wave] for wave in recorder.waves]
        self.ids = [[one.tolist() for one in wave] for wave in self.histories]
        self.longest = max(request.max_tokens for wave in recorder.waves for request in wave)
        # Paged attention changes a model's settings while it runs, so it gets a model of its own.
        self.model, self.paged_model = parts.policy.model, copy.deepcopy(parts.policy.model)
        self.stop = sorted(self.sampler.stop_ids)
        self.options = GenerationConfig(
            do_sample=True, temperature=self.sampler.temperature, top_k=0, top_p=1.0, max_new_tokens=self.longest,
            eos_token_id=self.stop, pad_token_id=0,
        )  # fmt: skip
        self.paging: ContinuousBatchingConfig | None = None

    def page(self, page: int, tokens: int, seed: int) -> None:
        """Sets up the paged arms anew."""
        self.close()
        self.paging = ContinuousBatchingConfig(
            page_size=page, num_blocks=CACHE // page, max_batch_tokens=tokens, return_logprobs=True, seed=seed,
            max_requests_per_batch=max(len(wave) for wave in self.ids),
        )  # fmt: skip

    def close(self) -> None:
        """Ends the paged arms' background thread and frees their cache."""
        self.paged_model.destroy_cached_continuous_batching_manager()

    def pool(self) -> Sampled:
        """Computes the prompts of all candidates and samples nothing."""
        self.sampler.plant(self.recorder.prompts)
        return []

    def kept(self) -> Sampled:
        self.sampler.plant(self.prompts)
        return self._local(self.recorder.waves)

    def whole(self) -> Sampled:
        return self._local(self.bare)

    def paged(self) -> Sampled:
        found: Sampled = []
        with self.paged_model.continuous_batching_context_manager(
            self.options, continuous_batching_config=self.paging, persistent_manager=True, warmup=False
        ) as manager:
            for wave, ids in zip(self.histories, self.ids, strict=True):
                names = manager.add_requests(ids, max_new_tokens=self.longest)
                outputs: dict[str, Any] = {}
                while len(outputs) < len(names):
                    output = manager.get_result(timeout=10)
                    if output is None or output.error:
                        raise RuntimeError(f"continuous batching failed: {output and output.error}")
                    outputs[output.request_id] = output
                found += _collect(wave, [outputs[name] for name in names])
        manager.batch_processor.cache.reset()  # weights change after a step, so nothing may outlive it
        return found

    def generate_batch(self) -> Sampled:
        found: Sampled = []
        for wave, ids in zip(self.histories, self.ids, strict=True):
            outputs = self.paged_model.generate_batch(
                ids, self.options, self.paging, persistent_manager=True, warmup=False, max_new_tokens=self.longest
            )
            found += _collect(wave, list(outputs.values()))
        self.paged_model._cached_continuous_batching_manager.batch_processor.cache.reset()
        return found

    @torch.inference_mode()
    def generate(self) -> Sampled:
        found: Sampled = []
        for wave in self.histories:
            width = max(map(len, wave))
            ids = torch.tensor(np.stack([np.pad(one, (width - len(one), 0)) for one in wave]))
            seen = torch.tensor(np.stack([np.arange(width) >= width - len(one) for one in wave]))
            output = self.model.generate(
                ids, attention_mask=seen.long(), generation_config=self.options, return_dict_in_generate=True,
                output_scores=True,
            )  # fmt: skip
            drawn = output.sequences[:, width:]
            scores = torch.log_softmax(torch.stack(output.scores, dim=1), dim=-1).gather(2, drawn[..., None])[..., 0]
            for one, tokens, logprobs in zip(wave, drawn.tolist(), scores.tolist(), strict=True):
                ends = [place for place, token in enumerate(tokens) if token in self.stop]
                end = ends[0] + 1 if ends else len(tokens)
                found.append((one, tokens[:end], logprobs[:end]))
        return found

    def _local(self, waves: list[list[TurnRequest]]) -> Sampled:
        found: Sampled = []
        for wave, histories in zip(waves, self.histories, strict=True):
            turns = self.sampler.sample(wave)
            found += [(one, t.token_ids.tolist(), t.logprobs.tolist()) for one, t in zip(histories, turns, strict=True)]
        return found


def _collect(wave: list[NDArray[np.int64]], outputs: list[Any]) -> Sampled:
    """Returns what continuous batching sampled, or raises where it lost a request."""
    if len(outputs) != len(wave) or any(output.error for output in outputs):
        raise RuntimeError("continuous batching lost or failed a request")
    return [(one, out.generated_tokens, out.logprobs) for one, out in zip(wave, outputs, strict=True)]
