"""The door that every call passes before its method: who calls is found out here.

Every servicer is given the one door of its server as `door`; `answering` calls
`enter` on the call's own thread, and the method finds who entered with
`answering.caller`.
"""

from __future__ import annotations

from collections.abc import Callable

import grpc

from ledger_server.domain.callers import ANONYMOUS, Caller, Means
from ledger_server.rpc.authorising import Authorise, OnlyOpen
from ledger_server.rpc.metering import Meter

Authenticate = Callable[[grpc.ServicerContext], Caller]

_UNMETERED = Meter()
_ONLY_OPEN = OnlyOpen()


class Door:
    """Lets in who is known: `authenticate` answers who calls, or raises a refusal."""

    def __init__(
        self, authenticate: Authenticate, meter: Meter = _UNMETERED, authorise: Authorise = _ONLY_OPEN
    ) -> None:
        self._authenticate = authenticate
        self.meter = meter
        # What the caller may, by the method's full name and its request. Raises refusals.
        self.authorise = authorise

    def enter(self, context: grpc.ServicerContext) -> Caller:
        """Who calls. Raises refusals."""
        return self._authenticate(context)


# For servicers that no server stands around.
OPEN_DOOR = Door(lambda context: Caller(ANONYMOUS, Means.OPEN))
