"""JSON of texts, written by hand where there is one for every transaction of a batch."""

from __future__ import annotations

import json
from collections.abc import Mapping

quoted = json.encoder.encode_basestring


def pairs(texts: Mapping[str, str]) -> str:
    """Texts by name, such as metadata."""
    return "{" + ",".join([f"{quoted(name)}:{quoted(text)}" for name, text in texts.items()]) + "}"
