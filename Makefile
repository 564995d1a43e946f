# Everything runs in one virtual environment. Stamp files inside it remember what is installed, so that a target installs
# only what it needs, and nothing twice. Another Python: `make test PYTHON=python3.13 VENV=.venv313`.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
DEMO_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
NUMBERS_ARGS ?=
MUTATE_ARGS ?=
REFERENCE_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip

.DEFAULT_GOAL := help
.PHONY: help demo test coverage docs tutorials lint audit bench bench-accuracy bench-leak bench-encoders bench-lengths bench-zero-shot bench-unseen-types bench-few-shot bench-generation bench-cell-to-text bench-explanations bench-descriptions bench-panels bench-spatial bench-species bench-laptop bench-atlas reference numbers orthologs mutate clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.offline ## annotate 700 real cells, offline, and write a page about the results
	$(BIN)/scmpt demo $(DEMO_ARGS)

test: $(VENV)/.test ## run the tests that need neither a GPU nor much time
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

coverage: $(VENV)/.test ## run the tests, and show which lines and branches they leave out
	$(MAKE) test PYTEST_ARGS="--cov --cov-report=term $(PYTEST_ARGS)"

docs: $(VENV)/.doc ## build the documentation, warnings as errors
	rm -rf docs/api/generated # pages of names that are gone would stay
	$(BIN)/python -m sphinx -W --keep-going docs docs/_build/html

tutorials: $(VENV)/.test ## execute the tutorials and store what they print; NAMES="quickstart large_data" for some
	$(BIN)/python tutorials/execute.py $(NAMES)

numbers: $(VENV)/.offline ## fill measured numbers into README and documentation
	$(BIN)/python benchmarks/document_numbers.py $(NUMBERS_ARGS)

lint: $(VENV)/.dev ## check style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: $(VENV)/.dev ## compare what is installed with the database of known vulnerabilities
	$(PYTHON) -m venv $(VENV)/audit # of its own, so that pip-audit is no part of what it looks at
	$(VENV)/audit/bin/pip install pip-audit
	$(VENV)/audit/bin/pip-audit --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

bench: $(VENV)/.offline ## measure cells per second against simpler code, and store the results
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

bench-accuracy: $(VENV)/.offline ## measure accuracy against baselines on real cells, and write the page about it
	$(BIN)/python benchmarks/accuracy.py $(BENCH_ARGS)
	$(BIN)/python benchmarks/document_numbers.py

bench-leak: $(VENV)/.offline ## measure what seeing the cells in pre-training is worth; BENCH_ARGS="--data FOLDER --studies kang"
	$(BIN)/python benchmarks/pretraining_leak.py $(BENCH_ARGS)

bench-encoders: $(VENV)/.offline ## measure what a linear classifier reads from the small encoders; BENCH_ARGS="--data FOLDER"
	$(BIN)/python benchmarks/encoder_probes.py $(BENCH_ARGS)

bench-lengths: $(VENV)/.offline ## measure what scgpt-mini loses with only the most expressed genes; BENCH_ARGS="--data FOLDER"
	$(BIN)/python benchmarks/token_lengths.py $(BENCH_ARGS)

bench-zero-shot: $(VENV)/.offline ## measure annotation without a reference on new studies; BENCH_ARGS="--data FOLDER"
	$(BIN)/python benchmarks/zero_shot.py $(BENCH_ARGS)

bench-unseen-types: $(VENV)/.offline ## measure annotation of types that were never trained on; BENCH_ARGS="--data FOLDER"
	$(BIN)/python benchmarks/unseen_types.py $(BENCH_ARGS)

bench-few-shot: $(VENV)/.offline ## measure what texts add where labelled cells are few; BENCH_ARGS="--data FOLDER"
	$(BIN)/python benchmarks/few_shot.py $(BENCH_ARGS)

bench-generation: $(VENV)/.offline ## measure pseudo-cells against real cells, and their use; BENCH_ARGS="--data FOLDER"
	$(BIN)/python benchmarks/generation.py $(BENCH_ARGS)

bench-cell-to-text: $(VENV)/.offline ## measure what a network from cells to texts adds; BENCH_ARGS="--data FOLDER --tokens FOLDER"
	$(BIN)/python benchmarks/cell_to_text.py $(BENCH_ARGS)

bench-descriptions: $(VENV)/.offline ## measure descriptions of clusters and cells; BENCH_ARGS="--data FOLDER"
	$(BIN)/python benchmarks/descriptions.py $(BENCH_ARGS)

bench-panels: $(VENV)/.offline ## measure how well targeted panels are annotated; BENCH_ARGS="--data FOLDER"
	$(BIN)/python benchmarks/panels.py $(BENCH_ARGS)

bench-spatial: $(VENV)/.offline ## measure what neighbours in tissue add; BENCH_ARGS="--data FOLDER"
	$(BIN)/python benchmarks/spatial.py $(BENCH_ARGS)

bench-species: $(VENV)/.offline ## measure how well mouse cells are read through orthologs; BENCH_ARGS="--data FOLDER"
	$(BIN)/python benchmarks/species.py $(BENCH_ARGS)

bench-laptop: $(VENV)/.offline ## measure a whole annotation, from files to labels; BENCH_ARGS="--data FOLDER"
	$(BIN)/python benchmarks/laptop.py $(BENCH_ARGS)

bench-atlas: $(VENV)/.offline ## measure training on a million cells, and caps of labels; BENCH_ARGS="--data FOLDER"
	$(BIN)/python benchmarks/atlas.py $(BENCH_ARGS)

bench-explanations: $(VENV)/.offline ## measure whether explanations are right; BENCH_ARGS="--data FOLDER" for more sets
	$(BIN)/python benchmarks/explanations.py $(BENCH_ARGS)

reference: $(VENV)/.offline ## build a reference model and judge it on left-out studies; NAME=blood REFERENCE_ARGS="--data FOLDER"
	$(BIN)/python references/build.py $(NAME) $(REFERENCE_ARGS)

orthologs: ## make the table of mouse orthologs; WHEEL=FILE, see benchmarks/orthologs.py
	$(PYTHON) benchmarks/orthologs.py --wheel $(WHEEL)

mutate: $(VENV)/.test $(VENV)/.mutate ## change the code and see whether tests notice; MUTATE_ARGS="--sample 120 --seed 0"
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/mutate.py $(MUTATE_ARGS)

clean: ## remove everything that these targets made
	rm -rf $(VENV) dist docs/_build docs/api/generated docs/tutorials
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.pip:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade "pip>=25.1" # the first with --group
	@touch $@

$(VENV)/.offline: $(VENV)/.pip pyproject.toml
	$(PIP) install --editable ".[offline]"
	@touch $@

$(VENV)/.test $(VENV)/.dev $(VENV)/.doc $(VENV)/.mutate: $(VENV)/.%: $(VENV)/.offline
	$(PIP) install --group $*
	@touch $@
