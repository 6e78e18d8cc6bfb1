-- What a lane says to the database: lock, read the books, write a batch.
--
-- Lookups by a list go through a lateral subquery each, never `= any (list)`: a
-- statement is planned once a session, perhaps while the tables are still empty, and
-- then a scan of the whole ledger looks as cheap as a probe. One value at a time,
-- the index that holds it is the cheapest whatever the statistics say.

-- name: lock
-- Waits, at most lock_timeout, for the ledger's lane lock; held by the session.
select pg_advisory_lock(%(lane)s);

-- name: unlock
-- Gives the lane lock back.
select pg_advisory_unlock(%(lane)s);

-- name: set_ledger
-- Names the session's ledger for the current database transaction.
select set_config('ledger.id', %(ledger_id)s::text, true);

-- name: head
-- The ledger's head and the database's clock.
select sequence, hash, record_time, epoch, clock_timestamp()
from ledger.heads
where ledger_id = %(ledger_id)s;

-- name: transactions_by_keys
-- The recorded transactions of idempotency keys, which come as a JSON list: an array of
-- thousands of strings costs the driver more than the index probes.
select found.*
from json_array_elements_text(%(keys)s::json) as asked (key)
cross join lateral (
    select sequence, kind, idempotency_key, effective_time, effective_time_given, record_time, created_by,
        description, metadata, external_ref, coalesce(reverses, 0), salt, hash, details_digest
    from ledger.transactions
    where ledger_id = %(ledger_id)s
        and idempotency_key = asked.key
    limit 1
) as found;

-- name: transactions_by_sequences
-- Recorded transactions by their sequences.
select found.*
from unnest(%(sequences)s::bigint[]) as asked (sequence)
cross join lateral (
    select sequence, kind, idempotency_key, effective_time, effective_time_given, record_time, created_by,
        description, metadata, external_ref, coalesce(reverses, 0), salt, hash, details_digest
    from ledger.transactions
    where ledger_id = %(ledger_id)s
        and transactions.sequence = asked.sequence
    limit 1
) as found;

-- name: entries_by_sequences
-- The entries of recorded transactions, in their order.
select found.*
from unnest(%(sequences)s::bigint[]) as asked (sequence)
cross join lateral (
    select sequence, account_id, side, amount, asset_id, balance_after
    from ledger.entries
    where ledger_id = %(ledger_id)s
        and entries.sequence = asked.sequence
    order by index
) as found;

-- name: reversals_by_origins
-- Which transactions have been reversed, and by which.
select found.*
from unnest(%(sequences)s::bigint[]) as asked (sequence)
cross join lateral (
    select reverses, sequence
    from ledger.transactions
    where ledger_id = %(ledger_id)s
        and reverses = asked.sequence
    limit 1
) as found;

-- name: accounts_by_names
-- The newest versions of accounts.
select newest.*
from unnest(%(names)s::text[]) as asked (name)
cross join lateral (
    select account_id, name, type, version, limits, metadata, sequence, record_time, created_by, salt, hash,
        details_digest
    from ledger.accounts
    where ledger_id = %(ledger_id)s
        and accounts.name = asked.name
    order by version desc
    limit 1
) as newest;

-- name: accounts_by_ids
-- The newest versions of accounts.
select newest.*
from unnest(%(account_ids)s::bigint[]) as asked (account_id)
cross join lateral (
    select account_id, name, type, version, limits, metadata, sequence, record_time, created_by, salt, hash,
        details_digest
    from ledger.accounts
    where ledger_id = %(ledger_id)s
        and accounts.account_id = asked.account_id
    order by version desc
    limit 1
) as newest;

-- name: assets
-- Every asset of the ledger: they are few, and a lane keeps them.
select asset_id, code, scale, sequence, record_time, created_by, hash
from ledger.assets
where ledger_id = %(ledger_id)s;

-- name: newest_account_id
-- The highest account id given so far.
select coalesce(max(account_id), 0)
from ledger.accounts
where ledger_id = %(ledger_id)s;

-- name: balances
-- Posted balances: one index probe each.
select asked.account_id, asked.asset_id, coalesce(newest.balance_after, 0)
from unnest(%(account_ids)s::bigint[], %(asset_ids)s::integer[]) as asked (account_id, asset_id)
left join lateral (
    select balance_after
    from ledger.entries
    where ledger_id = %(ledger_id)s
        and entries.account_id = asked.account_id
        and entries.asset_id = asked.asset_id
        and layer = 0
    order by sequence desc, index desc
    limit 1
) as newest on true;

-- name: vouch
-- Posted balances of bounded accounts under the owner's seal, for the fence; see 0001_journal.sql.
select json_build_object(
    'account_ids', account_ids, 'asset_ids', asset_ids, 'balances', balances, 'seal', seal)::text
from ledger.vouch(%(account_ids)s::bigint[], %(asset_ids)s::integer[]);

-- name: give_vouched
-- Hands what was vouched to the fence, for the current database transaction.
select set_config('ledger.vouched', %(vouched)s, true);

-- name: entries_since
-- What other lanes posted since the books were read: folded in, not read anew.
select account_id, asset_id, balance_after
from ledger.entries
where ledger_id = %(ledger_id)s
    and sequence > %(after)s
    and layer = 0
order by sequence, index;

-- name: has_other_records_since
-- Whether other records than transactions came since: then the books start afresh.
select exists (select from ledger.accounts where ledger_id = %(ledger_id)s and sequence > %(after)s)
    or exists (select from ledger.assets where ledger_id = %(ledger_id)s and sequence > %(after)s);

-- name: begin
-- The one way writes happen.
begin isolation level serializable;

-- name: commit
-- The point of no return.
commit;

-- name: rollback
-- After a failure.
rollback;

-- name: move_head
-- Moves the head on, if it is still the one the books were read at.
update ledger.heads
set sequence = %(sequence)s,
    hash = %(hash)s,
    record_time = %(record_time)s
where ledger_id = %(ledger_id)s
    and sequence = %(before_sequence)s
    and hash = %(before_hash)s;

-- name: insert_assets
-- Assets, in order of sequence.
insert into ledger.assets (ledger_id, asset_id, code, scale, sequence, record_time, created_by, hash)
select %(ledger_id)s, asset_id, code, scale, sequence, %(record_time)s, created_by, hash
from unnest(
    %(asset_ids)s::integer[], %(codes)s::text[], %(scales)s::smallint[], %(sequences)s::bigint[],
    %(created_by)s::text[], %(hashes)s::bytea[]
) as asset (asset_id, code, scale, sequence, created_by, hash);

-- name: insert_accounts
-- Account versions, in order of sequence.
insert into ledger.accounts (
    ledger_id, account_id, version, sequence, name, type, limits, metadata, record_time, created_by, salt, hash
)
select %(ledger_id)s, account_id, version, sequence, name, type, limits::jsonb, metadata::jsonb,
    %(record_time)s, created_by, salt, hash
from unnest(
    %(account_ids)s::bigint[], %(versions)s::integer[], %(sequences)s::bigint[], %(names)s::text[],
    %(types)s::smallint[], %(limits)s::text[], %(metadata)s::text[], %(created_by)s::text[],
    %(salts)s::bytea[], %(hashes)s::bytea[]
) as account (account_id, version, sequence, name, type, limits, metadata, created_by, salt, hash);

-- name: insert_transactions
-- The small write path: a few transactions in one statement.
insert into ledger.transactions (
    ledger_id, sequence, idempotency_key, kind, effective_time, effective_time_given, record_time, created_by,
    reverses, description, metadata, external_ref, salt, hash
)
select %(ledger_id)s, sequence, idempotency_key, kind, effective_time, effective_time_given,
    %(record_time)s, created_by, reverses, description, metadata::jsonb, external_ref, salt, hash
from unnest(
    %(sequences)s::bigint[], %(keys)s::text[], %(kinds)s::text[], %(effective_times)s::timestamptz[],
    %(effective_times_given)s::boolean[], %(created_by)s::text[], %(reverses)s::bigint[],
    %(descriptions)s::text[], %(metadata)s::text[], %(external_refs)s::text[], %(salts)s::bytea[],
    %(hashes)s::bytea[]
) as asked (
    sequence, idempotency_key, kind, effective_time, effective_time_given, created_by, reverses, description,
    metadata, external_ref, salt, hash
);

-- name: insert_entries
-- The small write path: their entries.
insert into ledger.entries (ledger_id, account_id, asset_id, layer, sequence, index, side, amount, balance_after)
select %(ledger_id)s, account_id, asset_id, 0, sequence, index, side, amount::numeric, balance_after::numeric
from unnest(
    %(account_ids)s::bigint[], %(asset_ids)s::integer[], %(sequences)s::bigint[], %(indexes)s::smallint[],
    %(sides)s::smallint[], %(amounts)s::text[], %(balances)s::text[]
) as entry (account_id, asset_id, sequence, index, side, amount, balance_after);

-- name: stage
-- The large write path's tables, made once per connection: PostgreSQL refuses COPY FROM under row security.
create temporary table staged_transactions (like ledger.transactions) on commit delete rows;

-- name: stage_entries
-- See stage.
create temporary table staged_entries (like ledger.entries) on commit delete rows;

-- name: copy_transactions
-- The large write path: transactions to the stage.
copy pg_temp.staged_transactions (
    ledger_id, sequence, idempotency_key, kind, effective_time, effective_time_given, record_time, created_by,
    reverses, description, metadata, external_ref, salt, hash
) from stdin (format binary);

-- name: copy_entries
-- The large write path: entries to the stage.
copy pg_temp.staged_entries (
    ledger_id, account_id, asset_id, layer, sequence, index, side, amount, balance_after
) from stdin (format binary);

-- name: unstage_transactions
-- From the stage into the journal, where every fence looks at them.
insert into ledger.transactions select * from pg_temp.staged_transactions;

-- name: unstage_entries
-- From the stage into the journal, where every fence looks at them.
insert into ledger.entries select * from pg_temp.staged_entries;

-- name: record_hash_at
-- Resolves an unknown outcome: whose record stands at our first sequence?
select hash from ledger.transactions where ledger_id = %(ledger_id)s and sequence = %(sequence)s
union all
select hash from ledger.accounts where ledger_id = %(ledger_id)s and sequence = %(sequence)s
union all
select hash from ledger.assets where ledger_id = %(ledger_id)s and sequence = %(sequence)s;

-- name: backend_pid
-- Which backend serves this connection, so that a dead connection's can be ended.
select pg_backend_pid();

-- name: end_backend
-- Ends our own old backend, which may still hold the lane lock.
select pg_terminate_backend(%(pid)s)
from pg_stat_activity
where pid = %(pid)s and usename = current_user;
