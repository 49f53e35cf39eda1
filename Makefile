# Every target sets up what it needs. `make demo` and `make test` work on a fresh machine.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
CLIENTS := .venv-clients
CLIENTS_STAMP := $(CLIENTS)/.stamp
PEERS := .venv-peers
PEERS_STAMP := $(PEERS)/.stamp
LAMBDA_PEERS := .venv-peers-lambda
LAMBDA_PEERS_STAMP := $(LAMBDA_PEERS)/.stamp
DEPLOY := .venv-deploy
DEPLOY_STAMP := $(DEPLOY)/.stamp
# Hundreds of routers are started by the tests: each would compile all of it again.
unexport PYTHONDONTWRITEBYTECODE
PIP := install --quiet --disable-pip-version-check --no-input

.PHONY: demo demo-kafka demo-polyglot check check-deploy sbom test docs servers servers-long sim sim-nightly mutants traces dashboards pictures crash drain attack bench fuzz fuzz-nightly k8s fmt lock venv clients peers deploy-tools changelog clean python

demo: venv ## run the main job and show what happened; KEEP=1 leaves it running, CHAOS=1 kills the router in the middle, WINDOWS=1 also filters, counts in windows and changes Shards
	@$(BIN)/python -m examples.webhooks.demo $(if $(KEEP),--keep) $(if $(CHAOS),--chaos) $(if $(WINDOWS),--windows)

demo-kafka: venv ## orders from a real Kafka broker and a FIFO queue, and what became of them; KEEP=1 leaves it running, CHAOS=1 kills the router in the middle; needs Java and Maven
	@$(BIN)/python -m examples.orders.demo $(if $(KEEP),--keep) $(if $(CHAOS),--chaos)

check: venv ## format, lint, types, architecture, quick unit tests, a short simulation; a minute
	@$(BIN)/python .ci/stages.py check

check-deploy: venv deploy-tools ## every file of deploy/, k8s/ and docker-compose.yml by its own tool
	@$(BIN)/python -m pytest -q -p no:cacheprovider tests/deploy

sbom: venv ## what the image is made of: dist/event-router.cdx.json, CycloneDX
	@rm -rf build/image && $(BIN)/python -m deploy.rootfs build build/image
	@mkdir -p dist && cp build/image/rootfs/usr/share/sbom/event-router.cdx.json dist/

test: venv clients $(PEERS_STAMP) deploy-tools servers ## every test
	@$(BIN)/python .ci/stages.py test

demo-polyglot: venv ## one template, functions in five languages and a shell script; builds what the tools here can build. ONLY=node,go picks, KEEP=1 leaves it running
	@$(BIN)/python -m examples.polyglot.demo $(if $(ONLY),--only $(ONLY)) $(if $(KEEP),--keep)

sim: venv ## 400 seeds of one virtual hour on all cores; SEED=n replays one, SEEDS=50 MINUTES=10 runs fewer
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(KIND),--kind $(KIND)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(MINUTES),--minutes $(MINUTES))

sim-nightly: venv ## 10,000 seeds of one virtual hour, other ones every night; then 20,000 examples of each model, and other examples for every test that draws them
	@$(BIN)/python -m tests.simulation --random --seeds $(if $(SEEDS),$(SEEDS),10000) $(if $(MINUTES),--minutes $(MINUTES))
	@MODEL_EXAMPLES=20000 $(BIN)/python -m pytest -q --timeout=36000 --hypothesis-profile=explore tests/model
	@$(BIN)/python -m pytest -q --hypothesis-profile=explore tests/unit tests/contract/test_any_request.py

mutants: venv ## every router with one thing wrong must be caught; writes docs/mutants.md
	@$(BIN)/python -m tests.simulation.trials

traces: venv ## record what the engine decides anew, when a change of its behaviour is meant
	@$(BIN)/python -m tests.simulation.record_traces

pictures: venv ## the pictures in docs/pictures, from a router that really runs; some minutes. ONLY=ops or ONLY=dashboards picks
	@$(BIN)/python -m tests.pictures $(if $(ONLY),--only $(ONLY))

dashboards: venv ## write deploy/grafana/dashboards from deploy/grafana/dashboards.yaml
	@$(BIN)/python -m deploy.grafana
	@$(BIN)/python -m deploy.kubernetes

crash: venv ## kill -9 trials; TRIALS=1000 for the long run
	@$(BIN)/python -m tests.crash $(if $(TRIALS),--trials $(TRIALS))

drain: venv ## replace a router under load as Kubernetes does it, ROUNDS=5 times
	@$(BIN)/python -m tests.drain $(if $(ROUNDS),--rounds $(ROUNDS))

fuzz: venv ## foreign bytes into every reader, two targets at a time; TARGET=http SECONDS=20
	@$(BIN)/python -m tests.fuzz $(if $(TARGET),--target $(TARGET)) $(if $(SECONDS),--seconds $(SECONDS))

fuzz-nightly: ## twenty minutes for each target
	@$(MAKE) --no-print-directory fuzz SECONDS=1200

attack: venv ## hostile clients and faults of the machine, as long as the defaults make them
	@$(BIN)/python -m tests.attack

bench: venv peers servers ## each goal beside its own baseline; ONLY=G1,G4 picks
	@$(BIN)/python -m tests.bench $(if $(ONLY),--only $(ONLY))

k8s: venv ## what k8s/ has of deploy/, made anew
	@$(BIN)/python -m deploy.kubernetes

fmt: venv ## format and mend what can be mended
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

servers: venv ## the real servers some tests start: jars, which need Java and Maven, and Debian packages, unpacked
	@$(BIN)/python -m tests.servers

servers-long: venv clients servers ## the tests of faults in their long form: 30 s pauses, three brokers, 1,000,000 waiting records; K=kafka picks
	@set -o pipefail; TESTS_LONG=1 TESTS_REQUIRE_SERVERS=1 $(BIN)/python -m pytest -q -rP -m sized -p no:cacheprovider --durations=0 tests/integration tests/contract $(if $(K),-k $(K)) 2>&1 | grep -v '^{'

docs: venv ## write the pages that are generated from code
	@$(BIN)/python -m router.telemetry.document docs/metrics.md

venv: $(STAMP) ## .venv with everything pinned; instant when nothing changed
clients: $(CLIENTS_STAMP) ## .venv-clients with the current boto3 and AWS CLI, as outside programs
peers: $(PEERS_STAMP) $(LAMBDA_PEERS_STAMP) ## what benches run beside us: other consumers of Kafka in .venv-peers, others that invoke Lambda functions in .venv-peers-lambda (a minute or two)
deploy-tools: venv $(DEPLOY_STAMP) ## .venv-deploy with what checks the files in deploy/, k8s/ and docker-compose.yml, and a kubectl where there is none
	@$(BIN)/python -m tests.deploy.kubectl

python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv, or set PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $$($(PYTHON) --version) found. Set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }

$(STAMP): requirements/dev.lock pyproject.toml | python
	@echo "setting up $(VENV) (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip $(PIP) --require-hashes -r requirements/dev.lock
	@$(BIN)/pip $(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(DEPLOY_STAMP): requirements/deploy.lock | python
	@echo "setting up $(DEPLOY) (once)"
	@test -x $(DEPLOY)/bin/python || $(PYTHON) -m venv $(DEPLOY)
	@$(DEPLOY)/bin/pip $(PIP) --require-hashes -r requirements/deploy.lock
	@touch $@

$(CLIENTS_STAMP): requirements/clients.lock | python
	@echo "setting up $(CLIENTS) (once)"
	@test -x $(CLIENTS)/bin/python || $(PYTHON) -m venv $(CLIENTS)
	@$(CLIENTS)/bin/pip $(PIP) --require-hashes -r requirements/clients.lock
	@touch $@

$(PEERS_STAMP): requirements/peers.lock | python
	@echo "setting up $(PEERS) (once)"
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/pip $(PIP) --require-hashes -r requirements/peers.lock
	@touch $@

$(LAMBDA_PEERS_STAMP): requirements/lambda-peers.lock requirements/emulator.lock tests/bench/lambda_peers/package-lock.json | python
	@echo "setting up $(LAMBDA_PEERS) (once)"
	@test -x $(LAMBDA_PEERS)/bin/python || $(PYTHON) -m venv $(LAMBDA_PEERS)
	@$(LAMBDA_PEERS)/bin/pip $(PIP) --require-hashes -r requirements/lambda-peers.lock
	@$(LAMBDA_PEERS)/bin/pip $(PIP) --require-hashes --no-deps -r requirements/emulator.lock
	@mkdir -p $(LAMBDA_PEERS)/node && cp tests/bench/lambda_peers/package*.json $(LAMBDA_PEERS)/node
	@if command -v npm >/dev/null; then npm ci --prefix $(LAMBDA_PEERS)/node --ignore-scripts --no-audit --no-fund --silent; \
	else echo "npm is missing: the benches will do without serverless-offline"; fi
	@touch $@

lock: venv ## pin every package again, with hashes and without a registry's address
	@command -v uv >/dev/null || { echo "uv is needed for this one: pip install uv"; exit 1; }
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/dev.lock
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/run.lock
	uv pip compile requirements/clients.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/clients.lock
	uv pip compile requirements/peers.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/peers.lock
	uv pip compile requirements/lambda-peers.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/lambda-peers.lock
	uv pip compile requirements/emulator.in --no-deps --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/emulator.lock
	uv pip compile requirements/build.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/build.lock
	uv pip compile requirements/deploy.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/deploy.lock

changelog: venv ## what the next release's changelog will say
	@$(BIN)/towncrier build --draft --version next

clean:
	rm -rf $(VENV) $(CLIENTS) $(PEERS) $(LAMBDA_PEERS) $(DEPLOY) .servers .router build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
