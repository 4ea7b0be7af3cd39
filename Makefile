# The checks, one by one. What they do is in .ci/run, and nothing of it here.
#
#   make race MODULES=goyave          one module; of the root: MODULES=.
#   make fuzz FUZZ_TIME=10m
#   make soak SOAK_TIME=1h

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: check
check: ## everything that continuous integration runs: ten minutes and more
	@bash .ci/run

.PHONY: lint
lint: ## formatting, go.mod and golangci-lint, in every module
	@bash .ci/run lint

.PHONY: vet
vet: ## go vet, in every module
	@bash .ci/run vet

.PHONY: cross
cross: ## packages and tests, for all targets that Go has
	@bash .ci/run cross

.PHONY: test
test: ## the tests of every module but interop
	@bash .ci/run test

.PHONY: race
race: ## the same with the race detector
	@bash .ci/run race

.PHONY: memory
memory: ## the tests of memory and allocations, which run without the race detector
	@bash .ci/run memory

.PHONY: fuzz
fuzz: ## every fuzz target, for FUZZ_TIME (3s)
	@bash .ci/run fuzz

.PHONY: soak
soak: ## a mixed load with faults, for SOAK_TIME (30s)
	@bash .ci/run soak

.PHONY: hub-soak
hub-soak: ## hubs on brokers with faults, for HUB_SOAK_TIME (2m) each
	@bash .ci/run hub-soak

.PHONY: example
example: ## the echo example as a running process, and the chat behind nginx
	@bash .ci/run example

.PHONY: interop
interop: ## the tests with clients and servers of others: Node, Python, a browser
	@bash .ci/run interop

.PHONY: release
release: ## a release of the last commit, rehearsed: nothing is published
	@bash .ci/run release

.PHONY: autobahn
autobahn: ## the Autobahn Testsuite, which must be installed (WSTEST=FILE): up to an hour
	@bash .ci/run autobahn

.PHONY: bench-quick
bench-quick: ## the first table of the benchmarks, compared with the page: two minutes, on Linux
	@bash .ci/run bench-quick
