"""Records out of parquet files and of the Hugging Face hub, through the libraries that own these formats."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from treeroll.envs.records import SUFFIXES, Record, read_file
from treeroll.errors import DataError, require

EXTRA = "data"
"""The extra of treeroll that brings pyarrow, datasets, numba and faiss."""
HUB = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(:(?P<config>[\w.-]+))??(:(?P<split>[\w.-]+))?")
"""`owner/name`, `owner/name:split` or `owner/name:config:split`."""
SPLIT = "train"


def read(source: str) -> Iterator[Record]:
    """Yields the records of a source: a local file, or a data set of the Hugging Face hub.

    Args:
      source: path of a .json, .jsonl, .csv or .parquet file; or `owner/name[[:config]:split]` of the hub, e.g.
        ``hotpotqa/hotpot_qa:distractor:validation``, split `train` where none is named.

    Raises:
      DataError: no such file or data set, or one that cannot be read.
      MissingExtraError: pyarrow or datasets is not installed.
    """
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise DataError(f"{path}: unknown kind of file {path.suffix!r}; known: {', '.join(SUFFIXES)}")
        return _read_parquet(path) if path.suffix == ".parquet" else read_file(path)
    named = HUB.fullmatch(source)
    if named is None or path.suffix in SUFFIXES or source.startswith("."):
        raise DataError(
            f"{source}: no such file. Name a {', '.join(SUFFIXES)} file, or a data set of the hub as "
            "owner/name:config:split"
        )
    return _read_hub(source, named["name"], named["config"], named["split"] or SPLIT)


def _read_parquet(path: Path) -> Iterator[Record]:
    arrow, parquet = require("pyarrow", EXTRA), require("pyarrow.parquet", EXTRA)
    try:
        with parquet.ParquetFile(path) as file:
            rows = chain.from_iterable(batch.to_pylist() for batch in file.iter_batches())
            for number, row in enumerate(rows, start=1):
                yield Record(row, f"{path}, row {number}", number)
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable parquet file: {error}") from error


def _read_hub(source: str, name: str, config: str | None, split: str) -> Iterator[Record]:
    datasets = require("datasets", EXTRA)
    try:
        rows: Any = datasets.load_dataset(name, config, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{source}: the hub gives no split {split!r} of {name!r}: {error}") from error
    for number, row in enumerate(rows, start=1):
        yield Record(row, f"{source}, row {number}", number)
