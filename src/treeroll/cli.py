"""The command line. Only the standard library is imported before a command is known to be worth it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from treeroll.errors import ConfigError, MissingExtraError, TreerollError, require

OK, FAILED, INTERRUPTED = 0, 2, 130

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
    "data": "JSONL file of tasks to train on [the world's own]",
}
"""Options with a flag of their own; every other option of `treeroll.config` is `--section.key`."""

_SECTION = {"rendering": "world.rendering", "data": "world.data"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0, 2 after an error, 130 after Ctrl-C."""
    try:
        known, rest = _parser().parse_known_args(arguments)
        if rest and known.command != "train":
            raise ConfigError(f"{rest[0]!r} is not an option of `treeroll {known.command}`. See its --help")
        known.rest = rest
        known.run(known)
    except TreerollError as error:
        print(f"treeroll: error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt as error:
        # Whoever was interrupted says what was kept; Ctrl-C before that kept nothing.
        print(f"treeroll: stopped. {error}".rstrip(), file=sys.stderr)
        return INTERRUPTED
    return OK


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

    report = commands.add_parser("report", allow_abbrev=False, help="write the HTML report of a run")
    report.add_argument("directory", type=Path, metavar="DIR", help="folder of the run")
    report.set_defaults(run=_report)

    warmup = commands.add_parser("warmup", allow_abbrev=False, help="make the packaged tiny model again")
    warmup.add_argument("--out", type=Path, metavar="DIR", help="where to save it [the package's own folder]")
    warmup.add_argument("--steps", type=int, default=1600, help="optimizer steps [1600]")
    warmup.add_argument("--seed", type=int, default=0, help="seed [0]")
    warmup.set_defaults(run=_warmup)

    commands.add_parser("methods", allow_abbrev=False, help="list the methods").set_defaults(run=_methods)
    return parser


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

    print(run.train(config) if known.resume is None else run.resume(known.resume, config))


def _report(known: argparse.Namespace) -> None:
    _need("report")
    from treeroll.report import write_report

    print(write_report(known.directory))


def _warmup(known: argparse.Namespace) -> None:
    _need("train")
    if known.steps < 1 or known.seed < 0:
        raise ConfigError(f"--steps {known.steps} --seed {known.seed}: steps must be 1 or more, the seed 0 or more")
    from treeroll.warmup import warmup

    print(warmup(known.out, steps=known.steps, seed=known.seed))


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
