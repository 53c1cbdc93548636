"""A persistent Python session for untrusted code, confined by the kernel, that forks with its state.

limits     what a session may use
sandbox    start(limits) -> the state of an empty session
state      state.run(code) -> what it showed, and the next state; the old one can be continued as well
probes     tries on this host that every property of the confinement holds
launcher   the process that forks sessions; `family` keeps account of them, `child` is what runs in both
"""

from treeroll.envs.python.limits import Limits
from treeroll.envs.python.sandbox import close, ready, start
from treeroll.envs.python.state import Reply, State

__all__ = ["Limits", "Reply", "State", "close", "ready", "start"]
