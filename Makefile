PYTHON ?= python3
SUDO ?= $(shell [ "$$(id -u)" = 0 ] || echo sudo)

READY := .venv/.ready
SERVER_STATE := build/run/server
SOURCES := $(shell find ghost ghosttunnel.py -name '*.py')

.PHONY: help setup build test lint format run-server run-client demo test-chaos bench pictures clean docker
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## install everything that the targets below need, into .venv and by apt-get

$(READY): setup.cfg pyproject.toml packaging/setup.sh
	@PYTHON='$(PYTHON)' packaging/setup.sh
	@touch $@

build: dist/ghosttunnel ## make the wheel, the one-file program dist/ghosttunnel.pyz and the binary dist/ghosttunnel

dist/ghosttunnel: $(READY) $(SOURCES) packaging/build.sh packaging/pyz_main.py packaging/replace_main.py
	@packaging/build.sh

test: setup ## run all tests: units side by side, then real kernels in network namespaces one by one
	.venv/bin/python -m pytest -n auto --dist worksteal --ignore tests/namespaces
	.venv/bin/python -m pytest -n 0 tests/namespaces

lint: setup ## check format, style and types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

format: setup ## rewrite the code in its one format
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

run-server: setup ## run a server on this machine, with its state in build/run/server
	$(SUDO) .venv/bin/ghosttunnel server --state-dir $(SERVER_STATE)

run-client: setup ## run a client of that server on this machine, in a network namespace of its own
	@$(SUDO) packaging/run-client.sh

demo: setup ## download over a link that loses 30 %, outside and inside the tunnel
	$(SUDO) .venv/bin/ghosttunnel demo

test-chaos: setup ## watch a download survive loss, silence and recovery, check what is promised, draw it if it can
	@.venv/bin/python -c 'import matplotlib' 2>/dev/null || .venv/bin/python -m pip install --quiet --editable '.[bench]' || true
	@mkdir -p build
	@plot=; if .venv/bin/python -c 'import matplotlib' 2>/dev/null; then plot='--plot build/run/test-chaos.png'; fi; \
	$(SUDO) mkdir -p build/run; \
	echo $(SUDO) .venv/bin/ghosttunnel demo --spike $$plot; $(SUDO) .venv/bin/ghosttunnel demo --spike $$plot

bench: build ## measure goodput and delay over many links in virtual time, then throughput and latency on real kernels, and plot it
	.venv/bin/python -m pip install --quiet --editable '.[bench]'
	.venv/bin/python bench/compression.py
	.venv/bin/python bench/matrix.py --write
	.venv/bin/python bench/plot.py
	.venv/bin/python bench/memory.py
	$(SUDO) .venv/bin/python bench/throughput.py
	$(SUDO) .venv/bin/python bench/latency.py

pictures: setup ## capture the dashboard on a bad link for docs/pictures
	$(SUDO) .venv/bin/python packaging/pictures.py

clean: ## remove what the other targets made, except .venv
	@[ ! -d build/run ] || $(SUDO) rm -rf build/run
	rm -rf build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name .venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

docker: ## build the image ghost_tunnel
	docker build -t ghost_tunnel .
