"""The policy under training: a Hugging Face causal LM, its tokenizer, and exact log-probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from treeroll.errors import ConfigError
from treeroll.learner import lora
from treeroll.learner.mixed import compute_in_bfloat16
from treeroll.models import check_model
from treeroll.packing import TreeRow


@dataclass(eq=False)
class Policy:
    """A model and its tokenizer."""

    model: Any
    tokenizer: Any
    name: str
    version: int = 0
    """Policy updates so far."""
    mixed: bool = False
    """Whether the layers of a float32 model compute in bfloat16; see `learner.mixed`."""

    @property
    def context(self) -> int:
        """Most tokens that the model can hold."""
        return int(self.model.config.max_position_embeddings)

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    def trainable(self) -> list[torch.nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    @property
    def rounds(self) -> bool:
        """Whether two passes that are the same in theory differ by the roundings of a 16-bit format."""
        return self.mixed or self.model.dtype not in (torch.float32, torch.float64)

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yields all weights that the policy computes with, adapters added in, each once and one at a time.

        Names are those of the model's own checkpoints, so an engine that loads these loads them (vLLM's
        `load_weights`). A tied output head comes under the name of the embedding. The policy stays as it is.
        """
        yield from lora.merged(self.model)

    def add_adapters(self, rank: int, layers: int | None = None) -> None:
        """Freezes the model and puts LoRA adapters on its top `layers`, or on all; see `lora.add_adapters`."""
        lora.add_adapters(self.model, rank, layers)

    def train_top_layers(self, count: int) -> None:
        """Freezes all but the last `count` layers, the final norm and an untied output head.

        Raises:
          ConfigError: the model has fewer layers.
        """
        decoder = self.model.get_decoder()
        if not 1 <= count <= len(decoder.layers):
            raise ConfigError(f"learner.train_layers={count}, but {self.name} has {len(decoder.layers)} layers")
        tied = self.model.get_output_embeddings().weight is self.model.get_input_embeddings().weight
        self.model.requires_grad_(False)
        for layer in decoder.layers[-count:]:
            layer.requires_grad_(True)
        decoder.norm.requires_grad_(True)
        if not tied:
            self.model.get_output_embeddings().requires_grad_(True)

    def compute_again(self) -> None:
        """Lets the layers keep no activations but their inputs while training: each is computed again in the backward
        pass (gradient checkpointing)."""
        # Its name since transformers 5.2x; the old one goes in 6, and warns.
        enable = getattr(self.model, "activation_checkpointing_enable", self.model.gradient_checkpointing_enable)
        enable({"use_reentrant": False})

    def logprobs(self, rows: Sequence[TreeRow], temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the log-probability and the entropy at every trained token of some rows.

        Args:
          rows: histories and their loss masks.
          temperature: that of the sampling distribution.

        Returns:
          Two float32 tensors [N], N = number of True in the rows' loss masks, row by row. Only these positions
          go through the output head.
        """
        lengths = [len(row.prompt_ids) + len(row.completion_ids) for row in rows]
        ids = np.zeros((len(rows), max(lengths)), dtype=np.int64)
        attended = np.zeros_like(ids)
        predicted = np.zeros(ids.shape, dtype=np.bool_)
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            ids[place, :length] = np.concatenate([row.prompt_ids, row.completion_ids])
            attended[place, :length] = 1
            predicted[place, len(row.prompt_ids) : length] = row.loss_mask
        device = self.model.device
        tokens = torch.from_numpy(ids).to(device)
        hidden = self.model.get_decoder()(
            input_ids=tokens, attention_mask=torch.from_numpy(attended).to(device), use_cache=False
        ).last_hidden_state
        target = torch.from_numpy(predicted).to(device)
        # The token at t is predicted by the hidden state at t - 1; a prompt always comes before the first one.
        return self.predicted(hidden[:, :-1][target[:, 1:]], tokens[target], temperature)

    def predicted(
        self, hidden: torch.Tensor, targets: torch.Tensor, temperature: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the log-probability and the entropy at N tokens, each float32 [N].

        Args:
          hidden: [N, D] the decoder's last hidden states before them.
          targets: [N] their ids.
          temperature: that of the sampling distribution.
        """
        logits = self.model.get_output_embeddings()(hidden).float() / temperature
        logprobs = torch.log_softmax(logits, dim=-1)
        chosen = logprobs.gather(1, targets[:, None])[:, 0]
        entropy = -(logprobs.detach().exp() * logprobs.detach()).sum(dim=-1)
        return chosen, entropy


def load_policy(name: str, *, device: str, dtype: str = "float32") -> Policy:
    """Loads the packaged tiny model, a model directory, or a model of the Hugging Face hub.

    Args:
      name: ``"tiny"``, a directory, or a hub name such as ``"Qwen/Qwen3-0.6B"``.
      device: a torch device.
      dtype: a torch dtype by name, or ``"mixed"``: float32 weights, layers that compute in bfloat16.

    Raises:
      ConfigError: no such model, no tokenizer beside it, or no causal LM in it.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path, mixed = check_model(name), dtype == "mixed"
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float32 if mixed else getattr(torch, dtype), attn_implementation="sdpa"
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ConfigError(f"model {name!r} cannot be loaded: {error}") from error
    if mixed:
        compute_in_bfloat16(model)
    return Policy(model.to(device), tokenizer, name, mixed=mixed)


def as_array(tensor: torch.Tensor) -> NDArray[np.float32]:
    """Returns a tensor as a float32 array in main memory."""
    array: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return array
