# Andon. `make help` lists what there is.

GO      ?= go
FUZZTIME ?= 20s

.DEFAULT_GOAL := help
.PHONY: help run build test suites check bench fuzz

help: ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## control plane, gateway, ledger, bus and a simulated provider in one process
	@exec ./bin/andon dev

build: ## build bin/andon
	@GO="$(GO)" sh .ci/build.sh

test: ## all set-up and every test; ends with what ran and what did not
	@GO="$(GO)" sh .ci/test.sh

suites: ## the providers' own SDK test suites, directly and through a gateway; takes minutes
	@$(GO) run ./sdktest/suites

check: ## what CI runs: formatting, vet, every test, and a tree that stays clean
	@GO="$(GO)" sh .ci/check.sh

bench: ## the benchmarks of docs/benchmarks.md
	@$(GO) run ./bench

fuzz: ## every fuzz target for FUZZTIME each (default 20s)
	@GO="$(GO)" FUZZTIME="$(FUZZTIME)" sh .ci/fuzz.sh
