# make demo: the main job. make test: the tests; make soak: 20,000 frames through one node. Both set themselves up; `make setup` alone does only that.
.PHONY: setup demo test test-fast soak clean

setup: .venv/.ready

.venv/.ready: setup.py constraints.txt scripts/setup.sh
	bash scripts/setup.sh

demo: setup
	.venv/bin/insegan demo --out out

test: setup
	.venv/bin/python -m pytest

test-fast: setup
	.venv/bin/python -m pytest -m "not slow"

soak: setup
	INSEGAN_SOAK_FRAMES=20000 .venv/bin/python -m pytest -s test/nodes/test_soak.py

clean:
	rm -rf .venv build install log out
