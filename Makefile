PYTHON ?= python3
BIN := .venv/bin
TORCH_BACKEND ?=
STAMP := .venv/.installed-$(or $(TORCH_BACKEND),default)

.PHONY: setup check test
setup: $(STAMP)

$(STAMP): pyproject.toml requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet $(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND)) \
		--constraint requirements.txt --editable '.[dev]'
	touch $@

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: setup
	$(BIN)/pytest
