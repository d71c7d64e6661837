# Thin: CMake knows how to build, this names what people and CI do.
PRESET ?= release
BUILD  := build/$(PRESET)
PORT   := $(BUILD)/pglite-port

# On macOS: Homebrew's compiler, and those of its libraries that it keeps out of the way (scripts/setup).
ifeq ($(shell uname -s),Darwin)
BREW := $(shell brew --prefix)/opt
export PATH := $(BREW)/llvm@22/bin:$(BREW)/lld@22/bin:$(PATH)
export CMAKE_PREFIX_PATH := $(BREW)/openssl@3:$(BREW)/libedit:$(BREW)/ncurses:$(BREW)/zlib
NATIVE = -DCMAKE_C_COMPILER=$(BREW)/llvm@22/bin/clang -DCMAKE_CXX_COMPILER=$(BREW)/llvm@22/bin/clang++
endif

.PHONY: run build test unit-test integration-test kill-test conformance-test bench format check-format lint \
        asan tsan fuzz setup setup-test setup-bench clean

# The Elixir package with the program that was built; no Hex, no network.
ELIXIR_MIX = cd elixir && LANG=C.UTF-8 MIX_ENV=test PGLITE_PORT=$(abspath $(PORT))
ELIXIR_TEST = $(ELIXIR_MIX) mix do format --check-formatted + compile --warnings-as-errors + test

# pytest, without a cache in the tree. ctest, with its results in a file; where skips are counted (.ci/run), one that
# nobody expected fails.
TESTED = PGLITE_PORT=$(abspath $(PORT)) PGLITE_NPM_DIR="$$(python3 aot/fetch.py @electric-sql/pglite)"
PYTEST = python3 -m pytest -q -p no:cacheprovider
CTEST = ctest --no-tests=error --output-junit ctest.xml
CHECK_SKIPS = test -z "$$PGLITE_EXPECTED_SKIPS" || python3 tests/expected_skips.py "$$PGLITE_EXPECTED_SKIPS"

## run: install what is missing, build, answer a query
run: build
	$(PORT) sql -c "select version()"

## build: the program, at build/release/pglite-port
build: setup
	cmake --preset $(PRESET) $(NATIVE) -DBUILD_TESTING=OFF
	@test -e $(PORT) || echo "The first build compiles PostgreSQL: many minutes, unless the compiler cache has it"
	cmake --build --preset $(PRESET) --target pglite-port

## install: the program and the library, below PREFIX (/usr/local), or below DESTDIR and that (docs/library.md)
PREFIX = /usr/local
.PHONY: install
install: build
	cmake --build --preset $(PRESET) --target pglite_shared pglite_static
	cmake --install $(BUILD) --prefix $(PREFIX)

## install-test: the library, used from an empty prefix by the programs in examples
.PHONY: install-test
install-test: build-tests
	$(TESTED) $(PYTEST) tests/install

## help: this
.PHONY: help
help:
	@sed -n 's/^## \([^:]*\): */\1\n    /p' Makefile | fold -s -w 79

## test: install what is missing, build, pass every test (below 1 GB of temporary files, where TMPDIR says)
test: setup-test check-space build-tests unit-test
	$(TESTED) $(PYTEST) \
	  tests/tools tests/docs tests/aot tests/bench tests/install tests/integration tests/durability tests/conformance
	$(ELIXIR_TEST)

.PHONY: build-tests check-space
check-space: setup-test
	python3 tests/temporary_files.py

build-tests: setup-test
	cmake --preset $(PRESET) -DBUILD_TESTING=ON
	cmake --build --preset $(PRESET)

## unit-test, integration-test, conformance-test: these alone
unit-test: build-tests
	$(CTEST) --preset $(PRESET)
	$(CHECK_SKIPS) $(BUILD)/ctest.xml

integration-test: build-tests
	$(TESTED) $(PYTEST) tests/integration

## elixir-test: the Elixir package (elixir)
.PHONY: elixir-test
elixir-test: setup-test build
	$(ELIXIR_TEST)

## bare-test: `make run` and `make test` in a new Debian 12, as root; BARE_CACHE=~/.cache takes compiled objects from here
.PHONY: bare-test
bare-test:
	scripts/setup bare
	scripts/bare_test run test

## elixir-heavy-test: what takes longer: a minute of callers that are killed, answers of more than 2 GB
.PHONY: elixir-heavy-test
elixir-heavy-test: setup-test build
	$(ELIXIR_MIX) mix test --only heavy

## elixir-dialyzer: Dialyzer over the Elixir package, without Hex; the first time takes a minute (by hand)
.PHONY: elixir-dialyzer
ELIXIR_PLT = $(abspath build)/elixir.plt
DIALYZER = ERL_LIBS="$$(elixir -e 'IO.puts(Path.dirname(:code.lib_dir(:elixir)))')" dialyzer
elixir-dialyzer: setup-test build
	scripts/setup dialyzer
	test -e $(ELIXIR_PLT) || $(DIALYZER) --build_plt --output_plt $(ELIXIR_PLT) \
	  --apps erts kernel stdlib crypto ssl public_key inets elixir logger mix
	cd elixir && LANG=C.UTF-8 MIX_ENV=prod PGLITE_PORT=$(abspath $(PORT)) mix compile
	$(DIALYZER) --plt $(ELIXIR_PLT) -Wunmatched_returns -Werror_handling -Wunknown -r elixir/_build/prod/lib/pglite_ex/ebin

## kill-test: SIGKILL at random moments, ROUNDS times, and a fifth of it with 16 clients
ROUNDS ?= 1000
kill-test: build-tests
	$(TESTED) KILL_ROUNDS=$(ROUNDS) nice $(PYTEST) -s tests/durability/test_kill.py tests/durability/test_kill_clients.py

## client-test: real clients on serve, and on native PostgreSQL beside it; installs what they need (by hand)
.PHONY: client-test
client-test: build
	scripts/setup clients
	nice python3 tests/clients/run.py --port $(abspath $(PORT)) --native "$$(tests/sessions/build_postgres.sh)"

## arm64: the program for Linux on 64-bit ARM, at build/linux-arm64/pglite-port, on any machine
.PHONY: arm64 arm64-test
ARM64 = build/linux-arm64
arm64:
	scripts/setup build cross-arm64
	scripts/sysroot arm64 build/sysroot/arm64
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET) --target pglite_images
	cmake --preset linux-arm64 -DPGLITE_IMAGES=$(abspath $(BUILD)/images)
	cmake --build --preset linux-arm64 --target pglite-port

## arm64-test: unit, integration and conformance tests of it, with qemu-user-static (hours; by hand)
ARM64_TESTS = tests/arm64 tests/integration tests/conformance
ARM64_LIST = tests/arm64/emulated.toml
arm64-test: setup-test
	scripts/setup qemu
	$(MAKE) arm64
	cmake --preset linux-arm64 -DBUILD_TESTING=ON
	cmake --build --preset linux-arm64
	scripts/run_arm64 ctest --no-tests=error --preset linux-arm64 -E "$$(python3 tests/emulated.py $(ARM64_LIST))"
	NATIVE_PORT=$(abspath $(PORT)) PGLITE_PORT=$(abspath $(ARM64)/pglite-port) CC=$(abspath tests/arm64/cc) \
	  PGLITE_NPM_DIR="$$(python3 aot/fetch.py @electric-sql/pglite)" PGLITE_EMULATED=$(abspath $(ARM64_LIST)) \
	  scripts/run_arm64 $(PYTEST) $(ARM64_TESTS)

## darwin: the programs for macOS, at build/darwin-arm64/pglite-port and build/darwin-amd64/pglite-port, on Debian on x86-64
.PHONY: darwin darwin-check
DARWIN_TARGETS = darwin-arm64 darwin-amd64
darwin:
	scripts/setup build cross-darwin
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET) --target pglite_images
	for target in $(DARWIN_TARGETS); do \
	  scripts/darwin_sysroot $$target && \
	  cmake --preset $$target -DPGLITE_IMAGES=$(abspath $(BUILD)/images) && \
	  cmake --build --preset $$target --target pglite-port || exit 1; \
	done

## darwin-check: what can be seen of these programs here; the one for x86-64 is run on Linux's calls (tests/darwin/loader)
DARWIN_TESTED = PGLITE_DARWIN_LOADER=$(BUILD)/tests/darwin/loader/darwin_loader \
  PGLITE_DARWIN_ARM64=build/darwin-arm64/pglite-port PGLITE_DARWIN_AMD64=build/darwin-amd64/pglite-port
darwin-check: setup-test darwin
	run-clang-tidy-22 -quiet -p build/darwin-arm64 '/src/os/.*_darwin\.cc$$'
	cmake --preset $(PRESET) -DBUILD_TESTING=ON
	cmake --build --preset $(PRESET) --target darwin_loader pglite-port
	$(DARWIN_TESTED) $(TESTED) $(PYTEST) tests/darwin

## release, release-verify: archives for all targets, of a commit, in build/dist; the second builds them twice and compares
.PHONY: release release-verify
release:
	scripts/setup build release
	scripts/build_release.sh $(TARGETS)

release-verify:
	scripts/setup build release
	scripts/build_release.sh --verify $(TARGETS)

## deb, image: a Debian package and a container image of the program for this machine; of a commit
.PHONY: deb image package-test
deb:
	scripts/setup build release
	archive=$$(scripts/build_release.sh native) && scripts/build_deb.sh "$$archive"

image:
	scripts/setup build release
	archive=$$(scripts/build_release.sh native) && scripts/build_image.sh "$$archive"

## package-test: lintian, the package in a new Debian 12, the image; as root (by hand)
package-test: build
	scripts/setup test release package
	$(TESTED) $(PYTEST) tests/packages

conformance-test: build-tests
	$(TESTED) $(PYTEST) tests/conformance

## asan: the unit and integration tests with our own code under AddressSanitizer and UndefinedBehaviorSanitizer
asan: PORT = build/asan/pglite-port
asan: setup-test
	cmake --preset asan -DBUILD_TESTING=ON
	cmake --build --preset asan
	$(CTEST) --preset asan
	$(CHECK_SKIPS) build/asan/ctest.xml
	# A limit on address space leaves no room for the sanitizer itself. Many sessions are too much for it in CI: they are
	# run under it by hand (the test preset leaves them out, too).
	$(TESTED) $(PYTEST) tests/integration -m "not heavy" \
	  --ignore-glob='*test_serve*.py' --ignore-glob='*test_logical_decoding.py' \
	  --deselect integration/test_snapshots.py::test_too_little_address_space_is_an_error

## tsan: the tests of what promises threads, with our own code under ThreadSanitizer
tsan: setup-test
	cmake --preset tsan -DBUILD_TESTING=ON
	cmake --build --preset tsan --target pglite_test scheduler_test wasm_test
	$(CTEST) --preset tsan
	$(CHECK_SKIPS) build/tsan/ctest.xml

## fuzz: each target in tests/fuzz for SECONDS_EACH, two at a time
SECONDS_EACH = 120
fuzz: setup-test
	cmake --preset fuzz -DBUILD_TESTING=ON
	cmake --build --preset fuzz --target fuzz_targets
	python3 tests/fuzz/run.py build/fuzz --seconds $(SECONDS_EACH) --jobs 2

## power-cut-test: 2,000 power cuts over recorded workloads and over what moves a cluster (twenty minutes)
.PHONY: power-cut-test
power-cut-test: build-tests
	PGLITE_POWER_CUTS=2000 $(BUILD)/tests/durability/power_cut_test
	PGLITE_POWER_CUTS=2000 $(BUILD)/tests/durability/power_cut_sessions_test
	PGLITE_POWER_CUTS=2000 $(BUILD)/tests/durability/file_moves_test --gtest_filter='*PowerCuts*:*Postgres*'

## soak-test: MINUTES of mixed load; memory and disk must be flat
MINUTES = 30
.PHONY: soak-test
soak-test: build
	nice python3 tests/durability/soak.py $(MINUTES) $(abspath $(PORT)) $(BUILD)

## soak-clients-test: MINUTES of 32 clients of serve that come and leave; nothing of them may stay
.PHONY: soak-clients-test
soak-clients-test: build
	nice python3 tests/durability/soak_clients.py $(MINUTES) $(abspath $(PORT)) $(BUILD)

## fault-test: every file operation of a workload, and of what moves a cluster, failed with every fault (an hour)
.PHONY: fault-test
fault-test: build-tests
	PGLITE_FAULTS=0 $(BUILD)/tests/durability/fault_injection_test
	PGLITE_FAULTS=0 $(BUILD)/tests/durability/file_moves_test --gtest_filter='*EveryFault*'

## isolation-test, regression-test, contrib-test: PostgreSQL's own suites on many sessions of one cluster (tests/sessions)
.PHONY: setup-suites isolation-test regression-test contrib-test
SUITES = nice python3 tests/sessions/run_suites.py
RESULTS = tests/sessions/results
isolation-test: setup-suites build-tests
	$(SUITES) isolation --build-dir $(BUILD) --table $(RESULTS)/isolation.md

regression-test: setup-suites build-tests
	$(SUITES) regression --server native --output $(BUILD)/sessions/native
	$(SUITES) regression --build-dir $(BUILD) --reference $(BUILD)/sessions/native --table $(RESULTS)/regression.md

contrib-test: setup-suites build-tests
	$(SUITES) contrib --server native --output $(BUILD)/sessions/native-contrib
	$(SUITES) contrib --build-dir $(BUILD) --reference $(BUILD)/sessions/native-contrib --table $(RESULTS)/contrib.md
	nice $(PYTEST) tests/sessions/test_extension_scripts.py

setup-suites:
	scripts/setup build test suites

## replication-test: native PostgreSQL subscribes to a cluster, its clients receive WAL and take backups (two minutes)
.PHONY: replication-test encodings-test
replication-test: build-tests
	nice $(PYTEST) tests/sessions/test_replication.py

## encodings-test: conversions between encodings, compared with native PostgreSQL for every character (four minutes)
encodings-test: build-tests
	nice $(PYTEST) tests/sessions/test_encodings.py

## another-build-test: PGlite 0.5.15 in place of the linked module, compiled by the program (five minutes)
.PHONY: another-build-test
another-build-test: build
	nice $(PYTEST) tests/another_build

## bench: measure beside the peers, in one run; results go to bench/results
bench: setup-bench build
	python3 bench/run.py

## bench-server: measure serve beside native PostgreSQL and other servers; results go to bench/results
.PHONY: bench-server
bench-server: setup-bench build
	scripts/setup suites
	python3 bench/server.py

setup-bench:
	scripts/setup build bench

## pgo: renew the profile that guest code is compiled with (aot/pgo); after a change of the translator
.PHONY: pgo
pgo:
	scripts/setup build pgo
	cmake --preset release -B build/pgo -DBUILD_TESTING=OFF -DPGLITE_PROFILE=generate
	LLVM_PROFILE_FILE=/dev/null cmake --build build/pgo --target pglite-port
	rm -rf build/pgo/profiles
	LLVM_PROFILE_FILE=$(abspath build/pgo)/profiles/%p.profraw python3 aot/pgo/train.py build/pgo/pglite-port
	llvm-profdata-22 merge --sparse -o aot/pgo/guest.profdata build/pgo/profiles/*.profraw
	python3 aot/pgo/digest.py build/pgo/aot/modules > aot/pgo/guest.digest

## manual: renew the manual page and the completions, from what the program says of its options
.PHONY: manual manual-test
manual: build
	scripts/make_manual.py $(PORT)

## manual-test: show them to man, mandoc, zsh and fish (by hand)
manual-test: setup-test
	scripts/setup manual
	$(PYTEST) tests/manual

SOURCES = $(shell git ls-files '*.c' '*.cc' '*.h')

## format: rewrite our sources in the house style
format:
	clang-format-22 -i $(SOURCES)

## check-format: say what is not in it
check-format:
	clang-format-22 --dry-run --Werror $(SOURCES)

## check-floors: includes go down only, and only src/os calls what one system has
.PHONY: check-floors
check-floors:
	python3 scripts/check_floors.py

## lint: clang-tidy over our sources
lint:
	run-clang-tidy-22 -quiet -p $(BUILD) '/(src|tests|bench)/.*\.cc$$' > $(BUILD)/lint.log 2>&1 || \
	  { grep -E 'error:|warning:' $(BUILD)/lint.log | sort -u; exit 1; }

## setup, setup-test: install what building and testing need
setup:
	scripts/setup build

setup-test:
	scripts/setup build test

## clean: remove what was built
clean:
	rm -rf build
