"""A sound call of every method, of a ledger with USD, cash, sales and a post under the key `first`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from callers import lines, post_operation, transaction_name
from google.protobuf.field_mask_pb2 import FieldMask
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import api_key_service_pb2 as keys_pb
from ledger.v1 import audit_service_pb2 as audit_pb
from ledger.v1 import chart_service_pb2 as charts_pb
from ledger.v1 import dev_service_pb2 as dev_pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1 import member_service_pb2 as members_pb
from ledger.v1 import report_service_pb2 as report_pb
from society import Person

from ledger_server.domain.members import Role


def requests(ledger: str) -> dict[str, Callable[[Person], Any]]:
    """One call each, by method."""
    account = accounts_pb.AccountDraft(name="new", type=nouns.ACCOUNT_TYPE_ASSET)
    sale = lines("cash", "sales", 1)
    origin = transaction_name("first")
    kind = charts_pb.Kind(name="*", idempotency=charts_pb.IDEMPOTENCY_RULE_OPTIONAL)
    created = admin_pb.CreateLedgerRequest(name=f"{ledger}:other", tenant_admin="jwt:somebody")
    return {
        "LedgerService.Post": lambda p: p.ledgers.Post(pb.PostRequest(ledger=ledger, entries=sale)),
        "LedgerService.PostBatch": lambda p: p.ledgers.PostBatch(
            pb.PostBatchRequest(ledger=ledger, operations=[post_operation("cash", "sales", 1)])
        ),
        "LedgerService.Reverse": lambda p: p.ledgers.Reverse(
            pb.ReverseRequest(ledger=ledger, transaction=origin)
        ),
        "LedgerService.Reverse with force": lambda p: p.ledgers.Reverse(
            pb.ReverseRequest(ledger=ledger, transaction=origin, force=True)
        ),
        "LedgerService.GetTransaction": lambda p: p.ledgers.GetTransaction(
            pb.GetTransactionRequest(ledger=ledger, transaction=origin)
        ),
        "LedgerService.ListTransactions": lambda p: p.ledgers.ListTransactions(
            pb.ListTransactionsRequest(ledger=ledger)
        ),
        "LedgerService.ListEntries": lambda p: p.ledgers.ListEntries(
            pb.ListEntriesRequest(ledger=ledger, account="cash")
        ),
        "LedgerService.GetBalance": lambda p: p.ledgers.GetBalance(
            pb.GetBalanceRequest(ledger=ledger, account="cash")
        ),
        "LedgerService.BatchGetBalances": lambda p: p.ledgers.BatchGetBalances(
            pb.BatchGetBalancesRequest(ledger=ledger, names=[pb.BalanceName(account="cash")])
        ),
        "LedgerService.GetAggregateBalance": lambda p: p.ledgers.GetAggregateBalance(
            pb.GetAggregateBalanceRequest(ledger=ledger, account_prefix="cash")
        ),
        "LedgerService.TrialBalance": lambda p: p.ledgers.TrialBalance(pb.TrialBalanceRequest(ledger=ledger)),
        "LedgerService.RunTrialBalance": lambda p: p.ledgers.RunTrialBalance(
            pb.RunTrialBalanceRequest(ledger=ledger)
        ),
        "LedgerService.ListTrialBalanceRuns": lambda p: p.ledgers.ListTrialBalanceRuns(
            pb.ListTrialBalanceRunsRequest(ledger=ledger)
        ),
        "AccountService.CreateAccount": lambda p: p.accounts.CreateAccount(
            accounts_pb.CreateAccountRequest(ledger=ledger, account=account)
        ),
        "AccountService.BatchCreateAccounts": lambda p: p.accounts.BatchCreateAccounts(
            accounts_pb.BatchCreateAccountsRequest(ledger=ledger, accounts=[account])
        ),
        "AccountService.UpdateAccount": lambda p: p.accounts.UpdateAccount(
            accounts_pb.UpdateAccountRequest(
                ledger=ledger, name="new", version=1, update_mask=FieldMask(paths=["limits"])
            )
        ),
        "AccountService.FreezeAccount": lambda p: p.accounts.FreezeAccount(
            accounts_pb.FreezeAccountRequest(ledger=ledger, name="new")
        ),
        "AccountService.UnfreezeAccount": lambda p: p.accounts.UnfreezeAccount(
            accounts_pb.UnfreezeAccountRequest(ledger=ledger, name="new")
        ),
        "AccountService.CloseAccount": lambda p: p.accounts.CloseAccount(
            accounts_pb.CloseAccountRequest(ledger=ledger, name="new")
        ),
        "AccountService.GetAccount": lambda p: p.accounts.GetAccount(
            accounts_pb.GetAccountRequest(ledger=ledger, name="cash")
        ),
        "AccountService.ListAccounts": lambda p: p.accounts.ListAccounts(
            accounts_pb.ListAccountsRequest(ledger=ledger)
        ),
        "LedgerAdminService.CreateLedger": lambda p: p.admin.CreateLedger(created),
        "LedgerAdminService.GetLedger": lambda p: p.admin.GetLedger(admin_pb.GetLedgerRequest(name=ledger)),
        "LedgerAdminService.ListLedgers": lambda p: p.admin.ListLedgers(admin_pb.ListLedgersRequest()),
        "LedgerAdminService.CreateAsset": lambda p: p.admin.CreateAsset(
            admin_pb.CreateAssetRequest(ledger=ledger, code="EUR", scale=2)
        ),
        "LedgerAdminService.ListAssets": lambda p: p.admin.ListAssets(
            admin_pb.ListAssetsRequest(ledger=ledger)
        ),
        "LedgerAdminService.GetServerInfo": lambda p: p.admin.GetServerInfo(admin_pb.GetServerInfoRequest()),
        "ChartService.ApplyChart": lambda p: p.charts.ApplyChart(
            charts_pb.ApplyChartRequest(ledger=ledger, chart=charts_pb.Chart(kinds=[kind]))
        ),
        "ChartService.GetChart": lambda p: p.charts.GetChart(charts_pb.GetChartRequest(ledger=ledger)),
        "ReportService.ListOverdueBalances": lambda p: p.reports.ListOverdueBalances(
            report_pb.ListOverdueBalancesRequest(ledger=ledger, account="cash", asset="USD")
        ),
        "ReportService.ListCharges": lambda p: p.reports.ListCharges(
            report_pb.ListChargesRequest(ledger=ledger, account="cash", asset="USD")
        ),
        "DevService.TopUp": lambda p: p.dev.TopUp(
            dev_pb.TopUpRequest(ledger=ledger, user_id=str(UUID(int=1)), amount="1")
        ),
        "DevService.Charge": lambda p: p.dev.Charge(
            dev_pb.ChargeRequest(ledger=ledger, user_id=str(UUID(int=1)), amount="1")
        ),
        "DevService.Bonus": lambda p: p.dev.Bonus(
            dev_pb.BonusRequest(ledger=ledger, user_id=str(UUID(int=1)), amount="1", reason="a gift")
        ),
        "DevService.Reversal": lambda p: p.dev.Reversal(
            dev_pb.ReversalRequest(ledger=ledger, transaction=origin)
        ),
        "MemberService.AddMember": lambda p: p.add(ledger, "jwt:new", Role.READER),
        "MemberService.RemoveMember": lambda p: p.remove(ledger, "jwt:nobody"),
        "MemberService.ListMembers": lambda p: p.members.ListMembers(
            members_pb.ListMembersRequest(ledger=ledger)
        ),
        "APIKeyService.CreateAPIKey": lambda p: p.api_keys.CreateAPIKey(
            keys_pb.CreateAPIKeyRequest(ledger=ledger, principal="svc:till")
        ),
        "APIKeyService.RevokeAPIKey": lambda p: p.api_keys.RevokeAPIKey(
            keys_pb.RevokeAPIKeyRequest(ledger=ledger, key_id="0" * 16)
        ),
        "APIKeyService.ListAPIKeys": lambda p: p.api_keys.ListAPIKeys(
            keys_pb.ListAPIKeysRequest(ledger=ledger)
        ),
        "AuditService.ListAuditEvents": lambda p: p.audits.ListAuditEvents(
            audit_pb.ListAuditEventsRequest(ledger=ledger)
        ),
        "AuditService.ListAuditEvents of none": lambda p: p.audits.ListAuditEvents(
            audit_pb.ListAuditEventsRequest()
        ),
    }
