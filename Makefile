# Every target is one command that can be typed as well.
.PHONY: serve test ci generate lock sbom

serve:
	./ledger serve

test:
	./ledger test

ci:
	.ci/run

# Writes generated/ from protos/.
generate:
	.venv/bin/python tools/generate.py

# Writes the four locks: what serves, what checks, what the image runs, what builds the wheel.
COMPILE = uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header --no-annotate
lock:
	$(COMPILE) --extra embedded -o requirements.lock
	$(COMPILE) --extra embedded --group dev -c requirements.lock -o requirements-dev.lock
	$(COMPILE) -c requirements.lock -o requirements-image.lock
	uv pip compile --quiet --group build --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --no-annotate \
		-c requirements-dev.lock -o requirements-build.lock

# Writes sbom.cdx.json, the bill of materials (CycloneDX) of what the image runs, from its lock.
sbom:
	uvx --from cyclonedx-bom==7.5.0 cyclonedx-py requirements requirements-image.lock \
		--pyproject pyproject.toml --output-reproducible --output-file sbom.cdx.json
