"""AccountService: read, do, write."""

from __future__ import annotations

import grpc
from ledger.v1 import account_service_pb2 as pb
from ledger.v1 import account_service_pb2_grpc
from ledger.v1 import ledger_pb2 as nouns_pb

from ledger_server.domain.accounts import AccountChangeDraft, AccountStatus, AccountVersion
from ledger_server.rpc import account_requests, batches, limits, narrowing, responses
from ledger_server.rpc.answering import access, answering, caller, principal
from ledger_server.rpc.door import OPEN_DOOR, Door
from ledger_server.rpc.page_tokens import page_token, position
from ledger_server.rpc.requests import Form
from ledger_server.service.ledger import Ledgers


class AccountServicer(account_service_pb2_grpc.AccountServiceServicer):
    """Opening accounts, changing them and looking them up, over the wire."""

    def __init__(self, ledgers: Ledgers, door: Door = OPEN_DOOR) -> None:
        self.door = door
        self._ledgers = ledgers

    @answering
    def CreateAccount(
        self, request: pb.CreateAccountRequest, context: grpc.ServicerContext
    ) -> pb.CreateAccountResponse:
        """Opens an account."""
        form = Form()
        ledger = form.ledger(request.ledger)
        by = caller(context)
        draft = account_requests.account_draft(request.account, by.principal, form, "account.")
        form.judge()
        assert draft is not None
        narrowing.refuse_opening(access(context), (draft.name,))
        opened, replayed = self._ledgers.open_accounts(ledger, [draft], by)[0]
        return _created(opened, replayed)

    @answering
    def BatchCreateAccounts(
        self, request: pb.BatchCreateAccountsRequest, context: grpc.ServicerContext
    ) -> pb.BatchCreateAccountsResponse:
        """Opens several accounts, all or none."""
        form = Form()
        ledger = form.ledger(request.ledger)
        count = len(request.accounts)
        if not 1 <= count <= limits.ACCOUNTS_PER_BATCH_MAX:
            form.fault("accounts", f"has {count}; 1 to {limits.ACCOUNTS_PER_BATCH_MAX} are allowed")
            form.judge()
        batches.check_accounts(request)
        by = caller(context)
        drafts = [
            account_requests.account_draft(given, by.principal, form, f"accounts[{index}].")
            for index, given in enumerate(request.accounts)
        ]
        form.judge()
        sound = [draft for draft in drafts if draft is not None]
        narrowing.refuse_opening(access(context), (draft.name for draft in sound))
        opened = self._ledgers.open_accounts(ledger, sound, by)
        return pb.BatchCreateAccountsResponse(accounts=[_created(*one) for one in opened])

    @answering
    def UpdateAccount(
        self, request: pb.UpdateAccountRequest, context: grpc.ServicerContext
    ) -> pb.UpdateAccountResponse:
        """Replaces an account's limits, its metadata or both."""
        form = Form()
        ledger = form.ledger(request.ledger)
        draft = account_requests.update_draft(request, principal(context), form)
        changed, replayed = self._change(ledger, draft, context)
        return pb.UpdateAccountResponse(
            account=responses.account(changed), hash=changed.hash, replayed=replayed
        )

    @answering
    def FreezeAccount(
        self, request: pb.FreezeAccountRequest, context: grpc.ServicerContext
    ) -> pb.FreezeAccountResponse:
        """Lets nothing be posted to an account."""
        frozen, replayed = self._set_status(request, AccountStatus.FROZEN, context)
        return pb.FreezeAccountResponse(
            account=responses.account(frozen), hash=frozen.hash, replayed=replayed
        )

    @answering
    def UnfreezeAccount(
        self, request: pb.UnfreezeAccountRequest, context: grpc.ServicerContext
    ) -> pb.UnfreezeAccountResponse:
        """Lets a frozen account be posted to again."""
        opened, replayed = self._set_status(request, AccountStatus.OPEN, context)
        return pb.UnfreezeAccountResponse(
            account=responses.account(opened), hash=opened.hash, replayed=replayed
        )

    @answering
    def CloseAccount(
        self, request: pb.CloseAccountRequest, context: grpc.ServicerContext
    ) -> pb.CloseAccountResponse:
        """Closes an account for good."""
        closed, replayed = self._set_status(request, AccountStatus.CLOSED, context)
        return pb.CloseAccountResponse(account=responses.account(closed), hash=closed.hash, replayed=replayed)

    @answering
    def GetAccount(
        self, request: pb.GetAccountRequest, context: grpc.ServicerContext
    ) -> pb.GetAccountResponse:
        """Answers one account."""
        form = Form()
        ledger = form.ledger(request.ledger)
        name = form.account(request.name, "name")
        min_sequence = form.sequence(request.min_sequence, "min_sequence")
        form.judge()
        narrowing.refuse_uncovered(access(context), ledger, (name,))
        version, at = self._ledgers.reads.account(ledger, name, min_sequence)
        return pb.GetAccountResponse(account=responses.account(version), sequence=at)

    @answering
    def ListAccounts(
        self, request: pb.ListAccountsRequest, context: grpc.ServicerContext
    ) -> pb.ListAccountsResponse:
        """Lists accounts by name."""
        form = Form()
        ledger = form.ledger(request.ledger)
        prefix = form.account(request.prefix, "prefix") if request.prefix else ""
        if request.type not in nouns_pb.AccountType.values():
            form.fault("type", f"{request.type} is not an AccountType")
        count = form.page_size(request.page_size)
        min_sequence = form.sequence(request.min_sequence, "min_sequence")
        form.judge()
        narrowing.refuse_listing(access(context), None, prefix)
        at, after = position(request, int, str) or (None, "")
        found, has_more, at = self._ledgers.reads.account_page(
            ledger,
            prefix=prefix,
            account_type=request.type,
            after=after,
            at=at,
            count=count,
            min_sequence=min_sequence,
        )
        answer = pb.ListAccountsResponse(sequence=at)
        size_bytes = 0
        for version in found:
            message = responses.account(version)
            size_bytes += message.ByteSize() + 8
            if size_bytes > limits.PAGE_BYTES_MAX and answer.accounts:
                has_more = True
                break
            answer.accounts.append(message)
        if has_more:
            answer.next_page_token = page_token(request, at, answer.accounts[-1].name)
        return answer

    def _set_status(
        self, request: account_requests.StatusRequest, status: AccountStatus, context: grpc.ServicerContext
    ) -> tuple[AccountVersion, bool]:
        """The account as it is then, and whether it was so already. Raises refusals."""
        form = Form()
        ledger = form.ledger(request.ledger)
        draft = account_requests.status_draft(request, status, principal(context), form)
        return self._change(ledger, draft, context)

    def _change(
        self, ledger: str, draft: AccountChangeDraft, context: grpc.ServicerContext
    ) -> tuple[AccountVersion, bool]:
        """The account as it is then, and whether it was so already. Raises refusals."""
        narrowing.refuse_uncovered(access(context), ledger, (draft.name,))
        return self._ledgers.change_account(ledger, draft, caller(context))


def _created(opened: AccountVersion, replayed: bool) -> pb.CreateAccountResponse:
    return pb.CreateAccountResponse(account=responses.account(opened), hash=opened.hash, replayed=replayed)
