"""What the agent is told: the form of an action, and one example, played with the real simulators."""

from __future__ import annotations

from treeroll.envs.base import Done, Example, Observation
from treeroll.envs.bfcl import schemas, truth
from treeroll.envs.bfcl.entries import Entry
from treeroll.envs.bfcl.episode import BfclEnv, said
from treeroll.envs.bfcl.schemas import Schemas

INSTRUCTIONS = (
    "You serve a user with the functions that are listed; parameters without a type are texts. In each turn write one "
    "list of calls with literal values: [name(parameter=value), name(parameter=value)]. Their results follow. When "
    "you have done what the user asked, or cannot (a function or a value is missing), say so in words without a list."
)
SHOWN = ("ls", "mkdir", "mv")
"""Functions of the example."""
ENTRY = Entry(
    id="example",
    category="example",
    scenario=-1,
    classes=("GorillaFileSystem",),
    config={
        "GorillaFileSystem": {
            "root": {
                "garden": {
                    "type": "directory",
                    "contents": {
                        "plan.txt": {"type": "file", "content": "beans, peas"},
                        "seeds.txt": {"type": "file", "content": "beans"},
                    },
                }
            }
        }
    },
    messages=("Put the plan into a new folder 2024.", "Now mail the list of seeds to Ann."),
    truth=(("mkdir(dir_name='2024')", "mv(source='plan.txt', destination='2024')"), ()),
    held_back={},
)
ACTIONS = (
    "I see what there is: [ls()]",
    "I make the folder, then move the plan: [mkdir(dir_name='2024'), mv(source='plan.txt', destination='2024')]",
    "The plan is in the folder 2024.",
    "I cannot mail anything: there is no function for it.",
)


def played(style: Schemas) -> list[Observation | Done]:
    """Returns what the environment answers to the actions of the example."""
    env = BfclEnv(style)
    env.begin(ENTRY, truth.play(ENTRY))
    return [env.step(action) for action in ACTIONS]


def example(style: Schemas) -> Example:
    """Returns the example with its functions worded in a style."""
    known = schemas.functions(ENTRY.classes)
    shown = schemas.render({name: known[name] for name in SHOWN}, style)
    heard = [answer.text if isinstance(answer, Observation) else "" for answer in played(style)]
    turns = tuple(zip(ACTIONS, heard, strict=True))
    return Example(f"Functions:\n{shown}\n\n{said(ENTRY, 0, style)}", turns)
