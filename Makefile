# SPDX-License-Identifier: Apache-2.0
# libkvraft: every command. `make help` lists them; V=1 shows the commands; BUILD= moves the output.
# Nothing is registered here: a new file in a known folder is found by its wildcard.

BUILD ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
AR ?= ar
PREFIX ?= /usr/local
OPT ?= -O2 -g
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
KVR_CFLAGS := -std=c11 $(WARN) -Iinclude -Ilib -MMD -MP -fvisibility=hidden
KVR_CFLAGS += $(OPT) $(CFLAGS)

ifneq ($(V),1)
Q := @
say = @printf '  %-5s %s\n' $(1) $(2);
endif

.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all

# ---------------------------------------------------------------- rooms and arrows
# What each room may be linked with in its unit tests: the arrows of ARCHITECTURE.md.
ROOMS := $(sort $(patsubst lib/%/,%,$(dir $(wildcard lib/*/*.c))))
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
ARROWS_sim := base raft mvcc watch lease auth node wal seal sim
ARROWS_abi := $(ROOMS)

LIB_C := $(wildcard lib/*/*.c)
LIB_O := $(LIB_C:%.c=$(BUILD)/%.o)
SUPPORT_C := $(wildcard test/support/*.c)
SUPPORT_O := $(SUPPORT_C:%.c=$(BUILD)/check/%.o)
UNIT_ROOMS := $(sort $(patsubst test/unit/%/,%,$(dir $(wildcard test/unit/*/*.c))))

SODIUM_LIBS := $(if $(wildcard lib/seal/*.c),-lsodium)
LIBS := -lxxhash
POSIX_C := -D_POSIX_C_SOURCE=200809L

.PHONY: all
all: $(BUILD)/libkvraft.a $(BUILD)/libkvraft.so.0 ## build the libraries

$(BUILD)/libkvraft.a: $(LIB_O)
	$(call say,AR,$@)rm -f $@; $(AR) rcs $@ $^

$(BUILD)/libkvraft.so.0: $(LIB_O) lib/libkvraft.map
	$(call say,LD,$@)$(CC) -shared -Wl,-soname,libkvraft.so.0 \
	    -Wl,--version-script=lib/libkvraft.map -Wl,-z,defs $(LDFLAGS) -o $@ $(LIB_O) $(LIBS) \
	    $(SODIUM_LIBS)

define compile
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(KVR_CFLAGS) $(1) -c -o $@ $<
endef

$(BUILD)/lib/posix/%.o: lib/posix/%.c
	$(call compile,-fPIC $(POSIX_C))
$(BUILD)/lib/%.o: lib/%.c
	$(call compile,-fPIC)
$(BUILD)/check/lib/posix/%.o: lib/posix/%.c
	$(call compile,-DKVR_CHECK $(POSIX_C))
$(BUILD)/check/lib/%.o: lib/%.c
	$(call compile,-DKVR_CHECK)
$(BUILD)/check/test/%.o: test/%.c
	$(call compile,-DKVR_CHECK -Itest $(POSIX_C))
$(BUILD)/examples/%.o: examples/%.c
	$(call compile,$(POSIX_C))

# ---------------------------------------------------------------- programs
DEMO_O := $(patsubst %.c,$(BUILD)/%.o,$(wildcard examples/demo/*.c))
$(BUILD)/kvraft-demo: $(DEMO_O) $(BUILD)/libkvraft.a
	$(call say,LD,$@)$(CC) $(OPT) $(LDFLAGS) -o $@ $^ $(LIBS)

CHECK_LIB_O := $(LIB_C:%.c=$(BUILD)/check/%.o)
SIM_O := $(patsubst %.c,$(BUILD)/check/%.o,$(wildcard test/sim/*.c)) $(SUPPORT_O)
$(BUILD)/kvr-sim: $(SIM_O) $(CHECK_LIB_O)
	$(call say,LD,$@)$(CC) $(OPT) $(LDFLAGS) -o $@ $^ $(LIBS) $(SODIUM_LIBS)

# ---------------------------------------------------------------- unit tests, one program a room
define unit_room
UNIT_$(1)_O := $$(patsubst %.c,$(BUILD)/check/%.o,$$(wildcard test/unit/$(1)/*.c)) $$(SUPPORT_O) \
    $$(patsubst %.c,$(BUILD)/check/%.o,$$(foreach room,$$(ARROWS_$(1)),$$(wildcard lib/$$(room)/*.c)))
$(BUILD)/test/unit-$(1): $$(UNIT_$(1)_O)
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)$$(CC) $$(OPT) $$(LDFLAGS) -o $$@ $$^ -lcriterion $$(LIBS) \
	    $$(if $$(filter seal,$$(ARROWS_$(1))),$$(SODIUM_LIBS))
.PHONY: unit-$(1)
unit-$(1): $(BUILD)/test/unit-$(1)
	$(BUILD)/test/unit-$(1) $$(ARGS)
endef
$(foreach room,$(UNIT_ROOMS),$(eval $(call unit_room,$(room))))

.PHONY: clean
clean: ## remove everything that was built
	rm -rf $(BUILD)

-include $(shell [ -d $(BUILD) ] && find $(BUILD) -name '*.d')
