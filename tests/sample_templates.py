"""Templates as ledgers have them: wallets, credit books, a shop, a split."""

from __future__ import annotations

from ledger_server.domain.parameters import Item, Parameter, Parameters, ParameterType
from ledger_server.domain.templates import EntryPattern, Group, Template

AMOUNT = Parameter("amount", ParameterType.AMOUNT)
USER = Parameter("user", ParameterType.UUID)
REASON = Parameter("reason", ParameterType.TEXT)
CUSTOMER = Parameter("customer", ParameterType.SLUG)

ANN = "11111111-1111-4111-8111-111111111111"


def moving(
    name: str,
    debited: str,
    credited: str,
    *parameters: Parameter,
    asset: str = "USD",
    kind: str = "",
    metadata: dict[str, str] | None = None,
) -> Template:
    """An operation of two entries: `amount` of one asset from one account to another."""
    entries = (
        EntryPattern(debited, True, ("amount",), asset),
        EntryPattern(credited, False, ("amount",), asset),
    )
    return Template(name, 1, (AMOUNT, *parameters), entries, kind=kind or name, metadata=metadata)


# Wallets: 1000 cash, 2000 what users hold, 4000 revenue, 5000 promotion.
TOP_UP = moving("topup", "1000", "2000:{user}", USER)
CHARGE = moving("charge", "2000:{user}", "4000", USER)
BONUS = moving("bonus", "5000", "2000:{user}", USER, REASON, metadata={"reason": "{reason}"})

# A credit book: what customers owe.
RECORD_CREDIT = moving("record-credit", "customers:{customer}", "sales", CUSTOMER)
RECORD_PAYMENT = moving("record-payment", "cash", "customers:{customer}", CUSTOMER)

# A purchase on credit: money and stock move together, item by item.
PURCHASE = Template(
    "purchase",
    1,
    (CUSTOMER,),
    (
        EntryPattern("customers:{customer}:credit", True, ("quantity", "price"), "USD", "items"),
        EntryPattern("sales", False, ("quantity", "price"), "USD", "items"),
        EntryPattern("sold", True, ("quantity",), "{product}", "items"),
        EntryPattern("stock", False, ("quantity",), "{product}", "items"),
    ),
    (
        Group(
            "items",
            (
                Parameter("product", ParameterType.SLUG),
                Parameter("quantity", ParameterType.INT),
                Parameter("price", ParameterType.AMOUNT),
            ),
        ),
    ),
    kind="purchase",
)

# What came in, divided: 70 to the seller, 20 to the carrier, 10 to the house.
SPLIT = Template(
    "split",
    1,
    (AMOUNT, Parameter("seller", ParameterType.SLUG)),
    (
        EntryPattern("cash", True, ("amount",), "USD"),
        EntryPattern("sellers:{seller}", False, ("amount",), "USD", weight=70),
        EntryPattern("carrier", False, ("amount",), "USD", weight=20),
        EntryPattern("house", False, ("amount",), "USD", weight=10),
    ),
    kind="split",
)

# The same among as many as are named, each by its own weight.
DIVISION = Template(
    "division",
    1,
    (AMOUNT,),
    (
        EntryPattern("cash", True, ("amount",), "USD"),
        EntryPattern("partners:{partner}", False, ("amount",), "USD", "partners", weight="parts"),
    ),
    (
        Group(
            "partners",
            (Parameter("partner", ParameterType.SLUG), Parameter("parts", ParameterType.INT)),
        ),
    ),
    kind="division",
)

SAMPLES = (TOP_UP, CHARGE, BONUS, RECORD_CREDIT, RECORD_PAYMENT, PURCHASE, SPLIT, DIVISION)


def line(product: str, quantity: int | str, price: int | str) -> Item:
    """A line of a purchase."""
    return Item("items", {"product": product, "quantity": str(quantity), "price": str(price)})


def part(partner: str, parts: int) -> Item:
    """A partner of a division."""
    return Item("partners", {"partner": partner, "parts": str(parts)})


def parameters(*items: Item, **values: object) -> Parameters:
    """Given parameters: values by name, and items."""
    return Parameters({name: str(value) for name, value in values.items()}, items)
