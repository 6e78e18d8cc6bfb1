-- Reads: the head first, then everything at or below it. What is at or below a
-- committed sequence never changes, so a read at a sequence is a consistent
-- snapshot without holding one.
--
-- A statement is planned once a session, perhaps while the tables are still empty. So
-- a probe asks for the nearest row in the order of the index it means, between the
-- bounds of what it looks for: no other index has that order, and bounded on one side
-- alone it would be compared with all that stands behind it on the index's page.
-- Entries of a sequence are asked for as a range of sequences in their order.
-- And a table of records is looked up through a lateral subquery with a limit, never
-- joined: a join may be made by reading both sides from one end to the other.

-- name: set_ledger
-- Names the session's ledger for the current database transaction.
select set_config('ledger.id', %(ledger_id)s::text, true);

-- name: head
-- The ledger's head.
select sequence, hash, record_time, epoch
from ledger.heads
where ledger_id = %(ledger_id)s;

-- name: ledger
-- The ledger's first record.
select record_time, created_by, description, salt, hash, details_digest
from ledger.ledgers
where ledger_id = %(ledger_id)s;

-- name: newest_chart_hash
-- The hash of the newest chart's record.
select hash
from ledger.charts
where ledger_id = %(ledger_id)s
order by version desc
limit 1;

-- name: chart
-- A version of the chart, 0 for the newest at a sequence.
select version, chart, sequence, record_time, created_by, hash
from ledger.charts
where ledger_id = %(ledger_id)s
    and %(version)s::integer in (0, version)
    and sequence <= %(at)s
order by version desc
limit 1;

-- name: directory_page
-- Ledgers by name.
select name, ledger_id
from ledger.directory
where name > %(after)s
order by name
limit %(count)s;

-- name: member
-- A membership in its newest version, present or ended.
select principal, version, roles, account_prefixes, sequence, record_time, created_by, hash
from ledger.members
where ledger_id = %(ledger_id)s
    and principal = %(principal)s
order by version desc
limit 1;

-- name: first_member
-- The member that the ledger was created with: its second record, of the same moment as its first.
select principal
from ledger.members
where ledger_id = %(ledger_id)s
    and sequence = 2
    and record_time = (select record_time from ledger.ledgers where ledger_id = %(ledger_id)s);

-- name: member_page
-- Those who are members at a sequence, in order of principal.
select newest.*
from (
    select principal
    from ledger.members
    where ledger_id = %(ledger_id)s
        and principal > %(after)s
        and version = 1
    order by principal
) as asked
cross join lateral (
    select principal, version, roles, account_prefixes, sequence, record_time, created_by, hash
    from ledger.members
    where ledger_id = %(ledger_id)s
        and members.principal = asked.principal
        and sequence <= %(at)s
    order by version desc
    limit 1
) as newest
where cardinality(newest.roles) > 0
limit %(count)s;

-- name: assets
-- Every asset of the ledger at a sequence.
select asset_id, code, scale, sequence, record_time, created_by, hash
from ledger.assets
where ledger_id = %(ledger_id)s
    and sequence <= %(at)s
order by code;

-- name: balances
-- Posted balances, one index probe each, all at one head: now, or at a past sequence.
with head as materialized (
    select sequence
    from ledger.heads
    where ledger_id = %(ledger_id)s
)
select asked.place, head.sequence, account.type, asset.code, newest.balance_after, newest.sequence,
    recorded.record_time
from head
cross join unnest(%(names)s::text[], %(codes)s::text[], %(ats)s::bigint[])
    with ordinality as asked (name, code, at, place)
left join lateral (
    select account_id, type
    from ledger.accounts
    where accounts.ledger_id = %(ledger_id)s
        and accounts.name = asked.name
        and accounts.sequence <= head.sequence
    -- The limit keeps this a probe by name: joined instead, it read every account of
    -- the ledger while the table's statistics were young.
    order by version
    limit 1
) as account on true
left join ledger.assets as asset
    on asset.ledger_id = %(ledger_id)s
        and (asked.code = '' or asset.code = asked.code)
        and asset.sequence <= head.sequence
left join lateral (
    select balance_after, sequence
    from ledger.entries
    where entries.ledger_id = %(ledger_id)s
        and (entries.account_id, entries.asset_id, layer, sequence)
            <= (account.account_id, asset.asset_id, 0, case when asked.at = 0 then head.sequence else asked.at end)
        and (entries.account_id, entries.asset_id, layer) >= (account.account_id, asset.asset_id, 0)
    order by entries.account_id desc, entries.asset_id desc, layer desc, sequence desc, index desc
    limit 1
) as newest
    on true
left join lateral (
    select record_time
    from ledger.transactions
    where ledger_id = %(ledger_id)s
        and transactions.sequence = newest.sequence
    limit 1
) as recorded on true
order by asked.place, asset.code;

-- name: recomputed_balances
-- The same from all entries: a proof of the running balances.
select asset.code, sum(case side when 1 then amount else -amount end)
from ledger.entries
join ledger.assets as asset using (ledger_id, asset_id)
where entries.ledger_id = %(ledger_id)s
    and account_id = (
        select account_id
        from ledger.accounts
        where ledger_id = %(ledger_id)s
            and name = %(name)s
            and version = 1
    )
    and layer = 0
    and entries.sequence <= %(at)s
group by asset.code;

-- name: account
-- The newest version of one account at a sequence.
select account_id, name, type, version, limits, metadata, sequence, record_time, created_by, salt, hash,
    details_digest, status
from ledger.accounts
where ledger_id = %(ledger_id)s
    and name = %(name)s
    and sequence <= %(at)s
order by version desc
limit 1;

-- name: account_page
-- Accounts by name, at a sequence, each in its newest version.
select account_id, name, type, version, limits, metadata, sequence, record_time, created_by, salt, hash,
    details_digest, status
from (
    select distinct on (name) *
    from ledger.accounts
    where ledger_id = %(ledger_id)s
        and sequence <= %(at)s
        and name > %(after)s
        and name >= %(prefix)s
        and name < %(until)s
    order by name, version desc
) as newest
where (%(type)s = 0 or type = %(type)s)
    and (%(prefix)s = '' or name = %(prefix)s or starts_with(name, %(prefix)s || ':'))
order by name
limit %(count)s;

-- name: sequences_down
-- Transactions by sequence, newest first.
select sequence
from ledger.transactions
where ledger_id = %(ledger_id)s
    and sequence <= %(at)s
    and sequence < %(position)s
order by sequence desc
limit %(count)s;

-- name: sequences_up
-- Transactions by sequence, oldest first.
select sequence
from ledger.transactions
where ledger_id = %(ledger_id)s
    and sequence <= %(at)s
    and sequence > %(position)s
order by sequence
limit %(count)s;

-- name: reversal_sequences_down
-- Reversals by sequence, newest first.
select sequence
from ledger.transactions
where ledger_id = %(ledger_id)s
    and reverses is not null
    and sequence <= %(at)s
    and sequence < %(position)s
order by sequence desc
limit %(count)s;

-- name: reversal_sequences_up
-- Reversals by sequence, oldest first.
select sequence
from ledger.transactions
where ledger_id = %(ledger_id)s
    and reverses is not null
    and sequence <= %(at)s
    and sequence > %(position)s
order by sequence
limit %(count)s;

-- name: account_sequences_down
-- Transactions of an account, newest first: each asset's index range, merged.
select distinct merged.sequence
from ledger.assets as asset
cross join lateral (
    select entries.sequence
    from ledger.entries
    where entries.ledger_id = %(ledger_id)s
        and (entries.account_id, entries.asset_id, entries.layer) >= (%(account_id)s, asset.asset_id, 0)
        and (entries.account_id, entries.asset_id, entries.layer, entries.sequence)
            < (%(account_id)s, asset.asset_id, 0, least(%(position)s::bigint, %(at)s::bigint + 1))
    group by entries.account_id, entries.asset_id, entries.layer, entries.sequence
    order by entries.account_id desc, entries.asset_id desc, entries.layer desc, entries.sequence desc
    limit %(count)s
) as merged
where asset.ledger_id = %(ledger_id)s
order by merged.sequence desc
limit %(count)s;

-- name: account_sequences_up
-- Transactions of an account, oldest first: each asset's index range, merged.
select distinct merged.sequence
from ledger.assets as asset
cross join lateral (
    select entries.sequence
    from ledger.entries
    where entries.ledger_id = %(ledger_id)s
        and (entries.account_id, entries.asset_id, entries.layer, entries.sequence)
            > (%(account_id)s, asset.asset_id, 0, %(position)s)
        and (entries.account_id, entries.asset_id, entries.layer, entries.sequence)
            <= (%(account_id)s, asset.asset_id, 0, %(at)s)
    group by entries.account_id, entries.asset_id, entries.layer, entries.sequence
    order by entries.account_id, entries.asset_id, entries.layer, entries.sequence
    limit %(count)s
) as merged
where asset.ledger_id = %(ledger_id)s
order by merged.sequence
limit %(count)s;

-- name: filtered
-- Which of the examined transactions pass the filter.
select recorded.sequence
from unnest(%(sequences)s::bigint[]) as asked (sequence)
cross join lateral (
    select *
    from ledger.transactions
    where ledger_id = %(ledger_id)s
        and transactions.sequence = asked.sequence
    limit 1
) as recorded
where (%(kind)s::text is null or kind = %(kind)s)
    and (%(external_ref)s::text is null or external_ref = %(external_ref)s)
    and (%(effective_from)s::timestamptz is null or effective_time >= %(effective_from)s)
    and (%(effective_until)s::timestamptz is null or effective_time < %(effective_until)s)
    and (%(record_from)s::timestamptz is null or record_time >= %(record_from)s)
    and (%(record_until)s::timestamptz is null or record_time < %(record_until)s)
    and (%(metadata)s::jsonb is null or metadata @> %(metadata)s)
    and (%(reversals)s::boolean is null or (reverses is not null) = %(reversals)s)
    and (%(prefix)s::text is null or exists (
        select
        from (
            select account_id
            from ledger.entries
            where ledger_id = %(ledger_id)s
                and entries.sequence >= recorded.sequence
                and entries.sequence <= recorded.sequence
            order by sequence
        ) as entries
        cross join lateral (
            select name
            from ledger.accounts
            where ledger_id = %(ledger_id)s
                and accounts.account_id = entries.account_id
            order by version
            limit 1
        ) as account
        where account.name = %(prefix)s or starts_with(account.name, %(prefix)s || ':')
    ));

-- name: transactions
-- Transactions by sequence, with the reversal of each as of a sequence.
select recorded.sequence, recorded.kind, recorded.idempotency_key, recorded.effective_time,
    recorded.effective_time_given, recorded.record_time, recorded.created_by, recorded.description,
    recorded.metadata, recorded.external_ref, coalesce(recorded.reverses, 0), recorded.salt, recorded.hash,
    recorded.details_digest, coalesce(recorded.forced, false), recorded.series, recorded.number,
    recorded.template, recorded.template_version, recorded.parameters,
    coalesce(reversal.sequence, 0)
from unnest(%(sequences)s::bigint[]) as asked (sequence)
cross join lateral (
    select *
    from ledger.transactions
    where ledger_id = %(ledger_id)s
        and transactions.sequence = asked.sequence
    limit 1
) as recorded
left join lateral (
    select reverses, sequence
    from ledger.transactions
    where ledger_id = %(ledger_id)s
        and reverses >= recorded.sequence
        and reverses <= recorded.sequence
    order by reverses
    limit 1
) as reversal
    on reversal.sequence <= %(at)s;

-- name: sequence_of_key
-- The transaction recorded under an idempotency key.
select found.sequence
from (
    select idempotency_key, sequence
    from ledger.transactions
    where ledger_id = %(ledger_id)s
        and idempotency_key >= %(key)s
        and idempotency_key <= %(key)s
    order by idempotency_key
    limit 1
) as found
where found.sequence <= %(at)s;

-- name: entries_of
-- The entries of transactions, with what their accounts and assets are called.
select entries.sequence, entries.account_id, account.name, account.type, entries.side, entries.amount,
    asset.asset_id, asset.code, asset.scale, entries.balance_after
from unnest(%(sequences)s::bigint[]) as asked (sequence)
cross join lateral (
    select sequence, index, account_id, asset_id, side, amount, balance_after
    from ledger.entries
    where ledger_id = %(ledger_id)s
        and entries.sequence >= asked.sequence
        and entries.sequence <= asked.sequence
    order by sequence
) as entries
cross join lateral (
    select name, type
    from ledger.accounts
    where ledger_id = %(ledger_id)s
        and accounts.account_id = entries.account_id
    order by version
    limit 1
) as account
join ledger.assets as asset
    on asset.ledger_id = %(ledger_id)s
        and asset.asset_id = entries.asset_id
order by entries.sequence, entries.index;

-- name: account_entries_down
-- An account's entries, newest first: each asset's index range, merged.
select merged.sequence, merged.index, merged.side, merged.amount, asset.code, merged.balance_after,
    recorded.kind, recorded.effective_time, recorded.record_time, recorded.description
from ledger.assets as asset
cross join lateral (
    select entries.sequence, entries.index, entries.side, entries.amount, entries.balance_after
    from ledger.entries
    where entries.ledger_id = %(ledger_id)s
        and (entries.account_id, entries.asset_id, entries.layer) >= (%(account_id)s, asset.asset_id, 0)
        and (entries.account_id, entries.asset_id, entries.layer, entries.sequence, entries.index)
            < (%(account_id)s, asset.asset_id, 0, %(position)s, %(index)s::bigint)
        and entries.sequence <= %(at)s
    order by entries.account_id desc, entries.asset_id desc, entries.layer desc, entries.sequence desc,
        entries.index desc
    limit %(count)s
) as merged
cross join lateral (
    select kind, effective_time, record_time, description
    from ledger.transactions
    where ledger_id = %(ledger_id)s
        and transactions.sequence = merged.sequence
    limit 1
) as recorded
where asset.ledger_id = %(ledger_id)s
    and (%(code)s = '' or asset.code = %(code)s)
order by merged.sequence desc, merged.index desc
limit %(count)s;

-- name: account_entries_up
-- An account's entries, oldest first: each asset's index range, merged.
select merged.sequence, merged.index, merged.side, merged.amount, asset.code, merged.balance_after,
    recorded.kind, recorded.effective_time, recorded.record_time, recorded.description
from ledger.assets as asset
cross join lateral (
    select entries.sequence, entries.index, entries.side, entries.amount, entries.balance_after
    from ledger.entries
    where entries.ledger_id = %(ledger_id)s
        and (entries.account_id, entries.asset_id, entries.layer, entries.sequence, entries.index)
            > (%(account_id)s, asset.asset_id, 0, %(position)s, %(index)s::bigint)
        and (entries.account_id, entries.asset_id, entries.layer, entries.sequence)
            <= (%(account_id)s, asset.asset_id, 0, %(at)s)
    order by entries.account_id, entries.asset_id, entries.layer, entries.sequence, entries.index
    limit %(count)s
) as merged
cross join lateral (
    select kind, effective_time, record_time, description
    from ledger.transactions
    where ledger_id = %(ledger_id)s
        and transactions.sequence = merged.sequence
    limit 1
) as recorded
where asset.ledger_id = %(ledger_id)s
    and (%(code)s = '' or asset.code = %(code)s)
order by merged.sequence, merged.index
limit %(count)s;
