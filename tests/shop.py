"""The shop of examples/credit_purchase, in few words: products, customers, orders."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from callers import DEADLINE_S, Teller
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from serving import Serving
from template_calls import post_by

from ledger_server.cli.chart_file import read_chart
from ledger_server.domain.parameters import Item, Parameters

CHART = Path(__file__).resolve().parent.parent / "examples" / "credit_purchase" / "chart.yaml"


def line(product: str, quantity: int | str = 1, price: int | str = 1) -> Item:
    """A line of an order."""
    return Item("items", {"product": product, "quantity": str(quantity), "price": str(price)})


class Shop(Teller):
    """One business: its ledger under the example's chart."""

    @classmethod
    def opened(cls, server: Serving) -> Shop:
        """A new business, without products and customers."""
        shop = cls(server, f"shop:{secrets.token_hex(6)}")
        server.admin.CreateLedger(admin_pb.CreateLedgerRequest(name=shop.ledger), timeout=DEADLINE_S)
        shop.apply_chart(read_chart(CHART).chart)
        return shop

    def at(self, server: Serving) -> Shop:
        """The same business on another server."""
        return Shop(server, self.ledger)

    def add_product(self, product: str, price: int = 1, stock: int = 0) -> nouns.Account:
        """Creates a product, and puts so many pieces of it in the shelf."""
        account = self._open(
            f"stock:{product}", nouns.BalanceLimit(asset="PIECE", balance_min="0"), {"price": str(price)}
        )
        if stock:
            self.restock(product, stock)
        return account

    def add_customer(self, customer: str, credit_limit: int) -> nouns.Account:
        """Creates a customer."""
        limit = nouns.BalanceLimit(asset="USD", balance_max=str(credit_limit))
        return self._open(f"customers:{customer}", limit, {})

    def _open(self, name: str, limit: nouns.BalanceLimit, metadata: dict[str, str]) -> nouns.Account:
        draft = accounts_pb.AccountDraft(
            name=name, type=nouns.ACCOUNT_TYPE_ASSET, limits=[limit], metadata=metadata
        )
        request = accounts_pb.CreateAccountRequest(ledger=self.ledger, account=draft)
        return self.server.accounts.CreateAccount(request, timeout=DEADLINE_S).account

    def restock(self, product: str, quantity: int, key: str = "") -> pb.PostResponse:
        """Puts pieces in the shelf."""
        item = Item("items", {"product": product, "quantity": str(quantity)})
        return post_by(self, "restock", Parameters({}, (item,)), key or secrets.token_hex(8))

    def buy(self, customer: str, *items: Item, key: str = "", **more: Any) -> pb.PostResponse:
        """An order on credit."""
        given = Parameters({"customer": customer}, items)
        return post_by(self, "purchase", given, key or secrets.token_hex(8), **more)

    def pay(self, customer: str, amount: int, key: str = "", **more: Any) -> pb.PostResponse:
        """A payment of the customer."""
        given = Parameters({"customer": customer, "amount": str(amount)})
        return post_by(self, "payment", given, key or secrets.token_hex(8), **more)

    def stock(self, product: str) -> int:
        """Pieces in the shelf."""
        return self.balance(f"stock:{product}", "PIECE")

    def owed(self, customer: str) -> int:
        """What the customer owes."""
        return self.balance(f"customers:{customer}")

    def books(self, products: Iterable[str], customers: Iterable[str]) -> dict[str, int]:
        """Every stock and every debt, with the head."""
        return (
            {product: self.stock(product) for product in products}
            | {customer: self.owed(customer) for customer in customers}
            | {"head": self.head()}
        )
