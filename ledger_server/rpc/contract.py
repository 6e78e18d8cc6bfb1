"""What of the contract this server speaks: every file of it, and the services in them."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

from ledger.v1 import (
    account_service_pb2,
    api_key_service_pb2,
    audit_service_pb2,
    chart_service_pb2,
    dev_service_pb2,
    ledger_admin_service_pb2,
    ledger_pb2,
    ledger_service_pb2,
    member_service_pb2,
    report_service_pb2,
    template_pb2,
)

FILES = tuple(
    module.DESCRIPTOR
    for module in (
        ledger_pb2,
        template_pb2,
        ledger_service_pb2,
        account_service_pb2,
        ledger_admin_service_pb2,
        chart_service_pb2,
        report_service_pb2,
        member_service_pb2,
        api_key_service_pb2,
        audit_service_pb2,
        dev_service_pb2,
    )
)
# Their full names, as health and reflection tell them.
SERVICES = tuple(service.full_name for file in FILES for service in file.services_by_name.values())


@cache
def contract_digest() -> str:
    """SHA-256 of the contract's file descriptors, in order of file name."""
    files = sorted((file.name, file.serialized_pb) for file in FILES)
    return sha256(b"".join(data for _, data in files)).hexdigest()
