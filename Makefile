# Two commands on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check bench install golden reference clean

install: $(STAMP)

# uv installs several times faster where it is present; it does not read pip's own configuration of local wheels.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "vlmlab needs Python 3.11 or newer; found " + sys.version.split()[0] + " (set PYTHON=python3.11)")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	if command -v uv >/dev/null 2>&1; then \
	  UV_FIND_LINKS="$${UV_FIND_LINKS:-$${PIP_FIND_LINKS:-}}" VIRTUAL_ENV="$(CURDIR)/$(VENV)" uv pip install -q -c constraints.txt -e '.[data,jpeg,dev]'; \
	else \
	  $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[data,jpeg,dev]'; \
	fi
	$(BIN)/python -m vlmlab.run.installation
	touch $(STAMP)

# The main job: builds a small vision-language model from nothing on a laptop CPU, and reports on it.
demo: $(STAMP)
	$(BIN)/vlmlab demo

test: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ty check src

bench: $(STAMP)
	set -e; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file; done

golden: $(STAMP)
	$(BIN)/python -m tests.golden

reference: $(STAMP)
	$(BIN)/python -m vlmlab.recipe.reference > docs/reference.md

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .ruff_cache .hypothesis
