"""Stories under a chart: families with limits that posts open, numbered kinds, templates, and wrong ones."""

from __future__ import annotations

from collections.abc import Callable

from callers import lines
from charts import INT as INT_SEGMENT
from charts import LIABILITY, OPTIONAL, REQUIRED, SLUG, family, kind
from ledger.v1 import chart_service_pb2 as charts_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from metamorphic.stories import ASSETS, HIGHEST, LATE, TYPES, Story
from sample_templates import AMOUNT, moving, parameters, part
from template_calls import use

from ledger_server.domain.parameters import Item, Parameter, Parameters, ParameterType
from ledger_server.domain.templates import EntryPattern, Group, Template
from ledger_server.rpc import template_responses

# Opened by the first posting to each; the last two are names that no family has.
USERS = tuple(f"users:{number}" for number in range(8))
SHOPS = ("shops:north:till", "shops:south:till")
FOREIGN = ("users:x", "shops:north")

_USER = Parameter("user", ParameterType.INT)
PAY = moving("pay", "cash", "users:{user}", _USER, kind="bill")
PAY_LATER = Template(
    "pay",
    2,
    PAY.parameters,
    (
        EntryPattern("bank", True, ("amount",), "USD"),
        EntryPattern("users:{user}", False, ("amount",), "USD"),
    ),
    kind="plain",
    metadata={"by": "template"},
)
SPEND = moving("spend", "users:{user}", "sales", _USER, kind="receipt")
PARTED = Template(
    "parted",
    1,
    (AMOUNT, Parameter("rest", ParameterType.INT)),
    (
        EntryPattern("cash", True, ("amount",), "USD"),
        EntryPattern("users:{partner}", False, ("amount",), "USD", "partners", weight="parts"),
        EntryPattern("fees", False, ("amount",), "USD", weight="rest"),
    ),
    (Group("partners", (Parameter("partner", ParameterType.SLUG), Parameter("parts", ParameterType.INT))),),
    kind="bill",
)
TEMPLATES = (PAY, PAY_LATER, SPEND, PARTED)

CHART = charts_pb.Chart(
    assets=[charts_pb.ChartAsset(code=code, scale=scale) for code, scale in ASSETS.items()],
    families=[
        *(family(name, kind, assets=["USD"] if name == "sales" else []) for name, kind in TYPES.items()),
        *(family(name, LIABILITY) for name in LATE),
        family(
            "users:{id}",
            LIABILITY,
            {"id": INT_SEGMENT},
            limits=[
                nouns.BalanceLimit(asset="USD", balance_min="0", balance_max="500"),
                nouns.BalanceLimit(asset="XAU", balance_min="-20"),
            ],
            opens_on_first_posting=True,
        ),
        family("shops:{shop}:till", nouns.ACCOUNT_TYPE_ASSET, {"shop": SLUG}, opens_on_first_posting=True),
    ],
    kinds=[
        kind("plain", OPTIONAL),
        kind("sale", REQUIRED),
        kind("refund", required_metadata=["order"]),
        kind("receipt", series="receipts"),
        kind("bill", series="bills", per="users:{any}"),
    ],
    templates=[template_responses.template(one) for one in TEMPLATES],
)
KINDS = ("plain", "plain", "plain", "plain", "sale", "receipt", "receipt", "bill", "refund", "")
FAMILY_KINDS = ("plain", "receipt", "bill", "bill")


class ChartedStory(Story):
    """A seed's drafts for a book under `CHART`."""

    def __init__(self, seed: int | str, *, opens_accounts: bool = False) -> None:
        super().__init__(f"charted {seed}", opens_accounts=opens_accounts)

    @property
    def _kinds(self) -> tuple[str, ...]:
        return KINDS

    def _ways(self) -> dict[Callable[[], pb.Operation], int]:
        return super()._ways() | {self._by_template: 40, self._with_a_family: 40}

    def _with_a_family(self) -> pb.Operation:
        """A post of which one side is an account that it may be the first to name."""
        draft, pick = self._post(), self.random.choice
        account = pick(FOREIGN) if self.random.randrange(20) == 0 else pick((*USERS, *USERS, *SHOPS))
        sides = [account, pick(list(TYPES))]
        self.random.shuffle(sides)
        draft.post.kind = pick(FAMILY_KINDS)
        del draft.post.entries[:]
        draft.post.entries.extend(lines(*sides, pick((1, 7, 60)), pick(("USD", "USD", "XAU"))))
        return draft

    def _by_template(self) -> pb.Operation:
        """Mostly with what the template takes."""
        draft = self._post()
        del draft.post.entries[:]
        draft.post.ClearField("kind")
        draft.post.ClearField("metadata")
        name = self.random.choice(("pay", "pay", "spend", "parted", "parted", "nobody"))
        version = self.random.choice((0, 0, 0, 1, 2))
        draft.post.template.CopyFrom(use(name, self._given(name), version))
        return draft

    def _given(self, name: str) -> Parameters:
        pick = self.random.choice
        rare = self.random.randrange(15)
        amount = {0: HIGHEST, 1: "0", 2: "x"}.get(rare, str(pick((1, 2, 10, 101))))
        if name == "parted":
            items: list[Item] = [
                part(pick((*"01234", "no" if rare == 3 else "5")), pick((0, 1, 1, 2, 3)))
                for _ in range(self.random.randint(0 if rare == 4 else 1, 4))
            ]
            return parameters(*items, amount=amount, rest=pick((0, 1, 7)))
        more = {"more": "1"} if rare == 5 else {}
        return parameters(amount=amount, user=pick(range(8)), **more)
