"""Requests to a vLLM server, and what becomes of those that fail."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from treeroll.errors import SamplerError, require

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0
"""Seconds before the first repetition, and most before a later one; each is twice the one before."""
CONNECTING = 5.0
"""Most seconds until a connection stands."""
BUSY = 429
BROKEN = 500
REFUSED = 400


class _PassingError(Exception):
    """A failure that may be gone at the next attempt."""


class Server:
    """An HTTP server that is asked again when it does not answer; lives in one event loop.

    Repeating is safe, since every request has its seed: the answer is the same, and only the one that came back counts.

    Args:
      url: where it is, e.g. http://127.0.0.1:8000.
      patience: seconds that an answer may take, and for which a failing request is repeated. An answer that takes
        longer is therefore not asked for again.
    """

    def __init__(self, url: str, patience: float) -> None:
        self.url, self.patience = url.rstrip("/").removesuffix("/v1"), patience
        self.again: Callable[[], Awaitable[None]] | None = None
        """Called when the server answers after it could not be reached, before anything else is asked: it may be
        another process by now."""
        key = os.environ.get("VLLM_API_KEY")
        httpx = self._httpx = require("httpx", "server")
        self._connecting = min(CONNECTING, patience)
        self._client = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(patience, connect=self._connecting, pool=None),
            limits=httpx.Limits(max_connections=None),
            verify=self.url.startswith("https:"),  # certificates take a while to load, and http has none
        )
        self._losses = self._settled = 0
        self._settling = asyncio.Lock()

    async def ask(self, path: str, body: Any = None, *, patience: float | None = None, inside: bool = False) -> Any:
        """Returns the JSON answer to a POST of `body`, or to a GET where there is none.

        Args:
          path: of the URL.
          body: JSON values.
          patience: seconds for which failures are repeated; the server's own unless given.
          inside: whether `again` is asking.

        Raises:
          SamplerError: it refuses the request, or fails for longer than that.
        """
        patience = self.patience if patience is None else patience
        began, pause, attempts = time.monotonic(), FIRST_PAUSE, 0
        while True:
            attempts += 1
            try:
                if not inside:
                    await self._settle()
                return await self._once(path, body)
            except _PassingError as failure:
                if time.monotonic() - began + pause > patience:
                    tried = f", tried {attempts} times in {patience:g} s" if attempts > 1 else ""
                    raise SamplerError(
                        f"the vLLM server at {self.url} {failure} ({path}{tried}). Start it, look at its log, or give "
                        "it more time with sampling.patience"
                    ) from failure
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def close(self) -> None:
        await self._client.aclose()

    async def _settle(self) -> None:
        """After a lost connection one request at a time finds out who answers now."""
        if self._settled == self._losses:
            return
        async with self._settling:
            losses = self._losses
            if self._settled != losses:
                await self._once("/health")
                if self.again is not None:
                    await self.again()
                self._settled = losses

    async def _once(self, path: str, body: Any = None) -> Any:
        httpx = self._httpx
        try:
            answer = await (self._client.get(path) if body is None else self._client.post(path, json=body))
        except httpx.ConnectTimeout as error:
            self._losses += 1
            raise _PassingError(f"cannot be reached: no connection within {self._connecting:g} s") from error
        except httpx.TimeoutException as error:
            raise _PassingError(f"did not answer within {self.patience:g} s") from error
        except httpx.TransportError as error:
            self._losses += 1
            raise _PassingError(f"cannot be reached: {error or type(error).__name__}") from error
        except httpx.InvalidURL as error:
            raise SamplerError(f"{self.url} is no URL: {error}. Write it as http://host:port") from error
        if answer.status_code == BUSY or answer.status_code >= BROKEN:
            raise _PassingError(f"answers {answer.status_code}: {_said(answer)}")
        if answer.status_code >= REFUSED:
            raise RefusedError(self.url, path, answer.status_code, _said(answer))
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise SamplerError(
                f"{self.url}{path} answers something else than JSON ({_said(answer)!r}): it is no vLLM server. Give "
                "the address of one"
            ) from error


class RefusedError(SamplerError):
    """A request that the server will not carry out, however often it is sent."""

    def __init__(self, url: str, path: str, status: int, said: str) -> None:
        super().__init__(f"the vLLM server at {url} refuses {path} with {status}: {said}")
        self.status = status


def _said(answer: Any) -> str:
    """Returns what an answer says of an error, shortened."""
    text = " ".join(answer.text.split())
    try:
        found = answer.json()
        text = found["error"]["message"] if "error" in found else found["detail"]
    except (ValueError, KeyError, TypeError):
        pass
    return str(text)[:300] or "nothing"
