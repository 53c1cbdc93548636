"""The packaged model and its questions in TRL's terms: chat template, parser of tool calls, environment, reward.

The model knows 708 words, so its template writes little: questions, turns and observations, as it was trained on them.
"""

import json

from datasets import Dataset
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer

from treeroll import envs, models
from treeroll.envs.atlas.compact import CompactEnv, known
from treeroll.tree import Task

TEMPLATE = (
    "{% for message in messages %}{{ message.content }}{% for call in message.tool_calls or [] %} "
    "{{ call.function.name }} {{ call.function.arguments }}{% endfor %}"
    "{{ ' E ' if message.role == 'assistant' else ' ' }}{% endfor %}"
)
ARGUMENTS = {"entity": "{entity}", "relation": "{relation}"}
PARSER = {  # "thought search entity relation E" calls a tool; any other turn is an answer
    "defaults": {"role": "assistant"},
    "start_anchor_pattern": r"\bT\b",
    "fields": {
        "tool_calls": {
            "open_pattern": r"\S+ (?P<name>search|lookup) (?P<entity>\S+) (?P<relation>(?!E\b)\S+)",
            "close_pattern": r" E$|$",
            "repeats": True,
            "content": "text",
            "transform": {"type": "function", "function": {"name": "{name}", "arguments": ARGUMENTS}},
        },
        "content": {"close_pattern": r" ?E$|$", "content": "text"},
    },
}


class Atlas:
    """An environment of TRL: `reset`, and public methods as tools. Small enough to be copied in mid-episode."""

    def reset(self, task, **row):
        env = CompactEnv(known())
        env.reset(Task(**json.loads(task)))
        self._moment = env.snapshot()

    def search(self, entity: str, relation: str) -> str:
        """Looks for a place or a thing.

        Args:
            entity: what is asked about.
            relation: what is asked of it.
        """
        return self._ask("search", entity, relation)

    def lookup(self, entity: str, relation: str) -> str:
        """Reads a record.

        Args:
            entity: what is asked about.
            relation: what is asked of it.
        """
        return self._ask("lookup", entity, relation)

    def _ask(self, tool, entity, relation):
        env = CompactEnv(known())
        env.restore(self._moment)
        said = env.step(f"done {tool} {entity} {relation}")
        self._moment = env.snapshot()
        return said.text


def right(completions, answer, **_):
    """Rewards a last turn that gives the right answer."""
    last = [turns[-1].get("content", "") for turns in completions]
    return [float(said.endswith(f"answer {own}")) for said, own in zip(last, answer, strict=True)]


def setup():
    """Returns the model and its tokenizer, ready for tools."""
    tokenizer = AutoTokenizer.from_pretrained(models.TINY)
    tokenizer.add_special_tokens({"eos_token": AddedToken("E", single_word=True, normalized=False)})
    tokenizer.chat_template, tokenizer.response_template, tokenizer.padding_side = TEMPLATE, PARSER, "left"
    return AutoModelForCausalLM.from_pretrained(models.TINY), tokenizer


def questions(count, split="train"):
    """Returns questions as rows: a prompt, and what the environment and the reward need."""
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": task.prompt}],
                "answer": task.data["answer"],
                "task": json.dumps({"id": task.id, "prompt": task.prompt, "data": dict(task.data)}),
            }
            for task in getattr(envs.load("atlas", rendering="compact"), split)[:count]
        ]
    )
