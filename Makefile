# SPDX-License-Identifier: Apache-2.0
# libkvraft: every command. `make help` lists them; V=1 shows what runs; BUILD= moves the output.
# Nothing is registered here: a new file in a known folder is found by its wildcard.

BUILD ?= build
ifeq ($(origin CC),default)
CC := $(if $(shell command -v gcc),gcc,cc)
endif
CXX ?= g++
AR ?= ar
OPT ?= -O2 -g
HOURS ?= 1
FRESH ?= 500
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
VERSION := $(shell sed -n '/KVR_VERSION_MAJOR/s/[^0-9,]//g;T;s/,/./gp' include/kvraft/base.h)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
KVR_CFLAGS := -std=c11 $(WARN) -Iinclude -fvisibility=hidden $(OPT) $(CFLAGS)
# The C library's own names beyond C11 are for these rooms only; lint keeps them out of the core.
POSIX := -D_POSIX_C_SOURCE=200809L
SODIUM := $(if $(wildcard lib/seal/*.c),$(shell pkg-config --libs libsodium 2>/dev/null || echo -lsodium))

ifneq ($(V),1)
Q := @
say = @printf '  %-4s %s\n' $(1) $(2);
endif

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory
export BUILD CC CXX AR

# ------------------------------------------------------------------ rooms and arrows
# A room's unit tests are linked with these rooms and no others: the arrows of ARCHITECTURE.md.
ARROWS_support :=
ARROWS_base := base
ARROWS_raft := base raft
ARROWS_mvcc := base mvcc
ARROWS_watch := base mvcc watch
ARROWS_lease := base lease
ARROWS_auth := base auth
ARROWS_wal := base wal
ARROWS_posix := base wal posix
ARROWS_seal := base seal
ARROWS_node := base raft mvcc watch lease auth node
ARROWS_sim := base raft mvcc watch lease auth node wal sim
ARROWS_abi := base raft mvcc watch lease auth node wal posix seal sim

# The simulator's checkers are tested beside the simulator.
CHECKERS_sim := $(wildcard test/sim/check*.c)

rooms_c = $(foreach room,$(1),$(wildcard lib/$(room)/*.c))
plain_o = $(patsubst %.c,$(BUILD)/%.o,$(1))
# Objects with -DKVR_CHECK: the library checks its invariants at its doors. For tests and simulator.
check_o = $(patsubst %.c,$(BUILD)/check/%.o,$(1))

LIB_C := $(wildcard lib/*/*.c)
RAFT_C := $(wildcard lib/raft/*.c)
LIB_O := $(call plain_o,$(filter-out $(RAFT_C),$(LIB_C))) $(BUILD)/lib/raft.o
LIB_CHECK_O := $(call check_o,$(LIB_C))
# An archive, so that a program takes from test/support only what it names.
SUPPORT := $(BUILD)/check/libsupport.a
UNIT_ROOMS := $(patsubst test/unit/%/,%,$(sort $(dir $(wildcard test/unit/*/*.c))))
UNITS := $(UNIT_ROOMS:%=$(BUILD)/test/unit-%)
THREADS := $(patsubst test/thread/%.c,$(BUILD)/test/thread/%,$(wildcard test/thread/*.c))
PROCESSES := $(patsubst test/process/%.c,$(BUILD)/test/process/%,$(wildcard test/process/*.c))
EXAMPLE_DIRS := $(filter-out %/demo/,$(sort $(dir $(wildcard examples/*/*.c))))
EXAMPLES := $(patsubst examples/%/,$(BUILD)/%,$(EXAMPLE_DIRS))
DEMO := $(if $(wildcard examples/demo/*.c),$(BUILD)/kvraft-demo)
SIM := $(if $(wildcard test/sim/*.c),$(BUILD)/kvr-sim)
LIBRARIES := $(BUILD)/libkvraft.a $(BUILD)/libkvraft.so.0

.PHONY: all everything
all: $(LIBRARIES) $(DEMO) ## build the libraries and the demo
everything: all $(EXAMPLES) $(SIM) $(UNITS) $(THREADS) $(PROCESSES) ## build the tests too

# ------------------------------------------------------------------ objects
define compile
@mkdir -p $(@D)
$(call say,CC,$<)$(CC) $(KVR_CFLAGS) $(1) -MMD -MP -c -o $@ $<
endef

# One object serves both libraries. Without interposition the compiler may inline a public function.
LIBRARY := -Ilib -fPIC -fno-semantic-interposition
$(BUILD)/lib/posix/%.o: lib/posix/%.c
	$(call compile,$(LIBRARY) $(POSIX))
$(BUILD)/lib/%.o: lib/%.c
	$(call compile,$(LIBRARY))
# One message passes through most files of raft: as one unit they are inlined into each other, as in
# SQLite's amalgamation, and only then does -O3 gain something.
$(BUILD)/lib/raft.o: $(BUILD)/lib/raft.c
	$(call compile,$(LIBRARY) $(if $(filter -O2,$(OPT)),-O3))
$(BUILD)/lib/raft.c: $(RAFT_C)
	@mkdir -p $(@D)
	$(Q)printf '#include "%s"\n' $(RAFT_C:lib/%=%) >$@
$(BUILD)/check/lib/posix/%.o: lib/posix/%.c
	$(call compile,-Ilib -DKVR_CHECK $(POSIX))
$(BUILD)/check/lib/%.o: lib/%.c
	$(call compile,-Ilib -DKVR_CHECK)
$(BUILD)/check/test/%.o: test/%.c
	$(call compile,-Ilib -Itest -DKVR_CHECK -pthread $(POSIX))
$(BUILD)/examples/%.o: examples/%.c
	$(call compile,$(POSIX))
$(BUILD)/bench/%.o: bench/%.c
	$(call compile,-Ibench $(POSIX))

# ------------------------------------------------------------------ libraries and programs
comma := ,
define link
@mkdir -p $(@D)
$(call say,LD,$@)$(CC) $(OPT) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(1)
endef

# Rewritten when a file came or went, so that a removed one leaves the libraries too.
$(BUILD)/objects.txt: FORCE
	@mkdir -p $(@D)
	@echo '$(LIB_O)' | cmp -s - $@ || echo '$(LIB_O)' >$@

$(BUILD)/libkvraft.a: $(LIB_O) $(BUILD)/objects.txt
	$(call say,AR,$@)rm -f $@ && $(AR) rcs $@ $(LIB_O)

$(SUPPORT): $(call check_o,$(wildcard test/support/*.c))
	$(call say,AR,$@)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/libkvraft.so.0: $(LIB_O) $(BUILD)/objects.txt lib/libkvraft.map
	$(call link,-shared -Wl$(comma)-soname$(comma)libkvraft.so.0 -Wl$(comma)-z$(comma)defs \
	    -Wl$(comma)--version-script=lib/libkvraft.map $(SODIUM))

$(BUILD)/kvraft-demo: $(call plain_o,$(wildcard examples/demo/*.c)) $(BUILD)/libkvraft.a
	$(call link,-pthread)

define example
$(BUILD)/$(1): $(call plain_o,$(wildcard examples/$(1)/*.c)) $(BUILD)/libkvraft.a
	$$(call link)
endef
$(foreach name,$(notdir $(EXAMPLES)),$(eval $(call example,$(name))))

# The page of `kvr-sim --html`, as strings.
$(BUILD)/page/run_page_lines.c: test/sim/page.html
	@mkdir -p $(@D)
	@{ echo 'extern const char *const run_page_lines[];'; \
	    echo 'const char *const run_page_lines[] = {'; \
	    sed 's/\\/\\\\/g; s/"/\\"/g; s/^/    "/; s/$$/",/' $<; echo '    0};'; } >$@
$(BUILD)/page/%.o: $(BUILD)/page/%.c
	$(call compile,)

# It has a kvr_panic of its own, and tells an assertion as the verdict on a seed.
$(BUILD)/kvr-sim: $(call check_o,$(wildcard test/sim/*.c)) $(filter-out %/base/panic.o,$(LIB_CHECK_O)) \
    $(BUILD)/page/run_page_lines.o $(SUPPORT)
	$(call link,$(SODIUM))

# Every interleaving of a small scope of raft.h alone.
$(BUILD)/kvr-explore: $(call check_o,$(wildcard test/explore/*.c)) \
    $(filter-out %/base/panic.o,$(call check_o,$(call rooms_c,base raft)))
	$(call link)

$(BUILD)/kvr-bench: $(call plain_o,$(wildcard bench/*.c bench/peers/*.c)) $(BUILD)/libkvraft.a
	$(call link,-lraft -llmdb -lJudy -pthread)

define unit_room
$(BUILD)/test/unit-$(1): $(call check_o,$(wildcard test/unit/$(1)/*.c)) \
    $(call check_o,$(call rooms_c,$(ARROWS_$(1)))) $(call check_o,$(CHECKERS_$(1))) $(SUPPORT)
	$$(call link,-lcriterion -pthread $(if $(filter seal,$(ARROWS_$(1))),$(SODIUM)))
.PHONY: unit-$(1) part-unit-$(1)
unit-$(1) part-unit-$(1): $(BUILD)/test/unit-$(1)
	$$(Q)$$(RUN) $(BUILD)/test/unit-$(1) $$(ARGS)
endef
$(foreach room,$(UNIT_ROOMS),$(eval $(call unit_room,$(room))))

$(BUILD)/test/thread/%: $(BUILD)/check/test/thread/%.o $(LIB_CHECK_O) $(SUPPORT)
	$(call link,-pthread $(SODIUM))
$(BUILD)/test/process/%: $(BUILD)/check/test/process/%.o $(LIB_CHECK_O) $(SUPPORT)
	$(call link,-pthread $(SODIUM))

-include $(wildcard $(addprefix $(BUILD)/,lib/*.d lib/*/*.d examples/*/*.d bench/*.d bench/peers/*.d \
    check/lib/*/*.d check/test/*/*.d check/test/unit/*/*.d))

# ------------------------------------------------------------------ commands
.PHONY: demo check check-full check-hostile soak faults-proof mutants coverage bench lint format analyze \
    accept deps install uninstall clean help

demo: ## three members on this machine and a tour of what they can do (LOAD=file)
	@sh test/tools/deps.sh library
	@$(MAKE) $(BUILD)/kvraft-demo
	$(Q)$(BUILD)/kvraft-demo tour $(if $(LOAD),--load '$(LOAD)')

check: ## all tests that belong to a commit, under 15 minutes
	@sh test/tools/deps.sh check
	@python3 test/tools/tier.py check $(CHECK_PARTS)

check-full: ## the rest: clang, lint, sanitizers, faults of processes; under 45 minutes
	@sh test/tools/deps.sh check-full
	@python3 test/tools/tier.py check-full $(FULL_PARTS)

check-hostile: ## unit tests and simulator with tiny limits and poisoned memory
	@sh test/tools/deps.sh check
	@python3 test/tools/tier.py check-hostile $(HOSTILE_PARTS)

unit-ROOM: ## build and run the unit tests of one room (ARGS='--filter raft_log/*')
	@echo 'name a room: $(UNIT_ROOMS:%=unit-%)'

soak: ## fresh seeds through the simulator for HOURS=1, noted in LEDGER=test/sim/LEDGER
	@sh test/tools/deps.sh library
	@$(MAKE) $(BUILD)/kvr-sim $(BUILD)/kvr-explore
	@sh test/tools/soak.sh $(HOURS) $(or $(LEDGER),test/sim/LEDGER)

faults-proof: ## plant the bugs of test/faults.txt; the tests must find each (ROWS='17 26' for some)
	@sh test/tools/deps.sh check
	+@$(MAKE) $(UNITS)
	@python3 test/tools/plant.py proof $(ROWS)

mutants: ## plant those that the simulator must find, within their seeds (ROWS='m02 17'); minutes
	@sh test/tools/deps.sh check
	+@$(MAKE) $(BUILD)/kvr-sim
	@python3 test/tools/plant.py mutants $(ROWS)

coverage: ## branches of lib/raft that its tests and the simulator take; fails below the floor
	@sh test/tools/deps.sh check
	+@$(coverage) run-coverage

bench: ## measure beside the peers; one table and build/bench.json (ARGS='--only raft')
	@sh test/tools/deps.sh bench
	@$(MAKE) $(BUILD)/kvr-bench $(DEMO)
	$(Q)$(BUILD)/kvr-bench --dir $(BUILD) --json $(BUILD)/bench.json $(ARGS)

lint: ## prove the rules of the house: arrows, names, sizes, format, clang-tidy, cppcheck
	@sh test/tools/deps.sh check-full
	@$(MAKE) $(BUILD)/libkvraft.a
	@python3 test/lint/planted.py
	@python3 test/lint/lint.py

format: ## wrap comments and lay out all C files by .clang-format (FILES= for some)
	@python3 test/lint/format.py $(or $(FILES),$(wildcard include/kvraft/*.h lib/*/*.[ch] \
	    examples/*/*.[ch] test/*/*.[ch] test/*/*/*.[ch] bench/*.[ch] bench/*/*.[ch]))

analyze: ## clang-analyzer and gcc -fanalyzer over the library; minutes
	@sh test/tools/deps.sh check-full
	@python3 test/lint/analyze.py

accept: ## rewrite the expectations of script tests and the list of symbols; review the diff
	@sh test/tools/deps.sh check
	@$(MAKE) $(UNITS) $(LIBRARIES)
	@for room in $(patsubst test/unit/%/testdata,%,$(wildcard test/unit/*/testdata)); do \
	    KVR_ACCEPT=1 $(BUILD)/test/unit-$$room || exit 1; done
	@KVR_ACCEPT=1 sh test/tools/check_symbols.sh

deps: ## install what GOAL=check needs (library, check, check-full, bench)
	@sh test/tools/deps.sh $(or $(GOAL),check)

clean: ## remove all that was built
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-zA-Z-]*\):[^#]*## \(.*\)/\1|\2/p' Makefile | \
	    awk -F'|' '{ printf "  make %-14s %s\n", $$1, $$2 }'
	@echo '  V=1 shows commands, BUILD=dir moves the output, DEPS=no installs nothing'

# ------------------------------------------------------------------ install
HEADERS := $(wildcard include/kvraft/*.h)
MANPAGES := $(wildcard man/*.[2-9]) # those of section 1 belong to programs, which stay in the build
man_dir = $(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(1)))
SO_FILE := libkvraft.so.$(VERSION)

install: $(LIBRARIES) ## into PREFIX=/usr/local, under DESTDIR=
	$(Q)install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/kvraft
	$(Q)install -m 644 $(HEADERS) $(DESTDIR)$(INCLUDEDIR)/kvraft
	$(Q)install -m 644 $(BUILD)/libkvraft.a $(DESTDIR)$(LIBDIR)
	$(Q)install -m 755 $(BUILD)/libkvraft.so.0 $(DESTDIR)$(LIBDIR)/$(SO_FILE)
	$(Q)ln -sf $(SO_FILE) $(DESTDIR)$(LIBDIR)/libkvraft.so.0
	$(Q)ln -sf libkvraft.so.0 $(DESTDIR)$(LIBDIR)/libkvraft.so
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|' \
	    -e 's|@VERSION@|$(VERSION)|' lib/kvraft.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/kvraft.pc
	$(Q)$(foreach page,$(MANPAGES),install -D -m 644 -t $(call man_dir,$(page)) $(page) &&) true

uninstall: ## removes what install put there
	$(Q)rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libkvraft.a libkvraft.so libkvraft.so.0 $(SO_FILE))
	$(Q)rm -f $(DESTDIR)$(LIBDIR)/pkgconfig/kvraft.pc
	$(Q)rm -f $(foreach page,$(MANPAGES),$(call man_dir,$(page))/$(notdir $(page)))
	$(Q)rm -f $(patsubst include/%,$(DESTDIR)$(INCLUDEDIR)/%,$(HEADERS))
	$(Q)rmdir $(DESTDIR)$(INCLUDEDIR)/kvraft 2>/dev/null || true

# ------------------------------------------------------------------ the parts of a tier
# Each is a target `part-NAME`, so a failing one can be run again alone. A part stands in a list
# only if what it tests is there.
PROCESS_PARTS := $(patsubst test/process/%,process-%,$(basename $(wildcard test/process/*.sh \
    test/process/*.py test/process/*.c)))
CHECK_PARTS := build faults $(UNIT_ROOMS:%=unit-%) headers symbols without-seal panic install \
    $(if $(wildcard README.md),readme) $(if $(wildcard man/*.[1-9]),man) \
    $(THREADS:$(BUILD)/test/thread/%=thread-%) $(if $(SIM),sim) $(PROCESS_PARTS) $(if $(DEMO),demo)
HOSTILE_PARTS := hostile-build $(UNIT_ROOMS:%=hostile-unit-%) $(if $(SIM),hostile-sim)
ADDRESS_PARTS := address-planted address-build $(UNIT_ROOMS:%=address-unit-%) \
    $(THREADS:$(BUILD)/test/thread/%=address-thread-%) $(if $(SIM),address-sim)
RACE_PARTS := race-planted $(THREADS:$(BUILD)/test/thread/%=race-%)
FULL_PARTS := lint faults-proof clang-build $(UNIT_ROOMS:%=clang-unit-%) \
    $(if $(SIM),clang-sim sim-more explore coverage) bench-build $(ADDRESS_PARTS) $(RACE_PARTS) $(HOSTILE_PARTS) $(PROCESS_PARTS)

part-%: FORCE
	@echo 'no such part: $*'; exit 2
FORCE:
.PHONY: FORCE

part-build: everything
	@:
part-faults:
	@python3 test/tools/faults.py
part-faults-proof: faults-proof
	@:
part-headers:
	@sh test/tools/check_headers.sh
part-symbols: $(LIBRARIES)
	@sh test/tools/check_symbols.sh
part-without-seal: $(LIBRARIES)
	@sh test/tools/check_without_seal.sh
part-panic: $(LIBRARIES)
	@sh test/tools/check_panic.sh
part-install: $(LIBRARIES)
	@sh test/tools/check_install.sh
part-readme: $(LIBRARIES)
	@sh test/tools/check_readme.sh
part-man: $(LIBRARIES)
	@python3 test/tools/check_man.py
# Runs that once failed, then seeds that nobody ran before: the first line says which.
part-sim: $(SIM)
	$(Q)$(RUN) $(BUILD)/kvr-sim --file test/sim/seeds.txt --jobs 2
	$(Q)for run in $(wildcard test/sim/regress/*.run); do \
	    $(RUN) $(BUILD)/kvr-sim --replay $$run || exit 1; done
	$(Q)$(RUN) $(BUILD)/kvr-sim --fresh $(FRESH) --jobs 2
part-sim-more: $(SIM)
	$(Q)$(BUILD)/kvr-sim --fresh 4000 --jobs 2 --counts
part-explore: $(BUILD)/kvr-explore
	$(Q)$(BUILD)/kvr-explore --states 800000
part-demo: $(DEMO)
	$(Q)$(BUILD)/kvraft-demo tour
part-thread-%: $(BUILD)/test/thread/%
	$(Q)$(RUN) $<
part-lint: lint
	@:
part-bench-build: $(BUILD)/kvr-bench
	@:

# A process test is a script or a program; it finds the demo in KVR_DEMO and the tier in KVR_TIER.
process_run = $(Q)KVR_DEMO=$(abspath $(BUILD)/kvraft-demo)
$(patsubst test/process/%.sh,part-process-%,$(wildcard test/process/*.sh)): part-process-%: $(DEMO)
	$(process_run) sh test/process/$*.sh
$(patsubst test/process/%.py,part-process-%,$(wildcard test/process/*.py)): part-process-%: $(DEMO)
	$(process_run) python3 test/process/$*.py
$(PROCESSES:$(BUILD)/test/process/%=part-process-%): part-process-%: $(DEMO) $(BUILD)/test/process/%
	$(process_run) $(BUILD)/test/process/$*

# The other builds: the same Makefile with other flags and an output folder of their own.
SANITIZED := -O1 -g -fno-omit-frame-pointer
address = $(MAKE) BUILD=$(BUILD)/address OPT='$(SANITIZED) -fsanitize=address,undefined \
    -fno-sanitize-recover=undefined' RUN='sh test/tools/run_address.sh'
race = $(MAKE) BUILD=$(BUILD)/race OPT='$(SANITIZED) -fsanitize=thread' \
    RUN='sh test/tools/run_thread.sh'
hostile = $(MAKE) BUILD=$(BUILD)/hostile OPT='$(OPT) -DKVR_HOSTILE'
clang = $(MAKE) BUILD=$(BUILD)/clang CC=clang
coverage = $(MAKE) BUILD=$(BUILD)/coverage CC=gcc OPT='-O0 -g --coverage'

part-clang-build:
	+@$(clang) everything
part-clang-unit-%:
	+@$(clang) part-unit-$*
# The same seeds, step by step: both compilers must tell the same story.
part-clang-sim: $(SIM)
	+@$(clang) $(BUILD)/clang/kvr-sim
	@sh test/tools/check_same_trace.sh $(BUILD)/kvr-sim $(BUILD)/clang/kvr-sim
part-address-build:
	+@$(address) everything
part-address-unit-%:
	+@$(address) part-unit-$*
part-address-thread-%:
	+@$(address) part-thread-$*
part-address-sim:
	+@$(address) part-sim FRESH=200
part-address-planted:
	+@$(address) run-planted-leak
part-race-planted:
	+@$(race) run-planted-race
part-race-%:
	+@$(race) part-thread-$*
part-hostile-build:
	+@$(hostile) everything
part-hostile-unit-%:
	+@$(hostile) part-unit-$*
part-hostile-sim:
	+@$(hostile) part-sim FRESH=200

# Counts of an earlier run are thrown away. The floor rises with the tests, and never falls.
COVERAGE_FLOOR := 91.0
.PHONY: run-coverage
run-coverage: $(BUILD)/test/unit-raft $(BUILD)/test/unit-node $(SIM)
	$(Q)find $(BUILD) -name '*.gcda' -delete
	$(Q)$(BUILD)/test/unit-raft
	$(Q)$(BUILD)/test/unit-node
	$(Q)$(BUILD)/kvr-sim --seeds 1..300
	@python3 test/tools/coverage.py $(BUILD)/check raft $(COVERAGE_FLOOR)
part-coverage: coverage
	@:

# Planted bugs show that the two builds above can fail.
$(BUILD)/test/planted_%: $(BUILD)/check/test/tools/planted_%.o
	$(call link,-lcriterion -pthread)
.PHONY: run-planted-leak run-planted-race
run-planted-leak: $(BUILD)/test/planted_leak
	@sh test/tools/expect_report.sh 'LeakSanitizer: detected' $(RUN) $<
run-planted-race: $(BUILD)/test/planted_race
	@sh test/tools/expect_report.sh 'ThreadSanitizer: data race' $(RUN) $<
