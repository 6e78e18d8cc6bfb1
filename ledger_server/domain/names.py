"""What names and free texts may look like: each check answers what is wrong, or None.

Names are compared bytewise and hashed into the chain, so they must have one
spelling only: Unicode NFC, nothing invisible. The checks are cached because the
same few thousand names come again with every post.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

NAME_LENGTH_MAX = 255
ASSET_CODE_LENGTH_MAX = 32
ASSET_SCALE_MAX = 36
KEY_LENGTH_MAX = 128
KIND_LENGTH_MAX = 64
TEXT_LENGTH_MAX = 255
METADATA_KEYS_MAX = 64
METADATA_KEY_LENGTH_MAX = 64
METADATA_VALUE_LENGTH_MAX = 1024
METADATA_BYTES_MAX = 8192

# Other, control, format, surrogate, private use and unassigned; and the two
# separators that a terminal shows as line breaks. Spaces proper (Zs) are allowed
# inside a segment.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _unprintable(text: str) -> str | None:
    for character in text:
        if unicodedata.category(character) in _UNPRINTABLE:
            return f"holds the unprintable character U+{ord(character):04X}"
    return None


def path_fault(name: str) -> str | None:
    """What is wrong with an account's or ledger's name: 1-255 characters of colon-separated segments."""
    # What is too long is not remembered: some thousand names of a megabyte would fill the memory.
    if len(name) > NAME_LENGTH_MAX:
        return f"has {len(name)} characters; at most {NAME_LENGTH_MAX} are allowed"
    return _path_fault(name)


@lru_cache(maxsize=65536)
def _path_fault(name: str) -> str | None:
    if not name:
        return "must be given"
    if not (name.isascii() and name.isprintable()):
        fault = _unprintable(name)
        if fault is not None:
            return fault
        if not unicodedata.is_normalized("NFC", name):
            return "is not in Unicode normalization form C"
    for segment in name.split(":"):
        if not segment:
            return "has an empty segment; segments are separated by single colons"
        if segment[0].isspace() or segment[-1].isspace():
            return "has a segment that starts or ends with a space"
    return None


def principal_fault(principal: str) -> str | None:
    """What is wrong with the name of who calls: 1-255 printable characters, no space at either end."""
    if len(principal) > NAME_LENGTH_MAX:
        return f"has {len(principal)} characters; at most {NAME_LENGTH_MAX} are allowed"
    if not principal:
        return "must be given"
    if principal.isascii() and principal.isprintable():
        fault = None
    else:
        fault = _unprintable(principal)
        if fault is None and not unicodedata.is_normalized("NFC", principal):
            fault = "is not in Unicode normalization form C"
    if fault is None and principal != principal.strip():
        fault = "starts or ends with a space"
    return fault


def asset_code_fault(code: str) -> str | None:
    """What is wrong with an asset's code: 1-32 printable characters without spaces."""
    if len(code) > ASSET_CODE_LENGTH_MAX:
        return f"has {len(code)} characters; at most {ASSET_CODE_LENGTH_MAX} are allowed"
    return _asset_code_fault(code)


@lru_cache(maxsize=4096)
def _asset_code_fault(code: str) -> str | None:
    if not code:
        return "must be given"
    if any(character.isspace() for character in code):
        return "holds a space"
    fault = _unprintable(code)
    if fault is not None:
        return fault
    if not unicodedata.is_normalized("NFC", code):
        return "is not in Unicode normalization form C"
    return None


def text_fault(text: str, length_max: int = TEXT_LENGTH_MAX) -> str | None:
    """What is wrong with free text: too long, or the one character PostgreSQL cannot keep."""
    if len(text) > length_max:
        return f"has {len(text)} characters; at most {length_max} are allowed"
    if "\x00" in text:
        return "holds the character U+0000"
    return None


def metadata_faults(metadata: Mapping[str, str]) -> list[tuple[str, str]]:
    """What is wrong with metadata, as (path below the field, fault)."""
    faults: list[tuple[str, str]] = []
    if len(metadata) > METADATA_KEYS_MAX:
        faults.append(("", f"has {len(metadata)} keys; at most {METADATA_KEYS_MAX} are allowed"))
    size_bytes = 0
    for key, value in metadata.items():
        size_bytes += len(key.encode()) + len(value.encode())
        if not key:
            faults.append(("", "has an empty key"))
            continue
        fault = text_fault(key, METADATA_KEY_LENGTH_MAX)
        if fault is not None:
            faults.append(("", f"has a key that {fault}"))
            continue
        fault = text_fault(value, METADATA_VALUE_LENGTH_MAX)
        if fault is not None:
            faults.append((f"[{key!r}]", fault))
    if size_bytes > METADATA_BYTES_MAX:
        faults.append(("", f"has {size_bytes} bytes; at most {METADATA_BYTES_MAX} are allowed"))
    return faults


def is_at_or_below(name: str, prefix: str) -> bool:
    """Whether an account's path is the prefix itself or lies below it."""
    return name == prefix or name.startswith(prefix + ":")


def is_covered(name: str, prefixes: Iterable[str]) -> bool:
    """Whether an account's path is at or below one of the prefixes."""
    return any(is_at_or_below(name, prefix) for prefix in prefixes)
