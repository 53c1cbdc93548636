"""The copy of the policy's weights that a server holds: made new at every update, and known for what it is."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from treeroll.errors import SamplerError
from treeroll.samplers.base import Weights
from treeroll.samplers.vllm.folder import parent
from treeroll.samplers.vllm.http import RefusedError, Server
from treeroll.samplers.vllm.witness import Witness

SHARD_BYTES = 2**30
"""A file of weights is closed when it holds this much, so that no more than that is in memory twice."""
FIX = (
    "Start it with VLLM_SERVER_DEV_MODE=1, --worker-extension-cls treeroll.samplers.vllm.worker.Worker and the model "
    "and dtype of this run; see docs/vllm.md"
)


class Copy:
    """A server's weights.

    They travel as safetensors files in a folder that both processes see. The server's own mark of its weights
    (`/weight_info`) tells whether they are still those: a server that was restarted has lost them, and its mark.

    Args:
      server: the server.
      model: name of its model.
      witness: says whether its weights are the policy's.
      folder: where the files go; None: into this machine's memory.
    """

    def __init__(self, server: Server, model: str, witness: Witness, folder: str | None) -> None:
        self.server, self.model, self.witness = server, model, witness
        self._parent = parent(server.url, folder)
        self._home: Path | None = None
        """Holds the folder of the last weights, and during an update that of the new ones."""
        self._folder: Path | None = None
        self._started = False
        self._mark: str | None = None
        self._marks = True
        self._method = "reload_weights"
        self.run = uuid4().hex[:12]
        """Tells this run's marks and cached prefixes from those of others."""

    async def about(self) -> list[str] | None:
        """Returns the number format and vocabulary of the server's model; None where treeroll's worker is not in it.

        Raises:
          SamplerError: it takes no new weights.
        """
        try:
            await self.server.ask("/collective_rpc", {"method": None}, patience=0)
        except RefusedError as refused:
            if refused.status == 404:
                raise SamplerError(
                    f"the vLLM server at {self.server.url} takes no new weights: it has no /collective_rpc. {FIX}"
                ) from refused
        try:
            found = await self.server.ask("/collective_rpc", {"method": "treeroll_about"}, patience=0)
        except SamplerError:  # there is no such method, or it is not told
            return None
        self._method = "treeroll_load"
        return list(found["results"][0])

    async def start(self, policy: Weights, version: int) -> None:
        """Sees to it that the server has the policy's weights, which it has where it was started with them."""
        self.witness.expect(policy)
        if self.witness.judge(await self.score()) is None:
            await self._write_mark(version)
            self._started = True
        else:
            await self.update(policy, version)

    async def update(self, policy: Weights, version: int) -> None:
        """Gives the server new weights.

        Raises:
          SamplerError: it does not take them, or samples with others afterwards.
        """
        old, self._folder = self._folder, self._written(policy)
        try:
            self.witness.expect(policy)
            await self._load(version)
        finally:
            if old is not None:  # somebody else may have tidied up
                shutil.rmtree(old, ignore_errors=True)
        self._started = True

    async def restore(self) -> None:
        """Gives the server the last weights again if it does not have them any more.

        Before `start` or the first `update` is done there is nothing to restore: they check the weights themselves.
        """
        if not self._started or await self.same():
            return
        if self._folder is None:
            if self.witness.judge(await self.score(inside=True)) is None:  # started anew, with the same model
                await self._write_mark(self._version, inside=True)
                return
            raise SamplerError(
                f"the vLLM server at {self.server.url} has other weights than at the start of the run: it was started "
                f"anew, with another model. {FIX}"
            )
        await self._load(self._version, inside=True)

    @property
    def _version(self) -> int:
        return int((self._mark or "0").rpartition("-")[2])

    async def confirm(self) -> None:
        """Raises `SamplerError` where the server was restarted without anybody noticing, and so sampled by chance."""
        if not await self.same():
            raise SamplerError(
                f"the vLLM server at {self.server.url} got other weights while turns were sampled: it was restarted, "
                "or serves another run too. Give each run a server of its own, and go on from the last checkpoint"
            )

    async def same(self) -> bool:
        """Returns whether the server's weights are those that it got last."""
        if self._mark is None:
            return self.witness.judge(await self.score(inside=True)) is None
        return bool((await self.server.ask("/weight_info", inside=True))["weight_version"] == self._mark)

    async def score(self, *, inside: bool = False) -> list[float]:
        """Returns the server's log-probabilities of the witness's tokens, temperature 1."""
        sequences = [ids.tolist() for ids in self.witness.sequences]
        body = {"model": self.model, "prompt": sequences, "max_tokens": 1, "temperature": 1.0, "prompt_logprobs": 0}
        reply = await self.server.ask("/v1/completions", body, inside=inside)
        found = []
        try:
            for choice, ids in zip(reply["choices"], sequences, strict=True):
                told = zip(ids[1:], choice["prompt_logprobs"][1:], strict=True)
                found += [float(scores[str(token)]["logprob"]) for token, scores in told]
        except (KeyError, TypeError, ValueError) as error:
            raise SamplerError(
                f"the vLLM server at {self.server.url} does not score the tokens of a prompt (prompt_logprobs): "
                f"{error!r}. It must know that parameter of vLLM's /v1/completions"
            ) from error
        return found

    def delete(self) -> None:
        """Deletes the files."""
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)

    def _written(self, policy: Weights) -> Path:
        """Returns a new folder with the policy's weights."""
        folder: Path | None = None
        done = False
        try:
            if self._home is None:
                self._home = Path(tempfile.mkdtemp(prefix="treeroll-weights-", dir=self._parent))
            folder = Path(tempfile.mkdtemp(dir=self._home))
            write(policy.weights(), folder)
            done = True
        except OSError as error:
            raise SamplerError(
                f"the weights cannot be written to {folder or self._parent}: {error}. Name another folder in "
                "sampling.weights"
            ) from error
        finally:
            if folder is not None and not done:
                shutil.rmtree(folder, ignore_errors=True)
        return folder

    async def _load(self, version: int, *, inside: bool = False) -> None:
        own = self._method == "treeroll_load"
        given = {"args": [str(self._folder)]} if own else {"kwargs": {"weights_path": str(self._folder)}}
        await self.server.ask("/collective_rpc", {"method": self._method, **given}, inside=inside)
        await self.server.ask("/reset_prefix_cache", {}, inside=inside)
        if problem := self.witness.judge(await self.score(inside=inside)):
            raise SamplerError(
                f"the vLLM server at {self.server.url} was given the weights of version {version}, but {problem}. {FIX}"
            )
        await self._write_mark(version, inside=inside)

    async def _write_mark(self, version: int, *, inside: bool = False) -> None:
        mark = f"treeroll-{self.run}-{version}"
        try:
            if self._marks:
                await self.server.ask("/update_weight_version", {"new_version": mark}, inside=inside)
                self._mark = mark
        except RefusedError:  # an older vLLM: the witness is asked instead
            self._marks = False


def write(weights: Iterator[tuple[str, Any]], folder: Path) -> None:
    """Writes weights as safetensors files."""
    from safetensors.torch import save_file

    shard: dict[str, Any] = {}
    number = size = 0
    for name, weight in weights:
        shard[name] = weight.detach().cpu().contiguous()
        size += shard[name].nbytes
        if size >= SHARD_BYTES:
            save_file(shard, folder / f"model-{number:05}.safetensors")
            shard, number, size = {}, number + 1, 0
    if shard:
        save_file(shard, folder / f"model-{number:05}.safetensors")
