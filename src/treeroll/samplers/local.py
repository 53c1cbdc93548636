"""The `local` sampler: any Hugging Face causal LM with full attention, in this process.

A history's keys and values are kept as a chain of blocks, one for each stretch of tokens that was computed
together. A batch lays the chains of its rows side by side, computes what is new, decodes, and cuts the new
stretches out again as blocks. So a continuation starts from the kept blocks of its prefix, whichever rollout
computed them, and nothing is computed twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.cache_utils import Cache, CacheLayerMixin

from treeroll.errors import SamplerError
from treeroll.samplers.base import Prefix, Turn, TurnRequest, Weights
from treeroll.samplers.stream import BatchStream

SHARED_AT_LEAST = 16
"""Prompts that start with this many common tokens have them computed once."""
BATCH_BYTES = 2**31
"""Most memory of the keys and values of one batch; with long histories fewer rows are decoded together."""
SCRATCH_BYTES = 2**28
"""Largest batch whose memory is kept for the next: fresh memory costs a small model more than its attention does."""


@dataclass(frozen=True, eq=False)
class _Block:
    """Keys and values of a stretch of tokens, and where they go on from."""

    before: _Block | None
    values: torch.Tensor
    """[S, T, D] series of vectors (keys and values of each head of each layer), tokens, head width."""
    length: int
    """Tokens of the whole chain."""
    hidden: torch.Tensor | None
    """[E] last hidden state at the end of the chain, where it is known."""

    def chain(self) -> list[_Block]:
        blocks: list[_Block] = []
        block: _Block | None = self
        while block is not None:
            blocks.append(block)
            block = block.before
        return blocks[::-1]


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's window on the batch's buffer; writes in place instead of concatenating at every token."""

    is_sliding = False

    def __init__(self, buffer: torch.Tensor, filled: int) -> None:
        super().__init__()
        self.keys, self.values = buffer[:, 0], buffer[:, 1]
        self.filled = filled
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do: the buffer is made beforehand."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        end = self.filled + key_states.shape[-2]
        self.keys[:, :, self.filled : end] = key_states
        self.values[:, :, self.filled : end] = value_states
        self.filled = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        return self.filled

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.filled + query_length, 0

    def get_max_length(self) -> int:
        return -1


class LocalSampler:
    """Samples turns from a Hugging Face causal LM. See `samplers.base.Sampler` for the methods.

    Args:
      model: a causal LM whose layers all attend to the whole history (sdpa attention).
      stop_ids: tokens that end a turn.
      temperature: > 0; log-probabilities are those of the tempered distribution.
      batch: most rows decoded together.
      context: most tokens of a history and its next turn.

    Raises:
      SamplerError: the model's attention is not plain and full, so kept keys could not be laid side by side.
    """

    continuous = False

    def __init__(
        self, model: Any, *, stop_ids: frozenset[int], temperature: float = 1.0, batch: int = 256, context: int
    ) -> None:
        kinds = set(getattr(model.config, "layer_types", None) or ["full_attention"])
        if kinds != {"full_attention"}:
            raise SamplerError(
                f"the local sampler needs full attention in every layer; {type(model).__name__} has {sorted(kinds)}. "
                "Use a model without sliding-window or linear-attention layers"
            )
        self.model = model
        self.stop_ids = stop_ids
        self.temperature = temperature
        self.batch = batch
        self.context = context
        self.version = 0
        self._body, self._head = model.get_decoder(), model.get_output_embeddings()
        config = model.config
        self._heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        self._width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._layers = config.num_hidden_layers
        self._scratch: torch.Tensor | None = None
        self._check_head()

    @torch.inference_mode()
    def plant(self, prompts: Sequence[NDArray[np.int32]]) -> list[Prefix]:
        """Computes prompts; tokens that all of them start with are computed once, and charged to the first."""
        if not prompts:
            return []
        shared = _common_length(prompts)
        common = Prefix(np.empty(0, np.int32))
        if len(prompts) > 1 and shared >= SHARED_AT_LEAST:
            request = TurnRequest(common, prompts[0][:shared], max_tokens=0, seed=0)
            common = self._run([request])[0].prefix
        start = len(common.token_ids)
        requests = [TurnRequest(common, prompt[start:], max_tokens=0, seed=0) for prompt in prompts]
        planted = [replace(turn.prefix, computed_tokens=turn.computed_tokens) for turn in self._in_batches(requests)]
        return [replace(planted[0], computed_tokens=planted[0].computed_tokens + start), *planted[1:]]

    @torch.inference_mode()
    def sample(self, requests: Sequence[TurnRequest]) -> list[Turn]:
        """Samples one turn for each request, in batches of `batch` rows."""
        return list(self._in_batches(requests))

    def update(self, policy: Weights, version: int) -> None:
        """Takes the version; the model is the policy's own."""
        self.version = version

    def stream(self) -> BatchStream:
        return BatchStream(self, self.batch)

    def _in_batches(self, requests: Sequence[TurnRequest]) -> Iterator[Turn]:
        start = 0
        while start < len(requests):
            rows = self._rows(requests[start : start + self.batch])
            yield from self._run(requests[start : start + rows])
            start += rows

    def _rows(self, requests: Sequence[TurnRequest]) -> int:
        """Returns how many of the next requests fit into one batch's memory; at least one."""
        longest = max(len(one.prefix.token_ids) + len(one.token_ids) + one.max_tokens for one in requests)
        token_bytes: int = 2 * self._layers * self._heads * self._width * self.model.dtype.itemsize
        return max(1, min(len(requests), BATCH_BYTES // (longest * token_bytes)))

    def _run(self, requests: Sequence[TurnRequest]) -> list[Turn]:
        for request in requests:
            length = len(request.prefix.token_ids) + len(request.token_ids) + request.max_tokens
            if length > self.context:
                raise SamplerError(
                    f"a history of {length - request.max_tokens} tokens and a turn of {request.max_tokens} do not fit "
                    f"the context of {self.context} tokens; shorten the prompt or lower sampling.turn_tokens"
                )
        self.model.eval()
        batch = _Batch(self, requests)
        batch.compute_new()
        turns = batch.decode()
        self.give_back(batch.memory)
        return turns

    def borrow(self, numbers: int) -> torch.Tensor:
        """Returns memory for so many numbers, whatever it holds; what was not given back is never lent twice."""
        memory, self._scratch = self._scratch, None
        dtype, device = self.model.dtype, self.model.device
        if memory is None or len(memory) < numbers or (memory.dtype, memory.device) != (dtype, device):
            # Histories grow: the next batch will want more.
            roomy = max(numbers, min(2 * numbers, SCRATCH_BYTES // dtype.itemsize))
            return torch.empty(roomy, dtype=dtype, device=device)
        return memory

    def give_back(self, memory: torch.Tensor) -> None:
        """Takes memory back for the next batch, unless it is so much that it had better be free."""
        if memory.nbytes <= SCRATCH_BYTES:
            self._scratch = memory

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Returns [B, V] float32 logits of last hidden states [B, E]."""
        return self._head(hidden).float()  # type: ignore[no-any-return]

    def _check_head(self) -> None:
        """Some models scale or cap their logits after the head; those would be sampled from wrongly."""
        ids = torch.arange(4, device=self.model.device)[None] % self.model.config.vocab_size
        with torch.inference_mode():
            ours = self.logits(self._body(input_ids=ids).last_hidden_state[0])
            theirs = self.model(input_ids=ids).logits[0].float()
        if not torch.isfinite(theirs).all():
            raise SamplerError(
                f"{type(self.model).__name__} computes logits that are not finite: its weights hold NaN, or its dtype "
                "is too narrow. Use dtype=float32, or another model"
            )
        if not torch.allclose(ours, theirs, atol=1e-2, rtol=1e-2):
            raise SamplerError(
                f"{type(self.model).__name__} changes its logits after the output head (scaling or soft-capping), "
                "which the local sampler does not support; use a Llama- or Qwen-type model"
            )


class _Batch:
    """The rows of one call, laid side by side: columns of the past, then of what is new, then of the decode."""

    def __init__(self, sampler: LocalSampler, requests: Sequence[TurnRequest]) -> None:
        self.sampler, self.requests = sampler, requests
        self.device = sampler.model.device
        self.past = [len(request.prefix.token_ids) for request in requests]
        self.new = [len(request.token_ids) for request in requests]
        self.steps = max(request.max_tokens for request in requests)
        self.past_columns, self.new_columns = max(self.past), max(self.new)
        columns = self.past_columns + self.new_columns + self.steps
        self.shape = (sampler._layers, 2, sampler._heads, columns, sampler._width)
        self.memory = sampler.borrow(len(requests) * math.prod(self.shape))
        self.buffer = self._lay()
        column, past, new = np.arange(columns), np.array(self.past)[:, None], np.array(self.new)[:, None]
        fresh = (column >= self.past_columns) & (column < self.past_columns + new)
        self.seen = torch.from_numpy((column < past) | fresh).to(self.device)
        self.lengths = torch.tensor([past + new for past, new in zip(self.past, self.new, strict=True)])
        self.prefixes: list[Prefix] = []

    def _lay(self) -> torch.Tensor:
        """Returns [R, S, C, D] rows, series, columns, head width: what is kept of each row's past, then zeros."""
        layers, pair, heads, columns, width = self.shape
        series, rows = layers * pair * heads, len(self.requests)
        buffer = self.memory[: rows * series * columns * width].view(rows, series, columns, width)
        # Zeros, not empty memory: a NaN left in a masked column would still turn the attention's sum into NaN.
        zeros = buffer.new_zeros(series * columns * width)
        for row, request in enumerate(self.requests):
            kept: _Block | None = request.prefix.kept
            blocks = [block.values for block in kept.chain()] if kept else []
            rest = columns - (kept.length if kept else 0)
            blank = zeros[: series * rest * width].view(series, rest, width)
            # One call a row, of contiguous pieces into contiguous memory: each number is copied once.
            torch.cat([*blocks, blank], dim=1, out=buffer[row])
        return buffer

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor, filled: int) -> torch.Tensor:
        buffer = self.buffer.view(-1, *self.shape)
        layers = [_Layer(buffer[:, layer], filled) for layer in range(self.shape[0])]
        output = self.sampler._body(
            input_ids=ids.to(self.device),
            position_ids=positions.to(self.device),
            attention_mask=mask,
            past_key_values=Cache(layers=layers),
            use_cache=True,
        )
        return output.last_hidden_state  # type: ignore[no-any-return]

    def compute_new(self) -> None:
        """Computes the request tokens and cuts them out as blocks: the prefixes from which the turns start."""
        if self.new_columns:
            words = np.zeros((len(self.requests), self.new_columns), dtype=np.int64)
            for row, request in enumerate(self.requests):
                words[row, : self.new[row]] = request.token_ids
            ids = torch.from_numpy(words)
            steps = torch.arange(self.new_columns)
            positions = (torch.tensor(self.past)[:, None] + steps).clamp(max=self.sampler.context - 1)
            # Queries of the padding see earlier padding, never the other way round, so no row is fully masked.
            causal = (steps[:, None] >= steps).to(self.device).expand(len(self.requests), -1, -1)
            past = self.seen[:, None, : self.past_columns].expand(-1, self.new_columns, -1)
            mask = torch.cat([past, causal], dim=2)[:, None]
            hidden = self._forward(ids, positions, mask, self.past_columns)
            ends = torch.tensor(self.new, device=self.device).clamp(min=1) - 1
            last = hidden[torch.arange(len(self.new), device=self.device), ends]
            told = last.float().cpu().numpy()
        for row, request in enumerate(self.requests):
            if self.new[row]:
                columns = slice(self.past_columns, self.past_columns + self.new[row])
                block = self._cut(row, columns, request.prefix.kept, last[row])
                history = np.concatenate([request.prefix.token_ids, request.token_ids])
                self.prefixes.append(Prefix(history, told[row], block))
            elif request.prefix.hidden is None:
                raise SamplerError("a turn must start from a computed history: no tokens are new and none were kept")
            else:
                self.prefixes.append(request.prefix)

    def _cut(self, row: int, columns: slice, before: _Block | None, hidden: torch.Tensor | None) -> _Block:
        values = self.buffer[row, :, columns].clone()
        return _Block(before, values, (before.length if before else 0) + values.shape[1], hidden)

    def decode(self) -> list[Turn]:
        """Samples until every row has stopped or is full; rows that stopped leave the batch when half have."""
        uniforms = np.zeros((len(self.requests), max(self.steps, 1)))
        for row, request in enumerate(self.requests):
            uniforms[row, : request.max_tokens] = np.random.default_rng(request.seed).random(request.max_tokens)
        # Rounded to float32 a draw can become exactly 1, which would be past every token's share.
        draws = torch.from_numpy(uniforms).float().clamp(max=1 - 2**-24).to(self.device)
        limits = [request.max_tokens for request in self.requests]
        tokens: list[list[int]] = [[] for _ in self.requests]
        logprobs: list[list[float]] = [[] for _ in self.requests]
        ahead: list[_Block | None] = [None for _ in self.requests]
        rows = [row for row, limit in enumerate(limits) if limit]
        open_rows, lengths = set(rows), self.lengths[:, None]
        hidden = torch.stack([prefix.kept.hidden for prefix in self.prefixes])
        start = self.past_columns + self.new_columns
        if len(rows) < len(self.requests):
            self._keep(rows, start)
            hidden, draws, lengths = hidden[rows], draws[rows], lengths[rows]
        for step in range(self.steps):
            if not open_rows:
                break
            ids, chosen = _draw(self.sampler.logits(hidden) / self.sampler.temperature, draws[:, step])
            for place, (row, token, logprob) in enumerate(zip(rows, ids.tolist(), chosen.tolist(), strict=True)):
                if row not in open_rows:
                    continue
                tokens[row].append(token)
                logprobs[row].append(logprob)
                if token in self.sampler.stop_ids or len(tokens[row]) == limits[row]:
                    open_rows.discard(row)
                    if step:
                        ahead[row] = self._cut(place, slice(start, start + step), self.prefixes[row].kept, None)
            if not open_rows:
                break
            if 2 * len(open_rows) <= len(rows):
                places = [place for place, row in enumerate(rows) if row in open_rows]
                self._keep(places, start + step)
                ids, draws, lengths = ids[places], draws[places], lengths[places]
                rows = [rows[place] for place in places]
            self.seen[:, start + step] = True
            mask = self.seen[:, None, None, : start + step + 1]
            hidden = self._forward(ids[:, None], lengths + step, mask, start + step)[:, -1]
        return [self._turn(row, tokens[row], logprobs[row], ahead[row]) for row in range(len(self.requests))]

    def _keep(self, places: list[int], filled: int) -> None:
        """Moves the rows at `places`, which ascend, to the front, and leaves the others."""
        for row, place in enumerate(places):
            if row != place:
                self.buffer[row, :, :filled] = self.buffer[place, :, :filled]
        self.buffer, self.seen = self.buffer[: len(places)], self.seen[places]

    def _turn(self, row: int, tokens: list[int], logprobs: list[float], ahead: _Block | None) -> Turn:
        prefix = self.prefixes[row]
        ids = np.asarray(tokens, dtype=np.int32)
        ahead_prefix = prefix
        if ahead is not None:
            ahead_prefix = Prefix(np.concatenate([prefix.token_ids, ids[:-1]]), None, ahead)
        return Turn(
            prefix=prefix,
            ahead=ahead_prefix,
            token_ids=ids,
            logprobs=np.asarray(logprobs, dtype=np.float32),
            stopped=bool(tokens) and tokens[-1] in self.sampler.stop_ids,
            computed_tokens=self.new[row],
            version=self.sampler.version,
        )


def _draw(logits: torch.Tensor, uniforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns tokens [B] drawn by inverting the distribution at `uniforms` [B], and their log-probabilities."""
    logprobs = torch.log_softmax(logits, dim=-1)
    cumulative = logprobs.exp().cumsum(dim=-1)
    # The sum of rounded probabilities may miss 1 by a little: scale the draw so that it always falls inside.
    ids = torch.searchsorted(cumulative, uniforms[:, None] * cumulative[:, -1:], right=True)[:, 0]
    ids = ids.clamp(max=logits.shape[-1] - 1)
    return ids, logprobs.gather(1, ids[:, None])[:, 0]


def _common_length(prompts: Sequence[NDArray[np.int32]]) -> int:
    """Returns how many tokens all prompts start with, short of the whole of the shortest one."""
    shortest = min(len(prompt) for prompt in prompts)
    table = np.stack([prompt[:shortest] for prompt in prompts])
    differs = np.flatnonzero((table != table[0]).any(axis=0))
    return min(int(differs[0]) if len(differs) else shortest, shortest - 1)
