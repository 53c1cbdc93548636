"""The command line. Only the standard library is imported before a command is known to be worth it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from treeroll.errors import ConfigError, MissingExtraError, TreerollError, require

OK, DIFFERENT, FAILED, INTERRUPTED = 0, 1, 2, 130

_PACKAGES = {
    "train": ("torch", "transformers", "tokenizers", "safetensors", "pydantic", "rich", "bm25s", "threadpoolctl"),
    "report": ("jinja2", "matplotlib"),
}

_TRAIN_OPTIONS = {
    "method": "recipe: see `treeroll methods` [trace]",
    "env": "world to act in [atlas]",
    "model": "tiny (in the package), a directory, or a Hugging Face hub name [tiny]",
    "steps": "policy updates [80]",
    "seed": "every random draw follows from it [0]",
    "out": "folder of the run [runs/METHOD-ENV-sSEED-N]",
    "rendering": "how the world is worded: auto, compact, prose [auto]",
    "data": "file of tasks, in the format of the world [the world's own]",
}
"""Options with a flag of their own; every other option of `treeroll.config` is `--section.key`."""

_SECTION = {"rendering": "world.rendering", "data": "world.data"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0, 1 if a check failed, 2 after an error, 130 after Ctrl-C."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # where module:function of a user's own is looked for, as python -m does
    try:
        known, rest = _parser().parse_known_args(arguments)
        if rest and not getattr(known, "open", known.command in {"train", "compare"}):
            raise ConfigError(f"{rest[0]!r} is not an option of `treeroll {known.command}`. See its --help")
        known.rest = rest
        return int(known.run(known) or OK)
    except TreerollError as error:
        print(f"treeroll: error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt as error:
        # Whoever was interrupted says what was kept; Ctrl-C before that kept nothing.
        print(f"treeroll: stopped. {error}".rstrip(), file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="treeroll", allow_abbrev=False, description="Decides where the next rollout of an LLM agent goes."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    train = commands.add_parser(
        "train",
        add_help=False,
        allow_abbrev=False,
        help="train a policy; the path of what it wrote is the last line printed",
        usage="treeroll train [OPTION ...] [--section.key VALUE | section.key=VALUE ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument("-h", "--help", action=_TrainHelp, nargs=0, help="show every option")
    for name, text in _TRAIN_OPTIONS.items():
        key = _SECTION.get(name, name)
        train.add_argument(f"--{name}", dest="options", action=_Override, const=key, metavar=name.upper(), help=text)
    train.add_argument("--config", type=Path, metavar="FILE", help="TOML or JSON file of options")
    train.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run in DIR")
    train.add_argument("--dry-run", action="store_true", help="check everything, print the plan and its cost")
    train.set_defaults(run=_train, options=[])

    _add_compare(commands)

    report = commands.add_parser("report", allow_abbrev=False, help="write the HTML report of a run or a comparison")
    report.add_argument("directory", type=Path, metavar="DIR", help="folder of the run, or of the comparison")
    report.add_argument("--runs", action="store_true", help="of a comparison: first write the page of each of its runs")
    report.set_defaults(run=_report)

    tree = commands.add_parser("tree", allow_abbrev=False, help="draw trees of a run in the terminal")
    tree.add_argument("directory", type=Path, metavar="DIR", help="folder of the run")
    tree.add_argument("--step", type=int, help="step whose trees are drawn [the newest]")
    tree.add_argument("--task", metavar="ID", help="only the tree of this task")
    tree.add_argument("--mixed", action="store_true", help="only trees with a success and a failure")
    tree.add_argument("--first", type=int, metavar="N", help="at most so many trees [one that branched]")
    tree.set_defaults(run=_tree)

    warmup = commands.add_parser("warmup", allow_abbrev=False, help="make the packaged tiny model again")
    warmup.add_argument("--out", type=Path, metavar="DIR", help="where to save it [the package's own folder]")
    warmup.add_argument("--steps", type=int, default=2400, help="optimizer steps [2400]")
    warmup.add_argument("--seed", type=int, default=0, help="seed [0]")
    warmup.set_defaults(run=_warmup)

    _add_env(commands)

    commands.add_parser("methods", allow_abbrev=False, help="list the methods").set_defaults(run=_methods)
    return parser


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command. What is not given is None, so that `_unused` can tell; the help names what holds then."""
    compare = commands.add_parser(
        "compare",
        allow_abbrev=False,
        help="run methods side by side, or judge rules on recorded trees; the page's path is the last line printed",
        usage="treeroll compare [OPTION ...] [--section.key VALUE | section.key=VALUE ...]",
        epilog="Further options are those of all runs: see treeroll train --help. A method may have its own: "
        "grpo:budget.group=4, and a name: grpo-4=grpo:budget.group=4. The same command goes on with what is left.",
    )
    add = compare.add_argument
    add("--methods", metavar="LIST", help="arms, with commas between [trace,trace-stage1,grpo]")
    add("--seeds", metavar="N|LIST", help="8 for 0 to 7, or 3,5,9 [8]")
    add("--steps", metavar="STEPS", help="policy updates of a run [80]")
    add("--budget-unit", metavar="UNIT", help="tokens, turns or rollouts; the amount is budget.UNIT=N")
    add("--envs", metavar="LIST", help="worlds, written like arms [atlas]")
    add("--out", type=Path, metavar="DIR", help="folder of it all [runs/compare]")
    add("--reference", metavar="ARM", help="arm that differences are taken to [grpo]")
    add("--target", type=float, metavar="SUCCESS", help="held-out success to reach [what the reference ends with]")
    add("--jobs", type=int, metavar="N", help="runs at a time [one a core]")
    add("--sweep", metavar="RATES", help="learning rates that each arm chooses among, e.g. 1e-3,1.5e-3")
    add("--sweep-seeds", type=int, metavar="N", help="seeds to choose by, not reported [2]")
    add(
        "--trees",
        choices=("all", "last", "none"),
        help="trees that unfinished runs save from now on: of every step, of the last and every 20th, or none [last]",
    )
    add(
        "--no-pair",
        action="store_true",
        default=None,
        help="do not add grpo at the number of active tasks of small groups",
    )
    add(
        "--table",
        type=Path,
        metavar="DIR",
        help="write the pages of a comparison again, from its files alone; also with another --reference or --target",
    )
    add("--replay", type=Path, metavar="DIR", help="judge rules on the trees of a run or comparison; no sampling")
    add("--share", type=float, help="with --replay: share of the recorded rollouts to spend [0.5]")
    compare.set_defaults(run=_compare)


def _add_env(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    env = commands.add_parser("env", allow_abbrev=False, help="list the worlds, or check that one forks exactly")
    actions = env.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", allow_abbrev=False, help="list the worlds and their options").set_defaults(run=_worlds)
    check = actions.add_parser(
        "check",
        allow_abbrev=False,
        help="play episodes forked at every turn and compare all that can be observed; status 1 where it differs",
        epilog="Further options are those of the world: --world.NAME VALUE; see treeroll env list.",
    )
    add = check.add_argument
    add(
        "world",
        metavar="NAME",
        help="a world, or module:attribute: a function that returns one, or a class with --data",
    )
    add("--data", metavar="FILE", help="file of tasks to play [the world's own]")
    add("--rendering", metavar="KIND", help="how the world is worded: compact, prose [compact]")
    add("--episodes", type=int, default=8, metavar="N", help="episodes to make up [8]")
    add("--turns", type=int, metavar="N", help="most turns of one [the world's, at most 12]")
    add("--seed", type=int, default=0, help="which tasks and actions [0]")
    add("--actions", type=Path, metavar="FILE", help='recorded episodes to play, one {"actions": [...]} a line')
    check.set_defaults(run=_check, open=True)


class _Override(argparse.Action):
    """Collects `key=value`, in the order of the command line."""

    def __call__(self, parser, namespace, values, option_string=None):  # type: ignore[no-untyped-def]
        namespace.options = [*namespace.options, f"{self.const}={values}"]


class _Version(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):  # type: ignore[no-untyped-def]
        from treeroll import __version__

        print(f"treeroll {__version__}")
        parser.exit()


class _TrainHelp(argparse.Action):
    """Adds every option of the configuration to the help, where the package that defines them is installed."""

    def __call__(self, parser, namespace, values, option_string=None):  # type: ignore[no-untyped-def]
        try:
            require("pydantic", "train")
        except MissingExtraError as error:
            parser.epilog = f"More options are listed once the extra is installed. {error}"
        else:
            from treeroll.config import describe

            parser.epilog = describe(skip=[_SECTION.get(name, name) for name in _TRAIN_OPTIONS])
        parser.print_help()
        parser.exit()


def _train(known: argparse.Namespace) -> None:
    _need("train")
    from treeroll import preflight
    from treeroll.config import Config, read_file
    from treeroll.sinks import CONFIG, read_json

    overrides = [*known.options, *_overrides(known.rest)]
    if known.resume is None:
        base = {} if known.config is None else read_file(known.config)
    elif known.config is None and not known.dry_run:
        base = read_json(known.resume / CONFIG)
    else:
        raise ConfigError("--resume goes on with the options of its run: leave out --config and --dry-run")
    config = Config.resolve(overrides, base=base)
    if config.report:
        _need("report")

    preflight.check(config, known.resume)
    if known.dry_run:
        from treeroll.build import plan

        print(plan(config))
        return
    from treeroll import run
    from treeroll.ranks import Ranks, launched

    ranks = Ranks.join(config.device) if launched() > 1 else Ranks()
    path = run.train(config, ranks) if known.resume is None else run.resume(known.resume, config, ranks)
    ranks.leave()
    if ranks.leads:
        print(path)


def _compare(known: argparse.Namespace) -> None:
    if known.table is not None and known.replay is not None:
        raise ConfigError("--table and --replay are two things to do. Leave out one of the two")
    if known.table is not None:
        _write_table(known)
        return
    _need("train")
    if known.replay is not None:
        _judge_rules(known)
        return
    if known.share is not None:
        raise ConfigError("--share goes with --replay DIR alone. Leave it out")
    _need("report")
    options = [*([] if known.steps is None else [f"steps={known.steps}"]), *_overrides(known.rest)]
    from treeroll.compare.command import compare
    from treeroll.compare.request import Request

    own = ("seeds", "envs", "reference", "target", "trees", "sweep", "sweep_seeds")
    request = Request(
        methods=known.methods or "trace,trace-stage1,grpo",
        out=known.out or Path("runs/compare"),
        options=options,
        unit=known.budget_unit,
        pair=not known.no_pair,
        **{key: value for key, value in vars(known).items() if key in own and value is not None},
    )
    print(compare(request, jobs=known.jobs))


def _write_table(known: argparse.Namespace) -> None:
    """Writes the pages of a comparison again. It has no use for what says how to run one, and refuses that."""
    if unused := [*_unused(known, "table", "reference", "target"), *known.rest]:
        raise ConfigError(
            f"--table writes about the runs that are there: leave out {' '.join(unused)}. Beside it go only "
            "--reference and --target"
        )
    _need("report")
    from treeroll.compare.command import write

    print(write(known.table, reference=known.reference, target=known.target))


def _judge_rules(known: argparse.Namespace) -> None:
    """Judges rules on recorded trees. It has no use for the command's options on runs, and refuses those."""
    if unused := _unused(known, "replay", "methods", "share"):
        raise ConfigError(
            f"--replay samples nothing: leave out {' '.join(unused)}. Beside it go only --methods, --share and what "
            "rules are made with, as budget.group=4"
        )
    from treeroll.compare.replay import replay

    share = 0.5 if known.share is None else known.share
    print(replay(known.replay, known.methods, _overrides(known.rest), share=share))


def _unused(known: argparse.Namespace, *used: str) -> list[str]:
    """Returns those of the command's own options that were given, and are not among those in use."""
    used = ("command", "run", "rest", *used)
    return [f"--{key.replace('_', '-')}" for key, value in vars(known).items() if key not in used and value is not None]


def _report(known: argparse.Namespace) -> None:
    _need("report")
    from treeroll import report
    from treeroll.comparison import COMPARISON, PLAN

    compared = any((known.directory / name).is_file() for name in (PLAN, COMPARISON))
    if known.runs and not compared:
        raise ConfigError(f"--runs is for a comparison, and {known.directory} is none: leave it out")
    for folder in report.run_folders(known.directory) if known.runs else ():
        _write_page(report.write_report, folder)
    _write_page(report.write_comparison if compared else report.write_report, known.directory)


def _write_page(write: Callable[..., Path], directory: Path) -> None:
    """Writes a page and prints what it leaves out, then its path."""
    from treeroll.report.drawing import one_line

    notices: list[str] = []
    path = write(directory, notices=notices)
    for notice in notices:
        print(f"problem: {one_line(notice, 10**6)}")
    print(path)


def _tree(known: argparse.Namespace) -> None:
    if known.first is not None and known.first < 1:
        raise ConfigError(f"--first {known.first}: draw 1 tree or more")
    from treeroll.report.terminal import print_trees

    print_trees(known.directory, step=known.step, task=known.task, mixed=known.mixed, first=known.first)


def _warmup(known: argparse.Namespace) -> None:
    _need("train")
    if known.steps < 1 or known.seed < 0:
        raise ConfigError(f"--steps {known.steps} --seed {known.seed}: steps must be 1 or more, the seed 0 or more")
    from treeroll.warmup import warmup

    print(warmup(known.out, steps=known.steps, seed=known.seed))


def _worlds(known: argparse.Namespace) -> None:
    require("pydantic", "train")
    from treeroll.worlds import listing

    print(listing())


def _check(known: argparse.Namespace) -> int:
    require("pydantic", "train")
    from treeroll import worlds
    from treeroll.config import Config

    given = {"env": known.world, "world.data": known.data, "world.rendering": known.rendering}
    words = [f"{key}={value}" for key, value in given.items() if value is not None]
    config = Config.resolve([*words, *_overrides(known.rest)])
    report = worlds.check(config, episodes=known.episodes, turns=known.turns, seed=known.seed, actions=known.actions)
    print(report)
    return OK if report.ok else DIFFERENT


def _methods(known: argparse.Namespace) -> None:
    from treeroll import methods

    for name in methods.names():
        method = methods.get(name)
        rules = ", ".join(type(rule).__name__ for rule in method.rounds())
        options = ", ".join(f"{key} {value}" for key, value in method.defaults.items() if value)
        print(f"{name:<17} {method.summary}\n{'':<17} {rules}; {options}\n{'':<17} {method.paper}")


def _overrides(rest: Sequence[str]) -> list[str]:
    """Returns `key=value` for what argparse did not know: `--key value`, `--key=value` or `key=value`."""
    found, words = [], list(rest)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            if "=" not in word:
                raise ConfigError(f"{word!r} is not an option. Write --section.key VALUE or section.key=VALUE")
            found.append(word)
            continue
        key, given, value = word[2:].partition("=")
        if not given:
            if not words or words[0].startswith("--"):
                raise ConfigError(f"{word} needs a value: {word} VALUE")
            value = words.pop(0)
        found.append(f"{key.replace('-', '_')}={value}")
    return found


def _need(extra: str) -> None:
    """Fails before any work where an extra is missing, without importing its packages."""
    for package in _PACKAGES[extra]:
        if find_spec(package) is None:
            require(package, extra)
