# Everything a person types; `make help` lists it. KEY=VALUE words go to the pipeline as they stand:
#   make train model=cnn 'model.filters=[16, 32]'
.DEFAULT_GOAL := help

# Words that the Makefile and its scripts read themselves. All others that the command line sets are the pipeline's.
settings := ARGS BASE_IMAGE BUILDER BUILD_NETWORK CA_BUNDLE IMAGE INSTALLER PACKAGE PIP_CONF PORT PYTHON RUN_NETWORK RUNTIME \
  SBATCH TESTS UPGRADE VERSION
export SBATCH
given = $(foreach name,$(sort $(.VARIABLES)),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
quote = '$(subst ','\'',$(1))'
# $(value) gives what was typed; $(MAKEOVERRIDES) would give it with make's own escapes of blanks, \ and $$
overrides = $(foreach name,$(filter-out $(settings),$(given)),$(call quote,$(name)=$(value $(name))))
# ARGS is a piece of shell, less its wildcards: [64,32] stays as it is
pipeline = @set -f; exec scripts/run pipeline $@ $(overrides) $(ARGS)

PORT ?= 6006
python := .venv/bin/python

.PHONY: help train submit evaluate reproduce runs registry drift golden qualify shards doctor tensorboard test test-all test-release lint lock audit image release verify-image bench docs clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo 'KEY=VALUE words go to the pipeline: make train model=cnn seed=1. Its own help: make train ARGS=--help'
	@echo 'RUNTIME=local, docker or podman decides where it runs; otherwise in the image where an engine answers.'

train: ## Train, evaluate and report; on the digits that come along, unless told otherwise
	$(pipeline)

submit: ## Train as a Slurm job, with the words of train; SBATCH='--time=8:00:00 --gres=gpu:1' for sbatch
	@set -f; exec scripts/submit $(overrides) $(ARGS)

evaluate: ## Evaluate a stored run again: run.name=NAME, with data=... on other data
	$(pipeline)

reproduce: ## Train a stored run anew and say whether it is the same, bit for bit: run.name=NAME
	$(pipeline)

runs: ## List the runs under runs/; ARGS='compare A B' or ARGS=page
	$(pipeline)

registry: ## Where the registry of runs is; ARGS=upgrade, ingest, verify or export
	$(pipeline)

drift: ## Look for drift in other data: run.name=NAME data=...; ARGS=series over runs
	$(pipeline)

golden: ## Train the golden runs and keep their results anew; the diff shows what moved
	@set -f; exec scripts/run pipeline golden record $(overrides) $(ARGS)

qualify: ## Judge an upgrade by trainings in both environments: PACKAGE=NAME==VERSION or qualify.candidate=LOCK
	@scripts/setup dev
	@set -f; exec $(python) -m pipeline qualify $(if $(PACKAGE),$(call quote,qualify.package="$(PACKAGE)")) $(overrides) $(ARGS)

shards: ## Write a data set as TFRecord shards: data=... shards.path=FOLDER
	$(pipeline)

doctor: ## Show all that a run would stand on, whether it is as it should be, and what to do
	$(pipeline)

tensorboard: ## Show the runs' curves in a browser; PORT=6006
	@RUN_NETWORK=$${RUN_NETWORK:-host} scripts/run tensorboard.main --logdir runs --port $(PORT) $(ARGS)

test: ## The quick tests; ARGS go to pytest
	@scripts/setup dev
	@set -f; exec $(python) -m pytest -n 2 --dist loadfile $(ARGS)

test-all: ## All tests, those that take minutes too, and what they cover
	@scripts/setup dev
	@set -f; exec $(python) -m pytest -m 'not release' --cov $(ARGS)

test-release: ## What a release is held to, an hour: runs killed more than a hundred times
	@scripts/setup dev
	@set -f; exec $(python) -m pytest -m release -rs $(ARGS)

lint: ## Style, and that imports go down only
	@scripts/setup dev
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	.venv/bin/lint-imports --no-logo

lock: ## Solve requirements*.in into the locks again; UPGRADE=1 or PACKAGE=NAME for newer versions
	@scripts/setup dev
	@scripts/lock

audit: ## Look for known vulnerabilities of what the locks pin
	@scripts/setup dev
	@exec $(python) scripts/audit.py

image: ## Build the project's image with the code as it is now
	@engine=$$(scripts/runtime engine) && exec scripts/image build "$$engine"

release: ## Build, test and tag a release from scratch, or leave nothing: VERSION=x.y.z
	@scripts/setup dev
	@exec $(python) scripts/release.py "$${VERSION-}"

verify-image: ## Build the image twice from scratch and compare; BUILDER=buildah for equal digests too
	@python=$$(scripts/python) && exec "$$python" scripts/verify_image.py

bench: ## Measure, in ratios of one run
	@set -f; exec scripts/run benchmarks $(overrides) $(ARGS)

docs: ## Write the references of the config and of what preflight finds again
	@scripts/run pipeline reference >docs/config.md.new && mv docs/config.md.new docs/config.md
	@scripts/run pipeline.preflight.catalogue >docs/preflight.md.new && mv docs/preflight.md.new docs/preflight.md

clean: ## Remove .venv and caches; runs/ stays
	@rm -rf .venv .setup .qualify .pytest_cache .ruff_cache .import_linter_cache .coverage .coverage.* htmlcov
	@find pipeline tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
