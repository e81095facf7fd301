# check   formatting and lints; writes nothing to the tree
# fix     what check complains about and a tool can mend
# test    check, then all tests: what CI runs
# planted  of the tests, those that plant a bug in the protocol to see the simulator find it
# contract  schemathesis against a live cluster: many examples of each call of the published contract
# bench   rates as ratios to a bare handler's, held against benches/baseline.json; two minutes
# bench-record  writes that file anew
# layers  where CPU time goes, by layer, on 1, 3 and 5 nodes; needs perf
# microbench    what single functions cost
# otel-test  of the tests, those with a real collector alone
# soak    the simulator over fresh seeds with heavy faults, for SOAK (10m), JOBS (2) at once
# fuzz    each fuzz target for FUZZ (30s); needs cargo-fuzz, and a C++ compiler
# demo    a live cluster on this machine
#
# Needed: a Rust toolchain with rustfmt and clippy, and a C compiler (the linker). With Go 1.25 or later, the
# tests also build a real OpenTelemetry collector, once, and run nodes against it; with Python 3 and its venv, they
# also fetch a schema-driven tester of REST contracts, once. Without, they say that they do not.

SHELL := /bin/sh
CARGO ?= cargo
CC ?= cc
SOAK ?= 10m
FUZZ ?= 30s
FUZZ_TARGETS ?= $(basename $(notdir $(wildcard fuzz/targets/*.rs)))
JOBS ?= 2
# Rows that are short enough to be run often; the median of the rounds is what is compared.
BENCH := bench kv --keys 20000 --rate max --rounds 5 --duration 3s --warmup 500ms
.DEFAULT_GOAL := test
.PHONY: check fix test planted contract otel-test bench bench-record layers microbench soak fuzz demo toolchain lints
.NOTPARALLEL:

toolchain:
	@command -v $(CARGO) >/dev/null 2>&1 || { \
	  echo "missing: a Rust toolchain ($(CARGO) is not in PATH); see https://rustup.rs" >&2; exit 1; }
	@command -v $(CC) >/dev/null 2>&1 || { \
	  echo "missing: a C compiler ($(CC) is not in PATH); on Debian: apt-get install gcc libc6-dev" >&2; exit 1; }

lints: toolchain
	@$(CARGO) fmt --version >/dev/null 2>&1 || { \
	  echo "missing: rustfmt; with rustup: rustup component add rustfmt" >&2; exit 1; }
	@$(CARGO) clippy --version >/dev/null 2>&1 || { \
	  echo "missing: clippy; with rustup: rustup component add clippy" >&2; exit 1; }

check: lints
	@echo "== formatting"
	@$(CARGO) fmt --all --check
	@echo "== lints"
	@$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@$(CARGO) clippy --locked -p neap-sim --features planted --all-targets -- -D warnings

fix: lints
	@echo "== lints"
	@$(CARGO) clippy --locked --workspace --all-targets --fix --allow-dirty --allow-staged
	@echo "== formatting"
	@$(CARGO) fmt --all

test: check
	@echo "== tests"
	@status=0; \
	tests/contract/with-schemathesis otel/with-collector $(CARGO) test --locked --workspace --no-fail-fast || status=$$?; \
	$(MAKE) --no-print-directory planted || status=$$?; \
	exit $$status

# Features of a workspace are one for all that is built together: this build is apart from the others.
planted: toolchain
	@echo "== tests with planted bugs"
	@$(CARGO) test --locked -p neap-sim --features planted --lib planted

contract: toolchain
	@echo "== the published contract"
	@NEAP_CONTRACT_EXAMPLES=100 tests/contract/with-schemathesis \
	  $(CARGO) test --locked --test suite contract:: -- --nocapture

otel-test: toolchain
	@echo "== tests with a collector"
	@otel/with-collector $(CARGO) test --locked --test suite otel:: -- --nocapture

bench: toolchain
	@echo "== benchmarks"
	@env -u NEAP_URL $(CARGO) run --locked --release -- $(BENCH) --save target/bench/kv.json --against benches/baseline.json

bench-record: toolchain
	@echo "== benchmarks, recorded"
	@env -u NEAP_URL $(CARGO) run --locked --release -- $(BENCH) --save benches/baseline.json

# perf follows stacks by frame pointers, which compilers leave out.
layers: toolchain
	@command -v perf >/dev/null 2>&1 || { \
	  echo "missing: perf; on Debian: apt-get install linux-perf" >&2; exit 1; }
	@echo "== where CPU time goes"
	@set -e; for nodes in 1 3 5; do \
	  env -u NEAP_URL RUSTFLAGS="-C force-frame-pointers=yes" $(CARGO) run --locked --release --target-dir target/layers -- \
	    bench kv --layers --nodes $$nodes --commit interval --duration 5s --warmup 1s; \
	done

microbench: toolchain
	@echo "== what single functions cost"
	@$(CARGO) bench --locked --workspace

soak: toolchain
	@echo "== soak"
	@$(CARGO) run --locked --release -- sim --soak $(SOAK) --faults heavy --ops 5000 --jobs $(JOBS)

# Without a sanitizer a stable compiler does: nothing here is `unsafe`, so what is looked for are panics, properties that
# do not hold, and inputs that take too long or too much memory. The locked versions are those of the house.
fuzz: toolchain
	@$(CARGO) fuzz --version >/dev/null 2>&1 || { \
	  echo "missing: cargo-fuzz; cargo install cargo-fuzz --locked" >&2; exit 1; }
	@command -v $(CXX) >/dev/null 2>&1 || { \
	  echo "missing: a C++ compiler ($(CXX) is not in PATH); on Debian: apt-get install g++" >&2; exit 1; }
	@cp Cargo.lock fuzz/Cargo.lock
	@set -e; for target in $(FUZZ_TARGETS); do \
	  echo "== fuzz $$target"; \
	  mkdir -p fuzz/corpus/$$target; \
	  $(CARGO) fuzz run --sanitizer none --target-dir target/fuzz $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	    -max_total_time=$(FUZZ:s=) -timeout=5 -rss_limit_mb=1024 -max_len=8192 -print_final_stats=1; \
	done

demo: toolchain
	@echo "== demo"
	@$(CARGO) run --locked --release -- demo
