# Two commands do everything on a machine that has Python 3.11 and make: `make demo` and `make test`.
.DEFAULT_GOAL := help
.PHONY: help demo test peers lowest clients kill lint bench docs clean

# The settings of a user's shell must not leak into what is installed or measured.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
py := .venv/bin/python

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

demo: ## a strategy the whole way: verified prices, backtest, promotion, a year of paper trading, a second opinion
	@sh .ci/environment user
	@$(py) -m compileall -q quantlab
	@sh .ci/second-opinion & $(py) -m quantlab demo; code=$$?; wait; [ $$code = 0 ] || exit $$code
	@$(py) -m quantlab demo --second-opinion

test: ## lint, types and the whole suite
	@sh .ci/environment dev
	@$(py) -m compileall -q quantlab
	@echo "== ruff" && $(py) -m ruff check . && $(py) -m ruff format --check .
	@echo "== mypy, and the kernels compiled once beside it" && { $(py) -m quantlab demo --folder .venv/warm --json >/dev/null & \
		$(py) -m mypy; code=$$?; wait; exit $$code; }
	@echo "== pytest: kernels as plain Python" && NUMBA_DISABLE_JIT=1 $(py) -m pytest -m "kernels and not slow" -n 2
	@echo "== pytest: everything but the peers" && $(py) -m pytest -m "not peers" -n 2 --durations=10 --durations-min=1

peers: ## thousands of random runs beside vectorbt and backtesting.py, bit by bit
	@sh .ci/environment dev
	@$(py) -m pytest -m peers -n 2 tests/test_peers_*.py

lowest: ## the suite on the oldest versions of what quantlab needs
	@sh .ci/lowest

clients: ## what speaks to Interactive Brokers, with the oldest official client
	@sh .ci/clients

kill: ## a paper run killed (kill -9) twenty times, and what came of it
	@sh .ci/environment dev
	@$(py) -m pytest tests/soak_kills.py

lint: ## ruff, mypy and the floors; repairs what can be repaired
	@sh .ci/environment dev
	@$(py) -m ruff check --fix . && $(py) -m ruff format . && $(py) -m mypy
	@$(py) -m pytest tests/test_architecture.py

bench: ## run the benchmarks, each against its peers
	@sh .ci/environment dev
	@$(py) -m compileall -q quantlab
	@code=0; for file in benchmarks/bench_*.py; do echo "== $$file"; $(py) "$$file" || code=1; done; exit $$code

docs: ## write what is generated in docs: the floors and the picture
	@sh .ci/environment dev
	@$(py) tests/test_architecture.py --write
	@$(py) docs/picture.py

clean: ## remove the environment, caches and the demo's output
	@rm -rf .venv .venv-lowest .venv-ibapi-9.81 .mypy_cache .pytest_cache .ruff_cache .hypothesis quantlab-demo dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
