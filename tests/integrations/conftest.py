"""Before TRL is imported: no telemetry, no hub, and no warning that environments are experimental."""

import os
from importlib.metadata import version

from packaging.version import Version

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}

collect_ignore_glob = [] if Version(version("trl")) >= Version("1.16") else ["test_trl_async_*.py"]
