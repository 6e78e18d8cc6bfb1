"""Every method that the service offers, found by walking the descriptors."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

import grpc
import ledger.v1
from google.protobuf.descriptor import Descriptor, FileDescriptor, MethodDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc


@dataclass(frozen=True, slots=True)
class Method:
    """A method as gRPC names it, and the shapes of its messages."""

    path: str
    name: str
    request: Descriptor
    response: Descriptor
    is_request_stream: bool
    is_response_stream: bool

    @property
    def service(self) -> str:
        """The full name of its service."""
        return self.path.split("/")[1]


def _files() -> Iterator[FileDescriptor]:
    for module in pkgutil.iter_modules(ledger.v1.__path__):
        if module.name.endswith("_pb2"):
            yield import_module(f"ledger.v1.{module.name}").DESCRIPTOR
    yield health_pb2.DESCRIPTOR
    yield reflection_pb2.DESCRIPTOR


def _method(method: MethodDescriptor) -> Method:
    return Method(
        f"/{method.containing_service.full_name}/{method.name}",
        method.name,
        method.input_type,
        method.output_type,
        method.client_streaming,
        method.server_streaming,
    )


METHODS = tuple(
    _method(method)
    for file in _files()
    for service in file.services_by_name.values()
    for method in service.methods
)
BY_NAME = {method.name: method for method in METHODS}


def services_of(channel: grpc.Channel) -> set[str]:
    """The services that a running server says it has."""
    asked = reflection_pb2.ServerReflectionRequest(list_services="*")
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    (answer,) = stub.ServerReflectionInfo(iter([asked]), timeout=30)
    return {service.name for service in answer.list_services_response.service}
