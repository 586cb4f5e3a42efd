# make demo: everything on the shipped catalog, then the search page. make test: every test. make help lists the rest.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
export OMP_NUM_THREADS ?= 2
export OMP_WAIT_POLICY ?= PASSIVE
export TOKENIZERS_PARALLELISM = false
export HF_HUB_OFFLINE ?= 1
# `make demo PORT=9000` takes port 9000. By default it is 8000, or the next free one.
PORT_OPTION = $(if $(PORT),--port $(PORT))
SUDO = $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: help install demo site wheel release sample full serve test test-web lint browsers drift deploy-check bench results pictures readme docs docs-serve clean
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.done ## Create .venv with everything

$(VENV)/.done: settings.ini setup.py requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip setuptools wheel
	$(BIN)/python -m pip install -q torch==2.13.0
	$(BIN)/python -m pip install -q -r requirements.lock
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	touch $@

demo: install ## Titles to a search by meaning and its page, in 9 minutes on 2 cores
	$(BIN)/embedding-search run --settings data/icd10cm/demo.toml --run runs/demo --browser $(PORT_OPTION)

site: install ## Build and serve the demo's search page for browsers
	$(BIN)/embedding-search site --run runs/demo $(PORT_OPTION) --browser

wheel: install ## Build the Python package, the browser code in it
	$(BIN)/python -c 'from embedding_search.search.site import web_assets; web_assets()'
	$(BIN)/python -m pip wheel -q --no-deps --no-build-isolation -w dist .

release: install ## Build wheel and source archive, try the wheel in a clean environment
	$(BIN)/python tools/release.py

sample: install ## Rebuild the small search that the package brings along, from runs/mdi (notebook 34)
	$(BIN)/python -c 'from embedding_search.search.searcher import sample_run, shrink_run; shrink_run("runs/mdi", sample_run())'

full: install ## The same with all data
	$(BIN)/embedding-search run --settings data/icd10cm/full.toml --run runs/full

serve: install ## Search page of the demo's run
	$(BIN)/embedding-search serve --run runs/demo $(PORT_OPTION) --browser

test: install lint drift ## Every test: notebooks, package, command line, browser
	$(BIN)/python tools/test.py

test-web: install ## Tests of the browser code alone: lint, unit tests, browser tests
	$(BIN)/python tools/web_checks.py lint
	$(BIN)/python tools/web_checks.py test
	$(BIN)/python -m pytest -q -rs tests/test_web.py tests/test_browser.py tests/test_engines.py

lint: install ## Check code with ruff, ESLint and Prettier, and spelling with codespell
	$(BIN)/ruff check -q .
	$(BIN)/codespell
	$(BIN)/python tools/web_checks.py lint

browsers: ## Install Chromium, Firefox and WebKit for the browser tests (Debian, Ubuntu)
	@set -e; need=; \
	command -v chromium chromium-browser google-chrome >/dev/null || need="$$need chromium"; \
	command -v firefox-esr firefox >/dev/null || need="$$need firefox-esr"; \
	command -v WebKitWebDriver >/dev/null || need="$$need webkit2gtk-driver"; \
	command -v Xvfb >/dev/null || need="$$need xvfb"; \
	test -z "$$need" && exit; \
	echo "installing$$need"; \
	$(SUDO) apt-get update -qq; \
	DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$need >/dev/null

drift: install ## Fail when package, README and notebooks have drifted apart
	$(BIN)/python tools/drift.py

deploy-check: install ## Run Dockerfile and nginx configuration without Docker and check them by HTTP (root installs nginx)
	$(BIN)/python tools/deploy_check.py

bench: install ## All benchmarks, an hour; one table in benchmarks/README.md (tools/bench.py --help)
	$(BIN)/python tools/bench.py

results: install ## Copy the results of runs/demo and runs/full to data/icd10cm/results
	$(BIN)/python tools/results.py demo full

pictures: install ## Draw the pictures of README and documentation again, from the committed results and runs/full
	$(BIN)/python tools/pictures.py
	$(BIN)/python tools/animation.py runs/full

readme: install ## Rebuild README.md from nbs/index.ipynb
	$(BIN)/python tools/docs.py --readme

docs: install ## Build the documentation site in _docs
	$(BIN)/python tools/docs.py

docs-serve: docs ## Build the documentation and show it
	$(BIN)/python -m http.server -d _docs $(or $(PORT),8001)

clean: ## Remove everything that was built, runs and environment too
	rm -rf $(VENV) embedding_search/web web/node_modules web/build web/dist runs _proc _docs build dist *.egg-info
