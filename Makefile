# SPDX-License-Identifier: GPL-2.0-or-later
#
#   make              builds build/kproxy
#   make check        unit tests, and as root the tests with packets in network namespaces
#   make SAN=address,undefined check    the same with sanitizers, in a build directory of its own
#   make check-cluster KUBECONFIG=FILE  watches the API server of FILE from network namespaces, as root
#   make fuzz         1 million inputs for each fuzzer, with clang; FUZZ_RUNS=N for another number
#   make V=1          prints the commands;  WERROR=1 makes warnings errors

PREFIX ?= /usr/local
DESTDIR ?=
CC ?= gcc
PKG_CONFIG ?= pkg-config
CLANG_FORMAT ?= clang-format-14
PYTHON ?= /usr/bin/python3

SAN ?=
BUILD ?= build$(if $(SAN),/san)
Q := $(if $(V),,@)

LIBS := libmnl libnftnl libuv yaml-0.1 jansson libmicrohttpd libcurl libcrypto
missing := $(strip $(foreach l,$(LIBS) cmocka,$(shell $(PKG_CONFIG) --exists $(l) || echo $(l))))
ifneq ($(filter-out clean format help,$(or $(MAKECMDGOALS),all)),)
ifneq ($(missing),)
$(error missing libraries (pkg-config names): $(missing); tools/install-deps installs them)
endif
endif

CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(if $(WERROR),-Werror)
KP_CFLAGS := -std=c11 -D_GNU_SOURCE -Iinclude -Iproxy -I. $(WARNINGS) \
	$(shell $(PKG_CONFIG) --cflags $(LIBS)) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
KP_LDFLAGS := $(if $(SAN),-fsanitize=$(SAN))
KP_LIBS := $(shell $(PKG_CONFIG) --libs $(LIBS))

SOURCES := $(filter-out proxy/main.c,$(wildcard proxy/*.c proxy/*/*.c nft/*.c))
OBJECTS := $(SOURCES:%.c=$(BUILD)/obj/%.o)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))

all: $(if $(wildcard proxy/main.c),$(BUILD)/kproxy)

$(BUILD)/kproxy: $(BUILD)/obj/proxy/main.o $(OBJECTS)
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS) $(KP_LDFLAGS) $(LDFLAGS) -o $@ $^ $(KP_LIBS)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CFLAGS) $(KP_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(OBJECTS)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS) $(KP_LDFLAGS) $(LDFLAGS) -o $@ $^ $(KP_LIBS) \
		$(shell $(PKG_CONFIG) --libs cmocka)

.PRECIOUS: $(BUILD)/obj/%.o

unit-tests: $(UNIT_TESTS)

check: all unit-tests
	$(Q)tests/run $(BUILD)

# Objects and fuzzers in a directory of their own: all is instrumented.
FUZZ_RUNS ?= 1000000
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

fuzz:
	$(Q)$(MAKE) --no-print-directory CC=clang-14 SAN=fuzzer-no-link,address,undefined BUILD=build/fuzz \
		$(FUZZERS:%=build/fuzz/fuzz_%)
	$(Q)set -e; for f in $(FUZZERS); do echo "  FUZZ  $$f"; mkdir -p build/fuzz/corpus/$$f; \
		build/fuzz/fuzz_$$f -runs=$(FUZZ_RUNS) -max_len=4096 -verbosity=0 -print_final_stats=0 \
		-artifact_prefix=build/fuzz/$$f- build/fuzz/corpus/$$f tests/fuzz/corpus/$$f; done

$(BUILD)/fuzz_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(OBJECTS)
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS) -fsanitize=fuzzer,address,undefined -o $@ $^ $(KP_LIBS)

check-cluster: all
	$(Q)KUBECONFIG="$(KUBECONFIG)" KPROXY="$(CURDIR)/$(BUILD)/kproxy" $(PYTHON) -m pytest -q --tb=short \
		-p no:cacheprovider $(PYTEST_ARGS) tests/cluster

format:
	$(Q)git ls-files '*.c' '*.h' | xargs $(CLANG_FORMAT) -i

install: all
	install -D -m 755 $(BUILD)/kproxy $(DESTDIR)$(PREFIX)/sbin/kproxy

clean:
	rm -rf build

help:
	@sed -n '/^#   /s/^#   //p' Makefile

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

.PHONY: all unit-tests check check-cluster fuzz format install clean help
