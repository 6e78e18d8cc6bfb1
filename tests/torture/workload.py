"""What a caller asks: a stream of calls from a seed, on few accounts, so that callers meet all the time."""

from __future__ import annotations

import random
from collections.abc import Iterator

from torture.charts import ASSETS, CHARTS
from torture.history import Fields
from torture.replaying import LEDGER

OPEN_ACCOUNTS = ("cash", "sales")
WALLETS = ("wallet:0", "wallet:1", "wallet:2")
CAPPED = "card"
# Opened by the first posting to each, where the chart has it so.
USERS = tuple(f"users:{number}" for number in range(8))
# Accounts that are frozen now and then: few others need them.
RARE = ("till", "users:6", "users:7")
KINDS = ("", "", "sale", "receipt")
_AMOUNT_MAX = 60
# From this many drafts the service takes its other way to write.
_STAGED = 40

# Each as a request of the service, in the order in which they are made.
OPENING: list[tuple[str, Fields]] = [
    *(("CreateAsset", {"ledger": LEDGER, "code": code, "scale": 2}) for code in ASSETS),
    ("CreateAccount", {"ledger": LEDGER, "account": {"name": "cash", "type": 1}}),
    ("CreateAccount", {"ledger": LEDGER, "account": {"name": "sales", "type": 4}}),
    *(
        (
            "CreateAccount",
            {
                "ledger": LEDGER,
                "account": {
                    "name": name,
                    "type": 2,
                    "limits": [{"asset": code, "balance_min": "0"} for code in sorted(ASSETS)],
                },
            },
        )
        for name in WALLETS
    ),
    (
        "CreateAccount",
        {
            "ledger": LEDGER,
            "account": {
                "name": CAPPED,
                "type": 1,
                "limits": [{"asset": "USD", "balance_min": "-500", "balance_max": "500"}],
            },
        },
    ),
    ("CreateAccount", {"ledger": LEDGER, "account": {"name": "till", "type": 1}}),
    ("ApplyChart", {"ledger": LEDGER, "chart": CHARTS[0]}),
]
# The ledger's own record is the first.
BASE = 1 + len(OPENING)


class Workload:
    """The calls of one caller, as verb and fields; `others` are names of callers whose keys it guesses."""

    def __init__(self, name: str, others: list[str], seed: int) -> None:
        self._name = name
        self._others = others
        self._random = random.Random(f"{seed}/{name}")
        self._keys = 0
        # What it asked for, by key, to ask again.
        self._asked: list[tuple[str, Fields]] = []
        self.seen = BASE
        # The versions that it knows, by account; the chart's under "".
        self.versions: dict[str, int] = {}

    def __iter__(self) -> Iterator[tuple[str, Fields]]:
        while True:
            yield self._next()

    def _next(self) -> tuple[str, Fields]:
        draw = self._random.random()
        if draw < 0.50:
            return self._remembered(*self._operation())
        if draw < 0.62:
            return self._batch()
        if draw < 0.67 and self._asked:
            return self._again()
        if draw < 0.85:
            return self._balance()
        if draw < 0.88:
            return self._change()
        return "trial", {"at_sequence": self._past()}

    def _remembered(self, verb: str, fields: Fields) -> tuple[str, Fields]:
        self._asked.append((verb, fields))
        del self._asked[:-50]
        return verb, fields

    def _batch(self) -> tuple[str, Fields]:
        count = _STAGED if self._random.random() < 0.15 else self._random.randint(2, 6)
        operations = [self._operation(in_batch=True) for _ in range(count)]
        is_atomic = self._random.random() < 0.5
        return "batch", {"operations": [{verb: fields} for verb, fields in operations], "atomic": is_atomic}

    def _again(self) -> tuple[str, Fields]:
        """The same key once more, now and then with other content."""
        verb, fields = self._random.choice(self._asked)
        if verb == "post" and "entries" in fields and self._random.random() < 0.2:
            return verb, fields | {"kind": "another"}
        return verb, fields

    def _balance(self) -> tuple[str, Fields]:
        account = self._random.choice((*WALLETS, *OPEN_ACCOUNTS, CAPPED, *USERS))
        return "balance", {
            "account": account,
            "asset": self._random.choice(("", *ASSETS)),
            "at_sequence": self._past(),
        }

    def _past(self) -> int:
        return self._random.randint(BASE, self.seen) if self._random.random() < 0.2 else 0

    def _operation(self, *, in_batch: bool = False) -> tuple[str, Fields]:
        key = f"{self._name}/{self._keys}"
        self._keys += 1
        # Many operations mostly must not be refused, else no atomic batch would stand.
        if self._random.random() < (0.02 if in_batch else 0.15):
            return "reverse", {"idempotency_key": key, "transaction": self._some_transaction()}
        draw = self._random.random()
        if draw < 0.15:
            return "post", {"idempotency_key": key, "template": self._use(is_bold=not in_batch)}
        is_bold = not in_batch or self._random.random() < 0.05
        if draw < 0.30:
            return "post", {"idempotency_key": key, "entries": self._of_a_user(is_bold), "kind": "bill"}
        entries, kind = self._entries(is_bold=is_bold), self._random.choice(KINDS)
        return "post", {"idempotency_key": key, "entries": entries, "kind": kind}

    def _use(self, *, is_bold: bool) -> Fields:
        """A template with what it takes; boldly now and then of a version or a name that there is not."""
        draw, given = self._random.random(), {"amount": str(self._random.randint(1, _AMOUNT_MAX))}
        given |= {"asset": self._random.choice(ASSETS)}
        if draw < 0.6:
            user = str(self._random.randrange(len(USERS) if is_bold and draw < 0.1 else 6))
            version = self._random.choice((0, 0, 0, 1, 1, 2 if is_bold and draw < 0.3 else 0))
            return {"name": "pay", "version": version, "parameters": given | {"user": user}, "items": []}
        items = [
            {"group": "users", "parameters": {"user": str(user), "part": str(self._random.randint(0, 3))}}
            for user in self._random.choices(range(6), k=self._random.randint(1, 3))
        ]
        rest = str(self._random.choice((1, 2, 7)))
        name = "nothing" if is_bold and draw > 0.97 else "share"
        return {"name": name, "version": 0, "parameters": given | {"rest": rest}, "items": items}

    def _of_a_user(self, is_bold: bool) -> list[Fields]:
        """In, and boldly out again."""
        asset, amount = self._random.choice(ASSETS), self._random.randint(1, _AMOUNT_MAX)
        user = self._random.choice(USERS if is_bold else USERS[:6])
        if is_bold and self._random.random() < 0.4:
            return _lines(asset, [(user, 1, amount), ("till", 2, amount)])
        return _lines(asset, [("till" if is_bold else "cash", 1, amount), (user, 2, amount)])

    def _change(self) -> tuple[str, Fields]:
        """Of limits, of what is frozen, or of the chart; mostly under the version that stands."""
        draw = self._random.random()
        if draw < 0.15:
            # Under the last one much is refused.
            chart = self._random.choice((*CHARTS[:-1], *CHARTS[:-1], *CHARTS))
            return "change", {"method": "ApplyChart", "version": self._known(""), "chart": chart}
        if draw < 0.50:
            name = self._random.choice((*WALLETS, CAPPED, *USERS[:3]))
            bounds = {"balance_min": self._random.choice(("0", "0", "-80"))}
            if name == CAPPED:
                bounds = {"balance_min": "-500", "balance_max": self._random.choice(("300", "500"))}
            limits = [{"asset": self._random.choice(ASSETS), **bounds}]
            fields = {"name": name, "version": self._known(name), "limits": limits}
            return "change", {"method": "UpdateAccount", "update_mask": {"paths": ["limits"]}, **fields}
        method = "FreezeAccount" if draw < 0.70 else "UnfreezeAccount"
        name = self._random.choice(RARE)
        version = 0 if self._random.random() < 0.5 else self._known(name)
        return "change", {"method": method, "name": name, "version": version}

    def _known(self, subject: str) -> int:
        return self.versions.get(subject, 1)

    def _some_transaction(self) -> Fields:
        if self._random.random() < 0.3:
            return {"sequence": self._random.randint(BASE + 1, max(self.seen, BASE + 1))}
        who = self._random.choice((self._name, *self._others))
        return {"idempotency_key": f"{who}/{self._random.randint(max(0, self._keys - 20), self._keys)}"}

    def _entries(self, *, is_bold: bool) -> list[Fields]:
        asset = self._random.choice(ASSETS)
        amount = self._random.randint(1, _AMOUNT_MAX)
        wallet = self._random.choice(WALLETS)
        draw = self._random.random()
        if not is_bold or draw < 0.35:
            return _lines(asset, [("cash", 1, amount), (wallet, 2, amount)])
        if draw < 0.70:
            # More than was put in, now and then: then it is refused.
            return _lines(asset, [(wallet, 1, amount), ("sales", 2, amount)])
        if draw < 0.85:
            turn = self._random.choice((1, 2))
            amount *= 3
            return _lines(asset, [(CAPPED, turn, amount), ("sales", 3 - turn, amount)])
        if draw < 0.98:
            fee = self._random.randint(1, amount)
            other = self._random.choice(WALLETS)
            return _lines(asset, [(wallet, 1, amount + fee), (other, 2, amount), ("sales", 2, fee)])
        return _lines(asset, [("nobody", 1, amount), ("sales", 2, amount)])


def _lines(asset: str, lines: list[tuple[str, int, int]]) -> list[Fields]:
    return [
        {"account": account, "side": side, "amount": str(amount), "asset": asset}
        for account, side, amount in lines
    ]
