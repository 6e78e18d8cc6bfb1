"""`./ledger apply` as a person meets it: the difference first, then yes; every fault with its line."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import pytest
from cli.running import Run, Server

from ledger_client import AccountType, connect, credit, debit
from ledger_client.contract import PostRequest, TemplateUse, Transaction
from ledger_client.refusals import AccountNotFound, InsufficientFunds, ValidationFailed
from ledger_server.cli.chart_file import ChartFault, read_chart

EXAMPLE = Path(__file__).parents[2] / "examples" / "loyalty_credits" / "chart.yaml"
ANN = "2000:123e4567-e89b-12d3-a456-426614174000"

pytestmark = pytest.mark.usefixtures("at_server")


@pytest.fixture
def book() -> str:
    """A ledger's name that nobody has used."""
    return f"loyalty:{secrets.token_hex(4)}"


def test_the_example_is_shown_applied_and_left_as_it_is(run: Run, book: str) -> None:
    shown = run("apply", EXAMPLE, "--ledger", book, "--create", "--dry-run")
    refused = run("apply", EXAMPLE, "--ledger", book)
    applied = run("apply", EXAMPLE, "--ledger", book, "--yes")
    again = run("apply", EXAMPLE, "--ledger", book, "--yes")

    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.splitlines() == [
        f"{book}, from version 0 of its chart to 1:",
        "  + asset  CREDIT",
        "  + family 1000",
        "  + family 2000:{user_id}",
        "  + family 4000",
        "  + family 5000",
        "  + kind   bonus",
        "  + kind   charge",
        "  + kind   topup",
        "  + template bonus 1",
        "  + template charge 1",
        "  + template topup 1",
    ]
    assert (refused.exit_code, refused.stderr) == (1, "error: nothing was applied; answer y, or give --yes\n")
    assert applied.exit_code == 0, applied.stderr
    assert applied.stdout.splitlines()[-1] == "Applied: version 1, sequence 2."
    assert again.stdout == f"{book} has this chart already: version 1; nothing to do.\n"


@pytest.mark.criterion("S003-1")
@pytest.mark.criterion("S003-6")
def test_the_loyalty_credits_run_on_their_chart(run: Run, server: Server, book: str) -> None:
    """Top-up 1000, charge 400, bonus 50: 650."""
    assert run("apply", EXAMPLE, "--ledger", book, "--create", "--yes").exit_code == 0
    with connect(server.target) as client:
        assert client.get_balance(book, ANN, "CREDIT").posted == 0

        for kind, debited, credited, amount in (
            ("topup", "1000", ANN, 1000),
            ("charge", ANN, "4000", 400),
            ("bonus", "5000", ANN, 50),
        ):
            entries = [debit(debited, amount, "CREDIT"), credit(credited, amount, "CREDIT")]
            client.post(book, entries, kind=kind, metadata={"reason": "welcome"} if kind == "bonus" else {})

        assert client.get_balance(book, ANN, "CREDIT").posted == 650
        assert {account.name: account.type for account in client.list_accounts(book)} == {
            "1000": AccountType.ASSET,
            ANN: AccountType.LIABILITY,
            "4000": AccountType.REVENUE,
            "5000": AccountType.EXPENSE,
        }
        gift = [debit("5000", 1, "CREDIT"), credit(ANN, 1, "CREDIT")]
        with pytest.raises(ValidationFailed, match="reason"):
            client.post(book, gift, kind="bonus")
        with pytest.raises(InsufficientFunds):
            client.post(book, [debit(ANN, 651, "CREDIT"), credit("4000", 651, "CREDIT")], kind="charge")
        with pytest.raises(AccountNotFound):
            client.post(book, [debit("1000", 1, "CREDIT"), credit("2000", 1, "CREDIT")], kind="topup")


@pytest.mark.criterion("S003-8")
def test_the_loyalty_credits_have_their_operations_as_templates(run: Run, server: Server, book: str) -> None:
    assert run("apply", EXAMPLE, "--ledger", book, "--create", "--yes").exit_code == 0
    with connect(server.target) as client:

        def asked(name: str, key: str, **given: str) -> Transaction:
            values = {"user": ANN.removeprefix("2000:"), **given}
            used = TemplateUse(name=name, parameters=values)
            request = PostRequest(ledger=book, idempotency_key=key, template=used)
            return client.call(client.ledger.Post, request).transaction

        made = [
            asked("topup", "t", amount="1000"),
            asked("charge", "c", amount="400"),
            asked("bonus", "b", amount="50", reason="welcome"),
        ]

        assert client.get_balance(book, ANN, "CREDIT").posted == 650
        assert [(one.kind, len(one.entries), one.template.version) for one in made] == [
            ("topup", 2, 1),
            ("charge", 2, 1),
            ("bonus", 2, 1),
        ]
        with pytest.raises(ValidationFailed, match=r"template\.parameters\.reason"):
            asked("bonus", "b2", amount="1")


def test_a_file_says_what_templates_are(tmp_path: Path) -> None:
    file = written(
        tmp_path / "chart.yaml",
        """
templates:
  order 3:
    kind: sale
    parameters: {customer: slug, tip: amount, house: int}
    groups:
      lines: {parameters: {quantity: int, price: amount}}
      others: {parameters: {who: slug, part: int}, min_items: 0}
    entries:
      - {debit: "customers:{customer}", amount: quantity * price, asset: USD, for_each: lines}
      - {credit: sales, amount: quantity*price, asset: USD, for_each: lines}
      - {debit: cash, amount: tip, asset: USD}
      - {credit: house, amount: tip, asset: USD, weight: 3}
      - {credit: "{who}", amount: tip, asset: USD, weight: part, for_each: others}
    metadata: {of: "{customer}"}
""",
    )

    (template,) = read_chart(file).chart.templates

    assert (template.name, template.version, template.kind) == ("order", 3, "sale")
    assert dict(template.parameters) == {"customer": 3, "tip": 5, "house": 2}
    assert [(group.name, group.HasField("min_items")) for group in template.groups] == [
        ("lines", False),
        ("others", True),
    ]
    assert [(entry.side, list(entry.factors), entry.group) for entry in template.entries] == [
        (1, ["quantity", "price"], "lines"),
        (2, ["quantity", "price"], "lines"),
        (1, ["tip"], ""),
        (2, ["tip"], ""),
        (2, ["tip"], "others"),
    ]
    assert [entry.WhichOneof("share") for entry in template.entries] == [
        None,
        None,
        None,
        "weight",
        "weight_parameter",
    ]
    assert dict(template.metadata) == {"of": "{customer}"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("templates:\n  a b: {}\n", "line 2: 'a b' is no template's name"),
        ("templates:\n  a:\n    entries:\n      - {debit: x, asset: USD}\n", "line 4: an entry needs"),
        (
            "templates:\n  a:\n    entries:\n      - {debit: x, credit: y, amount: a, asset: b}\n",
            "line 4: an",
        ),
        ("templates:\n  a:\n    entries:\n      - {amount: a, asset: b}\n", "line 4: an entry needs"),
        ("templates:\n  a: {parameters: {x: float}}\n", "line 2: a parameter's type must be one of UUID"),
        ("templates:\n  a: {groups: {g: {max: 1}}}\n", "line 2: group 'g' has no field 'max'"),
    ],
)
def test_a_fault_in_a_template_is_told_with_its_line(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ChartFault, match=f"^{re.escape(fault)}"):
        read_chart(written(tmp_path / "chart.yaml", text))


def written(path: Path, text: str) -> Path:
    """A file of this text."""
    path.write_text(text, encoding="utf-8")
    return path


def test_what_the_service_minds_is_told_with_its_line(run: Run, book: str, tmp_path: Path) -> None:
    file = written(
        tmp_path / "chart.yaml",
        "assets:\n  USD: {scale: 2}\nfamilies:\n  a: {type: ASSET}\n  users:{x}: {type: ASSET, assets: [EUR],"
        "\n    parameters: {y: uuid}}\n".replace("users:{x}", '"users:{x}"'),
    )

    outcome = run("apply", file, "--ledger", book, "--create", "--yes")

    assert outcome.exit_code == 1
    first, *rest = outcome.stderr.splitlines()
    assert first.startswith(f"error: {file}: ")
    assert rest == [
        "  line 5: families 'users:{x}'.parameters: must give the type of each parameter of its pattern: x",
        "  line 5: families 'users:{x}'.assets: 'EUR' is no asset of the chart",
    ]


def test_offenders_are_listed(run: Run, server: Server, book: str, tmp_path: Path) -> None:
    assert run("apply", EXAMPLE, "--ledger", book, "--create", "--yes").exit_code == 0
    with connect(server.target) as client:
        entries = [debit("1000", 5, "CREDIT"), credit(ANN, 5, "CREDIT")]
        client.post(book, entries, kind="topup")
    file = written(tmp_path / "chart.yaml", "families:\n  1000: {type: EXPENSE}\n")

    outcome = run("apply", file, "--ledger", book, "--yes")

    assert outcome.exit_code == 1
    assert outcome.stderr.splitlines()[1:] == [
        "  accounts['1000']: is of type ASSET; '1000' is EXPENSE",
        f"  accounts['{ANN}']: matches no family",
    ]


FAULTS = {
    "families: [a]": "line 1: families must be a mapping",
    "a: 1": "line 1: the chart has no field 'a'; it has assets, families, kinds, templates, sets",
    "assets:\n  USD: {scale: 2}\n  USD: {scale: 3}": "line 3: 'USD' stands twice in assets",
    "assets:\n  USD: {}": "line 2: asset 'USD' needs a scale",
    "assets:\n  USD: {scale: 2.5}": "line 2: scale must be a whole number, not '2.5'",
    "families:\n  a: {typ: ASSET}": "line 2: family 'a' has no field 'typ'; it has parameters, type, assets,"
    " balance_min, balance_max, opens_on_first_posting, limits_include_zero, description",
    "families:\n  a: {}": "line 2: family 'a' needs a type",
    "families:\n  a: {type: MONEY}": "line 2: type must be one of ASSET, LIABILITY, EQUITY, REVENUE, EXPENSE,"
    " not 'MONEY'",
    "families:\n  a:\n    type: ASSET\n    balance_min: 0": "line 4: balance_min of family 'a'"
    " needs its assets, or one bound by asset",
    "families:\n  a: {type: ASSET, opens_on_first_posting: yes}": "line 2: opens_on_first_posting"
    " must be true or false, not 'yes'",
    "families:\n  a: {type: ASSET, limits_include_zero: 1}": "line 2: limits_include_zero"
    " must be true or false, not '1'",
    "kinds:\n  k: {numbering: {per: a}}": "line 2: numbering needs a name",
    "kinds:\n  k: {role: BOSS}": "line 2: role must be one of READER, POSTER, REVERSER, FORCE_REVERSER,"
    " ACCOUNTANT, AUDITOR, TENANT_ADMIN, not 'BOSS'",
    "kinds:\n  k: {required_metadata: reason}": "line 2: required_metadata must be a list",
    "sets:\n  s: {members: [a]}": "line 2: set 's' has no field 'members'; it has accounts, prefixes, sets,"
    " description",
    "sets:\n  s: {accounts: a}": "line 2: accounts must be a list",
    "sets:\n  s:\n    sets: [[a]]": "line 3: a name in sets must be a text",
    "kinds: {": "line 1: expected the node content, but found '<stream end>'",
    "kinds:\n\t- a": "line 2: found character '\\t' that cannot start any token",
    "&a [*a]": "line 1: the chart must be a mapping",
}


@pytest.mark.parametrize("text", FAULTS)
def test_every_fault_of_the_file_has_its_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(ChartFault) as fault:
        read_chart(written(tmp_path / "chart.yaml", text))

    assert str(fault.value) == FAULTS[text]


def test_scalars_are_taken_as_they_are_written(tmp_path: Path) -> None:
    text = (
        "assets:\n  1e3: {scale: 0}\nfamilies:\n  0010:\n    type: asset\n    assets: [1e3]\n"
        "    balance_max: {1e3: 99999999999999999999999999999999999999}\n    description: null\n"
        "kinds:\n  on: {}\n"
    )

    chart = read_chart(written(tmp_path / "chart.yaml", text)).chart

    assert chart.assets[0].code == "1e3"
    assert chart.families[0].pattern == "0010"
    assert chart.families[0].limits[0].balance_max == "9" * 38
    assert chart.families[0].description == "null"
    assert chart.kinds[0].name == "on"


def test_account_sets_are_applied_shown_and_located(run: Run, book: str, tmp_path: Path) -> None:
    text = """
sets:
  tills: {prefixes: [shops]}
  money: {accounts: [1000, bank], sets: [tills], description: all of it}
  ring: {sets: [%s]}
"""
    file = written(tmp_path / "chart.yaml", text % "ring")
    refused = run("apply", file, "--ledger", book, "--create", "--yes")
    written(file, text % "money")
    applied = run("apply", file, "--ledger", book, "--yes")

    assert refused.stderr.splitlines()[1:] == ["  line 5: sets 'ring'.sets: hold themselves: ring > ring"]
    assert applied.exit_code == 0, applied.stderr
    assert applied.stdout.splitlines()[1:4] == ["  + set    money", "  + set    ring", "  + set    tills"]
    assert list(read_chart(file).chart.sets[1].accounts) == ["1000", "bank"]


def test_an_empty_file_is_an_empty_chart(tmp_path: Path) -> None:
    assert read_chart(written(tmp_path / "chart.yaml", "# nothing\n")).chart.ByteSize() == 0
