PYTHON ?= python3
BIN := .venv/bin
TORCH_BACKEND ?=
STAMP := .venv/.installed-$(or $(TORCH_BACKEND),default)
FOR ?= 60

EVENT_PATH := kafka decode batch stays step assess alert encode commit state worker columns

.PHONY: setup demo check unit coverage test bench report
setup: $(STAMP)

$(STAMP): pyproject.toml requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet $(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND)) \
		--constraint requirements.txt --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/vitalstream demo --for $(FOR)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# Files of long tests alone are not even imported.
unit: setup
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow and not long" --hypothesis-profile quick tests/unit \
		$$(grep -rl '^pytestmark = pytest.mark.long' --include '*.py' tests/unit | sed 's/^/--ignore=/')

coverage: setup
	$(BIN)/pytest -n 2 --dist loadfile --cov-report term-missing:skip-covered \
		$(EVENT_PATH:%=--cov stream.%) tests/unit

test: setup
	tests/system-tools
	$(BIN)/pytest -n 2 --dist loadfile

bench: setup
	$(BIN)/python -m bench.pipeline

report: setup
	$(BIN)/python -m bench.report
