"""An unknown outcome is looked for, under the lane lock, on a new session; never guessed."""

from __future__ import annotations

import random
import time

from ledger_server.domain.refusals import OutcomeUnknown
from ledger_server.service.tenures import Seat
from ledger_server.store.outcomes import CommitUnknown, DatabaseLost, NotCommitted

# A dead backend of ours may hold the lane lock; it is ended after this long.
RESOLVE_WAIT_S = 5.0
RESOLVE_ATTEMPTS_MAX = 6


def was_committed(seat: Seat, ledger_id: int, unknown: CommitUnknown) -> bool:
    """Whether the batch stands whose outcome is unknown; raises OutcomeUnknown."""
    old_pid, began = seat.drop()
    deadline = began + RESOLVE_WAIT_S
    for attempt in range(RESOLVE_ATTEMPTS_MAX):
        if attempt:
            time.sleep(random.uniform(0.05, 0.1 * 2**attempt))
        try:
            session = seat.session()
            if time.monotonic() > deadline:
                session.end_backend(old_pid)
            return session.was_committed(ledger_id, unknown.sequence, unknown.record_hash)
        except NotCommitted:
            # The old backend still holds the lane lock: it is ended the next time.
            seat.abandon(ledger_id)
            deadline = time.monotonic()
        except DatabaseLost:
            seat.drop()
    raise OutcomeUnknown(
        "the database was lost while it committed; ask again with the same idempotency key",
        same_key_retry="true",
    ) from unknown
