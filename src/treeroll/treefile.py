"""Trees as files: JSON values, and JSONL with one tree a line."""

from __future__ import annotations

import base64
import gzip
import json
import math
import os
import re
import reprlib
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from treeroll.errors import DataError
from treeroll.tree import Node, Origin, RolloutTree, Task

FORMAT = "treeroll-tree/1"

_RUN = re.compile(rb"\x01+")
"""A run of True in the bytes of a mask."""

_WORDS = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"
}  # fmt: skip
"""Types that JSON has, in words."""
_Rules: TypeAlias = list[tuple[str, tuple[Any, ...], str]]
"""Field, what it may be (types, or texts), and the same in words."""


def tree_to_json(tree: RolloutTree, *, hidden: bool = False) -> dict[str, Any]:
    """Returns a tree as JSON values. Hidden states are left out unless asked for (float16, base64).

    Log-probabilities keep 6 decimals, predicted values 4 (null at leaves; no key where there are none).

    Raises:
      DataError: the values do not fit the nodes.
    """
    _check_values(tree)
    values = {} if tree.values is None else {"values": _values_to_json(tree.values)}
    return {
        "format": FORMAT,
        "task": {"id": tree.task.id, "prompt": tree.task.prompt, "data": dict(tree.task.data)},
        "policy_version": tree.policy_version,
        "seed": tree.seed,
        "step": tree.step,
        "success_at": tree.success_at,
        **values,
        "nodes": [_node_to_json(node, tree.policy_version, hidden=hidden) for node in tree.nodes],
    }


def tree_from_json(record: Mapping[str, Any]) -> RolloutTree:
    """Returns the tree that `tree_to_json` wrote.

    Raises:
      DataError: a field is missing or has another type, a parent does not come before its child, or the values do
        not fit the nodes.
    """
    found = record.get("format") if isinstance(record, Mapping) else None
    if found != FORMAT:
        raise DataError(f"not a treeroll tree: format is {found!r}, expected {FORMAT!r}")
    try:
        tree = RolloutTree(
            task=Task(**record["task"]),
            nodes=tuple(_node_from_json(node, index) for index, node in enumerate(record["nodes"])),
            policy_version=int(record["policy_version"]),
            seed=int(record["seed"]),
            step=int(record["step"]),
            success_at=float(record["success_at"]),
            values=_values_from_json(record.get("values")),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"a field of the tree is missing or malformed: {error!r}") from error
    if not tree.nodes:
        raise DataError("the tree has no nodes; the first one must be the prompt")
    for index, node in enumerate(tree.nodes):
        if node.parent != -1 if index == 0 else not 0 <= node.parent < index:
            raise DataError(f"node {index} names parent {node.parent}; a parent must come before its child")
    _check_values(tree)
    return tree


def save_trees(path: str | os.PathLike[str], trees: Iterable[RolloutTree], *, hidden: bool = False) -> None:
    """Writes trees as JSONL, one a line, gzipped where the name ends in ``.gz``; all or nothing.

    The bytes depend on the trees only, so equal trees give equal files.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(
        json.dumps(tree_to_json(tree, hidden=hidden), separators=(",", ":"), ensure_ascii=False) + "\n"
        for tree in trees
    )
    data = lines.encode()
    part = path.with_name(path.name + ".part")
    part.write_bytes(gzip.compress(data, compresslevel=6, mtime=0) if path.suffix == ".gz" else data)
    os.replace(part, path)


def load_trees(path: str | os.PathLike[str]) -> list[RolloutTree]:
    """Reads the trees of a JSONL file (gzipped where the name ends in ``.gz``).

    Raises:
      DataError: the file is missing or cut short, or a line is malformed (its number is named).
    """
    return list(iter_trees(path))


def iter_trees(path: str | os.PathLike[str]) -> Iterator[RolloutTree]:
    """Yields the trees of a JSONL file one by one; errors as in `load_trees`."""
    for found in _read(Path(path)):
        if isinstance(found, DataError):
            raise found
        yield found


def scan_trees(path: str | os.PathLike[str]) -> tuple[list[RolloutTree], list[str]]:
    """Returns the readable trees of a JSONL file and a sentence on each line that is not, or on an end that was cut.

    Raises:
      DataError: the file is missing, or damaged so that none of its lines can be trusted.
    """
    found = list(_read(Path(path)))
    trees = [one for one in found if isinstance(one, RolloutTree)]
    return trees, [str(one) for one in found if isinstance(one, DataError)]


def _read(path: Path) -> Iterator[RolloutTree | DataError]:
    """Yields the tree of each line, or what is wrong with the line; errors as in `scan_trees`."""
    number = 0
    try:
        if path.suffix == ".gz" and path.stat().st_size == 0:  # of no trees, too, gzip makes some bytes
            raise DataError(f"{path}: damaged: empty (0 bytes)")
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _tree_from_line(line, f"{path}, line {number}")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except EOFError:
        yield DataError(f"{path}: cut short after line {number}")
    except (OSError, zlib.error) as error:
        raise DataError(f"{path}: damaged: {error}") from error


def _tree_from_line(line: bytes, where: str) -> RolloutTree | DataError:
    try:
        return tree_from_json(json.loads(line.decode()))
    except DataError as error:
        return DataError(f"{where}: {error}")
    except (ValueError, RecursionError) as error:
        return DataError(f"{where}: not JSON ({error})")


def _node_to_json(node: Node, version: int, *, hidden: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "parent": node.parent,
        "token_ids": node.token_ids.tolist(),
        "sampled": _runs(node.sampled_mask),
        "logprobs": [round(value, 6) for value in node.logprobs[node.sampled_mask].tolist()],
        "text": node.text,
        "origin": {key: value for key, value in vars(node.origin).items() if value is not None},
    }
    if node.observation:
        record["observation"] = node.observation
    if node.is_leaf:
        record["reward"], record["stop_reason"] = node.reward, node.stop_reason
    if node.version not in (None, version):
        record["version"] = node.version
    if hidden and node.hidden is not None:
        record["hidden"] = base64.b64encode(node.hidden.astype("<f2").tobytes()).decode()
    return record


def _node_from_json(record: Mapping[str, Any], index: int) -> Node:
    _check_types(record, _NODE, f"node {index}")
    _check_types(record["origin"], _ORIGIN, f"the origin of node {index}")
    token_ids = np.asarray(record["token_ids"], dtype=np.int32)
    mask = np.zeros(len(token_ids), dtype=np.bool_)
    for start, stop in record["sampled"]:
        mask[start:stop] = True
    logprobs = np.zeros(len(token_ids), dtype=np.float32)
    logprobs[mask] = record["logprobs"]
    hidden = record.get("hidden")
    return Node(
        parent=int(record["parent"]),
        token_ids=token_ids,
        sampled_mask=mask,
        logprobs=logprobs,
        text=record["text"],
        observation=record.get("observation", ""),
        reward=record.get("reward"),
        stop_reason=record.get("stop_reason"),
        origin=Origin(**record["origin"]),
        hidden=None if hidden is None else np.frombuffer(base64.b64decode(hidden), "<f2").astype(np.float32),
        version=None if (version := record.get("version")) is None else int(version),
    )


def _check_types(record: Mapping[str, Any], rules: _Rules, what: str) -> None:
    """Raises `DataError` where a field breaks its rule."""
    for key, options, rule in rules:
        if key in record and not _fits(record[key], options):
            raise DataError(f"{what}: {key} is {reprlib.repr(record[key])}, expected {rule}")


def _rules(kind: type[Any]) -> _Rules:
    """Returns the rules of those fields of a class that are JSON as they stand; the others have code of their own."""
    found: _Rules = []
    for key, hint in get_type_hints(kind).items():
        options = get_args(hint) or (hint,)  # of a union, or the values of a `Literal`
        if get_origin(hint) is Literal:
            found.append((key, options, f"one of {', '.join(options)}"))
        elif _WORDS.keys() >= {*options}:
            found.append((key, options, " or ".join(_WORDS[option] for option in options)))
    return found


_NODE, _ORIGIN = _rules(Node), _rules(Origin)


def _fits(value: Any, options: tuple[Any, ...]) -> bool:
    """Returns whether a JSON value is of one of the types, or one of the texts. A number must fit into a float."""
    if isinstance(options[0], str):
        return value in options
    if not isinstance(value, int):
        return isinstance(value, options)
    if float in options:  # True, too: a world may give that as a reward
        return abs(value) <= sys.float_info.max
    return (bool if isinstance(value, bool) else int) in options


def _values_to_json(values: NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(value) else round(value, 4) for value in values.tolist()]


def _values_from_json(found: Iterable[float | None] | None) -> NDArray[np.float64] | None:
    if found is None:
        return None
    return np.array([np.nan if value is None else float(value) for value in found], dtype=np.float64)


def _check_values(tree: RolloutTree) -> None:
    """Raises `DataError` where predicted values do not belong to a tree's nodes."""
    values = tree.values
    if values is None:
        return
    if len(values) != len(tree.nodes):
        raise DataError(f"the tree has {len(values)} values and {len(tree.nodes)} nodes; each node has one")
    for index, (value, node) in enumerate(zip(values.tolist(), tree.nodes, strict=True)):
        if not (math.isnan(value) if node.is_leaf else 0 <= value <= 1):
            rule = "a leaf has none (null)" if node.is_leaf else "a root or prefix has a probability in [0, 1]"
            raise DataError(f"node {index} has the predicted value {value:g}; {rule}")


def _runs(mask: NDArray[np.bool_]) -> list[list[int]]:
    """Returns the half-open [start, stop] intervals in which a mask is True."""
    return [[*run.span()] for run in _RUN.finditer(mask.tobytes())]
