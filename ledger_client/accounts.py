"""Accounts: the calls that open, change and find them."""

from collections.abc import Iterable, Mapping

from google.protobuf.field_mask_pb2 import FieldMask
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_pb2 as nouns

from ledger_client import asks, reading
from ledger_client.asks import Ask
from ledger_client.values import Account, AccountDraft, AccountStatus, AccountType, Limit


def create_accounts(ledger: str, drafts: Iterable[AccountDraft]) -> Ask[list[Account]]:
    """AccountService.BatchCreateAccounts."""
    request = accounts_pb.BatchCreateAccountsRequest(
        ledger=ledger,
        accounts=[
            accounts_pb.AccountDraft(
                name=draft.name,
                type=_type(draft.type),
                limits=_limits(draft.limits),
                metadata=draft.metadata or {},
            )
            for draft in drafts
        ],
    )
    return Ask(
        "accounts",
        "BatchCreateAccounts",
        request,
        lambda answer: [reading.account(one.account) for one in answer.accounts],
        ledger,
        lambda answer: max((one.account.sequence for one in answer.accounts), default=0),
    )


def get_account(ledger: str, name: str) -> Ask[Account]:
    """AccountService.GetAccount."""
    request = accounts_pb.GetAccountRequest(ledger=ledger, name=name)
    return Ask("accounts", "GetAccount", request, lambda answer: reading.account(answer.account), ledger)


def list_accounts(ledger: str, prefix: str, account_type: AccountType | None) -> Ask[Iterable[Account]]:
    """AccountService.ListAccounts."""
    request = accounts_pb.ListAccountsRequest(
        ledger=ledger,
        prefix=prefix,
        type=_type(account_type) if account_type else nouns.ACCOUNT_TYPE_UNSPECIFIED,
        page_size=asks.PAGE_SIZE,
    )
    return Ask("accounts", "ListAccounts", request, lambda page: map(reading.account, page.accounts), ledger)


def update_account(
    ledger: str,
    name: str,
    version: int,
    limits: Iterable[Limit] | None,
    metadata: Mapping[str, str] | None,
) -> Ask[Account]:
    """AccountService.UpdateAccount; None leaves a part as it is."""
    parts = {"limits": limits, "metadata": metadata}
    request = accounts_pb.UpdateAccountRequest(
        ledger=ledger,
        name=name,
        version=version,
        update_mask=FieldMask(paths=[part for part, given in parts.items() if given is not None]),
        limits=_limits(limits or ()),
        metadata=metadata or {},
    )
    return _changing("UpdateAccount", request)


def change_status(ledger: str, name: str, status: AccountStatus, version: int) -> Ask[Account]:
    """AccountService.FreezeAccount, UnfreezeAccount or CloseAccount: what makes the account so."""
    if status is AccountStatus.OPEN:
        unfreezing = accounts_pb.UnfreezeAccountRequest(ledger=ledger, name=name, version=version)
        return _changing("UnfreezeAccount", unfreezing)
    if status is AccountStatus.FROZEN:
        freezing = accounts_pb.FreezeAccountRequest(ledger=ledger, name=name, version=version)
        return _changing("FreezeAccount", freezing)
    closing = accounts_pb.CloseAccountRequest(ledger=ledger, name=name, version=version)
    return _changing("CloseAccount", closing)


def _changing(
    method: str,
    request: accounts_pb.UpdateAccountRequest
    | accounts_pb.FreezeAccountRequest
    | accounts_pb.UnfreezeAccountRequest
    | accounts_pb.CloseAccountRequest,
) -> Ask[Account]:
    return Ask(
        "accounts",
        method,
        request,
        lambda answer: reading.account(answer.account),
        request.ledger,
        lambda answer: answer.account.sequence,
    )


def _limits(limits: Iterable[Limit]) -> list[nouns.BalanceLimit]:
    return [
        nouns.BalanceLimit(
            asset=limit.asset,
            balance_min=None if limit.balance_min is None else str(limit.balance_min),
            balance_max=None if limit.balance_max is None else str(limit.balance_max),
        )
        for limit in limits
    ]


def _type(account_type: AccountType) -> nouns.AccountType.ValueType:
    if not isinstance(account_type, int):
        raise TypeError(f"an account's type is one of AccountType, not {account_type!r}")
    return nouns.AccountType.ValueType(account_type)
