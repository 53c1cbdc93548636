"""From rows of a data set to the tasks of a generation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from treeroll.errors import ConfigError, SamplerError
from treeroll.integrations.trl.host import Host, opened
from treeroll.integrations.trl.wording import Words
from treeroll.seeding import derive
from treeroll.tree import Task

PLACEHOLDER = ({"role": "user", "content": ""},)
"""The prompt of a row that has none: its environment words it."""


def runs(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], int]]:
    """Returns each row of a batch once, with how often it stands there in a row."""
    return [(next(same), 1 + sum(1 for _ in same)) for _, same in groupby(rows, key=repr)]


def tasks(host: Host, rows: Sequence[Mapping[str, Any]]) -> list[Task]:
    """Returns a task for each row, worded and tokenized by TRL.

    A task's data hold `row`; `asked`, its prompt; `prompt`, the same with what its environment says first; `ids` of
    that; `environment`, its name; and `reset`, what its environment starts from.

    Raises:
      ConfigError: tools, and prompts that are texts.
      SamplerError: a prompt leaves no room for a turn.
    """
    trainer, found = host.trainer, []
    several = bool(trainer.environment_factories) and trainer._multi_environment
    for row in rows:
        if row.get("image") is not None or row.get("images"):
            raise ConfigError("a row has images; TreeGRPOTrainer works with texts only. Drop the column")
        name = row.get("environment") if several else None
        asked = row["prompt"] if trainer.environment_factories is None else row.get("prompt", list(PLACEHOLDER))
        if isinstance(asked, str) and trainer.tools:
            raise ConfigError("prompts are texts, and there are tools: write prompts as lists of messages")
        reset = {key: value for key, value in row.items() if not (several and key == "environment")}
        environment = host.environment(name)
        prompt = asked if environment is None else opened(asked, environment.reset(**reset))
        found.append({"row": row, "asked": asked, "prompt": prompt, "environment": name, "reset": reset})
    trainer._batch_environments = [data["environment"] for data in found]
    ids, _, _ = trainer._tokenize_prompts([data["prompt"] for data in found])
    seen: Counter[str] = Counter()
    planted = []
    for data, own in zip(found, ids, strict=True):
        name = f"{derive(0, repr(data['row'])):016x}"
        seen[name] += 1
        data["ids"] = tuple(int(token) for token in own)
        if len(data["ids"]) >= host.context:
            raise SamplerError(
                f"the prompt {text(data['prompt'])[:80]!r} is {len(data['ids'])} tokens, and the model has a context "
                f"of {host.context}. Shorten it, or use a model with a longer context"
            )
        again = f"+{seen[name] - 1}" if seen[name] > 1 else ""
        planted.append(Task(name + again, Words(text(data["prompt"]), data["ids"]), data))
    return planted


def text(prompt: Any) -> str:
    """Returns a prompt as text, messages one below the other."""
    if isinstance(prompt, str):
        return prompt
    return "\n".join(str(message["content"]) for message in prompt)
