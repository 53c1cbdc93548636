"""What runs share: imported by the server that they are forked from, before the first of them; see `start`.

Nothing here may start a thread or touch a GPU, for neither survives a fork: so classes are imported and compact
worlds made, but no model is loaded.
"""

from __future__ import annotations

import gc
import inspect
import json
import os
from contextlib import suppress

from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from treeroll import envs, run
from treeroll.compare.start import WORLDS
from treeroll.config import Config
from treeroll.errors import TreerollError
from treeroll.preflight import load_world, rendering

__all__ = ["AutoModelForCausalLM", "AutoTokenizer", "LlamaForCausalLM", "PreTrainedTokenizerFast", "run"]

if WORLDS in os.environ:  # in the server
    os.setsid()  # it outlives a closed terminal, as runs do by their step
    for words in json.loads(os.environ.pop(WORLDS)):
        config = Config.resolve(words)
        worded = "rendering" in inspect.signature(envs.factory(config.env)).parameters  # others may start anything
        if worded and rendering(config) == "compact":  # the index of prose is made by a library that starts a thread
            with suppress(TreerollError):  # a world that cannot be made: its runs meet the same error, and say so
                load_world(config)
    gc.collect()
    gc.freeze()  # what is shared needs no looking through, which would also copy its pages
    gc.set_threshold(20_000)  # a run makes many objects and hardly a cycle: it looks for those less often
