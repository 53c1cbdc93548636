"""The tables of options, one class each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from treeroll import methods
from treeroll.budget import Unit

Count = Annotated[int, Field(ge=1)]
OptionalCount = Annotated[int, Field(ge=1)] | None
Share = Annotated[float, Field(ge=0, le=1)]


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
