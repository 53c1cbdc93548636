"""All options of a run: how they are put together, and their list."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from treeroll import methods
from treeroll.config.agreement import check
from treeroll.config.sections import Budget, Count, Evaluation, Learner, Predictor, Sampling, Section, World
from treeroll.config.tables import flat, nested
from treeroll.config.words import choices, default, explain, unknown
from treeroll.errors import ConfigError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

REAL_MODEL_RATE = 1e-6
"""Step size of models that were not made for this: what fine-tuning of whole language models by reinforcement uses."""
LORA_RATES = {1.5e-3: 1.5e-2, REAL_MODEL_RATE: 1e-5}
"""Step size of LoRA adapters by that of the whole model: 10 times, which "LoRA Without Regret" (Thinking Machines 2025)
finds best, in reinforcement learning too."""


class Config(Section):
    """All options of a run."""

    method: str = "trace"
    """recipe of allocation, predictor and credit: see `treeroll methods`"""
    env: str = "atlas"
    """world to act in"""
    model: str = "tiny"
    """tiny (in the package), a directory, or a Hugging Face hub name"""
    steps: Count = 80
    """policy updates"""
    seed: Annotated[int, Field(ge=0)] = 0
    """every random draw follows from it"""
    out: str | None = None
    """folder of the run; none: runs/METHOD-ENV-sSEED-N, the first free N"""
    device: str = "auto"
    """auto: the first GPU if there is one; else cpu, cuda, cuda:1, ..."""
    dtype: Literal["float32", "mixed", "bfloat16"] = "float32"
    """number format; mixed: float32 weights, passes in bfloat16; bfloat16: weights too, which loses small steps of all
    that learns but lora's adapters"""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads of the model; 0: one for a small model, else one a core"""
    report: bool = True
    """write an HTML report at the end"""
    checkpoint_every: Count = 20
    """steps between checkpoints; there is always one at the end"""
    keep_checkpoints: Count = 2
    """newest checkpoints that are kept"""
    trees_every: Annotated[int, Field(ge=0)] = 1
    """steps between those whose trees are saved, the last step's too; 0: none are"""
    world: World = World()
    budget: Budget = Budget()
    sampling: Sampling = Sampling()
    predictor: Predictor = Predictor()
    learner: Learner = Learner()
    evaluation: Evaluation = Evaluation()

    @classmethod
    def resolve(cls, overrides: Sequence[str] = (), *, base: Mapping[str, Any] | None = None) -> Config:
        """Returns the options of a run.

        Args:
          overrides: `key=value`, e.g. `budget.rollouts=64`; of two for one key the later one wins. The word
            `none` unsets an option that may be unset.
          base: tables of options under the overrides: those of `read_file`, or of a run's own `config.json`.

        Raises:
          ConfigError: a key is unknown, a value breaks its rule, or options contradict each other.
        """
        values = dict(flat(base or {}))
        for override in overrides:
            key, found, value = override.partition("=")
            if not found:
                raise ConfigError(f"{override!r} is not an option. Write it as key=value, e.g. budget.rollouts=64")
            values[key.strip()] = value.strip()
        known = dict(options())
        for key, value in values.items():
            if key.startswith("world.") and key not in known:
                continue  # the world's own; `preflight.load_world` holds it against the world's factory
            if key not in known:
                raise ConfigError(unknown(key, known))
            if isinstance(value, str) and value.lower() == "none" and type(None) in get_args(known[key].annotation):
                values[key] = None
        try:
            return cls.model_validate(nested(values))
        except ValidationError as error:
            raise ConfigError("\n".join(explain(detail, known) for detail in error.errors())) from error

    def to_dict(self) -> dict[str, Any]:
        """Returns the resolved options as JSON values; `resolve` takes them back as its base."""
        return self.model_dump(mode="json")

    def pool(self, tasks: int) -> int:
        """Returns how many of a world's `tasks` a step looks at.

        Raises:
          ConfigError: there are too few tasks for the step's bare rollouts.
        """
        method, budget = methods.get(self.method), self.budget
        if budget.unit != "rollouts":
            return min(tasks, budget.pool)
        pool = min(tasks, method.candidates(budget.pool, budget.rollouts, budget.group))
        bare = method.bare_rollouts(budget.rollouts, budget.continuations)
        if pool < (needed := bare // budget.group):
            raise ConfigError(
                f"{bare} bare rollouts a step in groups of budget.group={budget.group} need {needed} different tasks, "
                f"but a step has {pool}. Raise {'budget.pool' if tasks > pool else 'the number of tasks'} or "
                "budget.group, or lower budget.rollouts"
            )
        return pool

    def keeps_trees(self, step: int) -> bool:
        """Returns whether the trees of a step are saved."""
        every = self.trees_every
        return every > 0 and (step % every == 0 or step == self.steps)

    def run_dir(self, root: Path = Path("runs")) -> Path:
        """Returns the folder of the run: `out`, else the first free name in `root`. Nothing is made."""
        if self.out is not None:
            return Path(self.out)
        number, env = 1, self.env.replace(":", ".")
        while (path := root / f"{self.method}-{env}-s{self.seed}-{number}").exists():
            number += 1
        return path

    @model_validator(mode="before")
    @classmethod
    def _from_method(cls, values: Any) -> Any:
        """Fills in what the method names, wherever nothing else was said."""
        if not isinstance(values, Mapping) or not isinstance(values.get("method", "trace"), str):
            return values
        filled = dict(values)
        defaults = methods.get(values.get("method", "trace")).defaults
        tiny, learner = values.get("model", "tiny") == "tiny", filled.get("learner", {})
        if not tiny:
            defaults = {**defaults, "learner.learning_rate": REAL_MODEL_RATE}
        if learner.lora if isinstance(learner, Learner) else isinstance(learner, Mapping) and learner.get("lora"):
            whole = float(Learner.model_fields["learning_rate"].default) if tiny else REAL_MODEL_RATE
            defaults = {**defaults, "learner.learning_rate": LORA_RATES[whole]}
        for key, value in defaults.items():
            section, name = key.split(".")
            said = filled.get(section, {})
            if isinstance(said, Section):
                said = said.model_dump(exclude_unset=True)
            if isinstance(said, Mapping):
                filled[section] = {name: value, **said}
        return filled

    @model_validator(mode="after")
    def _agrees(self) -> Config:
        check(self)
        return self


def options() -> Iterator[tuple[str, FieldInfo]]:
    """Yields every option with its dotted name, section by section."""
    for name, option in Config.model_fields.items():
        if isinstance(option.default, Section):
            for key, inner in type(option.default).model_fields.items():
                yield f"{name}.{key}", inner
        else:
            yield name, option


def describe(skip: Collection[str] = ()) -> str:
    """Returns every option but those in `skip`: one a line with meaning and default, under its section's heading."""
    lines, heading = [], None
    for key, option in options():
        if key in skip:
            continue
        section = key.rpartition(".")[0]
        if section != heading:
            heading = section
            about = type(Config.model_fields[section].default).__doc__ if section else "Any run."
            lines += ["", f"{section or 'more'}: {str(about).rstrip('.')}"]
        limited = f" ({', '.join(words)})" if (words := choices(option)) else ""
        lines.append(f"  --{key:<25} {option.description}{limited} [{default(option)}]")
    return "\n".join(lines)
