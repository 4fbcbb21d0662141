# The only verbs of the project. `make` alone explains them.
#
#   PG=15|16|17|18        major version of Postgres (default: 15, else the next newer one that is installed)
#   PG_CONFIG=/path       a particular installation
#   SNACKBASE_PORT        port of `make run` (8000)       SNACKBASE_DATA_DIR   its directory (.snackbase)
#   SECONDS=600           how long `make differential` runs
#   PROFILE=dev|release   how `make run` and `make cluster` compile

export PG PG_CONFIG PROFILE

.PHONY: help setup run test build install check unit db e2e upgrade newest differential bench demo schema cluster psql stop clean doctor

help: ## this list
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: ## install what is missing to build (system packages, cargo-pgrx)
	@tools/setup.sh

run: setup ## a private Postgres and the gateway, in the foreground, until Ctrl-C
	@tools/run.sh

stop: ## stop what a detached `make run` or `make cluster` left
	@tools/stop.sh

cluster: setup ## the private Postgres alone, in the background
	@tools/cluster.sh

psql: ## psql on the private Postgres, as its superuser
	@tools/psql.sh

doctor: ## what the private database finds wrong with its configuration
	@tools/doctor.sh

build: setup ## compile everything, without optimisation
	@tools/cargo.sh build

install: setup ## build for release and install into the Postgres of PG_CONFIG
	@tools/install.sh

test: ## every test: unit, db, e2e, upgrade, newest
	@tools/setup.sh node smtp
	@tools/test.sh

unit: ## tests that need no Postgres
	@tools/test.sh unit

db: setup ## tests inside the database
	@tools/test.sh db

e2e: ## tests over sockets: gateway, SDK, psql, races, dump and restore
	@tools/setup.sh node smtp
	@tools/test.sh e2e

upgrade: setup ## pg_upgrade to a newer Postgres, with a ledger in it
	@tools/test.sh upgrade

newest: setup ## tests inside the database, on the newest Postgres
	@tools/test.sh newest

differential: setup ## random rules and requests against a reference, for SECONDS; make test runs a fixed number
	@tools/differential.sh $(SECONDS)

check: ## what a change must pass: format, lints, documentation, tests
	@tools/setup.sh node smtp shellcheck
	cargo fmt --all --check
	@tools/cargo.sh clippy --all-targets -- -D warnings
	@RUSTDOCFLAGS='-D warnings' tools/cargo.sh doc --no-deps --document-private-items
	shellcheck tools/*.sh .ci/run
	@tools/test.sh

demo: ## the story of the project on real data, told by two accounts
	@tools/setup.sh node
	@tools/demo.sh

bench: ## what requests cost next to bare Postgres; writes bench/*/RESULTS.md
	@tools/setup.sh node wrk
	@tools/bench.sh

schema: setup ## rewrite the snapshots of a fresh installation (pgrx-tests/schema.out, tests/psql/*.out)
	@tools/with-cluster.sh tools/schema.sh

clean: ## remove what was compiled; the data of `make run` stays
	cargo clean
