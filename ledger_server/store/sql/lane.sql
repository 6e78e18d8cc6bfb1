-- What a lane says to the database: lock, read the books, write a batch.
--
-- Lookups by a list go through a lateral subquery each, never `= any (list)`: a
-- statement is planned once a session, perhaps while the tables are still empty, and
-- then a scan of the whole ledger looks as cheap as a probe. For the same reason a
-- probe asks for the nearest row in the order of the index it means, between the bounds
-- of what it looks for: no other index has that order, and a lane's session does not sort.
-- Bounded on one side alone it would be compared with all that stands behind it on the
-- index's page. Entries of a sequence are asked for as a range of sequences in their order,
-- and sorted by their own numbers outside of it.

-- name: lock
-- Waits, at most lock_timeout, for the ledger's lane lock; held by the session.
select pg_advisory_lock(%(lane)s);

-- name: unlock
-- Gives the lane lock back.
select pg_advisory_unlock(%(lane)s);

-- name: enter_lane
-- Names the ledger for the current database transaction if its lane lock is to be had, which is
-- held to the end of it. Else no ledger is named, and nothing can be written: who waited would
-- stand on a snapshot from before the other's records. Tells the database's clock in microseconds.
select (extract(epoch from clock_timestamp()) * 1000000)::bigint, set_config(
    'ledger.id', case when pg_try_advisory_xact_lock(%(lane)s) then %(ledger_id)s::text else '' end, true);

-- name: set_ledger
-- Names the session's ledger for the current database transaction.
select set_config('ledger.id', %(ledger_id)s::text, true);

-- name: head
-- The ledger's head and the database's clock.
select sequence, hash, record_time, epoch, clock_timestamp(), chart_version
from ledger.heads
where ledger_id = %(ledger_id)s;

-- name: transactions_by_keys
-- The recorded transactions of idempotency keys, which come as a JSON list: an array of
-- thousands of strings costs the driver more than the index probes.
select found.*
from json_array_elements_text(%(keys)s::json) as asked (key)
cross join lateral (
    select sequence, kind, idempotency_key, effective_time, effective_time_given, record_time, created_by,
        description, metadata, external_ref, coalesce(reverses, 0), salt, hash, details_digest, coalesce(forced, false),
        series, number, template, template_version, parameters
    from ledger.transactions
    where ledger_id = %(ledger_id)s
        and idempotency_key >= asked.key
        and idempotency_key <= asked.key
    order by idempotency_key
    limit 1
) as found;

-- name: transactions_by_sequences
-- Recorded transactions by their sequences.
select found.*
from unnest(%(sequences)s::bigint[]) as asked (sequence)
cross join lateral (
    select sequence, kind, idempotency_key, effective_time, effective_time_given, record_time, created_by,
        description, metadata, external_ref, coalesce(reverses, 0), salt, hash, details_digest, coalesce(forced, false),
        series, number, template, template_version, parameters
    from ledger.transactions
    where ledger_id = %(ledger_id)s
        and transactions.sequence = asked.sequence
    limit 1
) as found;

-- name: entries_by_sequences
-- The entries of recorded transactions, in their order.
select found.sequence, found.account_id, found.side, found.amount, found.asset_id, found.balance_after
from unnest(%(sequences)s::bigint[]) as asked (sequence)
cross join lateral (
    select sequence, index, account_id, side, amount, asset_id, balance_after
    from ledger.entries
    where ledger_id = %(ledger_id)s
        and entries.sequence >= asked.sequence
        and entries.sequence <= asked.sequence
    order by sequence
) as found
order by found.sequence, found.index;

-- name: reversals_by_origins
-- Which transactions have been reversed, and by which.
select found.*
from unnest(%(sequences)s::bigint[]) as asked (sequence)
cross join lateral (
    select reverses, sequence
    from ledger.transactions
    where ledger_id = %(ledger_id)s
        and reverses >= asked.sequence
        and reverses <= asked.sequence
    order by reverses
    limit 1
) as found;

-- name: accounts_by_names
-- The newest versions of accounts, whose names come as a JSON list.
select newest.*
from json_array_elements_text(%(names)s::json) as asked (name)
cross join lateral (
    select account_id, name, type, version, limits, metadata, sequence, record_time, created_by, salt, hash,
        details_digest, status
    from ledger.accounts
    where ledger_id = %(ledger_id)s
        and accounts.name = asked.name
    order by version desc
    limit 1
) as newest;

-- name: openings_by_names
-- The first versions of accounts, whose names come as a JSON list.
select first.*
from json_array_elements_text(%(names)s::json) as asked (name)
cross join lateral (
    select account_id, name, type, version, limits, metadata, sequence, record_time, created_by, salt, hash,
        details_digest, status
    from ledger.accounts
    where ledger_id = %(ledger_id)s
        and accounts.name = asked.name
    order by version
    limit 1
) as first;

-- name: accounts_by_ids
-- The newest versions of accounts.
select newest.*
from unnest(%(account_ids)s::bigint[]) as asked (account_id)
cross join lateral (
    select account_id, name, type, version, limits, metadata, sequence, record_time, created_by, salt, hash,
        details_digest, status
    from ledger.accounts
    where ledger_id = %(ledger_id)s
        and accounts.account_id = asked.account_id
    order by version desc
    limit 1
) as newest;

-- name: members_by_principals
-- The newest versions of memberships, present or ended; principals come as a JSON list.
select newest.*
from json_array_elements_text(%(principals)s::json) as asked (principal)
cross join lateral (
    select principal, version, roles, account_prefixes, sequence, record_time, created_by, hash
    from ledger.members
    where ledger_id = %(ledger_id)s
        and members.principal = asked.principal
    order by version desc
    limit 1
) as newest;

-- name: tenant_admins
-- The newest versions of all who are or were tenant-admins.
select newest.*
from ledger.members as once
cross join lateral (
    select principal, version, roles, account_prefixes, sequence, record_time, created_by, hash
    from ledger.members
    where ledger_id = %(ledger_id)s
        and members.principal = once.principal
    order by version desc
    limit 1
) as newest
where once.ledger_id = %(ledger_id)s
    and 7 = any (once.roles);

-- name: newest_chart
-- The chart in its newest version.
select version, chart, sequence, record_time, created_by, hash
from ledger.charts
where ledger_id = %(ledger_id)s
order by version desc
limit 1;

-- name: account_uses
-- Accounts after one, with the assets that each has entries in, one index probe for each of both, and
-- those of its limits that exclude zero, by one probe for what stands and is not closed.
select account.account_id, account.name, account.type, used.codes, past_zero.codes
from (
    select account_id, name, type
    from ledger.accounts
    where ledger_id = %(ledger_id)s
        and account_id > %(after)s
        and version = 1
    order by account_id
    limit %(count)s
) as account
cross join lateral (
    select coalesce(array_agg(asset.code), '{}') as codes
    from ledger.assets as asset
    cross join lateral (
        select
        from ledger.entries
        where entries.ledger_id = %(ledger_id)s
            and (entries.account_id, entries.asset_id) >= (account.account_id, asset.asset_id)
            and (entries.account_id, entries.asset_id) <= (account.account_id, asset.asset_id)
        order by entries.account_id, entries.asset_id, layer, sequence, index
        limit 1
    ) as nearest
    where asset.ledger_id = %(ledger_id)s
) as used
cross join lateral (
    select case when status <> 3 then limits end as limits
    from ledger.accounts
    where ledger_id = %(ledger_id)s
        and account_id = account.account_id
    order by version desc
    limit 1
) as standing
cross join lateral (
    select coalesce(array_agg(code), '{}') as codes
    from ledger.assets
    where ledger_id = %(ledger_id)s
        and standing.limits is not null
        and (
            (standing.limits -> asset_id::text ->> 'balance_min')::numeric > 0
            or (standing.limits -> asset_id::text ->> 'balance_max')::numeric < 0
        )
) as past_zero
order by account.account_id;

-- name: last_numbers
-- The last number given in each of several series, whose names come as a JSON list.
select found.series, found.number
from json_array_elements_text(%(series)s::json) as asked (name)
cross join lateral (
    select series, number
    from ledger.transactions
    where ledger_id = %(ledger_id)s
        and number is not null
        and transactions.series = asked.name
    order by series desc, number desc
    limit 1
) as found;

-- name: assets
-- Every asset of the ledger: they are few, and a lane keeps them.
select asset_id, code, scale, sequence, record_time, created_by, hash
from ledger.assets
where ledger_id = %(ledger_id)s;

-- name: newest_account_id
-- The highest account id given so far.
select account_id
from ledger.accounts
where ledger_id = %(ledger_id)s
order by account_id desc
limit 1;

-- name: balances
-- Posted balances: one index probe each.
select asked.account_id, asked.asset_id, coalesce(newest.balance_after, 0)
from unnest(%(account_ids)s::bigint[], %(asset_ids)s::integer[]) as asked (account_id, asset_id)
left join lateral (
    select balance_after
    from ledger.entries
    where ledger_id = %(ledger_id)s
        and (entries.account_id, entries.asset_id, layer) <= (asked.account_id, asked.asset_id, 0)
        and (entries.account_id, entries.asset_id, layer) >= (asked.account_id, asked.asset_id, 0)
    order by entries.account_id desc, entries.asset_id desc, layer desc, sequence desc, index desc
    limit 1
) as newest
    on true;

-- name: vouch
-- Keeps posted balances of bounded accounts, under the owner's seal, for the fence; see 0001_journal.sql.
-- What is kept is not sent back.
select set_config('ledger.vouched', json_build_object(
    'account_ids', account_ids, 'asset_ids', asset_ids, 'balances', balances, 'seal', seal)::text, false) is null
from ledger.vouch(%(account_ids)s::bigint[], %(asset_ids)s::integer[]);

-- name: entries_since
-- What other lanes posted since the books were read: folded in, not read anew.
select account_id, asset_id, balance_after
from (
    select sequence, index, account_id, asset_id, balance_after
    from ledger.entries
    where ledger_id = %(ledger_id)s
        and sequence > %(after)s
        and layer = 0
    order by sequence
) as since
order by sequence, index;

-- name: has_other_records_since
-- Whether other records than transactions came since: then the books start afresh.
(select true from ledger.accounts where ledger_id = %(ledger_id)s and sequence > %(after)s order by sequence limit 1)
union all
(select true from ledger.assets where ledger_id = %(ledger_id)s and sequence > %(after)s order by sequence limit 1);

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
select %(ledger_id)s::bigint, asset_id, code, scale, sequence, %(record_time)s::timestamptz, created_by,
    decode(hash, 'hex')
from json_to_recordset(%(rows)s::json) as asset (
    asset_id integer, code text, scale smallint, sequence bigint, created_by text, hash text
);

-- name: insert_accounts
-- Account versions, in order of sequence.
insert into ledger.accounts (
    ledger_id, account_id, version, sequence, name, type, status, limits, metadata, record_time, created_by,
    salt, hash
)
select %(ledger_id)s::bigint, account_id, version, sequence, name, type, status, limits, metadata,
    %(record_time)s::timestamptz, created_by, decode(salt, 'hex'), decode(hash, 'hex')
from json_to_recordset(%(rows)s::json) as account (
    account_id bigint, version integer, sequence bigint, name text, type smallint, status smallint,
    limits jsonb, metadata jsonb, created_by text, salt text, hash text
);

-- name: insert_opened_accounts
-- Accounts that the transactions just inserted open, before their entries.
insert into ledger.accounts (
    ledger_id, account_id, version, sequence, name, type, limits, metadata, record_time, created_by, salt, hash,
    opened_by_posting
)
select %(ledger_id)s::bigint, account_id, version, sequence, name, type, limits, metadata,
    %(record_time)s::timestamptz, created_by, decode(salt, 'hex'), decode(hash, 'hex'), true
from json_to_recordset(%(rows)s::json) as account (
    account_id bigint, version integer, sequence bigint, name text, type smallint, limits jsonb,
    metadata jsonb, created_by text, salt text, hash text
);

-- name: insert_charts
-- Versions of the chart, in order of sequence.
insert into ledger.charts (ledger_id, version, chart, name_patterns, sequence, record_time, created_by, hash)
select %(ledger_id)s::bigint, version, chart, name_patterns, sequence, %(record_time)s::timestamptz, created_by,
    decode(hash, 'hex')
from json_to_recordset(%(rows)s::json) as applied (
    version integer, chart jsonb, name_patterns text[], sequence bigint, created_by text, hash text
);

-- name: insert_members
-- Versions of memberships, in order of sequence.
insert into ledger.members (
    ledger_id, principal, version, status, roles, account_prefixes, sequence, record_time, created_by, hash
)
select %(ledger_id)s::bigint, principal, version, status, roles, account_prefixes, sequence,
    %(record_time)s::timestamptz, created_by, decode(hash, 'hex')
from json_to_recordset(%(rows)s::json) as member (
    principal text, version integer, status smallint, roles smallint[], account_prefixes text[],
    sequence bigint, created_by text, hash text
);

-- name: insert_audit_events
-- Who did what of this batch, beside its records.
insert into ledger.audit_events (ledger_id, actor, means, peer, action, subject, sequence, count, refused)
select %(ledger_id)s::bigint, actor, means, left(peer, 255), action, left(subject, 1024), sequence, count, ''
from json_to_recordset(%(rows)s::json) as event (
    actor text, means text, peer text, action text, subject text, sequence bigint, count integer
);

-- name: row_types
-- The numbers of the types that rows are sent as; this database gave them.
select 'ledger.transaction_row'::regtype::oid::bigint, 'ledger.full_transaction_row'::regtype::oid::bigint,
    'ledger.entry_row'::regtype::oid::bigint;

-- name: insert_transactions
-- Transactions, in order of sequence.
insert into ledger.transactions (
    ledger_id, sequence, idempotency_key, kind, effective_time, effective_time_given, record_time, created_by,
    reverses, description, metadata, external_ref, salt, hash
)
select %(ledger_id)s::bigint, sequence, idempotency_key, kind, effective_time, effective_time_given,
    %(record_time)s::timestamptz, created_by, reverses, description, metadata, external_ref, salt, hash
from unnest(%(rows)s::ledger.transaction_row[]);

-- name: insert_full_transactions
-- Transactions, in order of sequence, of which some are forced, numbered, or made by a template.
insert into ledger.transactions (
    ledger_id, sequence, idempotency_key, kind, effective_time, effective_time_given, record_time, created_by,
    reverses, description, metadata, external_ref, salt, hash, forced, series, number, template, template_version,
    parameters
)
select %(ledger_id)s::bigint, sequence, idempotency_key, kind, effective_time, effective_time_given,
    %(record_time)s::timestamptz, created_by, reverses, description, metadata, external_ref, salt, hash, forced,
    series, number, template, template_version, parameters
from unnest(%(rows)s::ledger.full_transaction_row[]);

-- name: insert_entries
-- The entries of the transactions just inserted.
insert into ledger.entries (ledger_id, account_id, asset_id, layer, sequence, index, side, amount, balance_after)
select %(ledger_id)s::bigint, account_id, asset_id, 0, sequence, index, side, amount, balance_after
from unnest(%(rows)s::ledger.entry_row[]);

-- name: record_hash_at
-- Whose record stands at a sequence: an unknown outcome is resolved by it.
select hash from ledger.transactions where ledger_id = %(ledger_id)s and sequence = %(sequence)s
union all
select hash from ledger.accounts where ledger_id = %(ledger_id)s and sequence = %(sequence)s
union all
select hash from ledger.assets where ledger_id = %(ledger_id)s and sequence = %(sequence)s
union all
select hash from ledger.members where ledger_id = %(ledger_id)s and sequence = %(sequence)s
union all
select hash from ledger.charts where ledger_id = %(ledger_id)s and sequence = %(sequence)s;

-- name: backend_pid
-- Which backend serves this connection, so that a dead connection's can be ended.
select pg_backend_pid();

-- name: end_backend
-- Ends our own old backend, which may still hold the lane lock.
select pg_terminate_backend(%(pid)s)
from pg_stat_activity
where pid = %(pid)s and usename = current_user;

-- name: end_silent_holder
-- Ends a session of ours that holds a lane lock and has waited for its client for seconds.
select pg_terminate_backend(activity.pid)
from pg_locks
join pg_stat_activity as activity using (pid)
where locktype = 'advisory'
    and granted
    and database = (select oid from pg_database where datname = current_database())
    and (classid::bigint << 32) + objid::bigint = %(lane)s
    and usename = current_user
    and activity.pid <> pg_backend_pid()
    and wait_event_type = 'Client'
    and state_change < clock_timestamp() - interval '4 seconds';
