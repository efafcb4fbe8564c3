# make demo: environment + the main job on the embedded data.   make test: environment + all tests.
# make lint: style and types.   make matrix: the quick tests at both ends of the versions.   make plug: the tests of other
# libraries' detectors at both ends of theirs.   make docs: the site of all pages.   Everything lives in .venv; uv is fetched when it is missing.

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
PY := .venv/bin/python
STAMP := .venv/.corrlight
PYTEST_ARGS ?=

.PHONY: demo test quick lint env matrix plug docs clean

demo: $(STAMP)
	$(PY) -m experiments.demo

test: lint $(STAMP).torchsort
	bash .ci/tests $(PYTEST_ARGS)

quick: $(STAMP)
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(PY) -m pytest -q -m "not slow" -n 2 --dist worksteal $(PYTEST_ARGS)

lint: $(STAMP)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

env: $(STAMP).torchsort

# No uv on this machine: a private copy, from the package registry.
.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# Compiled at once on all cores, and also where PYTHONDONTWRITEBYTECODE is set: importing torch takes
# half the time, in every job of a sweep.
$(STAMP): pyproject.toml $(filter .uv/bin/uv,$(UV))
	$(UV) sync --quiet --inexact --compile-bytecode --extra dev
	@touch $@

# The torchsort backend compiles against the torch just installed. It is optional: without a C++
# compiler everything but its own tests runs. Where nvcc exists its build needs two variables.
$(STAMP).torchsort: $(STAMP)
	@bash .ci/torchsort "$(UV)"
	@touch $@

# The quick tests with the lowest and the newest versions of what pyproject.toml allows.
matrix: $(filter .uv/bin/uv,$(UV))
	bash .ci/matrix "$(UV)" $(ENDS)

# Detectors of transformers, torchvision and rfdetr with the oldest and the newest that work.
plug: $(filter .uv/bin/uv,$(UV))
	bash .ci/plug "$(UV)" $(ENDS)

# The site, in build/site/, every link checked. It reads sources and needs no torch, so its few
# packages have an environment of their own.
docs: $(filter .uv/bin/uv,$(UV))
	UV_PROJECT_ENVIRONMENT=.cache/docs $(UV) sync --quiet --only-group docs
	.cache/docs/bin/python .ci/site.py

clean:
	rm -rf .cache/compositions .cache/docs .matrix .venv .uv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
