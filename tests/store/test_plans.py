"""Which index each lookup goes by, whatever the statistics say.

Statements are planned once a session. A plan made while a table was empty, or for a
database of many tiny ledgers, must not read a large ledger whole: once, a session
that was opened in the first seconds of a database looked keys up by reading every
transaction of the ledger, a hundred times slower than its neighbours; and another time a
page of an account's entries was merged with all transactions of its ledger.
"""

from __future__ import annotations

import re

import psycopg
import pytest
from callers import Teller, post_operation
from charts import chart, kind
from clusters import Database
from faults import until
from serving import serving

from ledger_server.store.checkpoints import Checkpoints
from ledger_server.store.database import LANE_SETTINGS, READ_SETTINGS
from ledger_server.store.replaying import SETTINGS as REPLAY_SETTINGS
from ledger_server.store.sql import Statement, statements

_LANE, _READING, _SUMMING = statements("lane"), statements("reading"), statements("summing")
_RUNS, _OVERDUE = statements("trial_balance_runs"), statements("overdue")
_AGGREGATING, _REPLAYING = statements("aggregating"), statements("replaying")

# Each lookup, and the indexes that it may use.
LANE_LOOKUPS = {
    "head": {"heads_pkey"},
    "transactions_by_keys": {"transactions_key"},
    "transactions_by_sequences": {"transactions_pkey"},
    "entries_by_sequences": {"entries_sequence"},
    "reversals_by_origins": {"transactions_reverses"},
    "accounts_by_names": {"accounts_ledger_id_name_version_key"},
    "openings_by_names": {"accounts_ledger_id_name_version_key"},
    "accounts_by_ids": {"accounts_pkey"},
    "newest_account_id": {"accounts_pkey"},
    "balances": {"entries_pkey"},
    "entries_since": {"entries_sequence"},
    "has_other_records_since": {"accounts_sequence", "assets_ledger_id_sequence_key"},
    "newest_chart": {"charts_pkey"},
    "account_uses": {"accounts_pkey", "entries_pkey"},
    "last_numbers": {"transactions_numbers"},
    "move_head": {"heads_pkey"},
}
READ_LOOKUPS = {
    "newest_chart_hash": {"charts_pkey"},
    "chart": {"charts_pkey"},
    "sequence_of_key": {"transactions_key"},
    "balances": {"accounts_ledger_id_name_version_key", "entries_pkey", "heads_pkey", "transactions_pkey"},
    "transactions": {"transactions_pkey", "transactions_reverses"},
    "entries_of": {"accounts_pkey", "entries_sequence"},
    "filtered": {"accounts_pkey", "entries_sequence", "transactions_pkey"},
    "account_entries_down": {"entries_pkey", "transactions_pkey"},
    "account_entries_up": {"entries_pkey", "transactions_pkey"},
    "account_sequences_down": {"entries_pkey"},
    "account_sequences_up": {"entries_pkey"},
    "sequences_down": {"transactions_pkey"},
    "sequences_up": {"transactions_pkey"},
    "reversal_sequences_down": {"transactions_reversals"},
    "reversal_sequences_up": {"transactions_reversals"},
}
RUN_LOOKUPS = {
    "page": {"trial_balance_runs_pkey"},
    "page_of_day": {"trial_balance_runs_by_day"},
    "ledgers_after": {"directory_pkey"},
}
OVERDUE_LOOKUPS = {
    "accounts": {
        "accounts_ledger_id_name_version_key",
        "entries_pkey",
        "heads_pkey",
        "transactions_pkey",
        "transactions_reverses",
    },
    "charges": {
        "accounts_ledger_id_name_version_key",
        "entries_pkey",
        "heads_pkey",
        "transactions_pkey",
        "transactions_reverses",
    },
}
AGGREGATE_LOOKUPS = {
    "chart_sets": {"charts_pkey"},
    "aggregate": {"accounts_ledger_id_name_version_key", "entries_pkey", "transactions_pkey"},
}
# Probes that ask for the nearest row, and the index that each goes by.
PROBES = (
    (_LANE.transactions_by_keys, LANE_SETTINGS, "transactions_key"),
    (_LANE.reversals_by_origins, LANE_SETTINGS, "transactions_reverses"),
    (_LANE.balances, LANE_SETTINGS, "entries_pkey"),
    (_LANE.account_uses, LANE_SETTINGS, "entries_pkey"),
    (_READING.balances, READ_SETTINGS, "entries_pkey"),
    (_READING.sequence_of_key, READ_SETTINGS, "transactions_key"),
    (_READING.transactions, READ_SETTINGS, "transactions_reverses"),
    (_AGGREGATING.aggregate, READ_SETTINGS, "entries_pkey"),
)
_INDEX = re.compile(r"using (\w+) on \w+")

_FILL = """
    set session_replication_role = replica;
    insert into ledger.directory (ledger_id, name) overriding system value
        select ledger, 'l' || ledger from generate_series(1, {ledgers}) as ledger;
    insert into ledger.heads (ledger_id, sequence, hash, record_time)
        select ledger, {rows} + 1, decode(repeat('00', 32), 'hex'), now()
        from generate_series(1, {ledgers}) as ledger;
    insert into ledger.accounts (ledger_id, account_id, version, sequence, name, type, metadata, record_time,
            created_by, salt, hash)
        select ledger, number, 1, number + 1, 'a' || number, 1, '{{}}', now(), 'test',
            decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex')
        from generate_series(1, {ledgers}) as ledger, generate_series(1, {accounts}) as number;
    insert into ledger.transactions (ledger_id, sequence, idempotency_key, kind, effective_time,
            effective_time_given, record_time, created_by, description, metadata, external_ref, salt, hash)
        select ledger, number + 1, md5(number::text), '', now(), false, now(), 'test', '', '{{}}', '',
            decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex')
        from generate_series(1, {ledgers}) as ledger, generate_series(1, {rows}) as number;
    insert into ledger.entries (ledger_id, account_id, asset_id, layer, sequence, index, side, amount,
            balance_after)
        select ledger, 1 + number % {accounts}, 1, 0, number + 1, side, 1 + side, 1, 1 - side
        from generate_series(1, {ledgers}) as ledger, generate_series(1, {rows}) as number,
            generate_series(0, 1) as side;
"""
# How many ledgers, with how many accounts and transactions each, and whether they are analyzed.
SHAPES = {
    "empty": (0, 0, 0, False),
    "young": (1, 10, 200, False),
    "many tiny": (3000, 2, 1, True),
    "few accounts": (1, 2, 2000, True),
    "one account in two ledgers": (2, 1, 2000, True),
}


def _plan(connection: psycopg.Connection[tuple[str]], statement: Statement) -> str:
    connection.execute(b"prepare lookup as " + statement.numbered)
    nulls = ", ".join(["null"] * len(statement.parameters))
    plan = connection.execute(f"explain execute lookup{f'({nulls})' if nulls else ''}".encode()).fetchall()
    connection.execute("deallocate lookup")
    return "\n".join(row[0] for row in plan)


def _indexes(connection: psycopg.Connection[tuple[str]], statement: Statement) -> set[str]:
    text = _plan(connection, statement)
    assert not re.search(r"Seq Scan on (transactions|entries|accounts)", text), text
    # Either reads both of its sides whole.
    assert not re.search(r"(Merge|Hash) \w*\s?Join", text), text
    return {match[1] for match in _INDEX.finditer(text)}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_lookup_goes_by_its_index_whatever_the_statistics_say(database: Database, shape: str) -> None:
    ledgers, accounts, rows, is_analyzed = SHAPES[shape]
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        if ledgers:
            owner.execute(_FILL.format(ledgers=ledgers, accounts=accounts, rows=rows).encode())
        if is_analyzed:
            owner.execute("vacuum analyze")

    found, expected = {}, {}
    for file, settings, lookups in (
        (_LANE, LANE_SETTINGS, LANE_LOOKUPS),
        (_READING, READ_SETTINGS, READ_LOOKUPS),
        (_RUNS, READ_SETTINGS, RUN_LOOKUPS),
        (_OVERDUE, READ_SETTINGS, OVERDUE_LOOKUPS),
        (_AGGREGATING, READ_SETTINGS, AGGREGATE_LOOKUPS),
    ):
        with psycopg.connect(database.app_url, autocommit=True) as connection:
            for setting in settings:
                connection.execute(setting.encode())
            for name, indexes in lookups.items():
                used = _indexes(connection, getattr(file, name))
                # A ledger's assets are few, and read by whichever.
                found[name] = {index for index in used if not index.startswith("assets")}
                expected[name] = {index for index in indexes if not index.startswith("assets")}

    assert found == expected


@pytest.mark.parametrize(
    ("statement", "settings", "index"), PROBES, ids=[one.label.decode() for one, *_ in PROBES]
)
def test_a_probe_of_the_nearest_row_is_bounded_on_both_sides(
    shared_database: Database, statement: Statement, settings: tuple[str, ...], index: str
) -> None:
    """Bounded on one, each of a thousand probes compared what stood behind it on a page of the index."""
    with psycopg.connect(shared_database.app_url, autocommit=True) as connection:
        for setting in settings:
            connection.execute(setting.encode())
        text = _plan(connection, statement)

    found = re.search(rf"using {index} on .*\n *Index Cond: (.*)", text)
    assert found is not None, text
    assert {">=", "<="} <= set(found[1].split()), text


def test_a_numbered_batch_looks_at_the_last_number_of_its_series_alone(database: Database) -> None:
    """The fence, planned while the ledger was young, read every transaction of it for each numbered batch."""
    batches, size = 12, 40
    with serving(database.app_url) as server:
        teller = Teller.open(server)
        teller.apply_chart(chart(kinds=(kind("sale", series="receipts"),)))
        for _ in range(batches):
            sold = teller.batch([post_operation("cash", "sales", 1, kind="sale") for _ in range(size)])
            assert all(one.sequence for one in sold)

    # A session tells what it has read when it ends.
    with psycopg.connect(database.owner_url, autocommit=True) as owner:

        def read_of(index: str) -> int:
            query = "select idx_tup_read from pg_stat_user_indexes where indexrelname = %s"
            row = owner.execute(query, [index]).fetchone()
            assert row is not None
            return int(row[0])

        until(lambda: read_of("transactions_numbers") >= batches - 1, "told")
        assert read_of("transactions_numbers") < 2 * batches
        assert read_of("transactions_pkey") < 2 * batches


def test_the_fence_of_entries_looks_no_account_up_that_was_vouched_for(database: Database) -> None:
    """Planned for a batch of one transaction, it looked the wallet up anew for every entry of later ones."""
    batches, size = 12, 40
    with serving(database.app_url) as server:
        teller = Teller.open(server)
        teller.post("cash", "wallet", 1)
        for _ in range(batches):
            paid = teller.batch([post_operation("cash", "wallet", 1) for _ in range(size)])
            assert all(one.sequence for one in paid)

    with psycopg.connect(database.owner_url, autocommit=True) as owner:

        def looked_up() -> int:
            query = "select idx_scan from pg_stat_user_indexes where indexrelname = 'accounts_with_limits'"
            row = owner.execute(query).fetchone()
            assert row is not None
            return int(row[0])

        # Cash, which was not vouched for, is looked up once a batch: it might have bounds.
        until(lambda: looked_up() >= batches + 1, "told")
        assert looked_up() == batches + 1


@pytest.mark.parametrize("is_analyzed", [False, True], ids=["not analyzed", "analyzed"])
def test_what_follows_a_checkpoint_is_read_by_sequence(database: Database, is_analyzed: bool) -> None:
    rows = 20_000
    asked = {"ledger_id": 1, "at": rows + 1, "after": rows - 20}
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(_FILL.format(ledgers=1, accounts=100, rows=rows).encode())
        if is_analyzed:
            owner.execute("vacuum analyze")

    for name in ("by_asset", "by_type", "by_account_from_checkpoint"):
        with psycopg.connect(database.app_url) as connection:
            for setting in READ_SETTINGS:
                connection.execute(setting.encode())
            connection.execute(_SUMMING.set_ledger, asked)
            connection.execute(_SUMMING.plan_anew)
            plan = connection.execute(b"explain " + getattr(_SUMMING, name), asked).fetchall()
        text = "\n".join(line for (line,) in plan)
        assert "entries_sequence" in text, text
        assert "Seq Scan on entries" not in text, text


def test_a_step_to_the_next_checkpoint_does_not_look_at_every_pair_of_accounts(database: Database) -> None:
    """Planned for the few entries that young statistics know of, it took 3 s for 10,000 accounts."""
    accounts, known = 20_000, 100
    later = (
        "insert into ledger.entries (ledger_id, account_id, asset_id, layer, sequence, index, side, amount,"
        " balance_after) select 1, number %% %(accounts)s + 1, 1, 0, number + 1, side, 1 + side, 1, 1 - side"
        " from generate_series(%(known)s + 1, %(known)s + %(accounts)s) as number, generate_series(0, 1) side"
    )
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(_FILL.format(ledgers=1, accounts=accounts, rows=known).encode())
        owner.execute("vacuum analyze")
        owner.execute(later, {"accounts": accounts, "known": known})

    with psycopg.connect(database.app_url, autocommit=True) as connection:
        for setting in (*READ_SETTINGS, "set statement_timeout = '3s'"):
            connection.execute(setting.encode())
        checkpoints = Checkpoints(connection, 1)
        assert checkpoints.write(2 * known) == known + 1
        assert checkpoints.write(2 * accounts) == known + accounts + 1


@pytest.mark.parametrize("is_analyzed", [False, True], ids=["not analyzed", "analyzed"])
def test_what_is_at_fault_is_looked_for_in_one_pass_in_record_order(
    database: Database, is_analyzed: bool
) -> None:
    """Gathered by transaction, or sorted whole, ten million entries would take minutes and gigabytes."""
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(_FILL.format(ledgers=2, accounts=100, rows=20_000).encode())
        if is_analyzed:
            owner.execute("vacuum analyze")
        row = owner.execute(
            "select prosrc, proconfig from pg_proc where oid = 'ledger.offending_sequences'::regproc"
        ).fetchone()
        assert row is not None
        body, settings = row
        for setting in settings:
            name, _, value = setting.partition("=")
            owner.execute("select set_config(%s, %s, false)", [name, value.strip('"')])
        plan = owner.execute(b"explain " + re.sub(r"\bnamed\b", "1", body).encode()).fetchall()

    text = "\n".join(line for (line,) in plan)
    assert re.search(r"Merge Full Join", text), text
    assert re.search(r"Index Scan using entries_sequence on entries", text), text
    assert not re.search(r"HashAggregate|Hash Full Join|Seq Scan on (entries|transactions)", text), text
    # The only whole sort is that of what was found.
    assert text.count("Incremental Sort") >= 1, text
    assert len(re.findall(r"->  Sort ", text)) <= 1, text


def test_a_page_of_a_journal_is_read_in_the_index_s_order(database: Database) -> None:
    """Sorted whole, a page of a thousand entries a transaction would be read anew for every few of them."""
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(_FILL.format(ledgers=2, accounts=10, rows=30_000).encode())
        owner.execute("vacuum analyze")
        for setting in REPLAY_SETTINGS:
            owner.execute(setting)
        asked = {"ledger_id": 1, "after": 4_000, "until": 8_000, "count": 16_000}
        plan = owner.execute(b"explain " + _REPLAYING.entries, asked).fetchall()

    text = "\n".join(line for (line,) in plan)
    assert "Index Scan using entries_sequence on entries" in text, text
    assert len(re.findall(r"\bSort  ", text)) == text.count("Incremental Sort") == 1, text
