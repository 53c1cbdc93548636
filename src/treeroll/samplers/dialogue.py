"""How an episode becomes tokens: a world's plain words, a chat template, or a completion with examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll.envs.base import Example
from treeroll.errors import ConfigError


class PlainDialogue:
    """A world's own words, for a model trained on them: prompt, turn, observation, nothing in between.

    Args:
      tokenizer: a Hugging Face tokenizer.
      stop: the word that ends a turn.
    """

    def __init__(self, tokenizer: Any, stop: str) -> None:
        self._tokenizer = tokenizer
        ids = tokenizer.encode(stop, add_special_tokens=False)
        if len(ids) != 1:
            raise ConfigError(f"the stop word {stop!r} is {len(ids)} tokens in this tokenizer; it must be one")
        self._stop = np.asarray(ids, np.int32)
        self.stop_ids = frozenset(ids)

    def prompt(self, question: str) -> NDArray[np.int32]:
        return _encode(self._tokenizer, question)

    def action(self, token_ids: NDArray[np.int32]) -> str:
        kept = token_ids[:-1] if len(token_ids) and int(token_ids[-1]) in self.stop_ids else token_ids
        return str(self._tokenizer.decode(kept))

    def observation(self, text: str, *, stopped: bool) -> NDArray[np.int32]:
        ids = _encode(self._tokenizer, text)
        return ids if stopped else np.concatenate([self._stop, ids])


class ChatDialogue:
    """The model's own chat template: instructions and examples first, observations as messages of the user.

    A history holds the tokens as they were sampled. Where a template would leave something out of earlier answers
    (Qwen3 drops their thoughts), it stays in: a child's tokens must extend its parent's.

    Args:
      tokenizer: a Hugging Face tokenizer with a chat template.
      instructions: told before the first question.
      examples: demonstrations, shown as earlier conversations.

    Raises:
      ConfigError: no chat template, one that refuses such a conversation, one that rewrites earlier messages as it
        grows, or one that ends an answer with no token of its own.
    """

    def __init__(self, tokenizer: Any, instructions: str, examples: Sequence[Example]) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise ConfigError(
                "this tokenizer has no chat template. Use sampling.dialogue=completion, or a model that has one"
            )
        self._tokenizer = tokenizer
        self._opening = _messages(instructions, examples)
        self._asked = [*self._opening, {"role": "user", "content": "Q"}]
        self._before = self._render(self._asked)
        tail = self._tail("x")
        # The token that ends an answer is the template's; the tokenizer's end of sequence may be another one.
        stop = int(_encode(tokenizer, tail)[0])
        if stop not in tokenizer.all_special_ids:
            raise ConfigError(
                f"the chat template ends an answer with {tail[:20]!r}, which is no special token, so no turn could "
                "end. Use sampling.dialogue=completion"
            )
        self._stop_text = str(tokenizer.convert_ids_to_tokens(stop))
        self.stop_ids = frozenset([stop] if tokenizer.eos_token_id is None else [stop, int(tokenizer.eos_token_id)])

    def prompt(self, question: str) -> NDArray[np.int32]:
        question = _harmless(self._tokenizer, question)
        messages = [*self._opening, {"role": "user", "content": question}]
        return _encode(self._tokenizer, self._render(messages, generate=True))

    def action(self, token_ids: NDArray[np.int32]) -> str:
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=True))

    def observation(self, text: str, *, stopped: bool) -> NDArray[np.int32]:
        text = _harmless(self._tokenizer, text)
        tail = self._tail(text)
        return _encode(self._tokenizer, tail.removeprefix(self._stop_text) if stopped else tail)

    def _tail(self, observation: str) -> str:
        """Returns what the template writes after an answer: its end, the observation, the next turn's start."""
        messages = [
            *self._asked,
            {"role": "assistant", "content": _ANSWER},
            {"role": "user", "content": f"Observation: {observation}"},
        ]
        grown = self._render(messages, generate=True)
        place = grown.find(_ANSWER, len(self._before))
        if not grown.startswith(self._before) or place < 0:
            raise ConfigError(
                "the chat template rewrites what came before as a conversation grows, so tokens would not be exact. "
                "Use sampling.dialogue=completion"
            )
        return grown[place + len(_ANSWER) :].lstrip(" ")

    def _render(self, messages: list[dict[str, str]], *, generate: bool = False) -> str:
        from jinja2 import TemplateError

        try:
            return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate))
        except TemplateError as error:
            raise ConfigError(
                f"the chat template refuses a conversation of system, user and assistant: {error}. "
                "Use sampling.dialogue=completion"
            ) from error


_ANSWER = "@answer@"
"""Stands for an answer while the template is asked what it writes after one."""


class CompletionDialogue:
    """Plain text with examples, one line a turn, for base models and for small ones.

        Question: ...
        Thought: <turn>
        Observation: ...
        Thought: <turn>

    The label of a turn is written for the model, so that a small one does not go on with an observation instead.

    Args:
      tokenizer: a Hugging Face tokenizer.
      instructions: the first lines of the text.
      examples: demonstrations, written as the episode will be.

    Raises:
      ConfigError: no token of the tokenizer holds a line break, so no turn could end.
    """

    TURN = "Thought:"

    def __init__(self, tokenizer: Any, instructions: str, examples: Sequence[Example]) -> None:
        self._tokenizer = tokenizer
        blocks = [instructions] if instructions else []
        for example in examples:
            text = self._question(example.prompt)
            for action, observation in example.turns:
                text += f" {action}\n" + (self._answered(observation) if observation else "")
            blocks.append(text.rstrip("\n"))
        self._opening = "\n\n".join([*blocks, ""])
        words = tokenizer.batch_decode([[index] for index in range(len(tokenizer))])
        self.stop_ids = frozenset(index for index, word in enumerate(words) if "\n" in word)
        newline = tokenizer.encode("\n", add_special_tokens=False)
        if not self.stop_ids or not newline:
            raise ConfigError("no token of this tokenizer holds a line break, so no turn could end")
        if tokenizer.eos_token_id is not None:
            self.stop_ids |= {int(tokenizer.eos_token_id)}
        self._newline = np.asarray(newline, np.int32)

    def prompt(self, question: str) -> NDArray[np.int32]:
        question = _harmless(self._tokenizer, question)
        return _encode(self._tokenizer, self._opening + self._question(question))

    def action(self, token_ids: NDArray[np.int32]) -> str:
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=True)).strip()

    def observation(self, text: str, *, stopped: bool) -> NDArray[np.int32]:
        text = _harmless(self._tokenizer, text)
        ids = _encode(self._tokenizer, self._answered(text))
        return ids if stopped else np.concatenate([self._newline, ids])

    def _question(self, question: str) -> str:
        return f"Question: {question}\n{self.TURN}"

    def _answered(self, observation: str) -> str:
        return f"Observation: {observation}\n{self.TURN}"


def _messages(instructions: str, examples: Sequence[Example]) -> list[dict[str, str]]:
    messages = [{"role": "system", "content": instructions}] if instructions else []
    for example in examples:
        asked = example.prompt
        for action, observation in example.turns:
            messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": action}]
            asked = f"Observation: {observation}"
    return messages


def _harmless(tokenizer: Any, text: str) -> str:
    """Returns a text from outside without the words that the tokenizer takes for control tokens.

    A document or a question could otherwise end a turn, or speak as another role.
    """
    for word in tokenizer.added_tokens_encoder:
        text = text.replace(word, " ")
    return text


def _encode(tokenizer: Any, text: str) -> NDArray[np.int32]:
    return np.asarray(tokenizer.encode(text, add_special_tokens=False), dtype=np.int32)
