# Two commands do everything on a fresh machine with python3 and make: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
WORK   ?= model-work

.PHONY: demo test check benchmarks soak model clean

demo: $(VENV)/.light
	$(BIN)/galmorph demo

test: $(VENV)/.full
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Style, types, the one-way rule, and what runs elsewhere: images, manifests, batch scripts.
check: $(VENV)/.full
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint docker/Dockerfile docker/Dockerfile.cuda
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml docker/compose.cuda.yaml
	$(BIN)/python inference/kubernetes/lint.py
	$(BIN)/shellcheck inference/slurm/survey.sbatch

benchmarks: $(VENV)/.full
	for script in tests/benchmarks/*.py; do $(BIN)/python $$script --check || exit 1; done

# A hundred kills at random times; half an hour. Every line of the result is a run that was killed and came out the same.
soak: $(VENV)/.full
	$(BIN)/python tests/soak.py --kills 100

# The embedded model, from nothing: mock surveys, training, export, evaluation. Under an hour on two cores.
model: $(VENV)/.full
	PATH="$(abspath $(BIN)):$$PATH" training/make_demo_model.sh $(WORK)

# A survey run and its catalogue need no torch; the marker says which set of packages the environment has.
$(VENV)/.light: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[cpu]'
	touch $@

$(VENV)/.full: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ $(VENV)/.light

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) galmorph-demo $(WORK)
