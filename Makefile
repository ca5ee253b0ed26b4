# Filled in by the scaffold work; test-unit is here so that everybody can run tests from the first hour.
NODE ?= node
BIN := node_modules/.bin
build/test/.done: $(shell find daemon test -name '*.ts' 2>/dev/null) package.json
	rm -rf build/test && $(BIN)/esbuild $$(find test -name '*.ts' -not -path 'test/lab/*') --bundle --platform=node --format=esm --target=node20 --packages=external --sourcemap=inline --outdir=build/test --out-extension:.js=.mjs --log-level=warning
	touch $@
.PHONY: test-unit
test-unit: build/test/.done
	$(NODE) --enable-source-maps --test $$(find build/test/unit -name '*.test.mjs')
