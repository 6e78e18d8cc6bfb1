"""Addresses to listen on: their form, and who can reach them."""

from __future__ import annotations

import ipaddress

PORT_MAX = 65_535


def is_address(listen: str) -> bool:
    """Whether an address is HOST:PORT or unix:PATH."""
    host, _, port = listen.rpartition(":")
    return listen.startswith("unix:") or (
        bool(host) and port.isascii() and port.isdigit() and int(port) <= PORT_MAX
    )


def is_loopback(listen: str) -> bool:
    """Whether an address is this machine's own."""
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
