PYTHON ?= python3
SWAGGER_UI_VERSION := 5.35.0
SWAGGER_UI_FILES := LICENSE NOTICE favicon-32x32.png swagger-ui.css \
	swagger-ui-bundle.js swagger-ui-bundle.js.LICENSE.txt
SWAGGER_UI_SHA512 := U06rpMtW9V3XPGOBeamTUSr0Z09jMX4IJuANpE/EZbAhw0G8CgwrzU4YmXkn/h0wCDNsXdGarTNNHC3sU8yVUQ==
UPLOT_VERSION := 1.6.32
UPLOT_FILES := LICENSE dist/uPlot.esm.js dist/uPlot.min.css
UPLOT_SHA512 := KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==
AXE_VERSION := 4.14.1
AXE_FILES := LICENSE axe.min.js
AXE_SHA512 := FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==

VENV := .venv
BENCH_VENV := .venv-bench
PY := $(VENV)/bin/python
BENCH_PY := $(BENCH_VENV)/bin/python
PIP := $(PY) -m pip -qq --disable-pip-version-check --no-input
UV := $(VENV)/uv/bin/uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help run test trust mutants audit sbom pin-images check bench bench-quick matrix lock swagger-ui uplot axe \
	screenshots reference-pages clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.run ## install, load the sample report and start the server
	@$(VENV)/bin/elecdata load Monitoring_report.csv
	@exec $(VENV)/bin/elecdata serve --welcome

test: $(VENV)/.dev ## run the tests, with a private MariaDB and Redis; ARGS go to pytest
	@tools/install-services.sh
	@$(call pytest,$(ARGS))

trust: $(VENV)/.dev $(VENV)/.fuzz ## run the long tests of security and failures (40 min); report in var/trust.md
	@tools/install-services.sh
	@$(call pytest,-m promise $(ARGS))

mutants: $(VENV)/.dev $(VENV)/.mutants ## check that the tests notice mistakes in the code (45 min); report in var/mutants
	@tools/install-services.sh
	@$(PY) -m tools.mutants $(ARGS)

audit: $(VENV)/.dev ## check the locked packages for known vulnerabilities
	$(PY) -m tools.vulnerabilities

sbom: $(VENV)/.dev ## list the contents of the image (CycloneDX) and all licences; after make lock
	@$(PY) -m tools.sbom $(ARGS)

pin-images: $(VENV)/.dev ## pin the base images in deploy/ to the digests that their tags have now
	@$(PY) -m tools.pin_images

check: $(VENV)/.dev ## check format, lint, types and vulnerabilities, then run the tests
	$(PY) -m ruff format --check
	$(PY) -m ruff check
	$(PY) -m mypy .
	$(PY) -m tools.vulnerabilities
	@$(MAKE) --no-print-directory test

bench: $(VENV)/.run $(BENCH_VENV)/.bench ## run all benchmarks (1 h); results in bench/results.*
	@tools/install-services.sh
	@$(BENCH_PY) -m bench full $(ARGS)

bench-quick: $(VENV)/.run $(BENCH_VENV)/.bench ## run the benchmarks that have a limit; fail if one is exceeded
	@tools/install-services.sh
	@$(BENCH_PY) -m bench quick $(ARGS)

matrix: ## run the README's commands on minimal Debian systems, and the tests with each Python (root)
	@$(PYTHON) -m tools.matrix $(ARGS)

lock: $(UV) ## regenerate the locked requirements; ARGS (--upgrade) go to uv
	$(COMPILE) $(ARGS) pyproject.toml -o requirements.txt
	$(COMPILE) $(ARGS) pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt
	$(COMPILE) $(ARGS) --group fuzz -o requirements-fuzz.txt
	$(COMPILE) $(ARGS) --group mutants -c requirements-dev.txt -o requirements-mutants.txt
	$(COMPILE) $(ARGS) bench/requirements.in -c requirements.txt -o bench/requirements.txt

swagger-ui: ## download Swagger UI (SWAGGER_UI_VERSION) from npm
	@$(call fetch,swagger-ui-dist@$(SWAGGER_UI_VERSION),$(SWAGGER_UI_SHA512),server/web/static/swagger,$(SWAGGER_UI_FILES))
	@echo $(SWAGGER_UI_VERSION) >server/web/static/swagger/VERSION

uplot: ## download uPlot (UPLOT_VERSION) from npm
	@$(call fetch,uplot@$(UPLOT_VERSION),$(UPLOT_SHA512),server/web/static/uplot,$(UPLOT_FILES))
	@echo $(UPLOT_VERSION) >server/web/static/uplot/VERSION

axe: ## download axe-core (AXE_VERSION), for the accessibility tests, from npm
	@mkdir -p tests/web/axe
	@$(call fetch,axe-core@$(AXE_VERSION),$(AXE_SHA512),tests/web/axe,$(AXE_FILES))
	@echo $(AXE_VERSION) >tests/web/axe/VERSION

screenshots: $(VENV)/.dev ## regenerate the screenshots in docs/
	@tools/install-services.sh
	@$(PY) -m tools.screenshots

reference-pages: $(VENV)/.dev ## regenerate configuration.md and command-line.md in docs/reference, and the examples of /v1
	@$(PY) -m tools.configuration_page
	@$(PY) -m tools.command_line_page
	@$(PY) -m tools.v1_examples

# The list of missing programs comes last; the status is that of the tests, unless the list has to be
# empty.
pytest = $(PY) -m pytest --numprocesses auto --dist worksteal $1; status=$$?; \
	tools/install-services.sh --missing && exit $$status

# $1: an npm package, $2: the sha512 of its archive, $3: the target folder, $4: the files
fetch = command -v npm >/dev/null || { echo "npm is not installed; it is needed to download $1" >&2; exit 1; }; \
	set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	npm pack --json --pack-destination "$$folder" $1 >"$$folder/packed" 2>/dev/null \
		|| { echo "npm cannot download $1" >&2; exit 1; }; \
	grep -qF '"sha512-$2"' "$$folder/packed" \
		|| { echo "$1: the sha512 differs from the one in the Makefile" >&2; exit 1; }; \
	for file in $4; do tar -xzOf "$$folder"/*.tgz package/$$file \
		>$3/$${file\#\#*/}; done

clean: ## remove the environments and caches, but not the data in var
	rm -rf $(VENV) $(BENCH_VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps record which requirements are installed; both kinds share one environment.
$(VENV)/.run: requirements.txt | $(VENV)/bin/elecdata
$(VENV)/.dev: requirements-dev.txt | $(VENV)/bin/elecdata
$(VENV)/.run $(VENV)/.dev:
	@echo "Installing $< into $(VENV)"
	@$(PIP) install --require-hashes -r $<
	@touch $@

# The fuzzer runs on Linux x86-64 only; the report says where it was skipped.
$(VENV)/.fuzz: requirements-fuzz.txt | $(VENV)/.dev
	@echo "Installing $< into $(VENV)"
	@$(PIP) install --require-hashes -r $< || echo "atheris is not available: the fuzz tests are skipped"
	@touch $@

$(VENV)/.mutants: requirements-mutants.txt | $(VENV)/.dev
	@echo "Installing $< into $(VENV)"
	@$(PIP) install --require-hashes -r $<
	@touch $@

$(BENCH_VENV)/.bench: bench/requirements.txt | $(PY)
	@echo "Installing $< into $(BENCH_VENV)"
	@$(PY) -m venv --clear $(BENCH_VENV)
	@$(BENCH_PY) -m pip -qq --disable-pip-version-check --no-input install --require-hashes -r $<
	@touch $@

$(VENV)/bin/elecdata: | $(PY)
	@ln -sf ../../bin/elecdata $@

$(UV): | $(PY)
	@$(PIP) install --target $(VENV)/uv uv

$(PY):
	@command -v $(PYTHON) >/dev/null || \
		{ echo "$(PYTHON) is not installed: Python 3.11 to 3.14 is needed" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || \
		{ echo "Python 3.11 to 3.14 is needed, and $(PYTHON) is another version;" \
		"choose another one: make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot create virtual environments; on Debian and Ubuntu:" \
		"apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
