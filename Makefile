# make demo: the main job. make test: the tests; make test-fast: those that take seconds; make soak: 20,000 frames through one node. make lint: ruff; make types: mypy. All set themselves up; `make setup` alone does only that.
.PHONY: setup demo lint types test test-fast soak clean

setup: .venv/.ready

.venv/.ready: setup.py constraints.txt scripts/setup.sh
	bash scripts/setup.sh

demo: setup
	.venv/bin/insegan demo --out out

lint: setup
	.venv/bin/ruff check
	.venv/bin/ruff format --check

# sim/ is imported as insegan_sim; mypy finds it by a link of that name.
types: setup
	mkdir -p build/types
	ln -sfn ../../sim build/types/insegan_sim
	.venv/bin/mypy

# Tests that need DDS share one process, as do those that train the same small models.
test: setup
	.venv/bin/python -m pytest -n auto --dist loadgroup

test-fast: setup
	.venv/bin/python -m pytest -n auto --dist loadgroup -m "not slow"

soak: setup
	INSEGAN_SOAK_FRAMES=20000 .venv/bin/python -m pytest -s test/nodes/test_soak.py

clean:
	rm -rf .venv build install log out
