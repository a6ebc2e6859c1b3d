# Each target makes .venv by itself when it is missing. CI runs `make lint test` (see .ci/run).
PYTHON ?= python3.11
VENV   ?= .venv
BIN     = $(VENV)/bin
READY   = $(VENV)/.ready
WORKERS ?= 2

.PHONY: run soak chaos test test-slow fuzz test-pythons test-open3d test-ouster test-tensorrt lint format bench trackeval clean help

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 16

run: $(READY)  ## run the demo graph: pictures, video and KITTI results in out/demo
	$(BIN)/pipe run demo --out out/demo --overwrite --report out/demo/report.json

test: $(READY)  ## the quick tests (CI)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow and not fuzz and not gpu and not lidar and not camera"

test-slow: $(READY)  ## the long tests: random kills, whole data sets
	$(BIN)/python -m pytest -m "slow and not fuzz and not gpu and not lidar and not camera"

fuzz: $(READY)  ## damaged and random files into every reader, for many minutes: arrays or one line
	$(BIN)/python -m pytest -n $(WORKERS) -m fuzz --timeout 1800

lint: $(READY)  ## ruff, mypy, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## let ruff rewrite
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## measure: hop latency and engine overhead beside bare pyzmq, scoring beside TrackEval
	$(BIN)/pipe bench all

SECONDS ?= 3600
soak: $(READY)  ## an hour of a robot's graph: do memory and p99 stay flat? SECONDS=60 for a look
	$(BIN)/python -m bench.soak --seconds $(SECONDS)

SEED ?= 0
chaos: $(READY)  ## kill every node at every step and at random, thousands of times: is every frame and slot accounted for? a quarter of an hour on 2 idle cores
	PYTHONPATH=tests nice -n 10 $(BIN)/python -m chaos --seed $(SEED) --jobs 2

# Not in the test extra: its list of packages has opencv-python, which writes over opencv-python-headless; it needs none of them here.
trackeval: $(READY)  ## install TrackEval, which tests and `pipe bench eval` compare with where it is there
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps trackeval==1.3.0

# The torch-free parts on the other Pythons that users have, by name or from pyenv (whose shims may refuse); one that is not
# installed is named and left out.
PYTHONS ?= 3.10 3.12 3.13
PYENV    = $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions
test-pythons:  ## the quick tests on Python 3.10, 3.12 and 3.13
	@for v in $(PYTHONS); do \
	  found=; \
	  for p in python$$v $(PYENV)/$$v.*/bin/python$$v; do \
	    if $$p -c '' 2>/dev/null; then found=$$p; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then echo "== Python $$v: not installed here, left out"; continue; fi; \
	  echo "== Python $$v ($$found)"; \
	  test -x .venv-$$v/bin/python || $$found -m venv .venv-$$v || exit 1; \
	  $(MAKE) --no-print-directory test VENV=.venv-$$v CONSTRAINTS= EXTRAS=record,eval,test,lint RUNTIMES= || exit 1; \
	done

# A venv of its own, since the extra brings 57 packages. On a bare Debian first: apt-get install libusb-1.0-0 libgl1 libegl1 libx11-6
OPEN3D ?= .venv-open3d
test-open3d:  ## the tests that need the extra open3d (meshes, our rays beside Open3D's)
	@$(MAKE) --no-print-directory $(OPEN3D)/.ready VENV=$(OPEN3D) EXTRAS=open3d,test RUNTIMES=
	$(OPEN3D)/bin/python -m pytest $$(find tests -name '*_open3d.py')

# A venv of its own, since the SDK pins packages that others need newer.
OUSTER ?= .venv-ouster
test-ouster:  ## the tests that need the extra ouster (packets decoded by Ouster's SDK)
	@$(MAKE) --no-print-directory $(OUSTER)/.ready VENV=$(OUSTER) EXTRAS=ouster,test RUNTIMES=
	$(OUSTER)/bin/python -m pytest tests/drivers/ouster

# NVIDIA's bindings without TensorRT: real names and signatures for a machine without a GPU. Their licence: never committed.
BINDINGS ?= $(HOME)/.cache/pipe-tensorrt-bindings
test-tensorrt: $(READY)  ## the TensorRT backend against the names and signatures of TensorRT 10.16 and 11.4
	@for wheel in tensorrt_cu12_bindings==10.16.1.11 tensorrt_cu13_bindings==11.4.0.106; do \
	  folder=$(BINDINGS)/$${wheel%%==*}; \
	  test -d $$folder || $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --only-binary :all: --target $$folder $$wheel || exit 1; \
	done
	PIPE_TENSORRT_BINDINGS=$(BINDINGS) $(BIN)/python -m pytest tests/operators/nets/runtimes/test_tensorrt_bindings.py

CONSTRAINTS ?= -c constraints.txt
EXTRAS ?= torch,record,eval,test,lint
# Runtimes of nets: the tests of one that cannot be installed are skipped.
RUNTIMES ?= onnx openvino
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	@echo "installing into $(VENV), about a minute"
	# torch alone and by its exact version first: a looser requirement may fetch gigabytes of CUDA
	$(if $(findstring torch,$(EXTRAS)),$(BIN)/python -m pip install -q --disable-pip-version-check $(CONSTRAINTS) torch)
	$(BIN)/python -m pip install -q --disable-pip-version-check $(CONSTRAINTS) -e '.[$(EXTRAS)]'
	@for extra in $(RUNTIMES); do \
	  $(BIN)/python -m pip install -q --disable-pip-version-check $(CONSTRAINTS) -e ".[$$extra]" || echo "without the extra $$extra: its tests are skipped"; \
	done
	@touch $@

clean:  ## remove what make made
	rm -rf .venv .venv-3.* .venv-open3d out build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
