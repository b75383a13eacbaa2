# make up and make test do all of their own set-up.

GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)

.PHONY: help up down build test sweep soak stacks check bench bench-issue golden daemons setup clean fuzz vuln

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: build daemons ## set up everything that is missing, then run certyard up
	bin/certyard up

down: build ## stop the stack of make up and remove all of it
	bin/certyard down --volumes --purge --yes

# Without cgo, since it also runs in containers that have no C library.
build: setup ## build bin/certyard
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/certyard ./cmd/certyard

daemons: setup ## build the daemons for bundled images (four minutes once, then cached)
	scripts/daemons

setup:
	scripts/setup

test: daemons ## everything that the gate runs: checks, then all tests with Docker
	scripts/setup test
	scripts/tools
	$(MAKE) check
	CERTYARD_REQUIRE_DOCKER=1 $(GO) test -race -shuffle=on -timeout 40m ./...

SWEEP ?= .

sweep: daemons ## kill and disturb every command at every point (hours; SWEEP=daemon/init: a part of it)
	CERTYARD_REQUIRE_DOCKER=1 CERTYARD_SWEEP=full $(GO) test ./cmd/certyard -run 'TestIntegrationSweep/$(SWEEP)' -v -count 1 -timeout 24h

soak: daemons ## rotate everything while builds go on, and print what came of it (ten minutes)
	CERTYARD_REQUIRE_DOCKER=1 CERTYARD_SOAK=full $(GO) test ./stack/lifecycle -run RotateUnderLoad -v -timeout 60m

stacks: daemons ## start and end eight stacks at once, fifty times in a row (ten minutes)
	CERTYARD_REQUIRE_DOCKER=1 $(GO) test -race ./stack/stacktest -run Together -count 50 -timeout 60m

check: ## formatting, vet, modules, staticcheck
	@test -z "$$(gofmt -l .)" || { echo 'gofmt would change:' $$(gofmt -l .); exit 1; }
	$(GO) vet ./...
	$(GO) mod tidy -diff
	cd compose/daemons && $(GO) mod tidy -diff
	cd scripts/bench/testcontainers && $(GO) mod tidy -diff
	$(GO) tool staticcheck ./...

golden: ## rewrite the golden files of rendering and of the command line
	$(GO) test ./stack/render ./cmd/certyard -update

bench: build daemons ## print the numbers: medians beside docker compose and other tools
	$(GO) run ./scripts/bench
	$(GO) run ./scripts/bench -edge -runs 3
	$(GO) run ./scripts/bench -stacks -runs 3
	$(GO) test ./pki -run '^$$' -bench . -benchtime 2s
	$(GO) test ./stack/stacktest -run '^$$' -bench . -benchtime 2s
	$(GO) test ./cmd/certyard -run '^$$' -bench Command -benchtime 10x
	$(GO) test ./stack/doctor -run '^$$' -bench Examine -benchtime 20x
	$(GO) test ./stack/explain -run '^$$' -bench Scan -benchtime 3x
	$(MAKE) bench-issue

bench-issue: ## fail where issuing takes more than 1.5 times what nobody can leave out
	$(GO) test ./pki -run '^$$' -bench IssueP256 -benchtime 2s -count 5 | awk -v unit=times -v limit=1.5 -f scripts/bench/limit.awk

FUZZTIME ?= 30s

fuzz: ## run every fuzz target for FUZZTIME (30s) each
	@grep -rno --include='*_test.go' 'func Fuzz[A-Za-z]*' . | sed 's|^./||; s|/[^/]*:[0-9]*:func | |' | \
	while read -r dir target; do $(GO) test "./$$dir" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) || exit 1; done

vuln: ## look for known vulnerabilities; needs the internet
	$(GO) run golang.org/x/vuln/cmd/govulncheck@latest ./...

clean: ## remove what was built here; caches stay
	rm -rf bin
