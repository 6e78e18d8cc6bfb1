-- Trial-balance runs: made, found again, and what is due; see migration 0008.

-- name: read_write
-- Lets a session that is READ ONLY by default write, for the current database transaction.
set transaction read write;

-- name: set_ledger
-- Names the session's ledger for the current database transaction.
select set_config('ledger.id', %(ledger_id)s::text, true);

-- name: take_time
-- How long a statement may take, and how long it may wait for another run, in this database transaction.
select set_config('statement_timeout', %(statement_timeout)s::text, true),
    set_config('lock_timeout', %(lock_timeout)s::text, true);

-- name: run
-- Makes a run and answers its number; null where the day's run is asked for and is there.
select ledger.run_trial_balance(%(created_by)s::text, %(daily)s::boolean);

-- name: audit
-- Tells of a run that a caller made, in the database transaction that made it.
select ledger.audit(
    %(ledger_id)s::bigint,
    %(actor)s::text,
    %(means)s::text,
    %(peer)s::text,
    'TRIAL_BALANCE_RUN',
    %(number)s::text);

-- name: page
-- Runs before one of them, newest first.
select number, day, record_time, created_by, daily, sequence, hash, asset_codes, scales, debits, credits,
    offending_count, offending_sequences
from ledger.trial_balance_runs
where ledger_id = %(ledger_id)s
    and number < %(before)s
order by number desc
limit %(count)s;

-- name: page_of_day
-- The same of one UTC day.
select number, day, record_time, created_by, daily, sequence, hash, asset_codes, scales, debits, credits,
    offending_count, offending_sequences
from ledger.trial_balance_runs
where ledger_id = %(ledger_id)s
    and day = %(day)s
    and number < %(before)s
order by number desc
limit %(count)s;

-- name: today
-- The UTC day by the database's clock.
select (clock_timestamp() at time zone 'UTC')::date;

-- name: ledgers_after
-- Ledgers in the order of their ids, after one of them.
select ledger_id, name
from ledger.directory
where ledger_id > %(after)s
order by ledger_id
limit %(count)s;
