# `make check` before every commit: lint, types and the fast tests, in under two minutes.
PYTHON ?= python
FAST = tests/test_layering.py tests/test_contributing.py tests/test_packaging.py tests/test_readme.py \
  tests/test_ds_configs.py \
  tests/data_prep/base tests/data_prep/shards tests/data_prep/sources tests/data_prep/augment \
  tests/trainer/config tests/trainer/results tests/trainer/statistics/test_differences.py tests/trainer/metrics \
  tests/trainer/kernels/test_philox.py tests/trainer/kernels/test_reference.py tests/trainer/robust \
  tests/trainer/runs/test_folder.py tests/trainer/runs/test_record.py tests/slurm/test_submit.py

.PHONY: check lint types fast test slow
check: lint types fast

lint:
	$(PYTHON) -m ruff check .

types:
	$(PYTHON) -m mypy

fast:
	$(PYTHON) -m pytest -q $(FAST)

test:  # the default suite
	$(PYTHON) -m pytest

slow:  # what .ci/run runs besides
	$(PYTHON) -m pytest -m "slow and not full"
