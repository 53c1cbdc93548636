"""A turn as a request to `/v1/completions`, and the reply as a turn."""

from __future__ import annotations

from typing import Any

from treeroll.errors import SamplerError
from treeroll.samplers.base import Turn, TurnRequest
from treeroll.samplers.vllm.http import RefusedError, Server
from treeroll.samplers.vllm.terms import Answer, Terms, history, parameters, turn_of


class Completions:
    """Samples turns from one model of a server.

    Args:
      server: the server.
      model: name of the model there.
      terms: of every turn.
      run: tells this run's cached prefixes from those of others, and of other weights.
    """

    def __init__(self, server: Server, model: str, terms: Terms, run: str) -> None:
        self.server, self.model, self.terms, self.run = server, model, terms, run
        self.engine = f"the vLLM server at {server.url}"

    async def turn(self, request: TurnRequest, version: int) -> Turn:
        """Samples a turn.

        Raises:
          SamplerError: the server fails, refuses, or answers something that is no turn of this request.
        """
        prompt = history(request).tolist()
        body = {
            "model": self.model,
            "prompt": prompt,
            **parameters(self.terms, request),
            "return_token_ids": True,
            "skip_special_tokens": False,
            # Keys and values of other weights are never found, whether or not the cache was emptied in between.
            "cache_salt": f"treeroll-{self.run}-{version}",
        }
        try:
            reply = await self.server.ask("/v1/completions", body)
        except RefusedError as refused:
            raise SamplerError(f"{refused}. It has to serve the model of this run, with its context") from refused
        return turn_of(request, self._answer(reply, prompt), self.terms, version, self.engine)

    def _answer(self, reply: Any, prompt: list[int]) -> Answer:
        choice = _first(reply)
        if reply.get("model") != self.model:
            raise SamplerError(f"{self.engine} answered with model {reply.get('model')!r} instead of {self.model!r}")
        if not isinstance(choice.get("token_ids"), list):
            raise SamplerError(
                f"{self.engine} gives no token ids, and text cannot be tokenised again without loss. It must know "
                "return_token_ids: vLLM 0.10.2 or newer"
            )
        if choice.get("prompt_token_ids") != prompt:
            raise SamplerError(
                f"{self.engine} answered to other prompt ids than it was sent: its own tokenizer added or cut some. "
                "Start it without options that change prompts"
            )
        logprobs = (choice.get("logprobs") or {}).get("token_logprobs")
        if not isinstance(logprobs, list) or any(value is None for value in logprobs):
            raise SamplerError(
                f"{self.engine} gives no log-probabilities of what it sampled. Start it with "
                "--logprobs-mode processed_logprobs, and without --max-logprobs"
            )
        details = (reply.get("usage") or {}).get("prompt_tokens_details")
        if not isinstance(details, dict) or details.get("cached_tokens") is None:
            raise SamplerError(
                f"{self.engine} does not tell how much of a prompt it had in its cache, so its work cannot be charged. "
                "Start it with --enable-prompt-tokens-details"
            )
        return Answer(choice["token_ids"], logprobs, int(details["cached_tokens"]), choice.get("finish_reason"))


def _first(reply: Any) -> Any:
    try:
        return reply["choices"][0]
    except (KeyError, IndexError, TypeError) as error:
        raise SamplerError(f"a vLLM server answered /v1/completions with no choice: {str(reply)[:200]}") from error


async def models(server: Server) -> tuple[str, int]:
    """Returns the name and the longest context of a server's model; fails at once where there is none.

    Raises:
      SamplerError: no server is there, or it does not serve exactly one model, or is none of vLLM's.
    """
    reply = await server.ask("/v1/models", patience=0)
    try:
        found = {model["id"]: model["max_model_len"] for model in reply["data"] if not model.get("parent")}
        ((name, longest),) = found.items()
    except (KeyError, TypeError, ValueError) as error:
        raise SamplerError(
            f"{server.url}/v1/models does not list one model with its max_model_len, but {str(reply)[:200]}: a run "
            "needs a vLLM server of its own"
        ) from error
    return str(name), int(longest)
