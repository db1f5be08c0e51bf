# Everything that developing and trying Patchbay takes. A machine needs Go and make; the rest is installed.
SHELL   := bash
GO      ?= go
PLUGINS := $(patsubst plugins/%/main.go,%,$(wildcard plugins/*/main.go))

.DEFAULT_GOAL := help
.PHONY: help run build test bench chaos lint generate

help: ## show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## install what is missing, build, and run the server with everything embedded
	@exec bin/patchbay serve

build: ## build bin/patchbay and bin/plugins
	@.ci/install.sh postgres
	@GO="$(GO)" .ci/build.sh $(PLUGINS)

test: build ## install what is missing and run all tests
	@.ci/install.sh compiler
	$(GO) test -race -timeout 30m ./...
	cd sdk && $(GO) test -race -timeout 30m ./...

bench: build ## run the benchmarks and print a table of figures and ratios
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 30m ./core/server/bench

chaos: build ## let everything fail for minutes, by a seed, and report: make chaos CHAOS_TIME=5m CHAOS_SEED=
	@.ci/install.sh compiler pooler
	CHAOS_TIME=$(or $(CHAOS_TIME),5m) CHAOS_SEED=$(CHAOS_SEED) $(GO) test -race -count=1 -v -timeout 24h -run Chaos ./core/server/chaos

lint: ## check formatting, vet, lint and the rules of imports
	@GO="$(GO)" .ci/lint.sh

generate: ## generate all generated code
	@GO="$(GO)" .ci/generate.sh
