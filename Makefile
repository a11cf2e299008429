# Everything runs in .venv, which each target makes for itself. `make help` lists the targets.

PYTHON ?= python3
# What `make pretrain` trains: scenes, or scenes_zh, the same in Chinese.
RECIPE ?= scenes
# `make real`: en or zh, and a folder with copies of what it would fetch.
TONGUE ?= en
COPIES ?=
VENV := .venv
BIN := $(VENV)/bin
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"
# CPU machines save a download with TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
GPU := $(shell command -v nvidia-smi 2>/dev/null)
# Before compute capability 8 there is no bf16.
OLD_GPU := $(if $(GPU),$(filter 5.% 6.% 7.%,$(shell nvidia-smi --query-gpu=compute_cap --format=csv,noheader)))
DS_CONFIG ?= ds_configs/$(if $(GPU),zero0_$(if $(OLD_GPU),fp16,bf16),cpu).json
# Matrices this small gain nothing from a second thread, but all from a second rank.
RANKS ?= $(if $(GPU),1,2)

.DEFAULT_GOAL := help
.PHONY: help pretrain finetune serve real test prove test-kernels test-fault test-cluster test-hugging-face cluster-packages lint format gpu benchmark debian-packages clean

help: ## This list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

pretrain: $(VENV)/ready ## Make the embedded data, pretrain on it, evaluate before and after
	$(RUN) deepspeed --num_gpus $(RANKS) launch/pretrain.py --recipe $(RECIPE) --deepspeed_config $(DS_CONFIG)
	$(RUN) deepspeed --num_gpus $(RANKS) launch/evaluate.py --task retrieval --run runs/$(RECIPE)
	$(RUN) python -m interbert summary runs/$(RECIPE)

finetune: $(VENV)/ready ## Fine-tune the model of `make pretrain` for retrieval, evaluate before and after
	$(RUN) deepspeed --num_gpus $(RANKS) launch/finetune.py --recipe scenes_retrieval --deepspeed_config $(DS_CONFIG)
	$(RUN) deepspeed --num_gpus $(RANKS) launch/evaluate.py --task retrieval --run runs/scenes_retrieval
	$(RUN) python -m interbert summary runs/scenes_retrieval

# `make serve`: what is searched, and where it is asked.
ITEMS ?= 20000
PORT ?= 8000
SEARCH := runs/$(RECIPE)_distill
TO_SEARCH := data/search/$(RECIPE)_$(ITEMS).h5
MARK := import pathlib, sys; from interbert.search.mark import mark_of; print(mark_of(pathlib.Path(sys.argv[1]))[:12])
TONGUE_OF_RECIPE := $(if $(filter %_zh,$(RECIPE)),zh,en)

serve: $(VENV)/ready ## What `make pretrain` left, made to search: distil, index 20,000 scenes, open on this machine
	$(RUN) python -m interbert distill --num_gpus $(RANKS) --recipe scenes_distill --deepspeed_config $(DS_CONFIG) \
	  --output-dir $(SEARCH) --set model.inherit_from=runs/$(RECIPE)/export \
	  $(if $(filter zh,$(TONGUE_OF_RECIPE)),--set scenes.language=zh --set scenes.folder=data/scenes_zh --set data.max_text_tokens=62)
	test -e $(TO_SEARCH) || $(RUN) python -m interbert scenes --output $(TO_SEARCH) --images $(ITEMS) --split test \
	  --seed 7 --language $(TONGUE_OF_RECIPE)
	@# An index serves the model that made it and no other: one that is distilled anew gets its own.
	index=$(SEARCH)/index_$(ITEMS)_$$($(BIN)/python -c '$(MARK)' $(SEARCH)/export) && \
	{ test -e $$index || $(RUN) python -m interbert index build --model $(SEARCH)/export --data $(TO_SEARCH) \
	  --output $$index; } && \
	$(RUN) python -m interbert serve --index $$index --model $(SEARCH)/export --port $(PORT)

real: $(VENV)/ready ## Fetch real pictures and texts, pretrain from a BERT, search what it has not seen
	$(RUN) python benchmarks/real.py --languages $(TONGUE) --beginnings bert --seeds 1 --ranks $(RANKS) \
	  $(if $(COPIES),--copies $(COPIES))

# Two calls of pytest at once (tests/two_at_once.py); of the second, what it said comes when it has ended.
define both
@export $(RUN) PYTHONUNBUFFERED=1; began=$$(date +%s); said=$$(mktemp); claims=$$(mktemp -d); \
python -m pytest $(1) --claims=$$claims --backwards -o cache_dir=.pytest_cache/others > $$said 2>&1 & others=$$!; \
trap 'kill $$others 2>/dev/null; rm -rf $$said $$claims' EXIT; trap 'exit 1' INT TERM; \
python -m pytest $(1) --claims=$$claims; failed=$$?; \
wait $$others || failed=$$?; cat $$said; \
echo "tests: $$(($$(date +%s) - began)) s in all"; exit $$failed
endef

# Of what is marked slow, one test in so many.
SLICE ?= 4

test: $(VENV)/ready ## The test suite
	$(call both,--slice $(SLICE))

# `make prove` has seen the others already.
MARKED := thorough or not thorough

test-kernels: $(VENV)/ready ## The whole proof of our own kernels: every length, sanitizers, broken sources
	$(call both,-m "$(MARKED)" tests/kernels)

test-fault: $(VENV)/ready ## Every fault at every ZeRO stage (killed, frozen, starved of disk), every engine
	$(RUN) python -m pytest tests/fault tests/integration -m "$(MARKED)" -rs

test-cluster: $(VENV)/ready cluster-packages ## ssh hosts and a SLURM on this machine (as root)
	$(RUN) python -m pytest tests/cluster -m cluster -rs

test-hugging-face: $(VENV)/ready ## transformers' own common tests on our classes (its source is downloaded)
	$(RUN) python -m pytest tests/unit/model/test_common_checks.py -m thorough -rs

prove: SLICE := 1
prove: MARKED := thorough
prove: test test-fault test-cluster test-kernels test-hugging-face ## The whole of every matrix, an hour and more (as root)

lint: $(VENV)/ready ## ruff, format and lint; types of what is public
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ty check

format: $(VENV)/ready ## Put the code into ruff's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# `make gpu`: packages for a PYTHON as it is, on a machine without a network (docs/gpu.md); where its files go.
WHEELS ?=
OUT ?= runs/gpu
# cpu: a rehearsal, also where there is a GPU
DEVICE ?=

gpu: $(if $(WHEELS),,$(VENV)/ready) ## The first ten minutes on a GPU: is all right, and how fast (without one, a rehearsal)
	$(if $(WHEELS),$(PYTHON),$(BIN)/python) benchmarks/gpu.py --output $(OUT) \
	  $(if $(WHEELS),--wheels $(WHEELS)) $(if $(DEVICE),--device $(DEVICE))

benchmark: $(VENV)/ready ## Speed of the training step and of the loader, as tables
	$(RUN) python benchmarks/train_step.py
	$(RUN) python benchmarks/loader.py

debian-packages: ## What some tests need from the system (as root): mpirun, a browser, Chinese letters
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq openmpi-bin chromium fonts-wqy-microhei

cluster-packages: ## What the tests of clusters need from the system (as root): SLURM, sshd, pdsh
	@for program in slurmctld sshd pdsh munged tc mpirun; do command -v $$program >/dev/null || missing=1; done; \
	if [ "$$missing" ]; then apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq slurm-wlm munge openssh-server pdsh iproute2 openmpi-bin; fi

clean: ## Remove .venv (not data/, not runs/)
	rm -rf $(VENV)

$(VENV)/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "$(PYTHON) is $$($(PYTHON) --version); interbert needs Python 3.11 to 3.13: make PYTHON=python3.12 …"; exit 1; }
	@command -v g++ >/dev/null || { echo "DeepSpeed builds a small op with g++, which is not here: install g++"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r requirements.txt
	@# The checkout itself, so that `python -m interbert` works from any folder; what builds it is in requirements.txt.
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
