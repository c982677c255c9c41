.PHONY: check test benchmark

check:
	ruff check .
	ruff format --check .
	mypy
	lint-imports

test:
	coverage run -m pytest
	coverage report

benchmark:
	python benchmarks/tile_l2.py --write-docs
