# `make demo` answers a spoken question; `make test` checks everything. Both install what a fresh machine lacks.

CARGO ?= cargo
# A release build for people, a quick one for tests.
HARK := target/release/hark

.PHONY: help build app demo test check-macos check-macos-bites lint unit docs deny train-starter train-wake clean

help:
	@echo "make demo            build, then one spoken question and its spoken answer"
	@echo "make build           the release binary, $(HARK)"
	@echo "make app             Hark.app, signed, so that macOS grants it the microphone (on a Mac)"
	@echo "make test            everything: lint, docs, licences, macOS type-check, all tests"
	@echo "make check-macos     type-check the macOS code (on any machine)"
	@echo "make train-starter   train the bundled speech model again (hours)"
	@echo "make train-wake PHRASE=\"okay nabu\"   train a wake model for a phrase (20 minutes)"

build:
	@.ci/setup build
	$(CARGO) build --release --locked

app: build
	.ci/app

demo:
	@.ci/setup demo
	@$(CARGO) build --release --locked
	@$(HARK) demo

test:
	@.ci/setup test
	@$(MAKE) --no-print-directory lint unit docs deny check-macos check-macos-bites

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

unit:
	$(CARGO) test --locked --all-targets
	$(CARGO) test --locked --doc

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

deny:
	$(CARGO) fetch --locked --quiet
	$(CARGO) deny --offline check licenses bans sources

check-macos:
ifeq ($(shell uname -s),Darwin)
	@echo "check-macos: this is a Mac; the ordinary build has checked the macOS code"
else
	.ci/macos-check.sh
endif

# Shows that the check above can fail: a type error planted in a copy must be noticed.
check-macos-bites:
ifneq ($(shell uname -s),Darwin)
	.ci/macos-check.sh --bites
endif

train-starter:
	models/train/run.sh

train-wake:
	PHRASE="$(PHRASE)" models/train/wake/run.sh

clean:
	$(CARGO) clean
