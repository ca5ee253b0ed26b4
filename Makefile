# revived: build, check, test, install. `make help` lists the targets.
# install and uninstall need nothing but make, coreutils, sed and what `make build` left in dist/.
NODE ?= node
BIN := node_modules/.bin
VERSION := $(shell sed -n 's/^ *"version": "\(.*\)",$$/\1/p' package.json)

DESTDIR ?=
PREFIX ?= /usr
SYSCONFDIR ?= /etc
LIBDIR ?= $(PREFIX)/lib/revived
DATADIR ?= $(PREFIX)/share
# The bus and polkit read these from fixed places, whatever PREFIX is; Debian's zsh has a directory of its own.
BUSPOLICYDIR ?= $(if $(filter /usr,$(PREFIX)),$(DATADIR),$(SYSCONFDIR))/dbus-1/system.d
POLKITDIR ?= /usr/share/polkit-1/actions
ZSHDIR ?= $(DATADIR)/zsh/$(if $(wildcard /etc/debian_version),vendor-completions,site-functions)
# node of the host that gets it; the unit names it.
HOST_NODE ?= /usr/bin/node

# All that a fresh Debian lacks for `make test`, apart from node itself (20.11 or newer) with npm.
DEBIAN_PACKAGES := ca-certificates dbus e2fsprogs gcc git libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu \
  make man-db mmdebstrap pciutils polkitd qemu-system-x86 qemu-utils shellcheck strace systemd util-linux xz-utils

.PHONY: all build help deps check lint types knip static shell test test-unit test-integration test-lab bench demo \
  install uninstall dist clean
all: build

help:
	@echo 'build             dist/revived.mjs, dist/revivectl.mjs, dist/interfaces/'
	@echo 'test              check, then all tests; the last line is "N passed, N failed"'
	@echo 'check             lint, types, unused code, house rules, shell scripts'
	@echo 'test-unit, test-integration, test-lab [LAB_RELEASE=bookworm]'
	@echo 'bench, demo       figures; the recovery of a dead card in the lab'
	@echo 'deps              installs the Debian packages that the tests need'
	@echo 'install, uninstall [DESTDIR=] [PREFIX=/usr] [SYSCONFDIR=/etc] [HOST_NODE=/usr/bin/node]'
	@echo 'uninstall FORCE=1  also while cards are away from home'
	@echo 'dist              revived-$(VERSION).tar.gz, from which `make install` works without npm'

# --- build -----------------------------------------------------------------------------------------------------------

sources := $(shell find daemon -name '*.ts' -o -name '*.json' 2>/dev/null)
test_sources := $(shell find test -name '*.ts' 2>/dev/null)
packages := node_modules/.package-lock.json

# Dependencies in CommonJS ask for node's own modules through require().
require := import{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);
esbuild := $(BIN)/esbuild --bundle --platform=node --format=esm --target=node20 --log-level=warning
bundle := $(esbuild) --external:usocket --legal-comments=none --define:VERSION='"$(VERSION)"'

build: dist/revived.mjs dist/revivectl.mjs dist/interfaces/.done

# Not `npm ci`: it wants every platform's build of biome and oxc in the lock file, and a registry need not have them all.
# This installs what is locked just the same, and leaves the lock file as it is.
$(packages): package.json package-lock.json
	npm install --no-save
	touch $@

dist/revived.mjs: daemon/main.ts $(sources) package.json $(packages)
	$(bundle) $< --outfile=$@ --banner:js='$(require)'

dist/revivectl.mjs: daemon/ctl/main.ts $(sources) package.json $(packages)
	$(bundle) $< --outfile=$@ --banner:js="$$(printf '%s\n' '#!/usr/bin/env node' '$(require)')"
	chmod +x $@

dist/interfaces/.done: dist/revived.mjs
	rm -rf $(@D)
	mkdir -p $(@D)
	timeout 30 $(NODE) dist/revived.mjs --introspect $(@D)
	touch $@

# What the unit tests share is in chunks, made and loaded once. All else is whole in its file: some of it is run elsewhere.
unit_sources := $(filter test/unit/%,$(test_sources))
test_bundle := $(esbuild) --packages=external --sourcemap=inline --sources-content=false \
  --outbase=test --outdir=build/test --out-extension:.js=.mjs

build/test/.done: $(sources) $(test_sources) package.json $(packages)
	@echo 'esbuild: build/test'
	@rm -rf build/test
	@$(test_bundle) $(filter %.test.ts,$(unit_sources)) --splitting --chunk-names=chunks/[hash]
	@$(test_bundle) $(filter-out $(unit_sources),$(test_sources))
	@touch $@

# --- check and test --------------------------------------------------------------------------------------------------

check: lint types knip static shell

lint: $(packages)
	$(BIN)/biome ci --error-on-warnings
types: $(packages)
	$(BIN)/tsc -p .
knip: $(packages)
	$(BIN)/knip
static: build/test/.done
	$(NODE) build/test/static/main.mjs
# Every shell script, by its first line or its name, with what it sources. SC2317: the lab's `check` calls functions by name.
shell:
	git ls-files -z --cached --others --exclude-standard | xargs -0 awk \
	  'FNR == 1 && (/^#!.*\/(env )?(ba|da)?sh( |$$)/ || FILENAME ~ /\.bash$$/) { printf "%s%c", FILENAME, 0 }' | \
	  xargs -0 shellcheck --external-sources --check-sourced --source-path=SCRIPTDIR:test/lab --exclude=SC2317

suites := $(NODE) --enable-source-maps build/test/run.mjs

test: check build build/test/.done
	$(suites) unit integration lab
test-unit: build/test/.done
	$(suites) unit
test-integration: build build/test/.done
	$(suites) integration
test-lab: build build/test/.done
	$(suites) lab lab-long
export LAB_RELEASE

bench: build build/test/.done
	$(NODE) --enable-source-maps build/test/bench/main.mjs
demo:
	@test/demo/demo

deps:
	@missing=; for package in $(DEBIAN_PACKAGES); do \
	  dpkg-query -W -f='$${Status}' "$$package" 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" != 0 ]; then \
	  echo "These packages are missing. As root: apt-get install --no-install-recommends$$missing" >&2; exit 1; \
	elif [ -n "$$missing" ]; then \
	  apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $$missing || exit 1; \
	fi
	@$(NODE) -e 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 11) ? 0 : 1)' || \
	  { echo 'node 20.11 or newer is needed, with npm: Debian 13 has it, for others see https://nodejs.org' >&2; exit 1; }

# --- install ---------------------------------------------------------------------------------------------------------

# Mode, source, target: what install puts there and uninstall takes away.
define MANIFEST
0644 dist/revived.mjs $(LIBDIR)/revived.mjs
0755 dist/revivectl.mjs $(LIBDIR)/revivectl.mjs
0755 hooks/50-revived $(SYSCONFDIR)/libvirt/hooks/qemu.d/50-revived
0644 units/revived.service $(PREFIX)/lib/systemd/system/revived.service
0644 units/revived.tmpfiles.conf $(PREFIX)/lib/tmpfiles.d/revived.conf
0644 units/org.revived.service $(DATADIR)/dbus-1/system-services/org.revived.service
0644 units/org.revived.conf $(BUSPOLICYDIR)/org.revived.conf
0644 dist/interfaces/org.revived1.Manager.xml $(DATADIR)/dbus-1/interfaces/org.revived1.Manager.xml
0644 dist/interfaces/org.revived1.Card.xml $(DATADIR)/dbus-1/interfaces/org.revived1.Card.xml
0644 dist/interfaces/org.revived1.Domain.xml $(DATADIR)/dbus-1/interfaces/org.revived1.Domain.xml
0644 dist/interfaces/org.revived1.Job.xml $(DATADIR)/dbus-1/interfaces/org.revived1.Job.xml
0644 units/org.revived1.policy $(POLKITDIR)/org.revived1.policy
0644 units/man/revived.8 $(DATADIR)/man/man8/revived.8
0644 units/man/revivectl.1 $(DATADIR)/man/man1/revivectl.1
0644 units/completions/revivectl.bash $(DATADIR)/bash-completion/completions/revivectl
0644 units/completions/_revivectl $(ZSHDIR)/_revivectl
0644 units/completions/revivectl.fish $(DATADIR)/fish/vendor_completions.d/revivectl.fish
endef
export MANIFEST

# libvirt looks for hooks when it starts or is reloaded, not when a file appears.
reload_libvirt := for unit in libvirtd virtqemud; do \
  if systemctl --quiet is-active $$unit.service; then systemctl reload $$unit.service || exit 1; fi; done
live := [ -z '$(DESTDIR)' ] && [ -d /run/systemd/system ]
define NO_NODE
$(HOST_NODE) is no program, and the service is run by it. Install Node.js 20 or later (Debian 13: apt-get install nodejs), or name
yours, which must not be below /home or /root, where the service cannot see it: make install HOST_NODE=/path/to/node
endef
export NO_NODE

# A symlink, because node takes a file for a module by its name.
install:
	@[ -e dist/interfaces/.done ] || { echo "dist/ is not built: run 'make build' first, as yourself." >&2; exit 1; }
	@if $(live) && ! { [ -f '$(HOST_NODE)' ] && [ -x '$(HOST_NODE)' ]; }; then printf '%s\n' "$$NO_NODE" >&2; exit 1; fi
	@printf '%s\n' "$$MANIFEST" | while read -r mode source target; do \
	  echo "$(DESTDIR)$$target"; [ -s "$$source" ] || { echo "$$source is missing or empty." >&2; exit 1; }; \
	  sed -e '1s|^#!/usr/bin/env node$$|#!$(HOST_NODE)|' -e 's|@libdir@|$(LIBDIR)|g' -e 's|@node@|$(HOST_NODE)|g' "$$source" | \
	    install -D -m "$$mode" /dev/stdin "$(DESTDIR)$$target" || exit 1; \
	done
	install -d '$(DESTDIR)$(PREFIX)/bin'
	ln -sf '$(LIBDIR)/revivectl.mjs' '$(DESTDIR)$(PREFIX)/bin/revivectl'
	@if $(live); then set -ex; \
	  systemd-tmpfiles --create revived.conf; \
	  systemctl daemon-reload; \
	  busctl --quiet call org.freedesktop.DBus / org.freedesktop.DBus ReloadConfig; \
	  systemctl enable revived.service; \
	  systemctl restart revived.service; \
	  $(reload_libvirt); \
	fi

# Only the daemon knows the way home of what is lent, and libvirt does not rebind what it has not bound. The file is as
# daemon/pipeline/lease.ts writes it; one that cannot be read counts as full.
FORCE ?=
leases := /run/revived/leases.json
cards_away := [ -e $(leases) ] && [ -z "$$(sed -n '/"leases":\[\]/p' $(leases))" ]
define CARDS_AWAY
Cards are away from home ($(leases)). Without revived they stay on vfio-pci, even when their guest has stopped, until the host
reboots. 'revivectl status' names them. Bring them home first: shut the guest down; 'revivectl return CARD' for a card that was taken
by hand; 'revivectl reset CARD' for a stranded one. To uninstall all the same: make uninstall FORCE=1
endef
export CARDS_AWAY

# What the user wrote and what was learnt about the cards stays: /etc/revived and /var/lib/revived; and leases that are still needed.
uninstall:
	@if [ -z '$(FORCE)' ] && $(live) && $(cards_away); then printf '%s\n' "$$CARDS_AWAY" >&2; exit 1; fi
	@if $(live); then set -x; systemctl disable --now revived.service || :; fi
	@printf '%s\n' "$$MANIFEST" | while read -r _mode _source target; do rm -fv "$(DESTDIR)$$target" || exit 1; done
	rm -f '$(DESTDIR)$(PREFIX)/bin/revivectl'
	-rmdir --ignore-fail-on-non-empty '$(DESTDIR)$(LIBDIR)' '$(DESTDIR)$(SYSCONFDIR)/libvirt/hooks/qemu.d'
	@if $(live); then set -ex; \
	  { $(cards_away); } || rm -rf /run/revived; \
	  systemctl daemon-reload; \
	  busctl --quiet call org.freedesktop.DBus / org.freedesktop.DBus ReloadConfig; \
	  $(reload_libvirt); \
	fi

dist: build
	tar -czf revived-$(VERSION).tar.gz --transform='s,^,revived-$(VERSION)/,' LICENSE Makefile README.md package.json dist hooks units

clean:
	rm -rf build dist revived-$(VERSION).tar.gz
