"""What a run leaves on disk: one folder that can be read, resumed and reported on without the program that wrote it.

DIR/config.json                the resolved configuration
DIR/run.json                   what ran it: versions, commit, machine, command
DIR/metrics.jsonl              one record a step; step 0 is the evaluation before training
DIR/trees/step-0001.jsonl.gz   the trees of a step (see `treeroll.tree`)
DIR/checkpoints/step-0040/     written by the learner
DIR/report.html                written by `treeroll.report`
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from treeroll.errors import ConfigError, DataError
from treeroll.metrics import jsonable
from treeroll.tree import RolloutTree
from treeroll.treefile import save_trees

CONFIG, ABOUT, METRICS, TREES, CHECKPOINTS = "config.json", "run.json", "metrics.jsonl", "trees", "checkpoints"
MOST_STEPS = 10**9
"""More than any run has: a larger step is damage."""
MOST_LEVELS = 100
"""Objects and lists inside each other, more than any file of a run has: deeper ones are damage."""
_TOO_DEEP = f"nested deeper than {MOST_LEVELS} levels"
_TREE_FILE = re.compile(r"step-(\d+)\.jsonl\.gz")


class RunFolder:
    """The folder of one run, open for writing; one process at a time."""

    def __init__(self, path: Path, config: Mapping[str, Any], last_step: int | None, repairs: Sequence[str]) -> None:
        """Not called directly: see `create` and `open`."""
        self.path = path
        self.config = config
        """The resolved configuration, as `config.json` holds it."""
        self.last_step = last_step
        """Step of the last metrics record; None before the first."""
        self.repairs = tuple(repairs)
        """What `open` had to cut to go on after a crash, one sentence each, to be shown to the user."""

    @classmethod
    def create(
        cls, path: str | os.PathLike[str], config: Mapping[str, Any], about: Mapping[str, Any] | None = None
    ) -> RunFolder:
        """Makes the folder of a new run.

        Args:
          path: the folder; made with its parents where it is missing.
          config: the resolved configuration, JSON values only.
          about: what `run.json` says; `provenance()` by default.

        Raises:
          ConfigError: the folder holds a run already, or cannot be made or written.
        """
        path = Path(path)
        check_free(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / METRICS).touch(exist_ok=False)  # claims the folder: of two runs that start together, one fails here
            _write_json(path / CONFIG, config)
            _write_json(path / ABOUT, provenance() if about is None else about)
            (path / TREES).mkdir()
        except FileExistsError as error:
            raise ConfigError(_taken(path, [str(error.filename)])) from error
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be used as a run folder ({error}). Name another one: --out DIR"
            ) from error
        return cls(path, config, None, ())

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Opens a run to go on with it. What a crash left half-written is removed; see `repairs`.

        Raises:
          DataError: no run is there, or a file of it is corrupt beyond the last line.
        """
        path = Path(path)
        if not path.is_dir():
            raise DataError(f"{path}: no such run folder. Start a run there: treeroll train --out {path}")
        config = read_json(path / CONFIG)
        repairs = []
        metrics = path / METRICS
        metrics.touch()
        whole, _, fragment = metrics.read_bytes().rpartition(b"\n")
        if fragment:
            kept = whole + b"\n" if whole else b""
            _replace(metrics, kept)
            line = kept.count(b"\n") + 1
            repairs.append(f"{metrics}, line {line}: half-written ({len(fragment)} bytes), cut")
        for part in sorted((*path.glob(f"{TREES}/*.part"), *path.glob(f"{CHECKPOINTS}/*.part"))):
            if part.is_dir():
                shutil.rmtree(part)
            else:
                part.unlink()
            repairs.append(f"{part}: half-written, removed")
        records = read_metrics(metrics)
        return cls(path, config, records[-1]["step"] if records else None, repairs)

    def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Saves the options with which the run goes on."""
        self.config = config
        _write_json(self.path / CONFIG, config)

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Adds one record, on disk when this returns. NaN and infinity become null.

        Raises:
          ValueError: the record has no step, or one that does not come after the last.
        """
        step = record.get("step")
        if not isinstance(step, int) or (self.last_step is not None and step <= self.last_step):
            raise ValueError(f"step {step!r} must be an integer after {self.last_step}")
        line = json.dumps(jsonable(record), separators=(",", ":"), allow_nan=False) + "\n"
        with (self.path / METRICS).open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        self.last_step = step

    def read_metrics(self) -> list[dict[str, Any]]:
        """Returns all records, oldest first; errors as in the function of the same name."""
        return read_metrics(self.path / METRICS)

    def write_trees(self, step: int, trees: Iterable[RolloutTree]) -> Path:
        """Writes the trees of a step, all or nothing, and returns the file."""
        file = trees_file(self.path, step)
        save_trees(file, trees)
        return file

    def checkpoint(self, step: int) -> Path:
        """Returns the folder for the checkpoint of a step; nothing is made."""
        return self.path / CHECKPOINTS / f"step-{step:04d}"

    def truncate_after(self, step: int) -> None:
        """Drops the metrics and trees of all later steps, so that a run can go on after `step`.

        Checkpoints belong to the learner and stay.
        """
        records = [record for record in self.read_metrics() if record["step"] <= step]
        lines = "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records)
        _replace(self.path / METRICS, lines.encode())
        for later in tree_steps(self.path):
            if later > step:
                trees_file(self.path, later).unlink()
        self.last_step = records[-1]["step"] if records else None


def check_free(path: str | os.PathLike[str]) -> None:
    """Checks that a new run may use a folder: it is missing, or holds no run.

    Raises:
      ConfigError: it holds a run already.
    """
    path = Path(path)
    held = [name for name in (CONFIG, ABOUT, METRICS, TREES, CHECKPOINTS) if (path / name).exists()]
    if held:
        raise ConfigError(_taken(path, held))


def trees_file(path: Path, step: int) -> Path:
    """Returns where the trees of a step are, in the run folder `path`."""
    return path / TREES / f"step-{step:04d}.jsonl.gz"


def tree_steps(path: Path) -> list[int]:
    """Returns the steps whose trees are saved, in order."""
    found = (_TREE_FILE.fullmatch(file.name) for file in (path / TREES).glob("*.jsonl.gz"))
    return sorted(int(match[1]) for match in found if match)


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object that a JSON file holds.

    Raises:
      DataError: the file is missing, or is not one JSON object.
    """
    try:
        value = _from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; its folder is not a run folder, or was copied in part") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: holds a {type(value).__name__}, expected an object")
    return value


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Returns the records of a `metrics.jsonl`, oldest first.

    Raises:
      DataError: the file is missing or a line is corrupt; the first such line is named.
    """
    records, problems = scan_metrics(path)
    if problems:
        raise DataError(f"{problems[0]}. Mend or delete that line; the other lines are independent of it")
    return records


def scan_metrics(path: str | os.PathLike[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns the readable records of a `metrics.jsonl`, steps rising, and a sentence on each line that is not one.

    Of two lines of one step the first is taken, and what does not come after the lines before it is none.

    Raises:
      DataError: the file is missing or cannot be opened.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    records: list[dict[str, Any]] = []
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = _from_json(line)
        except ValueError as error:
            problems.append(f"{path}, line {number}: not JSON ({error})")
            continue
        step = record.get("step") if isinstance(record, dict) else None
        last = records[-1]["step"] if records else None
        if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < MOST_STEPS:
            problems.append(
                f"{path}, line {number}: not a metrics record (an object with an integer 'step', 0 or more and "
                f"below {MOST_STEPS})"
            )
        elif last is not None and step <= last:
            said = "there twice" if step == last else "out of order"
            problems.append(f"{path}, line {number}: step {step} is {said}: it must come after step {last}")
        else:
            records.append(record)
    return records, problems


def _from_json(text: str | bytes) -> Any:
    """Returns what a JSON text holds.

    Raises:
      ValueError: it is no JSON, or nested deeper than `MOST_LEVELS`: whoever walks through it would not come back.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    level = [value]
    for _ in range(MOST_LEVELS + 1):
        inside = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list))]
        level = [one for values in inside for one in values]
        if not level:
            return value
    raise ValueError(_TOO_DEEP)


def provenance(command: Sequence[str] | None = None) -> dict[str, Any]:
    """Returns what `run.json` says: versions, commit, machine, command. Names of the host and user stay out of it."""
    return {
        "treeroll": _version("treeroll"),
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "machine": {"system": platform.system(), "arch": platform.machine(), "cores": os.cpu_count()},
        "command": [_program(Path(sys.argv[0])), *sys.argv[1:]] if command is None else list(command),
    }


def _program(started: Path) -> str:
    """Returns what was typed to start this process: `treeroll` also for `python -m treeroll`."""
    return started.parent.name if started.name == "__main__.py" else started.name


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Returns the commit of the checkout this file runs from (`-dirty` where it was edited); None outside one."""
    here = Path(__file__)

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here.parent), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)  # a virtual environment may lie in another project's checkout
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None


def _taken(path: Path, held: Sequence[str]) -> str:
    return (
        f"{path} holds a run already ({', '.join(held)}), and a run never overwrites another. "
        f"Go on with it: treeroll train --resume {path}; or start elsewhere: --out DIR"
    )


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    _replace(path, (json.dumps(jsonable(value), indent=2, allow_nan=False) + "\n").encode())


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)
