# Everything runs in .venv, made where it is missing and renewed where the lock is newer.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
OLDEST := .venv-oldest

.DEFAULT_GOAL := help
.PHONY: help report full smoke test test-long test-oldest lint lab advise bench lock reproduce clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

report: $(READY) ## the main job: run the study in five to ten minutes (preset quick), build the page; TASK=my_task:wine: on that alone
	@$(RUN) dodo.py quick $(TASK)

full: $(READY) ## the study as published: what its tables hold is not trained again (the rest: WARMUP_STUDY_SCHEDULER=tcp://...)
	@$(RUN) dodo.py full

smoke: $(READY) ## run the study at toy size, to see that it runs
	@$(RUN) dodo.py smoke

test: lint ## check style and types, then run the tests
	@$(RUN) -m pytest -q -n auto --dist loadfile --durations 25

test-long: lint ## the tests that take long, too
	@$(RUN) -m pytest -q -n auto --dist loadfile -m "long or not long" --hypothesis-profile default

test-oldest: $(READY) ## the tests on the oldest versions that pyproject.toml allows (makes .venv-oldest)
	@test -x $(OLDEST)/bin/python || $(RUN) -m venv $(OLDEST)
	@$(RUN) tests/lower_bounds.py > $(OLDEST)/bounds.txt
	@$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(OLDEST)/bounds.txt -e ".[test,cluster]"
	@# Old libraries may use what the newest of their own dependencies deprecate.
	@$(OLDEST)/bin/python -m pytest -q -n auto --dist loadfile -W default::DeprecationWarning

lint: $(READY) ## style and types alone
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check --quiet .
	@$(RUN) -m mypy

lab: $(READY) ## open JupyterLab on the lab, which lists all notebooks
	@# Without Jupyter's question about its news; served from the root, so that tasks beside the README are found.
	@test -f $(VENV)/etc/jupyter/labconfig/page_config.json || $(RUN) -m jupyter labextension disable \
		--level=sys_prefix @jupyterlab/apputils-extension:announcements 2>/dev/null
	@PYDEVD_DISABLE_FILE_VALIDATION=1 $(RUN) -m jupyter lab --ServerApp.root_dir="$(CURDIR)" notebooks/lab.ipynb

advise: $(READY) ## ask about your own network: make advise TASK=my_task:wine
	@test -n "$(TASK)" || { echo "Which task? make advise TASK=my_task:wine, or a built-in one: TASK=digits-mlp" >&2; exit 2; }
	@$(VENV)/bin/warmup-study advise "$(TASK)"

bench: $(READY) ## measure the engine against ordinary loops and JAX (installs JAX), beside what is published
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c requirements.lock -e ".[bench]"
	@$(RUN) -m warmup_study.bench

lock: $(READY) ## resolve the bounds of pyproject.toml anew into requirements.lock
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c requirements.lock pip-tools
	@CUSTOM_COMPILE_COMMAND="make lock" $(RUN) -m piptools compile --quiet --upgrade --extra dev --strip-extras \
		--unsafe-package warmup-study --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--no-annotate --output-file requirements.lock pyproject.toml
	@# One lock for all machines: no CPU or CUDA build of torch, and none of the libraries of one build alone.
	@sed -i.bak -E -e 's/^(torch==[^+]*)\+.*/\1/' -e '/^(nvidia|cuda|triton)/d' \
		-e '/^# The following packages/,$$d' -e '/^$$/d' requirements.lock && rm requirements.lock.bak

reproduce: $(READY) ## train a random twentieth of the published results anew and compare
	@$(VENV)/bin/warmup-study reproduce --preset full

clean: ## remove caches and the results of quick and smoke; what is published stays
	@rm -rf data/cache data/executed data/results/quick data/results/smoke figures/quick figures/smoke
	@rm -f report/quick.html report/smoke.html report/your_network-*.html

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "This needs Python 3.11 or newer; say which: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(RUN) || { echo "Making $(VENV) (once; a few minutes)"; $(PYTHON) -m venv $(VENV); }
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c requirements.lock -e ".[test,lint,cluster]"
	@touch $@
