"""What a session may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from treeroll.errors import ConfigError

Sandbox = Literal["required", "off-i-accept-the-risk"]


@dataclass(frozen=True)
class Limits:
    """Limits of a session, and what it has imported.

    Raises:
      ConfigError: a value out of its range.
    """

    seconds: float = 5.0
    """Processor seconds of a call; the code is interrupted then, and its session lives on. Processor time, so that
    a busy machine does not decide what a policy sees."""
    wall_seconds: float | None = None
    """Wall-clock seconds of a call, for code that sleeps and for a machine that stands still; 4 times `seconds` where
    None."""
    memory_mb: int = 512
    """MiB of address space that the code may add to what the interpreter and its packages take."""
    characters: int = 2_000
    """Characters of output that a call returns; the rest is counted and dropped."""
    cpu_seconds: int = 120
    """Processor seconds of a fork's whole life: a backstop of the kernel's own."""
    packages: tuple[str, ...] = ("numpy", "sympy")
    """Packages that a session may import besides the standard library; imported once, before the first session."""
    sandbox: Sandbox = "required"
    """`required`: refuse to run where confinement does not hold. The other value runs the code unconfined."""

    def wall(self, seconds: float) -> float:
        """Returns the wall-clock limit of a call that may take these processor seconds."""
        return 4 * seconds if self.wall_seconds is None else max(self.wall_seconds, seconds)

    def __post_init__(self) -> None:
        for name, low, high in (
            ("seconds", 0.05, 600),
            ("wall_seconds", 0.05, 6_000),
            ("memory_mb", 16, 1 << 20),
            ("characters", 100, 20_000),
            ("cpu_seconds", 1, 86_400),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigError(f"python tool: {name}={value} must be in [{low}, {high}]")
        if self.sandbox not in ("required", "off-i-accept-the-risk"):
            raise ConfigError(
                f"python tool: sandbox={self.sandbox!r}; write 'required' (the default), or 'off-i-accept-the-risk' "
                "to run a model's code with your own rights"
            )
