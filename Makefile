.PHONY: check test docs benchmark

check:
	ruff check .
	ruff format --check .
	mypy
	lint-imports

test:
	coverage erase
	coverage run -m pytest -n auto
	coverage combine --quiet
	coverage report

docs:
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

benchmark:
	python benchmarks/tile_l2.py --write-docs
