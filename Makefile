# sdes: transparent column encryption for PostgreSQL
#
#   make                 builds sdes.so, the key agent and the auditor's program
#   make install         installs them (as root, or with sudo)
#   make setup           installs the Debian packages that building needs
#   make demo            a throw-away server with an encrypted order stream; make demo-stop
#   make check           every test; ends with "N passed, N failed"
#   make bench           plain text, sdes and its peers side by side; make bench PARTS='scan load'
#   make bench QUICK=1   the same in two minutes; make bench WRITE_DOCS=1 writes docs/performance.md
#   make bench-rotation  what a rotation costs; make bench-audit what the audit costs
#   make bench-micro     what sealing and opening cost by themselves, by provider of AES
#   make check-modules   a small check on each PKCS#11 module that Debian has
#   make check-matrix    the tests of SQL on Debian 13 and sid, in chroots (as root or with sudo)
#   make format          clang-format over the C sources
#
# Another compiler or server: make CC=clang PG_CONFIG=/path/to/pg_config
# The compiler's whole command lines: make V=1

PG_CONFIG ?= pg_config
BUILD     ?= build

# The version lives in sdes.control alone.
SDES_VERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" sdes.control)

# The rooms of the house, see src/README.md. What both the server's module and
# the agent need is compiled once (as position-independent code).
BELOW_WATERLINE := $(sort $(wildcard src/crypto/*.c src/envelope/*.c)) \
	$(addprefix src/agent/,protocol.c config.c token_list.c backoff.c)
MODULE_SOURCES := $(BELOW_WATERLINE) src/agent/client.c \
	$(sort $(wildcard $(addsuffix /*.c,$(addprefix src/,\
		provider journal pan parcel sqltext agentlink audit auditlog store keyring policy value types search redact reveal rotation admin exchange doctor worker))) \
		$(wildcard src/sdes*.c))
AGENT_SOURCES := $(BELOW_WATERLINE) $(sort $(wildcard src/hsm/*.c) \
	$(filter-out src/agent/client.c $(BELOW_WATERLINE),$(wildcard src/agent/*.c)))

AUDITOR_SOURCES := $(sort $(wildcard $(addsuffix /*.c,$(addprefix src/,auditor crypto journal))))

AGENT           := $(BUILD)/sdes_agent
AGENT_OBJECTS   := $(AGENT_SOURCES:%.c=$(BUILD)/obj/%.o)
AUDITOR         := $(BUILD)/sdes_audit
AUDITOR_OBJECTS := $(AUDITOR_SOURCES:%.c=$(BUILD)/obj/%.o)

EXTENSION  = sdes
MODULE_big = sdes
DATA       = $(wildcard sdes--*.sql)
OBJS       = $(MODULE_SOURCES:%.c=$(BUILD)/obj/%.o)
SHLIB_LINK = -lcrypto $(PROVIDER_LIBS)

# "make installcheck" against a running server with a token; "make check" brings
# its own. Scripts run in the order of their names, in one database.
REGRESS        = install bucket enc_text enc_pan guard store access pan_grants search reveal reveal_forms reveal_nested \
	reveal_json reveal_spool reveal_not input health hsm_mode hsm_batch rsa_kek rotation \
	key_states kek_life search_key
ISOLATION      = $(sort $(patsubst test/isolation/specs/%.spec,%,\
	$(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation

# Bitcode would need a clang of exactly the server's version, for nothing that
# inlining could speed up here.
override with_llvm = no

# These need nothing of PGXS, and some run before it is installed.
OWN_GOALS := setup check check-modules check-matrix bench bench-rotation bench-audit demo demo-stop soak format $(BUILD)/leaksearch $(BUILD)/keyhunt
ifneq ($(filter-out $(OWN_GOALS),$(or $(MAKECMDGOALS),all)),)

# What is missing on this machine, if anything; empty when it can build.
PGXS    := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
MISSING := $(strip $(if $(wildcard $(PGXS)),,PostgreSQL) \
	$(shell pkg-config --exists libcrypto 2>/dev/null || echo OpenSSL) \
	$(shell pkg-config --exists p11-kit-1 2>/dev/null || echo p11-kit) \
	$(shell pkg-config --exists libp11 2>/dev/null || echo libp11) \
	$(shell pkg-config --exists jansson 2>/dev/null || echo jansson))

.DEFAULT_GOAL := all

ifeq ($(MISSING),)

include src/provider/libraries.mk

# The server's headers are not held to our warnings: a directory given with
# -isystem is a system directory even when PGXS names it with -I as well.
# Before 16 they export nothing by themselves, so what they mark is told here.
PG_CPPFLAGS = -Isrc -D_GNU_SOURCE '-DPGDLLEXPORT=__attribute__((visibility("default")))' -DSDES_VERSION='"$(SDES_VERSION)"' \
	-isystem $(shell $(PG_CONFIG) --includedir-server)
PG_CFLAGS = -fvisibility=hidden -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
	-Wold-style-definition -Wwrite-strings -Wno-unused-parameter \
	-Wno-missing-field-initializers \
	-ffile-prefix-map=$(CURDIR)=.
ifneq ($(findstring clang,$(CC)),)
# The server was built with gcc and hands on flags that only gcc knows.
PG_CFLAGS += -Wno-unknown-warning-option -Wno-ignored-optimization-argument
else
# To open a value is some thirty calls across the rooms. Inlined when sdes.so is linked, they
# are a seventh less of a scan. (clang would need a linker of its own for that; the programs
# are linked from the same objects as ever.)
PG_CFLAGS += -flto=auto -ffat-lto-objects -Wa,--debug-prefix-map=$(CURDIR)=.
NO_LTO = -fno-lto
endif

include $(PGXS)

# Everything is compiled again when the compiler, a flag or the version changes.
FLAGS_NOW := $(CC) $(CPPFLAGS) $(CFLAGS) $(PROVIDERS)
ifneq ($(FLAGS_NOW),$(file <$(BUILD)/flags))
$(shell mkdir -p $(BUILD))
$(file >$(BUILD)/flags,$(FLAGS_NOW))
endif

$(BUILD)/flags:
	@mkdir -p $(@D)
	$(file >$@,$(FLAGS_NOW))

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(if $(V),,@echo "$(CC) $<";) $(CC) $(CFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<

# p11-kit's and libp11's headers are for the rooms that speak PKCS#11 only.
$(BUILD)/obj/src/hsm/%.o $(BUILD)/obj/src/agent/%.o: \
	override CPPFLAGS += $(shell pkg-config --cflags p11-kit-1 libp11)

# nettle's and ipsec-mb's for the room that makes providers of them.
$(BUILD)/obj/src/provider/%.o: override CPPFLAGS += $(PROVIDER_CPPFLAGS)

# A file that is gone from a room must leave the library, too.
$(BUILD)/objects: FORCE
	@echo '$(OBJS) $(AGENT_OBJECTS) $(AUDITOR_OBJECTS)' | cmp -s - $@ || \
		echo '$(OBJS) $(AGENT_OBJECTS) $(AUDITOR_OBJECTS)' >$@
FORCE:

sdes.so: $(BUILD)/objects

all: say-providers
.PHONY: say-providers
say-providers:
	@echo "crypto providers in sdes.so: $(PROVIDERS)"

$(AGENT): $(AGENT_OBJECTS) $(BUILD)/objects
	$(if $(V),,@echo "$(CC) -o $@";) $(CC) $(CFLAGS) $(NO_LTO) -pie $(AGENT_OBJECTS) $(LDFLAGS) -o $@ \
		$(shell pkg-config --libs p11-kit-1 libp11) -lcrypto -ldl -lpthread

$(AUDITOR): $(AUDITOR_OBJECTS) $(BUILD)/objects
	$(if $(V),,@echo "$(CC) -o $@";) $(CC) $(CFLAGS) $(NO_LTO) -pie $(AUDITOR_OBJECTS) $(LDFLAGS) -o $@ \
		$(shell pkg-config --libs jansson) -lcrypto

# What seals a value, compiled as for the server.
MICRO         := $(BUILD)/bench_micro
MICRO_OBJECTS := $(filter $(addprefix $(BUILD)/obj/src/,crypto/% provider/% envelope/%),$(OBJS)) \
	$(BUILD)/obj/bench/micro.o
$(MICRO): $(MICRO_OBJECTS)
	$(if $(V),,@echo "$(CC) -o $@";) $(CC) $(CFLAGS) $^ $(LDFLAGS) -o $@ -lcrypto $(PROVIDER_LIBS) -lpthread

# Functions of the server that copy where sdes encrypts.
$(BUILD)/bench_copies.so: $(BUILD)/obj/bench/copies.o
	$(if $(V),,@echo "$(CC) -o $@";) $(CC) $(CFLAGS) $(NO_LTO) -shared $^ $(LDFLAGS) -o $@

.PHONY: bench-micro
bench-micro: $(MICRO)
	@bench/micro $(MICRO) $(if $(CSV),--csv)

-include $(OBJS:.o=.d) $(AGENT_OBJECTS:.o=.d) $(AUDITOR_OBJECTS:.o=.d) $(MICRO_OBJECTS:.o=.d) $(BUILD)/obj/bench/copies.d

all: $(AGENT) $(AUDITOR)

# Everything but the link of sdes.so; with BUILD= for a second compiler.
.PHONY: objects
objects: $(OBJS) $(AGENT) $(AUDITOR)

# Mode 0711: a program that the uid it runs under cannot read is undumpable
# from its exec on, before its own first instruction could see to that. The
# supervisor looks for the agent beside the postgres program.
.PHONY: install-programs
install: install-programs
install-programs: $(AGENT) $(AUDITOR)
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL) -m 0711 $(AGENT) '$(DESTDIR)$(bindir)/sdes_agent'
	$(INSTALL) -m 0755 $(AUDITOR) '$(DESTDIR)$(bindir)/sdes_audit'

uninstall: uninstall-programs
.PHONY: uninstall-programs
uninstall-programs:
	rm -f '$(DESTDIR)$(bindir)/sdes_agent' '$(DESTDIR)$(bindir)/sdes_audit'

else

.PHONY: all install installcheck objects bench-micro
all install installcheck objects bench-micro:
	@echo "sdes cannot be built here yet, it lacks the development files of: $(MISSING)." >&2
	@echo "On Debian, 'make setup' installs what is needed. A server elsewhere is" >&2
	@echo "named with 'make PG_CONFIG=/path/to/pg_config'." >&2
	@exit 1

.PHONY: clean
clean:
	rm -f sdes.so

endif # MISSING

# Not build/demo: a server may be running there, which demo-stop ends. Nor build/matrix,
# which took long to make.
clean: clean-build
.PHONY: clean-build
clean-build:
	find $(BUILD) -mindepth 1 -maxdepth 1 ! -name demo ! -name matrix -exec rm -rf {} + 2>/dev/null || true

endif # OWN_GOALS

.PHONY: setup check check-modules check-matrix bench bench-rotation bench-audit demo demo-stop soak format
setup:
	@scripts/setup demo

# PGXS has a recipe of its own for check, which says that it is not supported.
ifneq ($(filter check,$(MAKECMDGOALS)),)
check:
	@scripts/setup check
	@test/run
endif

demo:
	@scripts/setup demo
	@demo/run

demo-stop:
	@demo/stop

# Its options are in the environment, where make puts variables of its command line.
bench:
	@scripts/setup bench
	@bench/run $(PARTS)

bench-rotation:
	@$(MAKE) bench PARTS='rotation rotation-clients'

bench-audit:
	@$(MAKE) bench PARTS='scan clients audit' KINDS='sdes strict'

check-modules:
	@scripts/setup modules
	@test/modules/run $(MODULES)

check-matrix:
	@scripts/matrix $(SUITES)

# The long tests: killed agents and servers, over and over.
soak:
	@scripts/setup check
	@test/run soak

format:
	clang-format -i $$(find src test scripts bench -name '*.[ch]')

# The searches, for plaintext in files and for keys in memory, need no server to build.
$(BUILD)/leaksearch: scripts/leaksearch.c
$(BUILD)/keyhunt: test/programs/keyhunt.c
$(BUILD)/leaksearch $(BUILD)/keyhunt:
	@mkdir -p $(@D)
	$(CC) -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -o $@ $<
