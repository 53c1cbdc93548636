"""Attention in which each token of a pack sees its ancestors alone, for any model of transformers' attention interface.

The model's own layers run once over the pack as one sequence; only the function that attends is ours, and only where
`tree` is handed down to it: everything else, such as sampling, goes the way that it went.

blocks   the dense calls of `packing.blocks`, by scaled_dot_product_attention: any device
flex     FlexAttention with a block mask, compiled: CUDA
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.nn.attention.flex_attention import BlockMask
from torch.nn.functional import scaled_dot_product_attention

from treeroll.packing.blocks import Block, blocks
from treeroll.packing.packed import PackedBatch

NAME = "treeroll_tree"
"""Of the attention function, as transformers knows it."""
MOST = 128
"""Most tokens of a block that holds a branch; docs/tables/packing.md has the times of others."""
FLEX_BLOCK = 128
"""FlexAttention works in squares of this many tokens."""


@dataclass(frozen=True, eq=False)
class TreeBlocks:
    """The attention of a pack of T tokens as dense calls."""

    sizes: list[int]
    """Tokens of the pieces that the sequence is split into; they sum to T."""
    calls: tuple[tuple[tuple[int, ...], tuple[int, ...], torch.Tensor | None], ...]
    """For each block: the pieces of its queries, those of its keys (the past first), and what is added to its scores,
    [Q, K]: 0 where a token sees another, else minus infinity; None for a first piece, which is causal."""


Tree: TypeAlias = TreeBlocks | BlockMask


@contextmanager
def attending(model: Any) -> Iterator[None]:
    """Lets a model attend along trees, wherever its layers are given one; in a backward pass that computes layers again
    too, so that has to happen inside."""
    _register()
    config = model.get_decoder().config
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def tree_of(batch: PackedBatch, device: torch.device, dtype: torch.dtype) -> Tree:
    """Returns what the layers attend by: blocks, or on CUDA FlexAttention's mask."""
    return flex_mask(batch, device) if device.type == "cuda" else tree_blocks(batch, device, dtype)


def tree_blocks(batch: PackedBatch, device: torch.device, dtype: torch.dtype, most: int | None = None) -> TreeBlocks:
    """Returns a pack's attention as dense calls.

    Args:
      batch: the pack.
      device: where the model is.
      dtype: the model's.
      most: most tokens of a block that holds a branch; `MOST` unless given.
    """
    found = blocks(batch.ends, MOST if most is None else most)
    ranges = [piece for block in found for piece in ((block.start, block.stop), *block.past)]
    edges = np.unique(np.array(ranges))
    ends = torch.from_numpy(batch.ends).to(device)
    calls = []
    for block in found:
        own = _pieces(edges, block.start, block.stop)
        past = tuple(piece for span in block.past for piece in _pieces(edges, *span))
        causal = not block.past and bool((batch.ends[block.start : block.stop] == batch.ends[block.start]).all())
        calls.append((own, past + own, None if causal else _scores(block, ends, dtype)))
    return TreeBlocks(np.diff(edges).tolist(), tuple(calls))


def flex_mask(batch: PackedBatch, device: torch.device) -> BlockMask:
    """Returns FlexAttention's mask of a pack, T rounded up to whole squares; the tokens that fill them see themselves.

    A square of queries and keys holds something to see where a key of it comes before the last query and its subtree
    ends after the first one, and nothing to hide where that is so of every pair; so no mask of T x T is ever made.
    Shapes that are multiples of `FLEX_BLOCK` also keep the number of compiled kernels small.
    """
    ends = torch.from_numpy(padded_ends(batch)).to(device)
    squares = ends.view(-1, FLEX_BLOCK)
    number = torch.arange(len(squares), device=device)
    starts = FLEX_BLOCK * number[:, None]
    some = (number <= number[:, None]) & (squares.amax(dim=1) > starts)
    every = (number < number[:, None]) & (squares.amin(dim=1) >= starts + FLEX_BLOCK)

    def sees(_batch: torch.Tensor, _head: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return (key <= query) & (query < ends[key])

    return BlockMask.from_kv_blocks(*_listed(some & ~every), *_listed(every), BLOCK_SIZE=FLEX_BLOCK, mask_mod=sees)


def _listed(squares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns for each row of squares how many are chosen, [1, 1, B], and all numbers, those first, [1, 1, B, B]."""
    order = squares.int().argsort(dim=1, descending=True, stable=True)
    return squares.sum(dim=1, dtype=torch.int32)[None, None], order.int()[None, None]


def padded_ends(batch: PackedBatch) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Returns a pack's `ends`, filled up to whole squares with tokens that stand alone."""
    size = -(-len(batch.ends) // FLEX_BLOCK) * FLEX_BLOCK
    return np.concatenate([batch.ends, np.arange(len(batch.ends), size, dtype=np.int32) + 1])


@cache
def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _forward)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def _forward(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    tree: Tree | None = None,
    **options: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attends along a tree; without one, as transformers does.

    Args:
      module: the model's attention layer.
      query: [1, H, T, D].
      key: [1, G, T, D], where G divides H.
      value: [1, G, T, D].
      attention_mask: not used where there is a tree.
      tree: what to attend along.
      options: what transformers' own functions take.

    Returns:
      [1, T, H, D], and None.
    """
    if tree is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        plain: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return plain
    if isinstance(tree, BlockMask):
        from transformers.integrations.flex_attention import flex_attention_forward

        # Autocast leaves what a norm or a rotation has made in float32, and this wants one format.
        query, key = query.to(value.dtype), key.to(value.dtype)
        return flex_attention_forward(module, query, key, value, tree, **options)[0], None
    return attend(query, key, value, tree, options.get("scaling")), None


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, tree: TreeBlocks, scale: float | None
) -> torch.Tensor:
    """Returns [1, T, H, D] the attention of [1, H, T, D] queries along a tree, block by block."""
    queries, keys, values = (torch.split(tensor, tree.sizes, dim=2) for tensor in (query, key, value))
    groups = query.shape[1] != key.shape[1]
    found = [
        scaled_dot_product_attention(
            _join(queries, own), _join(keys, seen), _join(values, seen),
            attn_mask=scores, is_causal=scores is None, scale=scale, enable_gqa=groups,
        )
        for own, seen, scores in tree.calls
    ]  # fmt: skip
    return torch.cat(found, dim=2).transpose(1, 2)


def _join(pieces: tuple[torch.Tensor, ...], chosen: tuple[int, ...]) -> torch.Tensor:
    return pieces[chosen[0]] if len(chosen) == 1 else torch.cat([pieces[index] for index in chosen], dim=2)


def _pieces(edges: np.ndarray[Any, np.dtype[np.int64]], start: int, stop: int) -> tuple[int, ...]:
    """Returns the numbers of the pieces that a range is made of; its ends are among the edges."""
    first, last = np.searchsorted(edges, [start, stop])
    return tuple(range(int(first), int(last)))


def _scores(block: Block, ends: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Returns [Q, K] what is added to a block's scores."""
    places = torch.arange(block.start, block.stop, device=ends.device)
    seen = (places <= places[:, None]) & (places[:, None] < ends[block.start : block.stop])
    own = torch.zeros(seen.shape, dtype=dtype, device=ends.device).masked_fill_(~seen, -torch.inf)
    past = own.new_zeros(len(own), block.keys - len(own))
    return torch.cat([past, own], dim=1)
