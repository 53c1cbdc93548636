"""LoRA (arXiv 2106.09685): low-rank adapters learn and the model's own weights stay, by peft.

Adapters sit on every linear layer but the output head, scaled by ALPHA / rank, without dropout (which would make the
probability ratio a random one). They are float32 whatever the model's dtype, so small steps are not rounded away. At
first they change nothing: the second matrix of each is zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from treeroll.errors import ConfigError, DataError, require

ALPHA = 32
"""Scale of the adapters times their rank, so that the step size need not follow the rank ("LoRA Without Regret",
Thinking Machines 2025, where 32 is used for every rank)."""
_NAME = "default"
"""Of the adapter, as peft knows it."""
_PREFIX = "base_model.model."
"""What peft writes before a weight's name in its files."""


def add_adapters(model: Any, rank: int, layers: int | None = None) -> None:
    """Puts adapters on a model, in place, and freezes everything else.

    Args:
      model: a causal LM of transformers.
      rank: of each adapter, >= 1.
      layers: how many of the top layers get any; all where None.

    Raises:
      ConfigError: the model has fewer layers, or no linear ones.
      MissingExtraError: peft is not installed.
    """
    peft = require("peft", "lora")
    depth = len(model.get_decoder().layers)
    if layers is not None and not 1 <= layers <= depth:
        raise ConfigError(f"learner.train_layers={layers}, but {model.name_or_path} has {depth} layers")
    below = "|".join(str(layer) for layer in range(depth - (layers or depth)))
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=ALPHA,
        lora_dropout=0.0,
        target_modules="all-linear",
        exclude_modules=rf".*\blayers\.({below})\..*" if below else None,
        task_type="CAUSAL_LM",
    )
    try:
        peft.inject_adapter_in_model(config, model, _NAME)
    except ValueError as error:
        raise ConfigError(f"learner.lora={rank} cannot be put on {type(model).__name__}: {error}") from error
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def has_adapters(model: Any) -> bool:
    """Returns whether a model has adapters that `add_adapters` put on it."""
    return bool(getattr(model, "peft_config", None))


def merged(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields the weights of a model as it computes, adapters added in, under the names that it has without them.

    Each weight is yielded once: a tied output head under the name of the embedding. Without adapters they are the
    model's own tensors; the model stays as it is either way, and no more than one weight is made at a time.
    """
    adapted = {f"{name}.base_layer.weight": module for name, module in _adapted(model)}
    for name, weight in model.named_parameters():
        if ".lora_" in name:
            continue
        own = weight.detach()
        if name in adapted:
            delta = adapted[name].get_delta_weight(_NAME).detach()
            own = (own.to(delta.dtype) + delta).to(own.dtype)
        yield name.replace(".base_layer.", "."), own


def save_adapters(model: Any, folder: Path, base: str) -> None:
    """Writes a model's adapters alone, as peft does; `PeftModel.from_pretrained(model, folder)` takes them.

    Args:
      model: one that has adapters.
      folder: a new folder.
      base: name of the model that they belong to.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    folder.mkdir()
    config = model.peft_config[_NAME]
    config.base_model_name_or_path = base
    config.save_pretrained(folder)
    found = get_peft_model_state_dict(model, adapter_name=_NAME, save_embedding_layers=False)
    weights = {_PREFIX + name: weight.detach().contiguous().cpu() for name, weight in found.items()}
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def load_adapters(model: Any, folder: Path) -> None:
    """Puts saved weights into the adapters of a model.

    Raises:
      DataError: they are those of another model, rank or layers.
    """
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    path = folder / "adapter_model.safetensors"
    if not path.exists():
        raise DataError(f"checkpoint {folder.parent} is incomplete: {folder.name}/{path.name} is missing")
    weights = {name.removeprefix(_PREFIX): weight for name, weight in load_file(path).items()}
    expected = {
        name.replace(f".{_NAME}.", "."): one.shape for name, one in model.named_parameters() if ".lora_" in name
    }
    if {name: one.shape for name, one in weights.items()} != expected:
        raise DataError(f"{path} holds adapters of another model or rank. Resume with the run's own model")
    set_peft_model_state_dict(model, weights, adapter_name=_NAME)


def _adapted(model: Any) -> Iterator[tuple[str, Any]]:
    if has_adapters(model):
        from peft.tuners.lora import LoraLayer

        yield from ((name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer))
