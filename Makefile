# make demo: the main job. make test: the tests. Both set themselves up; `make setup` alone does only that.
.PHONY: setup demo test test-fast clean

setup: .venv/.ready

.venv/.ready: setup.py constraints.txt scripts/setup.sh
	bash scripts/setup.sh

demo: setup
	.venv/bin/insegan demo --out out

test: setup
	.venv/bin/python -m pytest

test-fast: setup
	.venv/bin/python -m pytest -m "not slow"

clean:
	rm -rf .venv build install log out
