"""What is compared. Each column is documented once, here; `comparison.json` and every page take the words from here.

What costs: `spent` of the metrics records is the meter of the engine that trains (`engine.Engine.spent`), where every
rollout is charged as it starts and every turn as it is sampled: those of the predictor's warm-up and of exploration,
those that a filter drops from the update, those sampled for an update that failed. Nothing is taken off again. A run
that was killed samples the steps after its last checkpoint anew, with the same draws: they count once, as in a run that
nothing stopped. Not charged: the evaluation of held-out tasks, the probes of the oracle predictor (a bound, no method),
and the runs of a sweep of learning rates, which every arm gets alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

LAST = 20
"""Steps at the end of a run over which the predictor is averaged."""
PHASES = ("sample", "predict", "update", "evaluate", "other")
"""Phases whose seconds have columns; see `clock.Clock`."""
HISTOGRAMS = {
    "groups": "Active tasks by their bare rollouts in a step, over all steps and seeds.",
    "branch_turns": "Continuations by the turn that they start after (0: the prompt), over all steps and seeds.",
}
"""What of a step's group "allocation" is added up for each arm, and a sentence on it."""


@dataclass(frozen=True)
class Column:
    """A quantity of a run."""

    key: str
    title: str
    unit: str
    """What it is counted in; empty for a share or a ratio."""
    digits: int
    """Decimals that are shown."""
    better: Literal["higher", "lower", "none"]
    about: str
    """One sentence."""

    def to_json(self) -> dict[str, str | int]:
        return asdict(self)


_SUCCESS = (
    Column("final", "held-out success", "", 3, "higher", "At the last evaluation, one rollout a task."),
    Column("start", "success at the start", "", 3, "none", "Held-out success before any training."),
    Column(
        "success_tokens", "success at equal tokens", "", 3, "higher",
        "Held-out success at the smallest total of sampled tokens among the runs of this world, interpolated.",
    ),
    Column(
        "success_rollouts", "success at equal rollouts", "", 3, "higher",
        "Held-out success at the smallest total of rollouts among the runs of this world, interpolated.",
    ),
    Column(
        "area", "area under the curve", "", 3, "higher",
        "Mean held-out success over budgets from 0 to the smallest total of sampled tokens in this world.",
    ),
    Column(
        "target_tokens", "tokens to the target", "tokens", 0, "lower",
        "Sampled tokens before held-out success first reaches the target; the mean is of those seeds that do.",
    ),
    Column(
        "target_rollouts", "rollouts to the target", "rollouts", 0, "lower",
        "Rollouts of any kind before held-out success first reaches the target; the mean is of those seeds that do.",
    ),
    Column("reached", "reach the target", "", 2, "higher", "Share of the seeds that reach the target."),
    Column(
        "efficiency", "token efficiency", "", 2, "higher",
        "Sampled tokens of the reference over those of this arm for the same held-out success: their start and 90 % of "
        "the smaller gain of their mean curves. 1.5 means two thirds of the tokens; 0, that this arm did not learn "
        "(gained less than 0.03); infinite, that the reference did not.",
    ),
)  # fmt: skip

_CONTRAST = (
    Column("effective_ratio", "effective ratio", "", 2, "none",
           "Tasks whose rollouts, continuations included, hold a success and a failure, over the active tasks of a "
           "step (those with a rollout); mean over steps. Rises where tasks are dropped or groups are made larger."),
    Column("active_tasks", "active tasks", "", 1, "none", "Tasks of a step that got any rollout; mean over steps."),
    Column("mixed", "mixed groups", "per 1,000 rollouts", 1, "higher",
           "Mixed tasks, continuations included, per 1,000 rollouts of any kind; mean over steps."),
    Column("mixed_bare", "mixed bare groups", "per 1,000 bare rollouts", 1, "higher",
           "Tasks whose bare rollouts alone are mixed, per 1,000 bare rollouts; mean over steps."),
    Column("mean_group", "mean group", "rollouts", 1, "none", "Bare rollouts of an active task; mean over steps."),
    Column("anchors", "contrastive anchors", "per 1,000 rollouts", 1, "higher",
           "Roots and prefixes whose own samples hold a success and a failure, per 1,000 rollouts; mean over steps."),
    Column("credited", "credited tokens", "", 2, "none",
           "Share of sampled tokens whose turn has an advantage other than 0; mean over steps."),
)  # fmt: skip

_PREDICTOR = (
    Column("root_skill", "skill at roots", "", 2, "higher",
           f"Brier skill over the base rate of predictions at roots, before learning from them; last {LAST} steps. "
           "Empty, like the three that follow, where the predictor never informed the allocator."),
    Column("root_auc", "AUC at roots", "", 2, "higher", f"The same predictions: AUC; last {LAST} steps."),
    Column("prefix_skill", "skill at prefixes", "", 2, "higher", f"As at roots; last {LAST} steps."),
    Column("prefix_auc", "AUC at prefixes", "", 2, "higher", f"As at roots; last {LAST} steps."),
    Column("flips_predicted", "flips predicted", "", 2, "none",
           f"Expected share of expanded anchors where a continuation changes the outcome; last {LAST} steps."),
    Column("flips_realised", "flips realised", "", 2, "higher",
           f"Share of those where one did. Far under predicted is the optimiser's curse; last {LAST} steps."),
    Column("mixed_predicted", "mixed groups predicted", "a step", 1, "none",
           "Groups of bare rollouts that were expected to be mixed, by the predictions that stage 1 relied on when it "
           f"sized them; last {LAST} steps. Empty where it relied on none, and in runs of earlier versions."),
    Column("mixed_realised", "mixed groups realised", "a step", 1, "none",
           f"How many of those groups came out mixed; last {LAST} steps."),
)  # fmt: skip

# Totals have no better: a run that sampled less also took less time.
_COST = (
    Column("rollouts", "rollouts", "rollouts", 0, "none", "Bare rollouts and continuations, all of them."),
    Column("turns", "turns", "turns", 0, "none", "Sampled turns; a continuation counts its own only."),
    Column("tokens", "sampled tokens", "tokens", 0, "none", "Tokens that the policy sampled in training."),
    Column("computed", "computed tokens", "tokens", 0, "none",
           "Tokens of prompts, observations and re-read histories that were computed, not sampled."),
    Column("tool_calls", "tool calls", "calls", 0, "none", "Actions that environments took."),
    Column("cpu", "CPU", "s", 0, "none", "Process-CPU seconds of the run, evaluation included."),
    *(Column(f"cpu_{phase}", f"CPU, {phase}", "s", 1, "none", f"Process-CPU seconds of the phase `{phase}`.")
      for phase in PHASES),
    Column("wall", "wall", "s", 0, "none", "Wall seconds of the run; other runs were at work on the same machine."),
    *(Column(f"wall_{phase}", f"wall, {phase}", "s", 1, "none",
             f"Wall seconds of the phase `{phase}`, of two threads together where sampling runs ahead.")
      for phase in PHASES),
)  # fmt: skip

COLUMNS: tuple[Column, ...] = (*_SUCCESS, *_CONTRAST, *_PREDICTOR, *_COST)
"""All columns but those of pass@k, which only runs with `evaluation.rollouts` above 1 have."""


def columns(passed: Iterable[int] = ()) -> Iterator[Column]:
    """Yields the columns of a comparison; `passed` holds the k of pass@k."""
    yield from COLUMNS
    for k in sorted(passed):
        yield Column(
            f"pass_{k}", f"pass@{k}", "", 3, "higher",
            f"Chance that {k} rollouts of a held-out task hold a success, after training: the unbiased estimate.",
        )  # fmt: skip
