"""What the predictors that learn with torch share: seeded minibatches, weighted BCE, and a state made of arrays.

torch is never imported here: tensors come from those who have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll.seeding import generator


def minibatches(count: int, size: int, passes: int, seed: int, *address: int | str) -> Iterator[NDArray[np.int64]]:
    """Yields index arrays of at most `size`, `passes` times over `count` items, each time in another order."""
    for number in range(passes):
        order = generator(seed, *address, number).permutation(count)
        yield from (order[start : start + size] for start in range(0, count, size))


def bernoulli_loss(torch: Any, logits: Any, successes: NDArray[np.float64], samples: NDArray[np.float64]) -> Any:
    """Returns the mean binary cross-entropy of the samples behind [n] logits; each sample weighs the same."""
    won, lost = (
        torch.as_tensor(part, dtype=logits.dtype, device=logits.device) for part in (successes, samples - successes)
    )
    surprise = torch.nn.functional.softplus
    return (won * surprise(-logits) + lost * surprise(logits)).sum() / float(samples.sum())


def to_arrays(module: Any, optimizer: Any) -> dict[str, Any]:
    """Returns a module's weights and an optimizer's moments as numpy arrays, under "weight/" and "optimizer/".

    bfloat16 goes as float32, which holds it exactly.
    """
    weights = {f"weight/{name}": _array(value) for name, value in module.state_dict().items()}
    moments = {
        f"optimizer/{place}/{name}": _array(value)
        for place, held in optimizer.state_dict()["state"].items()
        for name, value in held.items()
    }
    return weights | moments


def from_arrays(torch: Any, module: Any, optimizer: Any, state: Mapping[str, Any]) -> None:
    """Puts back what `to_arrays` took.

    Raises:
      ValueError: the weights are those of another model.
    """
    own = module.state_dict()
    shapes = {name: tuple(value.shape) for name, value in own.items()}
    saved = {name: np.shape(state.get(f"weight/{name}", ())) for name in own}
    if differing := [name for name in own if shapes[name] != saved[name]]:
        name = differing[0]
        raise ValueError(
            f"the saved predictor has other weights: {name} is {saved[name]} there and {shapes[name]} here. "
            "Build it with the options it was saved with"
        )
    module.load_state_dict({name: torch.tensor(np.asarray(state[f"weight/{name}"])) for name in own})
    held: dict[int, dict[str, Any]] = {}
    for key, value in state.items():
        if key.startswith("optimizer/"):
            _, place, name = key.split("/")
            held.setdefault(int(place), {})[name] = torch.tensor(np.asarray(value, dtype=np.float32))
    optimizer.load_state_dict({**optimizer.state_dict(), "state": held})


def _array(tensor: Any) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().float().cpu().numpy().copy()
    return array
