"""A run's options: typed, validated before anything starts, and saved resolved.

Four layers, later ones win: the defaults below, what the method names (its predictor, credit and continuations),
a TOML or JSON file, and the command line. An option is written `section.key` everywhere: in messages, on the
command line (`--budget.rollouts 64` or `budget.rollouts=64`) and, as a table per section, in a file.
"""

from __future__ import annotations

import difflib
import json
import math
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from treeroll import credit, envs, methods, predictor
from treeroll.budget import Unit
from treeroll.errors import ConfigError, did_you_mean
from treeroll.methods import RoundOptions

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

Count = Annotated[int, Field(ge=1)]
OptionalCount = Annotated[int, Field(ge=1)] | None
Share = Annotated[float, Field(ge=0, le=1)]

REAL_MODEL_RATE = 1e-6
"""Step size of models that were not made for this: what fine-tuning of whole language models by reinforcement uses."""
LORA_RATES = {1.5e-3: 1.5e-2, REAL_MODEL_RATE: 1e-5}
"""Step size of LoRA adapters by that of the whole model: 10 times, which "LoRA Without Regret" (Thinking Machines 2025)
finds best, in reinforcement learning too."""

BACKENDS = ("local", "vllm")
"""What `sampling.backend` may name; anything else is an address."""
BACKEND_OPTIONS = {
    "memory": ("vllm",),
    "weights": ("server",),
    "patience": ("server",),
    "tolerance": ("vllm", "server"),
}
"""Options of `sampling` that not every backend has a use for, with those that have; server: an address."""


class Section(BaseModel):
    """A table of options. Each is described once, beneath it; `treeroll train --help` prints the same words."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class World(Section):
    """The world that the agent acts in. `treeroll env list` shows the further options that each world has."""

    model_config = ConfigDict(extra="allow")

    rendering: Literal["auto", "compact", "prose"] = "auto"
    """how the world is worded; auto: compact for the packaged model, prose for any other"""
    data: str | None = None
    """file of tasks; for atlas JSONL, one {"id", "prompt", "data"} a line; none: the world's own"""

    def given(self) -> dict[str, Any]:
        """Returns the options that the world's factory is called with, by name; not how it is worded."""
        return {"data": self.data, **(self.model_extra or {})}


class Budget(Section):
    """What a step may spend, and how it may be spent."""

    rollouts: Count = 128
    """rollouts of a step, continuations included; not used where turns or tokens are given"""
    turns: OptionalCount = None
    """sampled turns of a step, instead of rollouts: met on average, each step pays for what earlier ones overspent"""
    tokens: OptionalCount = None
    """sampled tokens of a step, instead of rollouts: met on average, likewise"""
    pool: Count = 64
    """candidate tasks of a step, for methods that choose among them; of every method where turns or tokens are given"""
    continuations: Annotated[float, Field(ge=0)] = 1.0
    """continuations for each bare rollout, on average; the method's own unless set (trace: 0.33)"""
    group: Annotated[int, Field(ge=2)] = 8
    """rollouts of a task where allocation is uniform (cold start included)"""
    min_group: Annotated[int, Field(ge=2)] = 4
    """fewest bare rollouts of a task that gets any"""
    max_group: OptionalCount = None
    """most bare rollouts of a task; none: no limit"""
    max_active: OptionalCount = None
    """most tasks that get any rollout (trace); none: no limit"""
    max_per_prefix: OptionalCount = 2
    """most continuations of one prefix (trace: 4), and how many one drawn at random gets; none: no limit, and 2"""
    mixed_weight: Share = 0.0
    """what a flip is worth in a tree whose bare rollouts are mixed already (trace: 1); 0: no continuations there"""
    worth: Annotated[float, Field(ge=0)] = 0.0
    """what a continuation must promise for its cost, as a multiple of what stage 1 promised (trace: 5); 0: anything"""
    scope: Literal["task", "pool"] = "task"
    """whether each task spends its own continuations, at once, or one budget all, once all are in (trace: pool)"""
    posterior: bool = True
    """score with the predictor's posterior, or with its mean alone as in the paper (trace)"""
    blind: bool = False
    """choose prefixes without looking at how their rollouts ended (trace: true)"""
    explore: Share = 0.1
    """share of the bare rollouts that is spread uniformly, whatever is predicted"""

    def options(self) -> methods.RoundOptions:
        """Returns what `methods.Method.rounds` takes."""
        return methods.RoundOptions(
            group=self.group,
            min_group=self.min_group,
            max_group=self.max_group,
            max_active=self.max_active,
            max_per_prefix=self.max_per_prefix,
            mixed_weight=self.mixed_weight,
            worth=self.worth,
            scope=self.scope,
            posterior=self.posterior,
            blind=self.blind,
            explore=self.explore,
        )

    @property
    def unit(self) -> Unit:
        """What the budget is counted in."""
        return "rollouts" if self.turns is None and self.tokens is None else "tokens" if self.turns is None else "turns"

    @property
    def amount(self) -> int:
        """Budget of a step, in its unit."""
        return self.turns or self.tokens or self.rollouts

    def purse(self, budget: float) -> float:
        """Returns what a step may spend of its budget, which is less than `amount` after a step that overran its own.

        In turns or tokens that is half the amount at least: a debt is paid off over steps, and none goes without.
        """
        return budget if self.unit == "rollouts" else max(budget, self.amount / 2)


class Sampling(Section):
    """How the policy is sampled."""

    backend: str = "local"
    """what samples: local (transformers, in this process), vllm (its engine in this process), or the address of a vLLM
    server, as http://127.0.0.1:8000"""
    memory: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """share of the device's memory that vllm in this process takes, for its weights and its cache"""
    weights: str | None = None
    """folder where a vLLM server finds new weights; none: in this machine's memory, for a server that runs on it"""
    patience: Annotated[float, Field(gt=0)] = 120.0
    """seconds that a vLLM server may take for one turn, and for which it is asked again when it fails"""
    tolerance: Annotated[float, Field(gt=0)] | None = None
    """how far log-probabilities of vllm may be from the learner's; none: 0.001 in float32, 0.25 in 16-bit formats"""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """softmax temperature, in training and in evaluation"""
    batch: Count = 256
    """most rollouts decoded together"""
    turn_tokens: OptionalCount = None
    """most tokens of a turn; none: the world's own"""
    max_turns: OptionalCount = None
    """turns after which an episode fails; none: the world's own"""
    engine: Literal["auto", "waves", "stream"] = "auto"
    """how rollouts advance: in waves, a turn each, or each as soon as its tool has answered; auto: whatever the sampler
    is made for (local: waves)"""
    staleness: Annotated[int, Field(ge=0)] = 0
    """most policy updates between the weights that sampled a turn and the update that learns from it; 0: sampling and
    learning take turns; 1 or more: the next step is sampled meanwhile, by a copy of the model"""
    tool_workers: OptionalCount = None
    """environments that step at the same time, in threads; none: the world's own"""
    tool_seconds: Annotated[float, Field(gt=0)] | None = None
    """seconds that a step of an environment may take; none: the world's own"""
    tool_errors: Literal["fail", "observe"] = "fail"
    """what an environment's error, silence or rubbish becomes: a failed rollout, or an observation of the agent"""
    dialogue: Literal["auto", "plain", "chat", "completion"] = "auto"
    """how an episode is worded; auto: plain for the packaged model, else its chat template if it has one"""


class Predictor(Section):
    """What estimates success probabilities for the allocator."""

    name: str = "head"
    """which predictor, or package.module:Class for one of your own; the method's own unless set"""
    encoder: str = "hidden"
    """what turns a history into numbers: hidden (the policy's own state), wordllama, minilm, a hub name or a folder"""
    forgetting: Annotated[float, Field(gt=0, le=1)] = 0.9
    """share of its certainty that is kept from one step to the next"""
    warmup: Annotated[int, Field(ge=0)] = 128
    """rollouts to learn from before a prediction is used, and scored; uniform until then; 0: do not wait for a score"""


class Learner(Section):
    """How the policy learns."""

    learning_rate: Annotated[float, Field(gt=0)] = 1.5e-3
    """AdamW's largest step size; 1e-6 for any model but the packaged one, and 10 times that with lora, unless set"""
    rise: Count = 15
    """optimizer steps over which the step size rises to it"""
    schedule: Literal["linear", "constant"] = "linear"
    """what the step size does after that: fall towards nothing at the run's end, or stay"""
    credit: str = "sibling-tree"
    """which advantages; the method's own unless set"""
    loss: Literal["clip", "cispo", "reinforce"] = "clip"
    """policy loss: PPO's and GRPO's clip, CISPO, or none of the ratio's bounds"""
    ratio: Literal["token", "turn", "sequence"] = "token"
    """what shares a probability ratio, and so is clipped as a whole; narrower bounds suit longer spans"""
    clip_low: Annotated[float, Field(gt=0, le=1)] = 0.2
    """how far below 1 the probability ratio may fall; 1: as far as it likes"""
    clip_high: Annotated[float, Field(gt=0)] = 0.28
    """how far above 1 the probability ratio may rise"""
    importance_cap: Annotated[float, Field(gt=0)] | None = 2.0
    """most that a token weighs which older weights have sampled (sampling.staleness); none: no limit"""
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    """largest gradient norm"""
    updates: Count = 1
    """optimizer steps in a step; its tasks are dealt out among them"""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's weight decay"""
    normalise: Literal["tokens", "turns", "tasks"] = "tokens"
    """what the summed loss is divided by the number of"""
    keep: Literal["all", "mixed"] = "all"
    """which tasks count in that number; mixed: those that teach anything (DAPO's filter)"""
    keep_after: Annotated[int, Field(ge=0)] = 0
    """steps in which all tasks count, before `keep` holds"""
    micro_tokens: Count = 16384
    """most tokens computed at once, padding included; less needs less memory"""
    packed: Literal["auto", "always", "never"] = "auto"
    """compute what rollouts share once, as trees, or each rollout by itself; auto: whatever is faster"""
    gradient_checkpointing: bool = False
    """compute the layers again in the backward pass, which needs less memory and takes a third more time"""
    train_layers: OptionalCount = None
    """how many of the top layers learn; none: the whole model"""
    lora: OptionalCount = None
    """rank of LoRA adapters on every linear layer, which learn instead of the model; none: the model itself learns"""


class Evaluation(Section):
    """Success on held-out tasks."""

    every: Count = 20
    """steps between evaluations; there is always one before the first step and one after the last"""
    tasks: Count = 1000
    """held-out tasks, one rollout each"""
    rollouts: Count = 1
    """rollouts of each held-out task at the last evaluation; more than one also measure pass@k"""


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
        values = dict(_flat(base or {}))
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
                raise ConfigError(_unknown(key, known))
            if isinstance(value, str) and value.lower() == "none" and type(None) in get_args(known[key].annotation):
                values[key] = None
        try:
            return cls.model_validate(_nested(values))
        except ValidationError as error:
            raise ConfigError("\n".join(_explain(detail, known) for detail in error.errors())) from error

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
        """Checks what no option shows alone."""
        method, budget = methods.get(self.method), self.budget
        predictor.check(self.predictor.name)
        credit.get(self.learner.credit)
        envs.factory(self.env)
        backend = self.sampling.backend
        if backend not in BACKENDS and not backend.startswith(("http://", "https://")):
            raise ConfigError(
                f"unknown sampling.backend {backend!r}.{did_you_mean(backend, [*BACKENDS])} Or give the address of a "
                "vLLM server, as http://127.0.0.1:8000"
            )
        self._check_backend("server" if backend not in BACKENDS else backend)
        if method.branches and budget.continuations == 0:
            raise ConfigError(
                f"budget.continuations=0, but method {self.method!r} branches. Give it a share, or take a method "
                "that does not branch (see: treeroll methods)"
            )
        if not method.branches and budget.continuations > 0:
            raise ConfigError(
                f"budget.continuations={budget.continuations:g}, but method {self.method!r} does not branch. "
                "Leave it out, or take a method that branches (see: treeroll methods)"
            )
        if budget.turns is not None and budget.tokens is not None:
            raise ConfigError(
                f"budget.turns={budget.turns} and budget.tokens={budget.tokens} are both given. A budget has one unit: "
                "leave one out"
            )
        cap = self.learner.importance_cap
        if not self.sampling.staleness and cap != Learner.model_fields["importance_cap"].default:
            raise ConfigError(
                f"learner.importance_cap={cap}, but sampling.staleness=0: the policy that learns has sampled every "
                "token itself. Leave one out, or set sampling.staleness=1"
            )
        for name in RoundOptions.__dataclass_fields__:
            default = method.options.get(f"budget.{name}", Budget.model_fields[name].default)
            if name not in method.uses and getattr(budget, name) != default:
                raise ConfigError(
                    f"budget.{name}={getattr(budget, name)}, but method {self.method!r} has no use for it. "
                    "Leave it out, or take a method that has (see: treeroll methods)"
                )
        largest = math.inf if budget.max_group is None else budget.max_group
        if "min_group" in method.uses and not budget.min_group <= budget.group <= largest:
            raise ConfigError(
                f"budget.group={budget.group} is outside budget.min_group={budget.min_group} to budget.max_group="
                f"{budget.max_group}, and a cold start uses it. Move one of the three"
            )
        bare = method.bare_rollouts(budget.rollouts, budget.continuations)
        if budget.unit == "rollouts" and bare < budget.group:
            least = method.least_rollouts(budget.group, budget.continuations)
            raise ConfigError(
                f"budget.rollouts={budget.rollouts} leaves {bare} bare rollouts, too few for one group of "
                f"budget.group={budget.group}. Set budget.rollouts to {least} or more, or budget.group to a smaller one"
            )
        self.pool(sys.maxsize)
        return self

    def _check_backend(self, kind: str) -> None:
        """Raises `ConfigError` for options that a backend has no use for; `kind` is one of BACKENDS, or server."""
        backends = {"vllm": "sampling.backend=vllm", "server": "the address of a server in sampling.backend"}
        for name, users in BACKEND_OPTIONS.items():
            value = getattr(self.sampling, name)
            if kind not in users and value != Sampling.model_fields[name].default:
                raise ConfigError(
                    f"sampling.{name}={value}, but sampling.backend={self.sampling.backend} has no use for it. Leave "
                    f"it out, or give {' or '.join(backends[user] for user in users)}"
                )
        if kind == "vllm" and ":" in self.device and self.device != "cuda:0":
            raise ConfigError(
                f"device={self.device} with sampling.backend=vllm: vLLM takes the first GPU that it sees. Leave it "
                "out, and choose with CUDA_VISIBLE_DEVICES"
            )


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
        choices = f" ({', '.join(words)})" if (words := _choices(option)) else ""
        lines.append(f"  --{key:<25} {option.description}{choices} [{_default(option)}]")
    return "\n".join(lines)


def read_file(path: str | Path) -> dict[str, Any]:
    """Returns the tables of options in a TOML file, or in a JSON file where its name ends so.

    Raises:
      ConfigError: the file is missing or malformed.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file. Name a TOML or JSON file of options") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as {path.suffix.lstrip('.') or 'toml'}: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: holds a {type(value).__name__}, expected a table of options")
    return value


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", inner) for key, inner in _flat(value))
        else:
            yield name, value


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = value
    return nested


def _unknown(key: str, known: Mapping[str, FieldInfo]) -> str:
    section, _, name = key.rpartition(".")
    sections = {option.partition(".")[0] for option in known if "." in option}
    if key in sections:
        inside = ", ".join(option for option in known if option.startswith(f"{key}."))
        return f"{key!r} is a section, not an option. Set one of its options: {inside}"
    last = {option: option.rpartition(".")[2] for option in known}
    initials = {option: "".join(part[0] for part in word.split("_")) for option, word in last.items()}
    likely = [option for option in known if name in (last[option], initials[option])]
    if not likely:
        near = {last[option]: option for option in known if not section or option.startswith(f"{section}.")}
        likely = [near[word] for word in difflib.get_close_matches(name, near, n=1)]
    if likely:
        return f"unknown option {key!r}. Did you mean {' or '.join(map(repr, likely))}?"
    return f"unknown option {key!r}. All options are listed by: treeroll train --help"


_RULES = {
    "greater_than_equal": "must be {ge:g} or more",
    "greater_than": "must be more than {gt:g}",
    "less_than_equal": "must be {le:g} or less",
    "less_than": "must be less than {lt:g}",
    "finite_number": "must be a finite number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "literal_error": "must be {expected}",
}


def _explain(detail: ErrorDetails, known: Mapping[str, FieldInfo]) -> str:
    """Returns the value, the rule that it breaks, and what the option means."""
    key = ".".join(str(part) for part in detail["loc"] if isinstance(part, str))
    rule = _RULES.get(detail["type"])
    said = rule.format(**detail.get("ctx", {})) if rule else detail["msg"]
    option = known[key]
    hint = ""
    if detail["type"] == "literal_error":
        guess = did_you_mean(str(detail["input"]), _choices(option))
        hint = guess if "mean" in guess else ""
    return f"{key}={detail['input']}: {said}.{hint} It is: {option.description} (default {_default(option)})"


def _choices(option: FieldInfo) -> list[str]:
    """Returns the words that an option is limited to; none where it is free."""
    return [str(word) for word in get_args(option.annotation)] if get_origin(option.annotation) is Literal else []


def _default(option: FieldInfo) -> str:
    return str(option.default).lower()
