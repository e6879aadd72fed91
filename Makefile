# Berth, an open scheduler for Aleph's persistent programs.
#
# make                build into build/gcc
# make demo           the whole promise with real processes (DEMO_PORT=4600)
# make test           all tests
# make bench          figures
# make sim            the whole system, simulated (SEEDS= MINUTES= SEED=)
# make sim-raft       the replica engine alone, the same
# make sim-figures    false fences, outages survived: tests/sim/FIGURES.md
# make mutants        each rule left out, one scenario must notice
# make mutants-search ... and how soon the simulator does (MINUTES= SEED=)
# make model          the lease protocol alone, exhaustively
# make bench-fence    from the deadline to nothing running (TRIALS=1000)
# make chaos          real daemons and a nemesis (MINUTES=10 SEED= REPLICAS=
#                     PROFILE= ONLY=)
# make install        PREFIX=/usr/local DESTDIR=
# make clean          remove build/
#
# CC=clang            another compiler
# SAN=address,undefined | SAN=thread   sanitizers (own build folder)
# MUTANT=name         one rule left out: tests must fail (own build folder)
# V=1                 show the commands
# DEPS=skip           never install packages
# FAST=1              for the simulator: nothing hardened, own build folder

.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
ifeq ($(origin CC),default)
CC := gcc
endif
SAN ?=
MUTANT ?=
V ?= 0
PREFIX ?= /usr/local
Q := $(if $(filter 1,$V),,@)

empty :=
comma := ,
B := build/$(notdir $(CC))$(if $(SAN),-$(subst $(comma),-,$(SAN)))$(if $(MUTANT),-mutant-$(MUTANT))$(if $(FAST),-fast)

# What is missing is installed before the first line is compiled. Asking takes
# a few hundredths of a second, and no stamp can be wrong about this machine.
DEPS ?= auto
TEST_GOALS := test check unit bench sim sim-raft chaos mutants mutants-search
NEEDS := $(if $(filter $(TEST_GOALS),$(MAKECMDGOALS))$(findstring clang,$(CC)),--test)
NO_BUILD := clean help install-deps
ifneq ($(filter-out $(NO_BUILD),$(or $(MAKECMDGOALS),all)),)
ifneq ($(DEPS),skip)
ifneq ($(shell deploy/install-deps --quiet $(NEEDS) >&2 && echo ok),ok)
$(error deploy/install-deps failed: see above)
endif
endif
PKGS := libuv openssl libcurl jansson libsecp256k1 libarchive libconfig \
	libsystemd smartcols liblz4 libwebsockets
PKG_CFLAGS := $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(PKGS)))
endif

WARN := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wswitch-enum -Wvla -Wformat=2 -Werror
HARDEN := -fstack-protector-strong -fstack-clash-protection -fPIE -D_FORTIFY_SOURCE=2
OPT := -O2 -g $(HARDEN)
LDHARDEN := -pie -Wl,-z,relro,-z,now
ifneq ($(SAN),)
OPT := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SAN) \
	$(if $(findstring undefined,$(SAN)),-fno-sanitize-recover=undefined)
LDHARDEN := -fsanitize=$(SAN)
endif

AR_TOOL := ar
ifneq ($(FAST),)
LTO := $(if $(findstring gcc,$(notdir $(CC))),-flto=2)
OPT := -O3 -march=native -fno-semantic-interposition $(LTO)
LDHARDEN := -O3 -march=native $(LTO)
AR_TOOL := $(if $(LTO),gcc-ar,ar)
endif

CFLAGS_ALL := -std=c11 -D_GNU_SOURCE $(WARN) $(OPT) -iquote . \
	$(PKG_CFLAGS) $(if $(MUTANT),-DMUTANT_$(MUTANT)) $(CFLAGS)
LDFLAGS_ALL := $(LDHARDEN) $(LDFLAGS)

MSGPACK := $(if $(wildcard /usr/lib/*/libmsgpack-c.so),-lmsgpack-c,-lmsgpackc)
LIBS_fsm := $(MSGPACK)
LIBS_raft := -lraft -llz4
LIBS_node := -lwebsockets -luv -lssl -lcrypto -lcurl -ljansson \
	-lsecp256k1 -larchive -lconfig -lsystemd -lsmartcols -lpthread

objects = $(patsubst %.c,$B/%.o,$(sort $(wildcard $(1)/*.c)))
MAIN_ONLY := node/replica/main.c node/agent/agent_main.c \
	node/agent/fencer_main.c node/cli/main.c node/ccn/main.c

ARCHIVES := $B/libfsm.a $B/libreplica.a $B/libnode.a $B/libberthd.a \
	$B/libagent.a $B/libcli.a $B/libccn.a
PROGRAMS := $(foreach p,berthd:node/replica/main berth-agent:node/agent/agent_main \
	berth-fencer:node/agent/fencer_main berth:node/cli/main \
	berth-ccn:node/ccn/main,$(if $(wildcard $(lastword $(subst :, ,$p)).c),$B/$(firstword $(subst :, ,$p))))

.SECONDARY:
.DEFAULT_GOAL := all
.PHONY: all test check unit demo bench bench-fence sim sim-figures sim-raft chaos clean install install-deps help lib
all: $(PROGRAMS) $(ARCHIVES)
lib: $(ARCHIVES)

$B/%.o: %.c Makefile
	@mkdir -p $(@D)
	@$(if $(filter 0,$V),echo "  CC    $<")
	$Q$(CC) $(CFLAGS_ALL) $(CFLAGS_$(subst /,_,$*)) -MMD -MP -c -o $@ $<

define archive
$B/$(1): $(filter-out $(patsubst %.c,$B/%.o,$(MAIN_ONLY)),$(call objects,$(2)))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$Q$(AR_TOOL) rcD $$@ $$^
endef
$(eval $(call archive,libfsm.a,fsm))
$(eval $(call archive,libreplica.a,raft))
$(eval $(call archive,libnode.a,node/lib))
$(eval $(call archive,libberthd.a,node/replica))
$(eval $(call archive,libagent.a,node/agent))
$(eval $(call archive,libcli.a,node/cli))
$(eval $(call archive,libccn.a,node/ccn))

LIBS_ALL := $(LIBS_raft) $(LIBS_fsm) $(LIBS_node)
define program
$B/$(1): $B/$(2).o $B/$(3) $B/libnode.a $B/libreplica.a $B/libfsm.a
	@$$(if $$(filter 0,$$V),echo "  LINK  $$@")
	$$Q$$(CC) $$(LDFLAGS_ALL) -o $$@ $$< $B/$(3) $B/libnode.a $B/libreplica.a $B/libfsm.a $$(LIBS_ALL)
endef
$(eval $(call program,berthd,node/replica/main,libberthd.a))
$(eval $(call program,berth-agent,node/agent/agent_main,libagent.a))
$(eval $(call program,berth-fencer,node/agent/fencer_main,libagent.a))
$(eval $(call program,berth,node/cli/main,libcli.a))
$(eval $(call program,berth-ccn,node/ccn/main,libccn.a))

# Tests: each tests/unit/NAME.c is a cmocka program over all archives.
UNITS := $(patsubst %.c,$B/%,$(sort $(wildcard tests/unit/*.c)))
$B/tests/unit/%: $B/tests/unit/%.o $B/libtestkit.a $(ARCHIVES)
	@$(if $(filter 0,$V),echo "  LINK  $@")
	$Q$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $B/libtestkit.a \
		$(ARCHIVES) -Wl,--end-group -lcmocka -lnettle $(LIBS_ALL)
$(eval $(call archive,libtestkit.a,tests/kit))
TOOLS := $(patsubst %.c,$B/%,$(sort $(wildcard tests/bench/*.c tests/sim/main.c \
	tests/sim/whole/main.c))) \
	$B/tests/sim/steps/main $B/tests/model/trace/main
$B/tests/bench/%: $B/tests/bench/%.o $B/libtestkit.a $(ARCHIVES)
	$Q$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $B/libtestkit.a \
		$(ARCHIVES) -Wl,--end-group $(LIBS_ALL)
$B/tests/sim/main: $(call objects,tests/sim) $B/libtestkit.a $(ARCHIVES)
	$Q$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) -Wl,--start-group \
		$B/libtestkit.a $(ARCHIVES) -Wl,--end-group $(LIBS_ALL)

WHOLE := $(call objects,tests/sim/whole) $B/tests/sim/disk.o \
	$(filter $B/tests/kit/slow%,$(call objects,tests/kit)) \
	$(filter $B/node/replica/driver%,$(call objects,node/replica)) \
	$B/libnode.a $B/libreplica.a $B/libfsm.a
$B/tests/sim/whole/main: $(WHOLE)
	$Q$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_ALL)

# How to compile and link here, for tests/mutants.
define FLAGS_TEXT
CC=$(CC)
CFLAGS=$(CFLAGS_ALL)
LDFLAGS=$(LDFLAGS_ALL)
ARCHIVES=$B/libtestkit.a $(ARCHIVES)
LIBS=$(LIBS_ALL)
endef
.PHONY: mutants mutants-search FORCE
$B/flags: FORCE
	@mkdir -p $B
	$(file >$@,$(FLAGS_TEXT))
mutants: $(UNITS) $(PROGRAMS) $B/tests/sim/whole/main $B/flags
	$Qtests/mutants/run $B $(MUTANTS_OPTIONS)
mutants-search: $B/tests/sim/whole/main $B/flags
	$Qtests/mutants/search $B $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(SEED),--first $(SEED))

unit: $(UNITS)
test check: all $(UNITS) $(TOOLS) $B/flags
	$Qtests/run $B
demo: all
	$Qdeploy/demo $B
bench: all $(TOOLS)
	$Qtests/bench/run $B
bench-fence: $B/berth-fencer
	$Qtests/bench/fence $B $(or $(TRIALS),1000)
# The whole system, or the replica engine alone: SEEDS=n seeds from SEED=m on,
# at most MINUTES; SEED alone runs that one.
SIM_OPTIONS = $(if $(SEEDS),--seeds $(SEEDS)) \
	$(if $(SEED),$(if $(SEEDS),--first,--seed) $(SEED)) \
	$(if $(MINUTES),--minutes $(MINUTES))
# Built to be fast: the same sources give the same traces.
sim:
	@$(MAKE) --no-print-directory DEPS=skip FAST=$(if $(SAN),,1) sim-fast
.PHONY: sim-fast
sim-fast: $B/tests/sim/whole/main
	$Q$< --quiet $(SIM_OPTIONS)
# Figures for tests/sim/FIGURES.md: ten minutes of one core.
sim-figures: $B/tests/sim/whole/main
	$Q$< --figures $(or $(DAYS),2) >$B/FIGURES.md && \
		cp $B/FIGURES.md tests/sim/FIGURES.md && cat $B/FIGURES.md
sim-raft: $B/tests/sim/main
	$Q$< $(SIM_OPTIONS)

# Real daemons in namespaces of their own, and a nemesis drawn from SEED.
chaos: all
	$Qtests/chaos/run $B --minutes $(or $(MINUTES),10) \
		$(if $(SEED),--seed $(SEED)) $(if $(REPLICAS),--replicas $(REPLICAS)) \
		$(if $(PROFILE),--profile $(PROFILE)) $(if $(ONLY),--only $(ONLY))

install: all
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(PROGRAMS) deploy/berth-audit-verify \
		$(DESTDIR)$(PREFIX)/bin
install-deps:
	deploy/install-deps --test
clean:
	rm -rf build
help:
	@sed -n '/^$$/q;s/^# \{0,1\}//p' Makefile

# The lease protocol alone, state by state (tests/model/README.md).
.PHONY: model
$B/tests/model/main: $(call objects,tests/model)
	$Q$(CC) $(LDFLAGS_ALL) -o $@ $^
$B/tests/model/trace/main: $(call objects,tests/model/trace)
	$Q$(CC) $(LDFLAGS_ALL) -o $@ $^
# The simulator, telling each of its steps to BERTH_SIM_STEPS.
STEPS := fsm_apply oracle_open oracle_close fencer__settle $(addprefix tenure_,\
	init found tick end hello challenge adopt mark reply gate dead)
$B/tests/sim/steps/main: $(call objects,tests/sim/steps) $(WHOLE)
	$Q$(CC) $(LDFLAGS_ALL) $(addprefix -Wl$(comma)--wrap=,$(STEPS)) -o $@ $^ \
		$(LIBS_ALL)
model: $B/tests/model/main
	$Q$B/tests/model/main --out build

-include $(shell find $B -name '*.d' 2>/dev/null)
