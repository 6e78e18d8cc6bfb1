"""Generates generated/ from protos/: messages, typed stubs, nothing edited.

`python tools/generate.py [DIRECTORY]` writes to DIRECTORY instead of generated/;
the house test does so and compares.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent


def generate(directory: Path) -> None:
    """Writes the stubs of every proto under protos/ to the directory."""
    protos = ROOT / "protos"
    sources = sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))
    directory.mkdir(parents=True, exist_ok=True)
    arguments = [
        "protoc",
        f"--proto_path={protos}",
        f"--proto_path={files('grpc_tools') / '_proto'}",
        f"--python_out={directory}",
        f"--grpc_python_out={directory}",
        f"--plugin=protoc-gen-mypy={Path(sys.executable).parent / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={Path(sys.executable).parent / 'protoc-gen-mypy_grpc'}",
        f"--mypy_out=quiet:{directory}",
        f"--mypy_grpc_out=quiet:{directory}",
        *sources,
    ]
    code = protoc.main(arguments)
    if code != 0:
        raise SystemExit(code)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "generated")
