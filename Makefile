# The commands that a newcomer and CI both use. `make run` and `make test` are all the set-up there is.

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
REVISION = $(shell git rev-parse HEAD 2>/dev/null)
SOURCE  ?=
LABELS   = --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --build-arg SOURCE=$(SOURCE)

.PHONY: run test check bench bench-mirrors bench-database images load push archives version test-cluster smoke walk figures deny sbom trust soak

# Both programs in one command, in this folder; then: curl http://localhost:8000/data
run:
	cargo build
	target/debug/echo -- target/debug/generator

# What needs a browser, a client, promtool, root or an engine is skipped where there is none, and says so. Most of these
# tests wait more than they work, so some run side by side.
test:
	cargo test --no-run --quiet
	$(MAKE) --no-print-directory --jobs 3 --output-sync=target $(TESTS)

TESTS = test-programs test-network test-page test-images test-streams test-conformance test-metrics
.PHONY: $(TESTS)
# The programs leave a signal ignored that they find ignored, as after nohup; so the tests begin with none.
test-programs:
	env --default-signal cargo test --quiet
test-network test-page test-images test-streams test-conformance test-metrics: test-%:
	tests/$*/run

# The form of the code: nothing here runs it.
check:
	cargo fmt --check
	cargo clippy --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --document-private-items --quiet

# The four images, as `latest` and as the version.
images:
	docker build $(LABELS) -t appcoup -t appcoup:$(VERSION) .
	docker build $(LABELS) -t appcoup/generator -t appcoup/generator:$(VERSION) -f generator.Dockerfile .
	docker build $(LABELS) -t appcoup/echo -t appcoup/echo:$(VERSION) -f echo.Dockerfile .
	docker build $(LABELS) -t appcoup/web -t appcoup/web:$(VERSION) -f web.Dockerfile .

# Gives them to the cluster of the current context, and says how: kind, minikube, k3d, k3s, Docker Desktop or LOAD_IMAGES.
load:
	scripts/load

# The programs out of the images of this machine's architecture, which are static, with checksums: target/dist
ARCHIVE = appcoup-$(VERSION)-linux-$(shell uname -m)
archives:
	rm -rf target/dist && mkdir -p target/dist/$(ARCHIVE)
	for program in echo generator web; do \
	  container=$$(docker create appcoup/$$program:$(VERSION)) && docker cp $$container:/$$program target/dist/$(ARCHIVE)/ && \
	  docker rm --volumes $$container >/dev/null || exit; \
	done
	cp LICENSE README.md target/dist/$(ARCHIVE)/
	awk '/^## / { here = index($$0, "## $(VERSION)") == 1; next } here' CHANGELOG.md >target/dist/notes.md
	cd target/dist && tar -czf $(ARCHIVE).tar.gz --sort=name --owner=0 --group=0 $(ARCHIVE) && sha256sum $(ARCHIVE).tar.gz >$(ARCHIVE).tar.gz.sha256

# Writes the version of Cargo.toml where no program can look it up: the lock files and the images' tag for Kubernetes.
version:
	cargo update --workspace --quiet
	cargo update --workspace --quiet --manifest-path fuzz/Cargo.toml
	sed -i 's/newTag: .*/newTag: $(VERSION)/' deploy/base/kustomization.yaml

# The verdict on the cluster of the current context, check by check; needs the images there.
smoke:
	deploy/smoke/run

# The commands of docs/couplings.md, run in order on the cluster of the current context, and what they print compared.
walk:
	tests/cluster/walk

# The figures in README and docs/, the command that made each, and which are older than the code that they measure.
figures:
	scripts/figures

# What a mirror adds to the time from an append to its being seen; tells, and writes nothing.
bench-mirrors:
	cargo build --release
	python3 bench/mirrors.py

# How fast web stores a followed file in a Postgres of this machine; tells, and writes nothing.
bench-database:
	cargo build --release
	bench/database

# End to end on the cluster of the current context; needs the images.
test-cluster:
	tests/cluster/run

# How fast it is, beside nginx, python and a C loop that does nothing but answer: takes a quarter of an hour, needs a C compiler
# and python3, and should have the machine to itself. Writes the figures into docs/.
bench:
	bench/run

# Gives the four images to REGISTRY (a host and a namespace), under TAG.
TAG ?= $(VERSION)
push:
	for image in appcoup appcoup/generator appcoup/echo appcoup/web; do \
	  docker tag $$image:$(VERSION) $(REGISTRY)/$$image:$(TAG) && docker push $(REGISTRY)/$$image:$(TAG) || exit; \
	done

# Licences, sources, bans and doubles of what the programs are built from. Advisories need a database from the network:
# `cargo deny check advisories`.
deny:
	cargo deny check licenses bans sources

# What each program is built from, as CycloneDX: target/sbom/*.cdx.json
sbom:
	mkdir -p target/sbom
	for program in generator echo web; do scripts/sbom $$program >target/sbom/$$program.cdx.json || exit; done

# What tries to break it: long, and as root. CI does a minute of `make soak`.
trust: deny
	cargo check --quiet --manifest-path fuzz/Cargo.toml
	env --default-signal cargo test --quiet -- --include-ignored
	tests/trust/run
	tests/trust/identity
	tests/trust/init
	tests/trust/syscalls
	cargo build --release --quiet && tests/trust/memory
	tests/trust/reproducible
	tests/trust/soak $(or $(DURATION),1h)

# All at once, for so long: make soak DURATION=60s
soak:
	cargo build --quiet
	tests/trust/soak $(or $(DURATION),60s)
