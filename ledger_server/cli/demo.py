"""`./ledger demo`: the verbs on a small shop's ledger, every request and answer shown in plain words."""

import secrets

import click

from ledger_client import Client, Refused
from ledger_client.contract import (
    ACCOUNT_TYPE_ASSET,
    ACCOUNT_TYPE_LIABILITY,
    ACCOUNT_TYPE_REVENUE,
    SIDE_CREDIT,
    SIDE_DEBIT,
    AccountDraft,
    BalanceLimit,
    BatchCreateAccountsRequest,
    CreateAssetRequest,
    CreateLedgerRequest,
    EntryDraft,
    GetBalanceRequest,
    PostRequest,
    ReverseRequest,
    Side,
    Transaction,
    TransactionName,
)
from ledger_client.decimals import from_minor_units
from ledger_server.cli.target import connected, target_option
from ledger_server.cli.trial_balance import read_trial_balance, write_table

_ASSET = "EUR"
_SCALE = 2
_CASH = "cash"
_CUSTOMER = "customers:ada"
_SALES = "sales"


@click.command()
@target_option
@click.option("--ledger", metavar="NAME", help="The ledger to use; a fresh one unless given.")
def demo(target: str, ledger: str | None) -> None:
    """Walk through the verbs: accounts, a post, a refusal, a replay, a reversal, the trial balance."""
    name = ledger or f"demo-{secrets.token_hex(3)}"
    with connected(target) as client:
        _open_books(client, name)
        _step("Post: Ada pays in 50.00")
        _post(client, name, key="top-up-1", debit=_CASH, credit=_CUSTOMER, amount=5_000)
        _step("A refusal: she cannot spend 80.00, and nothing is written")
        _post_refused(client, name)
        _step("A replay: the first post again under its key is answered from the journal")
        _post(client, name, key="top-up-1", debit=_CASH, credit=_CUSTOMER, amount=5_000)
        _step("Post: she spends 20.00")
        sale = _post(client, name, key="sale-1", debit=_CUSTOMER, credit=_SALES, amount=2_000)
        _step("Reverse: the sale is called off; nothing is edited, a mirror is recorded")
        _reverse(client, name, sale)
        _step("GetBalance and TrialBalance")
        _show_balance(client, name)
        click.echo()
        write_table(name, read_trial_balance(client, name))
    _show_next_steps(name, target)


def _open_books(client: Client, ledger: str) -> None:
    _step(f"A ledger, an asset and three accounts; {_CUSTOMER} may not fall below zero")
    client.call(client.admin.CreateLedger, CreateLedgerRequest(name=ledger))
    _asked(f"CreateLedger {ledger}")
    client.call(client.admin.CreateAsset, CreateAssetRequest(ledger=ledger, code=_ASSET, scale=_SCALE))
    _asked(f"CreateAsset {_ASSET}, scale {_SCALE}: its minor unit is the cent")
    accounts = [
        AccountDraft(name=_CASH, type=ACCOUNT_TYPE_ASSET),
        AccountDraft(
            name=_CUSTOMER,
            type=ACCOUNT_TYPE_LIABILITY,
            limits=[BalanceLimit(asset=_ASSET, balance_min="0")],
        ),
        AccountDraft(name=_SALES, type=ACCOUNT_TYPE_REVENUE),
    ]
    _asked("BatchCreateAccounts " + ", ".join(account.name for account in accounts))
    answer = client.call(
        client.accounts.BatchCreateAccounts, BatchCreateAccountsRequest(ledger=ledger, accounts=accounts)
    )
    _answered(f"opened up to sequence {answer.accounts[-1].account.sequence} of the journal")


def _post(client: Client, ledger: str, *, key: str, debit: str, credit: str, amount: int) -> Transaction:
    _asked(f"Post key={key}: debit {debit}, credit {credit}, {_euros(amount)}")
    answer = client.call(
        client.ledger.Post,
        PostRequest(
            ledger=ledger,
            idempotency_key=key,
            entries=[_entry(debit, SIDE_DEBIT, amount), _entry(credit, SIDE_CREDIT, amount)],
        ),
    )
    _show_recorded(answer.transaction, "replayed: nothing new was recorded" if answer.replayed else "")
    return answer.transaction


def _post_refused(client: Client, ledger: str) -> None:
    try:
        _post(client, ledger, key="sale-0", debit=_CUSTOMER, credit=_SALES, amount=8_000)
    except Refused as refused:
        if refused.reason != "INSUFFICIENT_FUNDS":
            raise
        _answered(f"status   {refused.status}")
        click.echo(f"      reason   {refused.reason}")
        click.echo(f"      message  {refused.message}")
        for fact, value in sorted(refused.facts.items()):
            click.echo(f"      {fact} = {value}")


def _reverse(client: Client, ledger: str, sale: Transaction) -> None:
    _asked(f"Reverse sequence={sale.sequence}, key=sale-1-off")
    answer = client.call(
        client.ledger.Reverse,
        ReverseRequest(
            ledger=ledger,
            transaction=TransactionName(sequence=sale.sequence),
            idempotency_key="sale-1-off",
            description="called off",
        ),
    )
    _show_recorded(answer.transaction, f"reverses {answer.transaction.reverses}")


def _show_balance(client: Client, ledger: str) -> None:
    _asked(f"GetBalance {_CUSTOMER}")
    answer = client.call(
        client.ledger.GetBalance, GetBalanceRequest(ledger=ledger, account=_CUSTOMER, asset=_ASSET)
    )
    _answered(f"{_euros(answer.balances[0].posted)}, at sequence {answer.sequence}")


def _show_recorded(transaction: Transaction, remark: str) -> None:
    balances = ", ".join(
        f"{entry.account} is at {_euros(entry.balance_after)}" for entry in transaction.entries
    )
    _answered(
        f"sequence {transaction.sequence}, hash {transaction.hash.hex()[:12]}...; {balances}"
        + (f" ({remark})" if remark else "")
    )


def _show_next_steps(ledger: str, target: str) -> None:
    at = "" if target == "127.0.0.1:50051" else f" --target {target}"
    click.echo("\nTry next:")
    click.echo(f"  ./ledger trial-balance --ledger {ledger}{at}")
    click.echo(f"  ./ledger export --ledger {ledger} --format hledger{at}")
    click.echo(f"  ./ledger import tests/data/household.csv --ledger household{at}")


def _entry(account: str, side: Side.ValueType, amount: int) -> EntryDraft:
    return EntryDraft(account=account, side=side, amount=str(amount), asset=_ASSET)


def _euros(units: str | int) -> str:
    return f"{from_minor_units(units, _SCALE):f} {_ASSET}"


def _step(title: str) -> None:
    click.echo(f"\n{title}")


def _asked(text: str) -> None:
    click.echo(f"  -> {text}")


def _answered(text: str) -> None:
    click.echo(f"  <- {text}")
