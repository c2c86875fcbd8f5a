# SPDX-License-Identifier: Apache-2.0
# The only entry point. `make help` lists the targets.
# build/ holds everything that is made; nothing is written beside the sources.

OUTPUT  ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
V       ?= 0
T       ?=
TIME    ?= 60
SEED    ?=
KILLS   ?= 200
KERNELS ?= 5.10 6.1 6.12 7.2

CC      ?= gcc
CLANG   ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool) bpftool)
ARCH    := $(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/')
VERSION := 0.1.0

ifeq ($(V),1)
Q =
msg =
else
Q = @
msg = @printf '  %-8s %s\n' '$(1)' '$(patsubst $(OUTPUT)/%,%,$(2))';
MAKEFLAGS += --no-print-directory
endif

PACKAGES := libbpf libelf zlib libprotobuf-c libcurl libnghttp2 sqlite3 libsodium \
            libmicrohttpd libcjson libcap-ng libzstd
ifneq ($(MAKECMDGOALS),help)
ifneq ($(MAKECMDGOALS),deps)
HAVE_ISAL := $(shell pkg-config --exists libisal 2>/dev/null && echo 1)
PACKAGES += $(if $(HAVE_ISAL),libisal)
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)
endif
endif

WARN    := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 \
           -Wundef -Wno-unused-parameter -Wno-format-nonliteral
CFLAGS  ?= -O2 -g
CPPFLAGS_ALL := -D_GNU_SOURCE -DREQTAP_VERSION='"$(VERSION)"' -I. -I$(OUTPUT) $(if $(HAVE_ISAL),-DHAVE_ISAL) \
                $(PKG_CFLAGS) $(CPPFLAGS)
CFLAGS_ALL   := -std=gnu11 $(WARN) -MMD -MP $(CFLAGS)
LDLIBS_ALL   := $(PKG_LIBS) -lpthread $(LDLIBS)
SAN     := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

BPF_SRC  := $(wildcard bpf/*.bpf.c)
BPF_OBJ  := $(BPF_SRC:%.c=$(OUTPUT)/%.o)
BPF_FLAGS := -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -Wall -Wextra -Werror \
             -Wno-unused-parameter -Wno-missing-declarations -ffile-prefix-map=$(CURDIR)=. -I. -MMD -MP
SKEL     := $(OUTPUT)/reqtap.skel.h

PROTO_C  := $(OUTPUT)/proto/otlp.pb-c.c
AGENT_SRC := $(wildcard agent/*.c)
AGENT_OBJ := $(AGENT_SRC:%.c=$(OUTPUT)/%.o) $(PROTO_C:.c=.o)
LIB_OBJ   := $(filter-out $(OUTPUT)/agent/main.o,$(AGENT_OBJ))
SAN_OBJ   := $(LIB_OBJ:$(OUTPUT)/%=$(OUTPUT)/san/%)
UNIT      := $(patsubst tests/unit/%.c,$(OUTPUT)/unit/%,$(wildcard tests/unit/test_*.c))
FUZZ      := $(patsubst tests/fuzz/%.c,$(OUTPUT)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
BENCH     := $(patsubst tests/bench/%.c,$(OUTPUT)/bench/%,$(wildcard tests/bench/*.c))
LIVE      := $(patsubst tests/live/%.c,$(OUTPUT)/live/%,$(wildcard tests/live/*.c)) \
             $(OUTPUT)/live/reqtap-other $(OUTPUT)/bench/ship $(OUTPUT)/bench/connection
PAGE      := $(OUTPUT)/page/serve
VM        := $(OUTPUT)/vm/fields $(OUTPUT)/vm/probe_load

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: help all demo check unit live pythons kills flood servers page cost soak churn vmtest chart image image-check lint format fuzz fuzz-replay bench deps install clean

help: ## this list
	@awk -F': .*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

all: deps ## build build/reqtap
	$(Q)$(MAKE) $(OUTPUT)/reqtap

deps: ## install what is missing, by Debian package name (root)
	$(Q)tests/deps.sh build

demo: ## see what reqtap is for, in about 15 seconds (root)
	$(Q)tests/deps.sh build demo
	$(Q)$(MAKE) $(OUTPUT)/reqtap
	$(Q)tests/demo/demo

check: ## every test that belongs to every change (root)
	$(Q)tests/deps.sh build test vm
	$(Q)$(MAKE) -j2 $(OUTPUT)/reqtap $(UNIT) $(FUZZ) $(LIVE) $(VM)
	$(Q)$(MAKE) lint
	$(Q)/usr/bin/python3 tests/run.py --output $(OUTPUT) unit fuzz vm+live

unit: $(UNIT) ## unit tests under ASan and UBSan; T=line runs one
	$(Q)/usr/bin/python3 tests/run.py --output $(OUTPUT) --only '$(T)' unit

live: $(OUTPUT)/reqtap $(LIVE) ## tests against real servers on this kernel (root); T=name runs one
	$(Q)/usr/bin/python3 tests/run.py --output $(OUTPUT) --only '$(T)' live

page: $(OUTPUT)/reqtap $(PAGE) ## the page in a real Chromium; TIME=60 seconds of live tail; screenshots under build/page/
	$(Q)tests/deps.sh build page
	$(Q)PAGE_SECONDS='$(TIME)' /usr/bin/python3 tests/run.py --output $(OUTPUT) --only '$(T)' page

servers: $(OUTPUT)/reqtap ## attribution on every server of tests/servers/ (root); T=name runs one
	$(Q)tests/deps.sh build test servers
	$(Q)/usr/bin/python3 tests/servers/matrix.py --output $(OUTPUT) --only '$(T)'

pythons: $(OUTPUT)/reqtap ## CPython's offsets and contexts, 3.14 of Debian's next release too (root)
	$(Q)tests/deps.sh build test vm
	$(Q)/usr/bin/python3 tests/live/python_fetch.py $(OUTPUT)/pythons
	$(Q)PYTHONS=$(OUTPUT)/pythons PYTHON_HEADERS=$(OUTPUT)/pythons/tree \
	  /usr/bin/python3 tests/run.py --output $(OUTPUT) --only python live

kills: $(OUTPUT)/reqtap $(LIVE) ## kill -9 the agent KILLS=200 times under load, and restart it (root)
	$(Q)KILLS=$(KILLS) /usr/bin/python3 tests/run.py --output $(OUTPUT) --only node_kill --timeout 3000 live

churn: $(OUTPUT)/reqtap ## 100 containers come, go and are relabelled for 10 minutes (root)
	$(Q)REQTAP_CHURN_S=600 REQTAP_CHURN_COUNT=100 /usr/bin/python3 tests/live/test_node_churn.py

cost: $(OUTPUT)/reqtap ## requests a second of services at their maximum, captured beside plain (root)
	$(Q)tests/deps.sh build test servers
	$(Q)/usr/bin/python3 tests/servers/cost.py --output $(OUTPUT) --only '$(T)'

flood: $(OUTPUT)/reqtap $(LIVE) ## eight processes log 300,000 lines a second for TIME=60 seconds: each once, or told as lost (root)
	$(Q)FLOOD_S='$(TIME)' /usr/bin/python3 tests/run.py --output $(OUTPUT) --only flood --timeout 1200 live

soak: TIME = 1800
soak: $(OUTPUT)/reqtap ## servers that restart at random for TIME seconds: maps empty again, no growth (root)
	$(Q)tests/deps.sh build test servers
	$(Q)/usr/bin/python3 tests/servers/soak.py --output $(OUTPUT) --time $(TIME)

fuzz: $(FUZZ) ## fuzz every parser for TIME seconds each; T=line fuzzes one
	$(Q)tests/fuzz/fuzz.sh $(OUTPUT) '$(TIME)' '$(T)'

vmtest: $(OUTPUT)/reqtap $(LIVE) $(VM) ## live tests on other kernels under qemu, both plans, and the agent with cgroup v2 alone; KERNELS="5.10 6.1 6.12 7.2"
	$(Q)tests/deps.sh build test vm
	$(Q)/usr/bin/python3 tests/vm/vm.py --output $(OUTPUT) --kernels '$(KERNELS)' --only '$(T)'

bench: $(OUTPUT)/reqtap $(BENCH) ## measure the budgets; JSON and a plot under build/bench/
	$(Q)tests/deps.sh build bench vm
	$(Q)/usr/bin/python3 tests/bench/bench.py --output $(OUTPUT) --only '$(T)'

chart: $(OUTPUT)/reqtap ## test the chart with the real helm and kubectl
	$(Q)tests/deps.sh build chart
	$(Q)/usr/bin/python3 tests/run.py --output $(OUTPUT) helm

image: $(OUTPUT)/reqtap ## build/image/reqtap.oci.tar and its SBOM, without a daemon (root)
	$(Q)tests/deps.sh build image
	$(Q)image/build.sh $(OUTPUT)/reqtap $(VERSION) $(OUTPUT)/image

image-check: $(OUTPUT)/reqtap ## build the image twice: the same digest, and the binary starts in it (root)
	$(Q)tests/deps.sh build image
	$(Q)image/check.sh $(OUTPUT)/reqtap $(VERSION) $(OUTPUT)/image

lint: ## style, shell, spelling, length of functions and map names
	$(Q)tests/lint.sh

format: ## apply .clang-format
	$(Q)clang-format -i $(wildcard bpf/*.[ch] agent/*.[ch] vmlinux/*.h tests/*/*.[ch])

install: $(OUTPUT)/reqtap ## copy to DESTDIR/PREFIX
	install -D -m 755 $(OUTPUT)/reqtap $(DESTDIR)$(PREFIX)/bin/reqtap
	$(Q)for page in docs/*.1; do [ -e "$$page" ] || continue; \
	  install -D -m 644 "$$page" "$(DESTDIR)$(PREFIX)/share/man/man1/$${page##*/}"; done

clean: ## remove build/
	$(Q)rm -rf $(OUTPUT)

# ---- kernel side: each .bpf.c alone, linked into one object, one skeleton
$(OUTPUT)/bpf/%.bpf.o: bpf/%.bpf.c
	$(call msg,BPF,$@)mkdir -p $(@D) && $(CLANG) $(BPF_FLAGS) -c $< -o $@

$(OUTPUT)/reqtap.bpf.o: $(BPF_OBJ)
	$(call msg,LINK,$@)$(BPFTOOL) gen object $@ $(BPF_OBJ)

$(SKEL): $(OUTPUT)/reqtap.bpf.o
	$(call msg,SKEL,$@)$(BPFTOOL) gen skeleton $< name reqtap > $@

# ---- generated protocol code
$(OUTPUT)/proto/%.pb-c.c: proto/%.proto
	$(call msg,PROTO,$@)mkdir -p $(@D) && protoc-c --c_out=$(OUTPUT) $<

$(OUTPUT)/proto/%.pb-c.o: $(OUTPUT)/proto/%.pb-c.c
	$(call msg,CC,$@)$(CC) -std=gnu11 -O2 -g -ffile-prefix-map=$(OUTPUT)=build -I$(OUTPUT) -MMD -MP -c $< -o $@

$(OUTPUT)/san/proto/%.pb-c.o: $(OUTPUT)/proto/%.pb-c.c
	$(call msg,CC,$@)mkdir -p $(@D) && $(CC) -std=gnu11 -O1 -g $(SAN) -I$(OUTPUT) -MMD -MP -c $< -o $@

# ---- agent
$(OUTPUT)/agent/%.o: agent/%.c | $(PROTO_C) $(if $(BPF_SRC),$(SKEL))
	$(call msg,CC,$@)mkdir -p $(@D) && $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c $< -o $@

$(OUTPUT)/san/agent/%.o: agent/%.c | $(PROTO_C) $(if $(BPF_SRC),$(SKEL))
	$(call msg,CC,$@)mkdir -p $(@D) && $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -O1 $(SAN) -c $< -o $@

# the only file that sees the skeleton is rebuilt when a BPF program changes
$(OUTPUT)/agent/probe.o $(OUTPUT)/san/agent/probe.o: $(if $(BPF_SRC),$(SKEL))

# the page's files are read by the assembler
$(OUTPUT)/agent/page.o $(OUTPUT)/san/agent/page.o $(OUTPUT)/fuzzobj/agent/page.o: $(wildcard agent/page/*)

$(OUTPUT)/reqtap: $(AGENT_OBJ)
	$(call msg,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS_ALL) -o $@

# ---- tests: a unit test is linked with every module but main
$(OUTPUT)/libsan.a: $(SAN_OBJ)
	$(call msg,AR,$@)rm -f $@ && ar rcs $@ $^

$(OUTPUT)/unit/%: tests/unit/%.c $(OUTPUT)/libsan.a
	$(call msg,TEST,$@)mkdir -p $(@D) && $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -O1 $(SAN) -MF $@.d \
	  $< $(OUTPUT)/libsan.a $(LDLIBS_ALL) -lcmocka -o $@

$(OUTPUT)/fuzzobj/%.o: %.c | $(PROTO_C) $(if $(BPF_SRC),$(SKEL))
	$(call msg,CC,$@)mkdir -p $(@D) && $(CLANG) $(CPPFLAGS_ALL) -std=gnu11 -O1 -g -MMD -MP \
	  -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -c $< -o $@

$(OUTPUT)/fuzzobj/proto/%.o: $(OUTPUT)/proto/%.c
	$(call msg,CC,$@)mkdir -p $(@D) && $(CLANG) -std=gnu11 -O1 -g -I$(OUTPUT) \
	  -fsanitize=fuzzer-no-link,address,undefined -c $< -o $@

$(OUTPUT)/libfuzz.a: $(patsubst $(OUTPUT)/%,$(OUTPUT)/fuzzobj/%,$(LIB_OBJ))
	$(call msg,AR,$@)rm -f $@ && ar rcs $@ $^

$(OUTPUT)/fuzz/%: tests/fuzz/%.c $(OUTPUT)/libfuzz.a
	$(call msg,FUZZ,$@)mkdir -p $(@D) && $(CLANG) $(CPPFLAGS_ALL) -std=gnu11 -O1 -g -MMD -MP -MF $@.d \
	  -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
	  $< $(OUTPUT)/libfuzz.a $(LDLIBS_ALL) -o $@

$(OUTPUT)/bench/%: tests/bench/%.c $(LIB_OBJ)
	$(call msg,BENCH,$@)mkdir -p $(@D) && $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MF $@.d $< $(LIB_OBJ) $(LDLIBS_ALL) -o $@

# the kernel side and its loader alone, so that a guest needs few libraries
$(OUTPUT)/bench/cost: tests/bench/cost.c $(addprefix $(OUTPUT)/agent/,counter.o header.o probe.o pin.o plan.o preempt.o requests.o ring.o streams.o takeover.o tracepoint.o uprobe.o)
	$(call msg,BENCH,$@)mkdir -p $(@D) && $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MF $@.d $(filter %.c %.o,$^) \
	  -lbpf -lelf -lz -o $@

$(OUTPUT)/live/%: tests/live/%.c $(addprefix $(OUTPUT)/agent/,counter.o header.o probe.o pin.o plan.o preempt.o requests.o ring.o streams.o takeover.o tracepoint.o uprobe.o)
	$(call msg,LIVE,$@)mkdir -p $(@D) && $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MF $@.d $(filter %.c %.o,$^) \
	  -lbpf -lelf -lz -lutil -lpthread -o $@

# an agent of another contract: the upgrade that finds maps which are not its own
OTHER_CONTRACT := probe pin
$(OUTPUT)/other/%.o: agent/%.c $(SKEL) | $(PROTO_C)
	$(call msg,CC,$@)mkdir -p $(@D) && $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -DRT_CONTRACT=4242 -c $< -o $@

$(OUTPUT)/live/reqtap-other: $(filter-out $(OTHER_CONTRACT:%=$(OUTPUT)/agent/%.o),$(AGENT_OBJ)) \
                             $(OTHER_CONTRACT:%=$(OUTPUT)/other/%.o)
	$(call msg,LD,$@)mkdir -p $(@D) && $(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS_ALL) -o $@

$(OUTPUT)/page/%: tests/page/%.c $(LIB_OBJ)
	$(call msg,PAGE,$@)mkdir -p $(@D) && $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MF $@.d $< $(LIB_OBJ) $(LDLIBS_ALL) -o $@

$(OUTPUT)/vm/%: tests/vm/%.c
	$(call msg,VM,$@)mkdir -p $(@D) && $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MF $@.d $< -lbpf -lelf -lz -o $@

-include $(shell find $(OUTPUT) -path '*/vmtest' -prune -o -name '*.d' -type f -print 2>/dev/null)
