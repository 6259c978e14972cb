# All commands of the project; `make help` lists them. KEY=VALUE arguments are options of the pipeline:
#   make train model=cnn 'model.filters=[16, 32]'
.DEFAULT_GOAL := help

# Variables that the Makefile and its scripts read. All others on the command line are options of the pipeline.
settings := ARGS BASE_IMAGE BUILDER BUILD_NETWORK CA_BUNDLE IMAGE INSTALLER PACKAGE PIP_CONF PORT PYTHON RUN_NETWORK RUNTIME \
  SBATCH TESTS UPGRADE VERSION
export SBATCH
given = $(foreach name,$(sort $(.VARIABLES)),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
quote = '$(subst ','\'',$(1))'
# $(value) is the text as typed; $(MAKEOVERRIDES) has make's own escapes of blanks, \ and $$
options = $(foreach name,$(filter-out $(settings),$(given)),$(call quote,$(name)=$(value $(name))))
# ARGS is shell code without wildcards, so that [64,32] stays as it is
pipeline = @set -f; exec scripts/run pipeline $@ $(options) $(ARGS)
python := .venv/bin/python
pytest = set -f; exec $(python) -m pytest --durations=10

PORT ?= 6006

.PHONY: help train check submit evaluate predict reproduce runs compare registry drift golden qualify shards doctor tensorboard test test-all test-release lint lock audit image release verify-image bench docs clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo 'KEY=VALUE arguments are options of the pipeline: make train model=cnn seed=1. Its help: make train ARGS=--help'
	@echo 'RUNTIME=local, docker or podman sets where it runs; by default in the image if a container engine answers.'

train: ## Train, evaluate and report; by default on the digits data set in this repository
	$(pipeline)

check: ## Check a config, its data and its model before the first step, without training
	$(pipeline)

submit: ## Train as a Slurm job, with the options of train; SBATCH='--time=8:00:00 --gres=gpu:1' for sbatch
	@set -f; exec scripts/submit $(options) $(ARGS)

evaluate: ## Evaluate a stored run again: run.name=NAME, with data=... on other data
	$(pipeline)

predict: ## Predict rows without labels with a stored run: run.name=NAME data.path=FILE
	$(pipeline)

reproduce: ## Train a stored run again and compare the results bit for bit: run.name=NAME
	$(pipeline)

runs: ## List the runs under runs/; ARGS=page writes a page
	$(pipeline)

compare: ## Compare two runs: ARGS='NAME NAME'
	@set -f; exec scripts/run pipeline runs compare $(options) $(ARGS)

registry: ## Show the registry of runs; ARGS=upgrade, ingest, verify or export
	$(pipeline)

drift: ## Test other data for drift: run.name=NAME data=...; ARGS=series over runs
	$(pipeline)

golden: ## Train the golden runs and record their results; the diff shows what changed
	@set -f; exec scripts/run pipeline golden record $(options) $(ARGS)

qualify: ## Compare trainings before and after an upgrade: PACKAGE=NAME==VERSION or qualify.candidate=LOCK
	@scripts/setup dev
	@set -f; exec $(python) -m pipeline qualify $(if $(PACKAGE),$(call quote,qualify.package="$(PACKAGE)")) $(options) $(ARGS)

shards: ## Write a data set as TFRecord shards: data=... shards.path=FOLDER
	$(pipeline)

doctor: ## Check the environment and suggest fixes
	$(pipeline)

tensorboard: ## Show the curves of all runs in a browser until Ctrl-C; PORT=6006
	@export RUN_NETWORK="$${RUN_NETWORK:-host}"; exec scripts/attached scripts/run tensorboard.main --logdir runs --port $(PORT) $(ARGS)

test: ## Run the quick tests; ARGS for pytest
	@scripts/setup dev
	@$(pytest) -n 2 --dist loadfile $(ARGS)

test-all: ## Run the quick and the slow tests, with coverage
	@scripts/setup dev
	@$(pytest) -m 'not release' --cov $(ARGS)

test-release: ## Run the tests of a release, about an hour: runs that are killed more than a hundred times
	@scripts/setup dev
	@$(pytest) -m release -rs $(ARGS)

lint: ## Check style, docstrings, types and that imports go down only
	@scripts/setup dev
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	.venv/bin/pyrefly check --progress-bar no
	.venv/bin/lint-imports --no-logo

lock: ## Solve requirements*.in into the locks; UPGRADE=1 or PACKAGE=NAME for newer versions
	@scripts/setup dev
	@scripts/lock

audit: ## Look up known vulnerabilities of the locked packages
	@scripts/setup dev
	@exec $(python) scripts/audit.py

image: ## Build the project's image with the current code
	@engine=$$(scripts/runtime engine) && exec scripts/image build "$$engine"

release: ## Build, test and tag a release from scratch, or leave nothing behind: VERSION=x.y.z
	@scripts/setup dev
	@exec $(python) scripts/release.py "$${VERSION-}"

verify-image: ## Build the image twice from scratch and compare; BUILDER=buildah for equal digests too
	@python=$$(scripts/python) && exec "$$python" scripts/verify_image.py

bench: ## Run the benchmarks, or those named in ARGS
	@set -f; exec scripts/run benchmarks $(options) $(ARGS)

docs: ## Write the reference of the options and of preflight's findings
	@scripts/run pipeline reference >docs/config.md.new && mv docs/config.md.new docs/config.md
	@scripts/run pipeline.preflight.catalogue >docs/preflight.md.new && mv docs/preflight.md.new docs/preflight.md

clean: ## Remove .venv and caches; runs/ stays
	@rm -rf .venv .setup .qualify .pytest_cache .ruff_cache .import_linter_cache .coverage .coverage.* htmlcov
	@find pipeline tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
