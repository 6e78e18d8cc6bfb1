"""What the stateful test asks: each field drawn on its own, at its edges or from names used before.

The pools are small, so that the same names, keys and sequences come again and
meet; most values of a pool are sound, so that most requests have one fault or none.
Everything is drawn from one `Random`: Hypothesis's own rules and fields, drawn with
an eye to shrinking, came out short and as copies of each other, and 25 runs of its
30 steps recorded 30 transactions in all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from oracle.drive import START
from oracle.forms import Fields, Time

Request = tuple[str, Fields]

ASSETS = ("USD", "XAU")
ACCOUNTS = {
    "cash": 1,
    "bank": 1,
    "customers": 2,
    "customers:1": 2,
    "customers:2": 2,
    "customers2": 2,
    "equity": 3,
    "sales": 4,
    "fees": 5,
}
# Accounts that may be frozen or closed.
RARE = ("customers2", "equity", "customers:3")
LONGEST_NAME = "n" * 255


class Pool:
    """The usual values, and once in so many draws an edge."""

    def __init__(self, *usual: Any, once_in: int, edges: tuple[Any, ...]) -> None:
        self._usual = usual
        self._once_in = once_in
        self._edges = edges

    def draw(self, random: Random, *, may_be_an_edge: bool = True) -> Any:
        """One of the values."""
        is_edge = may_be_an_edge and random.randrange(self._once_in) == 0
        return random.choice(self._edges if is_edge else self._usual)


LEDGERS = Pool("main", once_in=12, edges=("other", "other", "other", "nobody", "", "a::b", " main"))
ACCOUNT_NAMES = Pool(
    *ACCOUNTS,
    once_in=15,
    edges=("é ü:日", LONGEST_NAME, LONGEST_NAME + "n", "", "a:", "a\tb", "e\u0301", "nobody"),
)
CODES = Pool(*ASSETS, once_in=30, edges=("€", "EUR", "c" * 32, "c" * 33, "", "U D", "U\u200bD"))
OPTIONAL_CODES = Pool("", *ASSETS, once_in=15, edges=("€", "EUR", "U D", "c" * 33))
AMOUNTS = Pool(
    *("1", "2", "60", "100"),
    once_in=15,
    edges=(
        "9" * 38,
        "5" + "0" * 37,
        "9" * 38,
        "5" + "0" * 37,
        "9" * 39,
        "",
        "0",
        "-1",
        "01",
        "1.5",
        "1e3",
        "1\n",
        "١",
        " 1",
    ),
)
KEYS = Pool(
    *("", "", "", "k1", "k2", "k3", "k4"),
    once_in=12,
    edges=(" k1\t", "k" * 128, f" {'k' * 128} ", "k" * 129, "k\0"),
)
KINDS = Pool("", "", "sale", once_in=25, edges=("k" * 64, "k" * 64, "k" * 65, "\0"))
FORCES = Pool(False, False, once_in=3, edges=(True,))
TEXTS = Pool("", "", "", "paid", once_in=15, edges=("é" * 255, "é" * 255, "é" * 256, "a\0b"))
METADATA = Pool(
    *({}, {}, {}, {}, {"order": "1"}, {"order": "2"}, {"order": "1", "shop": ""}),
    once_in=12,
    edges=(
        {"order": "1", "shop": "é"},
        {"k" * 64: "v" * 1024},
        {"k" * 65: "v"},
        {"k": "v" * 1025},
        {"": "v"},
        {"k": "\0"},
        {str(number): "" for number in range(64)},
        {str(number): "" for number in range(65)},
        {str(number): "v" * 1023 for number in range(8)},
        {str(number): "v" * 1023 for number in range(8)} | {"k": ""},
    ),
)
TIMES = Pool(
    *(None, None, None, None, (START, 0), (START + 1, 0)),
    once_in=10,
    edges=(
        *((START, 1_999), (START - 86_400, 999_999_999), (START + 3_600, 1_000)),
        *(
            (0, 0),
            (-1, 1_000),
            (-62_135_596_800, 0),
            (253_402_300_799, 999_999_999),
        ),
        *((-62_135_596_801, 0), (253_402_300_800, 0), (START, -1), (START, 10**9)),
    ),
)
MOMENTS = Pool((START, 0), (START + 1, 0), once_in=4, edges=((START, 1_000), (0, 0), (START, -1)))
SIDES = Pool(1, 2, once_in=40, edges=(0, 3))
AWAITED = Pool(0, once_in=12, edges=(1, 10, 12, -1, 2_000))
PAGE_SIZES = Pool(0, 1, 2, 3, once_in=12, edges=(1000, 1001, -1))
ORDERS = Pool(0, 1, 2, once_in=20, edges=(7, -1))
PAGE_TOKENS = Pool("", once_in=20, edges=("page", "AAAA", "é", "="))
BOUNDS = Pool(
    None, "0", "-50", once_in=5, edges=("100", "1", "-1", "-0", "", "1.5", "-" + "9" * 38, "9" * 39)
)


# What makes a retry the same, field by field.
CONTENT = {
    "Post": (
        "entries",
        "kind",
        "effective_time",
        "effective_time",
        "description",
        "metadata",
        "external_ref",
    ),
    "Reverse": ("transaction", "force", "effective_time", "effective_time", "description", "metadata"),
}


class Draw:
    """Draws requests, knowing how far the main ledger has come and what it has recorded."""

    def __init__(
        self, random: Random, head: int, recorded: Mapping[int, Fields], accounts: Mapping[str, Fields]
    ) -> None:
        self._random = random
        # Half of all requests are sound as far as their values go.
        self._may_be_an_edge = random.random() < 0.5
        self._head = head
        self._recorded = list(recorded)
        self._transactions = list(recorded.values())
        self._accounts = accounts

    def one_of(self, *choices: Callable[[], Any]) -> Any:
        """What one of the choices draws."""
        return self._random.choice(choices)()

    def fields(self, **pools: Pool | Callable[[], Any] | object) -> Fields:
        """Each field from its pool; absent where None was drawn."""
        drawn = {}
        for name, pool in pools.items():
            value = self.of(pool) if isinstance(pool, Pool) else pool() if callable(pool) else pool
            if value is not None:
                drawn[name] = value
        return drawn

    def of(self, pool: Pool) -> Any:
        """A value of the pool."""
        return pool.draw(self._random, may_be_an_edge=self._may_be_an_edge)

    def some(self, most: int, draw: Callable[[], Any]) -> list[Any]:
        """None to so many."""
        return [draw() for _ in range(self._random.randint(0, most))]

    def is_so(self, once_in: int = 2) -> bool:
        return self._random.randrange(once_in) == 0

    def sequence(self) -> int:
        """One of the journal's, or just beside it."""
        if self.is_so(10):
            return self._random.choice((-1, 0, 1, 2**63 - 1, self._head + 1))
        if self._recorded and self.is_so():
            return self._random.choice(self._recorded)
        return self._random.randint(1, self._head)

    def at_sequence(self) -> int:
        return self.one_of(int, self.sequence)

    def account_used(self) -> str:
        """An account with entries, or any other name."""
        if not self._transactions or self.is_so(4):
            return self.of(ACCOUNT_NAMES)
        return self._random.choice(self._random.choice(self._transactions)["entries"])["account"]

    def moment(self) -> Time:
        """When something happened or was recorded, or any other time."""
        if not self._transactions or self.is_so(4):
            return self.of(MOMENTS)
        one = self._random.choice(self._transactions)
        return moment_of(one[self._random.choice(("effective_time", "record_time"))])

    # writes -------------------------------------------------------------------------

    def entry(self, names: Pool = ACCOUNT_NAMES) -> Fields:
        return self.fields(account=names, side=SIDES, amount=AMOUNTS, asset=CODES)

    def entries(self) -> list[Fields]:
        """Pairs of equal lines, now and then with one line drawn again, or none of it equal."""
        if self.is_so(12):
            return self.some(4, self.entry)
        lines = []
        # Several entries of one account are for pages to end between.
        few = Pool(*self._random.sample(list(ACCOUNTS), 2), once_in=15, edges=("cash",))
        names = few if self.is_so(3) else ACCOUNT_NAMES
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            pair = [self.entry(names), self.entry(names)]
            pair[1] |= {"amount": pair[0]["amount"], "asset": pair[0]["asset"], "side": 3 - pair[0]["side"]}
            if self.is_so(40):
                pair[1] |= self.fields(asset=CODES)
            lines += pair
        if self.is_so(15):
            lines[self._random.randrange(len(lines))] |= self.entry()
        self._random.shuffle(lines)
        return lines

    def transaction(self) -> Fields:
        if self.is_so(20):
            return {}
        return self.one_of(
            lambda: {"sequence": self.sequence()},
            lambda: {"sequence": self.sequence()},
            lambda: self.fields(idempotency_key=KEYS),
        )

    def precondition(self) -> Fields:
        """Of an account's version or of a balance; now and then of nothing."""
        if self.is_so(20):
            return {}
        name = self.account_used()
        if self.is_so(3):
            standing = self._accounts.get(name, {"version": 1})["version"]
            versions = Pool(standing, standing, once_in=3, edges=(standing + 1, 1, 0, -1))
            return {"account_version": self.fields(account=name, version=versions)}
        bounds = Pool(None, "0", "-1000", "1000", once_in=4, edges=("1", "-1", "60", "01", "", "9" * 38))
        return {"balance": self.fields(account=name, asset=CODES, min=bounds, max=bounds)}

    def post(self) -> Fields:
        return self.fields(
            preconditions=self.some(2, self.precondition) if self.is_so(5) else None,
            idempotency_key=KEYS,
            entries=self.entries,
            kind=KINDS,
            effective_time=TIMES,
            description=TEXTS,
            metadata=METADATA,
            external_ref=TEXTS,
        )

    def reverse(self) -> Fields:
        return self.fields(
            transaction=self.transaction,
            idempotency_key=KEYS,
            effective_time=TIMES,
            description=TEXTS,
            metadata=METADATA,
            force=FORCES,
        )

    def nearly_the_same(self, method: str, request: Fields, recorded: Fields) -> Request:
        """The request with one field of its content drawn again, or left out."""
        field = self._random.choice(CONTENT[method])
        drawn = (self.post() if method == "Post" else self.reverse()).get(field)
        if field == "effective_time":
            # The recorded one may not have been given.
            drawn = self._random.choice((None, moment_of(recorded["effective_time"]), drawn))
        others = {name: value for name, value in request.items() if name != field}
        return method, others if drawn is None else others | {field: drawn}

    def operation(self) -> Fields:
        if self.is_so(25):
            return {}
        if self.is_so(8):
            return {"open_account": self.account()}
        return {"reverse": self.reverse()} if self.is_so(4) else {"post": self.post()}

    def a_post(self) -> Request:
        return "Post", self.fields(ledger=LEDGERS) | self.post() | {"validate_only": self.is_so(8)}

    def a_reversal(self) -> Request:
        return "Reverse", self.fields(ledger=LEDGERS) | self.reverse()

    def a_batch(self) -> Request:
        views = Pool(0, 1, 2, once_in=25, edges=(3,))
        operations = self.some(5, self.operation)
        return "PostBatch", self.fields(
            ledger=LEDGERS, operations=operations, atomic=self.is_so(), view=views
        )

    def limits(self) -> list[Fields]:
        return self.some(2, lambda: self.fields(asset=CODES, balance_min=BOUNDS, balance_max=BOUNDS))

    def account(self) -> Fields:
        types = Pool(1, 2, 3, 4, 5, once_in=25, edges=(0, 6))
        names = Pool(
            *ACCOUNTS, *(f"customers:{number}" for number in range(3, 9)), once_in=5, edges=("other:1", "")
        )
        limits = self.one_of(list, self.limits)
        return self.fields(
            name=self.one_of(lambda: names, lambda: ACCOUNT_NAMES),
            type=types,
            limits=limits,
            metadata=METADATA,
        )

    def an_opening(self) -> Request:
        scales = Pool(0, 2, once_in=8, edges=(36, 37, -1))
        return self.one_of(
            lambda: ("CreateLedger", self.fields(name=LEDGERS, description=TEXTS)),
            lambda: ("CreateAsset", self.fields(ledger=LEDGERS, code=CODES, scale=scales)),
            lambda: (
                "CreateAsset",
                self.fields(ledger=LEDGERS, code=lambda: f"C{self._random.randrange(9)}", scale=scales),
            ),
            lambda: ("CreateAccount", self.fields(ledger=LEDGERS, account=self.account)),
            lambda: ("BatchCreateAccounts", self.fields(ledger=LEDGERS, accounts=self.some(4, self.account))),
        )

    def a_change(self) -> Request:
        """Of an account that few others need, for what is closed is closed for good."""
        rare = Pool(*RARE, once_in=6, edges=("nobody", "a::b", "cash", "customers:1"))
        methods = ("UpdateAccount", "UpdateAccount", "FreezeAccount", "UnfreezeAccount", "UnfreezeAccount")
        method = self._random.choice((*methods, "CloseAccount"))
        usual = Pool("cash", "customers:1", "fees", once_in=5, edges=RARE)
        name = self.of(usual if method == "UpdateAccount" else rare)
        standing = self._accounts.get(name, {"version": 1})["version"]
        versions = Pool(standing, 0, once_in=4, edges=(standing - 1, standing + 1, -1))
        fields = self.fields(ledger=LEDGERS, name=lambda: name, version=versions)
        if method == "UpdateAccount":
            paths = self._random.choice((["metadata"], ["metadata"], ["limits"], ["metadata", "limits"]))
            limits = self.limits() if "limits" in paths or self.is_so(20) else []
            drawn = {"limits": limits, "metadata": self.of(METADATA) if "metadata" in paths else {}}
            paths = self._random.choice((["type"], [], paths * 2)) if self.is_so(20) else paths
            fields |= {"update_mask": {"paths": paths}}
            fields |= {part: given for part, given in drawn.items() if given}
        return method, fields

    # reads --------------------------------------------------------------------------

    def filter(self) -> Fields:
        """None or a few parts, each drawn on its own."""
        parts: dict[str, Any] = {
            "account": self.account_used,
            "account_prefix": Pool(
                "customers", "customers:1", "cash", once_in=8, edges=("", "a::b", "nobody")
            ),
            "kind": KINDS,
            "external_ref": TEXTS,
            "metadata": METADATA,
            "reversals": self.is_so(),
            **{
                f"{time}_{end}": self.moment
                for time in ("effective_time", "record_time")
                for end in ("from", "until")
            },
        }
        # One SQL condition each, but a prefix is matched with names, which has more edges.
        count = self._random.choice((0, 1, 1, 1, 1, 2, 2, 3))
        chosen = set(self._random.choices([*parts, "account_prefix", "account_prefix"], k=count))
        drawn = self.fields(**{name: parts[name] for name in sorted(chosen)})
        return {name: value for name, value in drawn.items() if value or name == "reversals"}

    def a_list(self) -> Request:
        """The read of a list, from its first page."""
        while True:
            method, request = self.a_read()
            if "page_token" in request:
                return method, request | {"page_token": ""}

    def a_read(self) -> Request:
        read = {"ledger": LEDGERS, "min_sequence": AWAITED}
        paged = {"page_size": PAGE_SIZES, "page_token": PAGE_TOKENS}
        at = {"at_sequence": self.at_sequence, **read}
        entry = {"account": self.account_used, "asset": OPTIONAL_CODES}
        types = Pool(0, 1, 2, once_in=15, edges=(6,))
        rows = Pool(0, 1, 2, once_in=20, edges=(3,))
        prefixes = Pool(
            "", "customers", once_in=3, edges=("cash", "custom", "customers:1", "a:", LONGEST_NAME)
        )
        ways: list[tuple[int, str, Fields]] = [
            (1, "GetLedger", {"name": LEDGERS, "min_sequence": AWAITED}),
            (1, "ListLedgers", paged),
            (1, "ListAssets", read | paged),
            (1, "GetAccount", {"name": ACCOUNT_NAMES, **read}),
            (2, "ListAccounts", {"prefix": prefixes, "type": types, **read, **paged}),
            (3, "GetTransaction", {"transaction": self.transaction, **read}),
            (8, "ListTransactions", {"filter": self.filter, "order": ORDERS, **read, **paged}),
            (4, "ListEntries", {**entry, "order": ORDERS, **read, **paged}),
            (3, "GetBalance", {**entry, "recompute": self.is_so(), **at}),
            (2, "BatchGetBalances", {"names": self.some(4, lambda: self.fields(**entry)), **at}),
            (3, "TrialBalance", {"rows": rows, "digest": self.is_so(), **at, **paged}),
        ]
        ((_, method, of),) = self._random.choices(ways, weights=[weight for weight, _, _ in ways])
        return method, self.fields(**of)

    def an_aggregate(self) -> Request:
        """A sum of balances, of a prefix or of a set that some charts have."""
        prefixes = Pool(
            *("customers", "cash", "customers:1", "custom"), once_in=12, edges=("", "a:", LONGEST_NAME + "n")
        )
        sets = Pool(
            *("all", "owed", "till"), once_in=12, edges=("", "nobody", "a:b", "s" * 64, "s" * 65, "a\tb")
        )
        named = {"account_set": sets} if self.is_so() else {"account_prefix": prefixes}
        read = {"ledger": LEDGERS, "min_sequence": AWAITED, "asset": OPTIONAL_CODES}
        return "GetAggregateBalance", self.fields(**named, **read, at_sequence=self.at_sequence)


def moment_of(microseconds: int) -> Time:
    """A recorded time as a request gives it."""
    return microseconds // 10**6, microseconds % 10**6 * 1_000
