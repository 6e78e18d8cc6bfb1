"""Valid calls: each is answered OK, whatever was called before.

A method that none is written for here is called with anything that has its shape.

Two kinds of callers make them, `valid` and `bent`, with keys and names of their own,
so that a bent call never takes away what a valid one needs.
"""

from __future__ import annotations

from random import Random
from typing import Any

from callers import lines, post_operation, reverse_operation, transaction_name
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from hostile.anything import anything
from hostile.ground import CHARTED, LEDGERS, ORIGINS, SHUT, USERS, Ground
from hostile.methods import METHODS, Method
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import api_key_service_pb2 as keys_pb
from ledger.v1 import chart_service_pb2 as charts_pb
from ledger.v1 import dev_service_pb2 as dev_pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1 import member_service_pb2 as members_pb
from ledger.v1 import report_service_pb2 as report_pb
from ledger.v1 import template_pb2 as templates_pb
from template_calls import use

from ledger_server.domain.parameters import Item, Parameters

# Keys and names come again, so that replays are as frequent as records.
_NAMES = 200
_ACCOUNTS = ("cash", "sales", "other", "customers:0", "customers:1")
_SERVICES = ("", *sorted({method.service for method in METHODS if method.path.startswith("/ledger.")}))


class Calls:
    """Draws valid requests; the method of a name makes a request of the RPC of that name."""

    def __init__(self, draw: Random, ground: Ground, side: str) -> None:
        self._draw = draw
        self._ground = ground
        self._side = side

    @classmethod
    def is_written(cls, method: Method) -> bool:
        """Whether what is made of the method is valid; else it is only well-formed."""
        return hasattr(cls, method.name)

    def make(self, method: Method) -> Message:
        """A request of the method."""
        if not self.is_written(method):
            return anything(self._draw, method.request)
        made = getattr(self, method.name)()
        assert isinstance(made, Message)
        return made

    # writing -------------------------------------------------------------------------------

    def Post(self) -> Message:
        return pb.PostRequest(ledger=self._ledger(), **self._post())

    def PostBatch(self) -> Message:
        number = self._draw.randrange(ORIGINS)
        operations = [pb.Operation(post=pb.PostOperation(**self._post())) for _ in range(3)]
        key = f"{self._side}-batch-{number}"
        operations.append(post_operation("cash", "other", 40 + number, key))
        operations.append(reverse_operation(key, f"{key}-off"))
        operations.append(pb.Operation(open_account=self._account()))
        return pb.PostBatchRequest(
            ledger=self._ledger(),
            operations=operations,
            atomic=self._draw.random() < 0.5,
            view=self._draw.choice(pb.BatchView.values()),
        )

    def Reverse(self) -> Message:
        number = self._draw.randrange(ORIGINS)
        return pb.ReverseRequest(
            ledger=self._ledger(),
            transaction=transaction_name(f"{self._side}-origin-{number}"),
            idempotency_key=f"{self._side}-reversal-{number}",
        )

    def TopUp(self) -> Message:
        return dev_pb.TopUpRequest(**self._operation("topup"), note="at the till")

    def Charge(self) -> Message:
        return dev_pb.ChargeRequest(**self._operation("charge"))

    def Bonus(self) -> Message:
        return dev_pb.BonusRequest(**self._operation("bonus"), reason="a gift")

    def Reversal(self) -> Message:
        number = self._draw.randrange(ORIGINS)
        return dev_pb.ReversalRequest(
            ledger=self._ledger(),
            transaction=transaction_name(f"{self._side}-origin-{number}"),
            idempotency_key=f"{self._side}-reversal-{number}",
        )

    def CreateAccount(self) -> Message:
        return accounts_pb.CreateAccountRequest(ledger=self._ledger(), account=self._account())

    def BatchCreateAccounts(self) -> Message:
        drafts = {draft.name: draft for draft in (self._account() for _ in range(4))}
        return accounts_pb.BatchCreateAccountsRequest(ledger=self._ledger(), accounts=drafts.values())

    def UpdateAccount(self) -> Message:
        # It has none: what changes nothing is answered whatever the version.
        return accounts_pb.UpdateAccountRequest(
            ledger=self._changed(),
            name=f"idle:{self._side}",
            version=1,
            update_mask=FieldMask(paths=["metadata"]),
        )

    def FreezeAccount(self) -> Message:
        return accounts_pb.FreezeAccountRequest(ledger=self._changed(), name=f"idle:{self._side}")

    def UnfreezeAccount(self) -> Message:
        return accounts_pb.UnfreezeAccountRequest(ledger=self._changed(), name=f"idle:{self._side}")

    def CloseAccount(self) -> Message:
        return accounts_pb.CloseAccountRequest(ledger=self._changed(), name=f"gone:{self._side}")

    def CreateLedger(self) -> Message:
        number = self._draw.randrange(_NAMES // 10)
        return admin_pb.CreateLedgerRequest(
            name=f"{self._side}:{number}", description=f"the {number}th", tenant_admin="jwt:somebody"
        )

    def CreateAsset(self) -> Message:
        number = self._draw.randrange(_NAMES // 4)
        code = f"{self._side.upper()}{number}"
        return admin_pb.CreateAssetRequest(ledger=self._ledger(), code=code, scale=number % 37)

    def ApplyChart(self) -> Message:
        families = [
            charts_pb.AccountFamily(pattern=name, type=kind)  # type: ignore[arg-type]
            for name, kind in (("cash", 1), ("other", 1), ("sales", 4), ("wallet", 2))
        ]
        users = charts_pb.AccountFamily(
            pattern="users:{id}",
            parameters={"id": templates_pb.PARAMETER_TYPE_UUID},
            type=nouns.ACCOUNT_TYPE_LIABILITY,
            assets=["USD"],
            limits=[nouns.BalanceLimit(asset="USD", balance_min="0")],
            opens_on_first_posting=True,
        )
        kind = charts_pb.Kind(name="*", idempotency=charts_pb.IDEMPOTENCY_RULE_OPTIONAL)
        chart = charts_pb.Chart(
            assets=[charts_pb.ChartAsset(code="USD", scale=2)],
            families=[*families, users],
            kinds=[kind],
            sets=[
                charts_pb.AccountSet(name="users", prefixes=["users"]),
                charts_pb.AccountSet(name="all", accounts=["cash", "wallet"], sets=["users"]),
            ],
        )
        return charts_pb.ApplyChartRequest(
            ledger=CHARTED[self._side], chart=chart, validate_only=self._draw.random() < 0.3
        )

    # reading -------------------------------------------------------------------------------

    def GetTransaction(self) -> Message:
        key = f"{self._side}-origin-{self._draw.randrange(ORIGINS)}"
        return pb.GetTransactionRequest(
            ledger=self._ledger(), transaction=transaction_name(key), min_sequence=self._draw.choice([0, 9])
        )

    def ListTransactions(self) -> Message:
        request = pb.ListTransactionsRequest(ledger=LEDGERS[0])
        if self._draw.random() < 0.4:
            request.page_token = self._ground.tokens["ListTransactions"]
            return request
        draw, wanted = self._draw, request.filter
        for name, value in (
            ("kind", "top-up"),
            ("account_prefix", "customers"),
            ("external_ref", "order-7"),
            ("reversals", True),
        ):
            if draw.random() < 0.3:
                setattr(wanted, name, value)
        if draw.random() < 0.3:
            wanted.metadata["channel"] = "web"
        if draw.random() < 0.3:
            wanted.effective_time_from.seconds = 1_700_000_000
            wanted.record_time_until.seconds = 4_000_000_000
        request.ledger, request.order = self._ledger(), draw.choice(nouns.Order.values())
        request.page_size = draw.choice([0, 1, 50])
        return request

    def ListEntries(self) -> Message:
        if self._draw.random() < 0.4:
            token = self._ground.tokens["ListEntries"]
            return pb.ListEntriesRequest(ledger=LEDGERS[0], account="cash", page_token=token)
        return pb.ListEntriesRequest(
            ledger=self._ledger(),
            account=self._draw.choice(_ACCOUNTS),
            asset=self._draw.choice(["", "USD"]),
            order=self._draw.choice(nouns.Order.values()),
            page_size=self._draw.choice([0, 1, 50]),
        )

    def GetBalance(self) -> Message:
        return pb.GetBalanceRequest(
            ledger=self._ledger(),
            account=self._draw.choice(_ACCOUNTS),
            asset=self._draw.choice(["", "USD", "EUR"]),
            at_sequence=self._draw.choice([0, 30, 40]),
            recompute=self._draw.random() < 0.1,
        )

    def BatchGetBalances(self) -> Message:
        names = [pb.BalanceName(account=account, asset="USD") for account in self._draw.sample(_ACCOUNTS, 3)]
        return pb.BatchGetBalancesRequest(ledger=self._ledger(), names=names)

    def GetAggregateBalance(self) -> Message:
        request = pb.GetAggregateBalanceRequest(
            ledger=self._ledger(), asset=self._draw.choice(["", "USD", "EUR"])
        )
        if self._draw.random() < 0.5:
            request.account_set = "everybody"
        else:
            request.account_prefix = self._draw.choice(["customers", "cash", "nobody"])
            request.at_sequence = self._draw.choice([0, 30, 40])
        return request

    def TrialBalance(self) -> Message:
        if self._draw.random() < 0.3:
            token = self._ground.tokens["TrialBalance"]
            return pb.TrialBalanceRequest(
                ledger=LEDGERS[0], rows=pb.TRIAL_BALANCE_ROWS_BY_ACCOUNT, page_token=token
            )
        return pb.TrialBalanceRequest(
            ledger=self._ledger(),
            rows=self._draw.choice(pb.TrialBalanceRows.values()),
            at_sequence=self._draw.choice([0, 30]),
            digest=self._draw.random() < 0.5,
        )

    def RunTrialBalance(self) -> Message:
        return pb.RunTrialBalanceRequest(ledger=self._ledger(), min_sequence=self._draw.choice([0, 9]))

    def ListTrialBalanceRuns(self) -> Message:
        return pb.ListTrialBalanceRunsRequest(
            ledger=self._ledger(),
            day=self._draw.choice(["", "2026-11-21"]),
            page_size=self._draw.choice([0, 1, 50]),
        )

    def GetAccount(self) -> Message:
        return accounts_pb.GetAccountRequest(ledger=self._ledger(), name=self._draw.choice(_ACCOUNTS))

    def ListAccounts(self) -> Message:
        if self._draw.random() < 0.4:
            token = self._ground.tokens["ListAccounts"]
            return accounts_pb.ListAccountsRequest(ledger=LEDGERS[0], page_token=token)
        return accounts_pb.ListAccountsRequest(
            ledger=self._ledger(),
            prefix=self._draw.choice(["", "customers"]),
            type=self._draw.choice(nouns.AccountType.values()),
            page_size=self._draw.choice([0, 1, 50]),
        )

    def GetLedger(self) -> Message:
        return admin_pb.GetLedgerRequest(name=self._ledger(), min_sequence=self._draw.choice([0, 9]))

    def ListLedgers(self) -> Message:
        token = self._draw.choice(["", self._ground.tokens["ListLedgers"]])
        return admin_pb.ListLedgersRequest(page_size=self._draw.choice([0, 1, 50]), page_token=token)

    def ListAssets(self) -> Message:
        token = self._draw.choice(["", self._ground.tokens["ListAssets"]])
        return admin_pb.ListAssetsRequest(ledger=LEDGERS[0], page_token=token)

    def ListOverdueBalances(self) -> Message:
        return report_pb.ListOverdueBalancesRequest(
            ledger=self._ledger(),
            account_prefix="customers",
            asset=self._draw.choice(["USD", "EUR"]),
            days=self._draw.choice([0, 30, 3_650]),
            as_of={"seconds": self._draw.choice([0, 1_800_000_000, 4_000_000_000])},
            at_sequence=self._draw.choice([0, 30]),
            order=self._draw.choice(report_pb.OverdueOrder.values()),
            page_size=self._draw.choice([0, 1, 50]),
        )

    def ListCharges(self) -> Message:
        return report_pb.ListChargesRequest(
            ledger=self._ledger(),
            account=self._draw.choice(_ACCOUNTS),
            asset="USD",
            unpaid_only=self._draw.random() < 0.5,
            page_size=self._draw.choice([0, 1, 50]),
        )

    def ListMembers(self) -> Message:
        return members_pb.ListMembersRequest(ledger=self._ledger(), page_size=self._draw.choice([0, 1, 50]))

    def ListAPIKeys(self) -> Message:
        return keys_pb.ListAPIKeysRequest(ledger=self._ledger(), page_size=self._draw.choice([0, 1, 50]))

    def GetServerInfo(self) -> Message:
        return admin_pb.GetServerInfoRequest()

    # beside the ledger ---------------------------------------------------------------------

    def Check(self) -> Message:
        return health_pb2.HealthCheckRequest(service=self._draw.choice(_SERVICES))

    def Watch(self) -> Message:
        return health_pb2.HealthCheckRequest(service=self._draw.choice(_SERVICES))

    def List(self) -> Message:
        return health_pb2.HealthListRequest()

    def ServerReflectionInfo(self) -> Message:
        asked = self._draw.choice(
            [
                {"list_services": "*"},
                {"file_by_filename": "ledger/v1/ledger.proto"},
                {"file_containing_symbol": "ledger.v1.LedgerService"},
                {"all_extension_numbers_of_type": "ledger.v1.Entry"},
                {"file_containing_extension": {"containing_type": "ledger.v1.Entry", "extension_number": 1}},
            ]
        )
        return reflection_pb2.ServerReflectionRequest(host="here", **asked)  # type: ignore[arg-type]

    # parts ---------------------------------------------------------------------------------

    def _ledger(self) -> str:
        return self._draw.choice(LEDGERS)

    def _changed(self) -> str:
        """Where accounts are changed: a bent name may be that of one that others need."""
        return self._ledger() if self._side == "valid" else SHUT

    def _post(self) -> dict[str, Any]:
        """A post's fields, the same for the same key; money comes in, or is spent by bent callers only."""
        number = self._draw.randrange(_NAMES)
        has_key = self._draw.random() < 0.8
        credit = f"customers:{number % 8 // 2 * 2}" if number % 2 else "sales"
        debit = "cash"
        if self._side == "bent" and number % 5 == 0:
            debit, credit = f"customers:{number % 8}", "sales"
        amount = str(1 + number)
        if self._side == "bent" and number % 11 == 0:
            debit, credit, amount = "peak", "abyss", "9" * 38
        entries = lines(debit, credit, amount)
        if number % 13 == 0:
            tills = [
                Item("tills", {"till": till, "part": str(number)}) for till in ("other", "cash", "other")
            ]
            return {
                "template": use(
                    "split", Parameters({"amount": amount, "why": f"the {number}th"}, tuple(tills))
                ),
                "idempotency_key": f"{self._side}-key-{number}" if has_key else "",
                "external_ref": f"order-{number}",
            }
        if number % 7 == 0:
            entries += lines("other", "sales", 3, "EUR")
        return {
            "entries": entries,
            "idempotency_key": f"{self._side}-key-{number}" if has_key else "",
            "kind": "top-up" if number % 3 else "",
            "description": f"the {number}th",
            "metadata": {"channel": "web", "n": str(number)},
            "external_ref": f"order-{number}",
        } | ({"effective_time": {"seconds": 1_700_000_000 + number}} if number % 4 == 0 else {})

    def _operation(self, name: str) -> dict[str, Any]:
        """An operation of DevService, the same for the same key."""
        number = self._draw.randrange(_NAMES)
        return {
            "ledger": self._ledger(),
            "user_id": USERS[number % len(USERS)],
            "amount": str(1 + number),
            "idempotency_key": f"{self._side}-{name}-{number}" if self._draw.random() < 0.8 else "",
        }

    def _account(self) -> accounts_pb.AccountDraft:
        number = self._draw.randrange(_NAMES)
        bounds = [nouns.BalanceLimit(asset="USD", balance_min="-5", balance_max="500")] if number % 3 else []
        return accounts_pb.AccountDraft(
            name=f"{self._side}:{number}",
            type=nouns.AccountType.values()[1 + number % 5],
            limits=bounds,
            metadata={"n": str(number)},
        )
