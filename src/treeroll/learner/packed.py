"""Log-probabilities of packed trees: those of `Policy.logprobs` on the same rows, each prefix computed once."""

from __future__ import annotations

import inspect

import numpy as np
import torch
from torch.nn.attention.flex_attention import BlockMask

from treeroll.learner.attention import attending, padded_ends, tree_of
from treeroll.learner.policy import Policy
from treeroll.packing.packed import PackedBatch, pack
from treeroll.packing.row import TreeRow


def packed_logprobs(policy: Policy, batch: PackedBatch, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the log-probability and the entropy at every trained token of a pack; inside `attending` only.

    Args:
      policy: the policy.
      batch: packed rows.
      temperature: that of the sampling distribution.

    Returns:
      Two float32 tensors [N], in the order of the pack's rows.
    """
    hidden = packed_states(policy, batch)
    sources, targets = (torch.from_numpy(values).to(hidden.device) for values in (batch.sources, batch.target_ids))
    return policy.predicted(hidden[sources], targets, temperature)


def packed_states(policy: Policy, batch: PackedBatch) -> torch.Tensor:
    """Returns the decoder's last hidden states at the places of a pack, [T, D] or more; inside `attending` only."""
    device = policy.model.device
    tree = tree_of(batch, device, policy.model.dtype)
    fill = len(padded_ends(batch)) - len(batch.ends) if isinstance(tree, BlockMask) else 0
    tokens, positions = (
        torch.from_numpy(np.pad(values.astype(np.int64), (0, fill)))[None].to(device)
        for values in (batch.token_ids, batch.position_ids)
    )
    states: torch.Tensor = policy.model.get_decoder()(
        input_ids=tokens,
        position_ids=positions,
        # Four axes: so transformers makes no mask of its own, which would be T x T.
        attention_mask=torch.zeros(1, 1, 1, 1, device=device),
        use_cache=False,
        tree=tree,
    ).last_hidden_state[0]
    return states


def refusal(policy: Policy) -> str | None:
    """Returns why a model cannot be given packed trees, or None where it can.

    It cannot where a layer looks at the sequence in another way than by full attention, for then neighbours in the
    pack would be taken for neighbours in the rollout. What a configuration does not tell, a trial does: three short
    rollouts that share a prefix, packed and one by one, in the mode of sampling, in which the model is left.
    """
    decoder = policy.model.get_decoder()
    config = decoder.config
    if others := set(getattr(config, "layer_types", None) or ()) - {"full_attention"}:
        return f"it has layers of {', '.join(sorted(others))}"
    if getattr(config, "sliding_window", None) is not None:
        return f"its attention has a window of {config.sliding_window} tokens"
    takes = inspect.signature(decoder.forward).parameters.values()
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in takes):
        return "its layers take no attention of another"
    policy.model.eval()
    with torch.no_grad(), attending(policy.model):
        batch = pack(_trial(int(config.vocab_size)))
        packed, _ = packed_logprobs(policy, batch, 1.0)
        alone, _ = policy.logprobs(batch.rows, 1.0)
    # A pass in one format differs by some roundings from another; a wrong mask by far more.
    most = 0.5 if policy.rounds else 1e-3
    error = float((packed - alone).abs().max())
    return None if error <= most else f"its log-probabilities of packed trees are off by {error:.3g}"


def _trial(words: int) -> list[TreeRow]:
    """Returns three rollouts that share prompts and turns, of any tokens of a vocabulary of `words`."""
    paths = ((1, 2, 3, 4, 5, 6), (1, 2, 3, 7, 8), (1, 2, 3, 7, 9, 10))
    found = []
    for path in paths:
        ids = np.array(path, dtype=np.int32) % words
        ones = np.ones(len(ids) - 2, dtype=np.float32)
        found.append(TreeRow(ids[:2], ids[2:], ones.astype(np.bool_), ones, ones, "", 0))
    return found
