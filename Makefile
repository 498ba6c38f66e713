# SPDX-License-Identifier: GPL-2.0-or-later
#
#   make              builds build/kproxy
#   make check        unit tests, and as root the tests with packets in network namespaces
#   make check UPDATE=1                 rewrites the golden files, to be reviewed as a diff
#   make SAN=address,undefined check    the same with sanitizers, in a build directory of its own
#   make check-valgrind                 unit tests, random changes and the daemon under valgrind
#   make check-cluster KUBECONFIG=FILE  watches the API server of FILE from network namespaces, as root
#   make fuzz FUZZ_SECONDS=60           feeds random bytes to all that parses (needs clang)
#   make bench        measures, as root, and writes docs/performance.md; BENCH_ARGS=--help lists its flags
#   make bench-iperf  measures the traffic of both modes and of kube-proxy's shape, as root, and writes
#                     docs/performance-traffic.md and its plot
#   make install      DESTDIR= PREFIX=/usr/local: program, man page, completion, systemd unit, documents
#   make deb          leaves a Debian package in build/deb (needs tools/install-deps packages)
#   make check-packages                 installs the package and runs the image in Debian roots of their own, as root
#   make V=1          prints the commands;  WERROR=1 makes warnings errors

PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
DESTDIR ?=
CC ?= gcc
PKG_CONFIG ?= pkg-config
CLANG ?= clang
BPFTOOL ?= /usr/sbin/bpftool
CLANG_FORMAT ?= clang-format-14
PYTHON ?= /usr/bin/python3

SAN ?=
BUILD ?= build$(if $(SAN),/san)
Q := $(if $(V),,@)

LIBS := libmnl libnftnl libnftables libuv yaml-0.1 jansson libmicrohttpd libcurl libcrypto libbpf
missing := $(strip $(foreach l,$(LIBS) cmocka,$(shell $(PKG_CONFIG) --exists $(l) || echo $(l))))
ifneq ($(filter-out clean format help,$(or $(MAKECMDGOALS),all)),)
ifneq ($(missing),)
$(error missing libraries (pkg-config names): $(missing); tools/install-deps installs them)
endif
endif

CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(if $(WERROR),-Werror)
KP_CFLAGS := -std=c11 -D_GNU_SOURCE -Iinclude -Iproxy -I. -I$(BUILD)/bpf $(WARNINGS) \
	$(shell $(PKG_CONFIG) --cflags $(LIBS)) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
KP_LDFLAGS := $(if $(SAN),-fsanitize=$(SAN))
KP_LIBS := $(shell $(PKG_CONFIG) --libs $(LIBS))

SOURCES := $(filter-out proxy/main.c %.bpf.c,$(wildcard proxy/*.c proxy/*/*.c conntrack/*.c nft/*.c bpf/*.c \
	takeover/*.c))
OBJECTS := $(SOURCES:%.c=$(BUILD)/obj/%.o)
TEST_HELPERS := $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out tests/unit/test_%,$(wildcard tests/unit/*.c)))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
BENCHES := $(patsubst %.c,$(BUILD)/%,$(wildcard bench/*.c))

all: $(BUILD)/kproxy

$(BUILD)/kproxy: $(BUILD)/obj/proxy/main.o $(OBJECTS)
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS) $(KP_LDFLAGS) $(LDFLAGS) -o $@ $^ $(KP_LIBS)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(KP_CFLAGS) -MMD -MP -c -o $@ $<

# BPF programs are compiled for a machine of their own; their headers lie where gcc finds the host's.
BPF_CFLAGS := -O2 -g -target bpf -std=gnu11 -Wall -Wextra $(if $(WERROR),-Werror) -I. -Ibpf \
	$(shell $(PKG_CONFIG) --cflags libbpf) -idirafter /usr/include/$(shell $(CC) -print-multiarch)

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c
	@mkdir -p $(@D)
	@echo "  BPF   $<"
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<

# Linking strips the debugging sections and keeps BTF.
$(BUILD)/bpf/%.skel.h: $(BUILD)/bpf/%.bpf.o
	$(Q)$(BPFTOOL) gen object $(BUILD)/bpf/$*.linked.o $<
	$(Q)$(BPFTOOL) gen skeleton $(BUILD)/bpf/$*.linked.o name $*_bpf >$@.new
	$(Q)mv $@.new $@

$(BUILD)/obj/bpf/programs.o: $(BUILD)/bpf/sock.skel.h
$(BUILD)/obj/bpf/sockets.o: $(BUILD)/bpf/repoint.skel.h

$(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(TEST_HELPERS) $(OBJECTS)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS) $(KP_LDFLAGS) $(LDFLAGS) -o $@ $^ $(KP_LIBS) \
		$(shell $(PKG_CONFIG) --libs cmocka)

$(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(OBJECTS)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS) $(KP_LDFLAGS) $(LDFLAGS) -o $@ $^ $(KP_LIBS)

.PRECIOUS: $(BUILD)/obj/%.o $(BUILD)/bpf/%.bpf.o $(BUILD)/bpf/%.skel.h

unit-tests: $(UNIT_TESTS)

bench-programs: $(BENCHES)

check: all unit-tests bench-programs
	$(Q)tests/run $(BUILD)

check-valgrind: all unit-tests
	$(Q)tests/valgrind $(BUILD)

# Objects and fuzzers in a directory of their own: all is instrumented.  Each fuzzer keeps what it has
# learned.
FUZZ_SECONDS ?= 30
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

fuzz:
	$(Q)$(MAKE) --no-print-directory CC=clang-14 SAN=fuzzer-no-link,address,undefined BUILD=build/fuzz \
		$(FUZZERS:%=build/fuzz/fuzz_%)
	$(Q)set -e; for f in $(FUZZERS); do echo "  FUZZ  $$f"; mkdir -p build/fuzz/corpus/$$f; \
		build/fuzz/fuzz_$$f -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=5 -verbosity=0 \
		-artifact_prefix=build/fuzz/$$f- build/fuzz/corpus/$$f $(wildcard tests/fuzz/corpus/*) \
		tests/golden tests/configs; done

$(BUILD)/fuzz_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(BUILD)/obj/tests/fuzz/sink.o $(OBJECTS)
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS) -fsanitize=fuzzer,address,undefined -o $@ $^ $(KP_LIBS)

bench: all bench-programs
	$(Q)$(PYTHON) bench/run.py --build $(BUILD) $(BENCH_ARGS)

bench-iperf: all bench-programs
	$(Q)$(PYTHON) bench/traffic.py --build $(BUILD) $(BENCH_ARGS)

check-cluster: all
	$(Q)KUBECONFIG="$(KUBECONFIG)" KPROXY="$(CURDIR)/$(BUILD)/kproxy" $(PYTHON) -m pytest -q --tb=short \
		-p no:cacheprovider $(PYTEST_ARGS) tests/cluster

format:
	$(Q)git ls-files '*.c' '*.h' | xargs $(CLANG_FORMAT) -i

$(BUILD)/kproxy.8: $(BUILD)/kproxy docs/kproxy.8.in tools/man-page
	$(Q)tools/man-page $< docs/kproxy.8.in >$@.new
	$(Q)mv $@.new $@

SHARE = $(DESTDIR)$(PREFIX)/share

# What the administrator wrote into the unit's flags stays.
install: all $(BUILD)/kproxy.8
	install -D -m 755 $(BUILD)/kproxy $(DESTDIR)$(PREFIX)/sbin/kproxy
	install -D -m 644 $(BUILD)/kproxy.8 $(SHARE)/man/man8/kproxy.8
	install -D -m 644 deploy/kproxy.bash-completion $(SHARE)/bash-completion/completions/kproxy
	install -d $(DESTDIR)$(UNITDIR) $(SHARE)/doc/kproxy/examples
	sed 's,@SBINDIR@,$(PREFIX)/sbin,' deploy/kproxy.service >$(DESTDIR)$(UNITDIR)/kproxy.service
	[ -e $(DESTDIR)$(SYSCONFDIR)/default/kproxy ] || \
		install -D -m 644 deploy/kproxy.default $(DESTDIR)$(SYSCONFDIR)/default/kproxy
	install -m 644 README.md docs/*.md docs/*.png $(SHARE)/doc/kproxy
	install -m 644 deploy/kproxy-bpf.conf deploy/*.yaml deploy/*.json $(SHARE)/doc/kproxy/examples

deb:
	$(Q)tools/deb build/deb

check-packages:
	$(Q)$(PYTHON) -m pytest -q --tb=short -p no:cacheprovider $(PYTEST_ARGS) tests/packages

clean:
	rm -rf build

help:
	@sed -n '/^#   /s/^#   //p' Makefile

-include $(shell find $(BUILD)/obj $(BUILD)/bpf -name '*.d' 2>/dev/null)

.PHONY: all unit-tests bench-programs check check-valgrind check-cluster check-packages fuzz \
	bench bench-iperf format install deb clean help
