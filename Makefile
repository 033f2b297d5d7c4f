# dualdb. `make help` lists the targets.
#
# Project flags live in variables of their own: luarocks (and packagers) pass CFLAGS= and friends on
# the command line, which overrides every assignment here.

VERSION     := 0.1.0
BUILD       ?= build
PREFIX      ?= /usr/local
DESTDIR     ?=
CC          ?= cc
PKG_CONFIG  ?= pkg-config
LUA_VERSION := 5.4
Q           := $(if $(V),,@)

.DEFAULT_GOAL := all

# ---- libraries: pkg-config first, then each library's own config tool, then what the user gives ----

pc = $(shell $(PKG_CONFIG) $(1) $(2) 2>/dev/null)

LUA_PC      := $(firstword $(foreach p,lua5.4 lua-5.4 lua54 lua,$(if $(call pc,--exists --print-errors,$(p) && echo yes),$(p))))
LUA_FLAGS   := $(if $(LUA_INCDIR),-I$(LUA_INCDIR),$(call pc,--cflags,$(LUA_PC)))
LUA_LINK    := $(if $(LUA_LIBDIR),-L$(LUA_LIBDIR),) $(if $(call pc,--libs,$(LUA_PC)),$(call pc,--libs,$(LUA_PC)),-llua$(LUA_VERSION))

# MYSQL=mariadb or MYSQL=mysqlclient chooses when both are installed.
MYSQL       ?= $(firstword $(foreach p,libmariadb mariadb mysqlclient,$(if $(call pc,--exists,$(p) && echo yes),$(p))))
ifeq ($(MYSQL),mariadb)
override MYSQL := $(firstword $(foreach p,libmariadb mariadb,$(if $(call pc,--exists,$(p) && echo yes),$(p))) libmariadb)
endif
MYSQL_FLAGS := $(or $(call pc,--cflags,$(MYSQL)),$(shell mysql_config --include 2>/dev/null || mariadb_config --include 2>/dev/null),$(if $(MYSQL_INCDIR),-I$(MYSQL_INCDIR)))
MYSQL_LINK  := $(or $(call pc,--libs,$(MYSQL)),$(shell mysql_config --libs 2>/dev/null || mariadb_config --libs 2>/dev/null),-lmariadb)

PQ_FLAGS    := $(or $(call pc,--cflags,libpq),$(if $(PQ_INCDIR),-I$(PQ_INCDIR)),-I$(shell pg_config --includedir 2>/dev/null))
PQ_LINK     := $(or $(call pc,--libs,libpq),-lpq)

XXHASH_FLAGS := $(call pc,--cflags,libxxhash)
XXHASH_LINK := $(or $(call pc,--libs,libxxhash),-lxxhash)

SQLITE_FLAGS := $(call pc,--cflags,sqlite3)
SQLITE_LINK := $(or $(call pc,--libs,sqlite3),-lsqlite3)

EDIT_LINK   := $(call pc,--libs,libedit)
EDIT_FLAGS  := $(if $(EDIT_LINK),-DDD_HAVE_LIBEDIT $(call pc,--cflags,libedit))

# ---- flags ----

WARNINGS    := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
               -Wwrite-strings -Wundef
OPTIMIZE    ?= -O2 -g
SANITIZE    ?=
DD_CFLAGS   := -std=c11 -D_GNU_SOURCE -fPIC -pthread -Icore $(WARNINGS) $(OPTIMIZE) \
               $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all) \
               $(if $(TEST_BUILD),-DDD_TEST_BUILD) \
               -DDD_VERSION='"$(VERSION)"' $(LUA_FLAGS) $(MYSQL_FLAGS) $(PQ_FLAGS) $(XXHASH_FLAGS) \
               $(SQLITE_FLAGS) $(EDIT_FLAGS) $(CPPFLAGS) $(CFLAGS)
DD_LDFLAGS  := -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(LDFLAGS)
DB_LINK     := $(MYSQL_LINK) $(PQ_LINK) $(XXHASH_LINK) $(SQLITE_LINK) -lm

# ---- sources ----

ENGINE_SRC  := $(wildcard core/base/*.c core/row/*.c core/db/*.c core/pair/*.c)
BIND_SRC    := $(wildcard core/bind/*.c)
APP_SRC     := $(wildcard core/app/*.c)
LUA_SRC     := $(shell find lua -name '*.lua' ! -name '*.d.lua' | LC_ALL=C sort) \
               $(wildcard lua/dualdb/report/page/*)

ENGINE_OBJ  := $(ENGINE_SRC:%.c=$(BUILD)/%.o)
BIND_OBJ    := $(BIND_SRC:%.c=$(BUILD)/%.o)
APP_OBJ     := $(APP_SRC:%.c=$(BUILD)/%.o)
UNIT_SRC    := $(wildcard spec/unit/*.c)
UNIT_BIN    := $(UNIT_SRC:spec/unit/%.c=$(BUILD)/spec/%)

.PHONY: all faults help model install uninstall clean test demo lint unit unit-programs print-cflags bench \
        bench-programs fuzz soak soak-self-test

all: $(BUILD)/dualdb $(BUILD)/lib/dualdb/core.so ## build the executable and the Lua module (default)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  variables: PREFIX DESTDIR BUILD CC CFLAGS LDFLAGS MYSQL=mariadb|mysqlclient SANITIZE=address,undefined V=1"

# Objects depend on the Makefile, and on every header through the .d files.
$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(CC) $(DD_CFLAGS) -MMD -MP -c $< -o $@

# The Lua sources as C data, with their names, so that stack traces keep file and line.
$(BUILD)/embedded.c: $(LUA_SRC) scripts/build/embed.lua Makefile
	@mkdir -p $(@D)
	$(if $(Q),@echo "  EMBED $@")
	$(Q)$(LUA_RUN) scripts/build/embed.lua $(LUA_SRC) > $@.tmp && mv $@.tmp $@

$(BUILD)/embedded.o: $(BUILD)/embedded.c
	$(Q)$(CC) $(DD_CFLAGS) -c $< -o $@

LUA_RUN     ?= $(firstword $(shell command -v lua5.4 lua54 lua 2>/dev/null) lua5.4)

# -Wl,-E: C modules such as cjson find the Lua API in the executable.
$(BUILD)/dualdb: $(ENGINE_OBJ) $(BIND_OBJ) $(APP_OBJ) $(BUILD)/embedded.o
	$(if $(Q),@echo "  LINK  $@")
	$(Q)$(CC) $(DD_CFLAGS) -o $@ $^ $(DD_LDFLAGS) -Wl,-E $(LUA_LINK) $(DB_LINK) $(EDIT_LINK) -ldl

# nodelete: the MySQL library keeps a function of ours (core/db/mysql_login.c).
$(BUILD)/lib/dualdb/core.so: $(ENGINE_OBJ) $(BIND_OBJ)
	@mkdir -p $(@D)
	$(if $(Q),@echo "  LINK  $@")
	$(Q)$(CC) $(or $(LIBFLAG),-shared) -Wl,-z,nodelete -o $@ $^ $(DD_LDFLAGS) $(DB_LINK)

# ---- unit tests in C ----

$(BUILD)/spec/%: spec/unit/%.c $(ENGINE_OBJ) Makefile
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(CC) $(DD_CFLAGS) -Ispec -MMD -MP -o $@ $< $(ENGINE_OBJ) $(DD_LDFLAGS) $(DB_LINK)

# What specs put between dualdb and a server.
PROXY_OBJ   := $(BUILD)/spec/support/proxy.o $(BUILD)/spec/support/proxy_wire.o
$(PROXY_OBJ): DD_CFLAGS += -Ispec

$(BUILD)/spec/proxy: $(PROXY_OBJ) $(ENGINE_OBJ)
	$(Q)$(CC) $(DD_CFLAGS) -o $@ $^ $(DD_LDFLAGS) $(DB_LINK)

$(BUILD)/spec/link: spec/support/link.c $(ENGINE_OBJ) Makefile
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(CC) $(DD_CFLAGS) -Ispec -MMD -MP -o $@ $< $(ENGINE_OBJ) $(DD_LDFLAGS) $(DB_LINK)

# What benchmarks run beside dualdb.
BENCH_BIN   := $(addprefix $(BUILD)/spec/,reference_copy reference_read reference_write measured)

$(BENCH_BIN): $(BUILD)/spec/%: spec/bench/%.c $(ENGINE_OBJ) Makefile
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(CC) $(DD_CFLAGS) -Ispec -MMD -MP -o $@ $< $(ENGINE_OBJ) $(DD_LDFLAGS) $(DB_LINK)

# The crash matrix is printed at its end.
faults: ## kill, stop and cut a dual write, its servers and its network at every step
	@$(MAKE) --no-print-directory test SPEC=spec/fault

unit: $(UNIT_BIN) ## build and run the unit tests written in C
	@set -e; for t in $(UNIT_BIN); do $$t; done

unit-programs: $(UNIT_BIN) $(BUILD)/spec/proxy $(BUILD)/spec/link

bench-programs: $(BENCH_BIN)

print-cflags: # for scripts/lint.sh
	@echo '$(subst ','\'',$(DD_CFLAGS))'

# ---- what installs, builds and cleans up by itself: see the scripts ----

SCRIPT_ENV  := BUILD='$(BUILD)' SERVERS='$(SERVERS)' SPEC='$(SPEC)'

test: ## run every test on private servers (SERVERS=mysql9, SPEC=FILE)
	@$(SCRIPT_ENV) scripts/test.sh

demo: ## watch the whole of it on two private servers
	@$(SCRIPT_ENV) scripts/demo.sh

bench: ## time sync and verify beside pgloader and the least that it takes (ROWS=2000000 RUNS=5)
	@scripts/bench.sh

# SECONDS is for each target. It is the shell's own name too, so it travels as an argument.
fuzz: ## fuzz what reads bytes that others made (SECONDS=12 for each target)
	@BUILD='$(BUILD)' scripts/fuzz.sh $(or $(SECONDS),12)

SOAK_ENV    := BUILD='$(BUILD)' SERVERS='$(SERVERS)' MINUTES='$(MINUTES)' SEED='$(SEED)' \
               PROTOCOL='$(PROTOCOL)' CLIENTS='$(CLIENTS)' FAULTS='$(FAULTS)'

soak: ## write while clients, servers and the network fail (MINUTES=1 SEED=N PROTOCOL=a1 CLIENTS=4)
	@$(SOAK_ENV) scripts/soak.sh

soak-self-test: ## show that the soak finds protocols that are broken on purpose
	@BUILD='$(BUILD)' SERVERS='$(SERVERS)' scripts/soak-self-test.sh

model: ## check the models of the protocols with spin (DEPTH=full)
	@scripts/model.sh

lint: ## luacheck, cppcheck, clang-tidy, warnings as errors, and the project's own rules
	@scripts/lint.sh

# ---- install ----

BINDIR      ?= $(PREFIX)/bin
LUADIR      ?= $(PREFIX)/share/lua/$(LUA_VERSION)
LIBDIR      ?= $(PREFIX)/lib/lua/$(LUA_VERSION)

install: all ## install into PREFIX (executable, Lua sources, C module)
	install -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(LIBDIR)/dualdb'
	install -m 755 $(BUILD)/dualdb '$(DESTDIR)$(BINDIR)/dualdb'
	install -m 755 $(BUILD)/lib/dualdb/core.so '$(DESTDIR)$(LIBDIR)/dualdb/core.so'
	cd lua && find dualdb \( -name '*.lua' -o -path '*/report/page/*' \) \
	    -exec install -D -m 644 {} '$(DESTDIR)$(LUADIR)/{}' \;

uninstall: ## remove what install put there
	rm -f '$(DESTDIR)$(BINDIR)/dualdb' '$(DESTDIR)$(LIBDIR)/dualdb/core.so'
	rm -rf '$(DESTDIR)$(LUADIR)/dualdb'

clean: ## remove the build directory
	rm -rf '$(BUILD)'

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
