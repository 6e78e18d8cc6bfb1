-- Reading a whole journal in record order, page by page; see store/replaying.py.

-- name: ledgers
-- Every ledger by name, or the one that is named.
select name, ledger_id
from ledger.directory
where %(name)s::text is null or name = %(name)s
order by name;

-- name: set_ledger
-- Names the ledger for the whole session, which reads nothing else.
select set_config('ledger.id', %(ledger_id)s::text, false);

-- name: head
-- The head, with what the fences keep beside it.
select sequence, hash, (extract(epoch from record_time) * 1000000)::bigint, filled, owing_from,
    account_id_max, asset_id_max, has_limits, has_shut, chart_version
from ledger.heads
where ledger_id = %(ledger_id)s;

-- name: entries
-- Entries in record order, as many as a page may hold.
select sequence, index, account_id, asset_id, layer, side, amount::text, balance_after::text
from (
    select *
    from ledger.entries
    where ledger_id = %(ledger_id)s
        and sequence > %(after)s
        and sequence <= %(until)s
    -- The index's order, in which a transaction's entries lie together.
    order by sequence
) as ordered
order by sequence, index
limit %(count)s;

-- name: transactions
-- Transactions in record order.
select sequence, kind, coalesce(idempotency_key, ''),
    (extract(epoch from effective_time) * 1000000)::bigint, effective_time_given,
    (extract(epoch from record_time) * 1000000)::bigint, created_by, description, metadata::text,
    external_ref, coalesce(reverses, 0), salt, hash, details_digest, coalesce(forced, false),
    coalesce(series, ''), coalesce(number, 0), coalesce(template, ''), coalesce(template_version, 0), parameters::text
from ledger.transactions
where ledger_id = %(ledger_id)s
    and sequence > %(after)s
    and sequence <= %(until)s
order by sequence;

-- name: ledger_records
-- A ledger's first record.
select sequence, (extract(epoch from record_time) * 1000000)::bigint, created_by, description, salt, hash,
    details_digest
from ledger.ledgers
where ledger_id = %(ledger_id)s
    and sequence > %(after)s
    and sequence <= %(until)s;

-- name: assets
-- Assets in record order.
select sequence, asset_id, code, scale, (extract(epoch from record_time) * 1000000)::bigint, created_by, hash
from ledger.assets
where ledger_id = %(ledger_id)s
    and sequence > %(after)s
    and sequence <= %(until)s
order by sequence;

-- name: accounts
-- Account versions in record order.
select sequence, account_id, version, name, type, status, limits::text, metadata::text,
    (extract(epoch from record_time) * 1000000)::bigint, created_by, salt, hash, details_digest
from ledger.accounts
where ledger_id = %(ledger_id)s
    and sequence > %(after)s
    and sequence <= %(until)s
    and opened_by_posting is null
order by sequence, account_id;

-- name: opened_accounts
-- Accounts that transactions opened, in order of their numbers.
select sequence, account_id, version, name, type, status, limits::text, metadata::text,
    (extract(epoch from record_time) * 1000000)::bigint, created_by, salt, hash, details_digest
from ledger.accounts
where ledger_id = %(ledger_id)s
    and sequence > %(after)s
    and sequence <= %(until)s
    and opened_by_posting is not null
order by sequence, account_id;

-- name: members
-- Versions of memberships in record order.
select sequence, principal, version, status, roles, account_prefixes,
    (extract(epoch from record_time) * 1000000)::bigint, created_by, hash
from ledger.members
where ledger_id = %(ledger_id)s
    and sequence > %(after)s
    and sequence <= %(until)s
order by sequence;

-- name: charts
-- Versions of the chart in record order.
select sequence, version, chart::text, name_patterns, (extract(epoch from record_time) * 1000000)::bigint,
    created_by, hash
from ledger.charts
where ledger_id = %(ledger_id)s
    and sequence > %(after)s
    and sequence <= %(until)s
order by sequence;

-- name: origins
-- The transactions that a page's reversals reverse.
select sequence, kind, coalesce(idempotency_key, ''),
    (extract(epoch from effective_time) * 1000000)::bigint, effective_time_given,
    (extract(epoch from record_time) * 1000000)::bigint, created_by, description, metadata::text,
    external_ref, coalesce(reverses, 0), salt, hash, details_digest, coalesce(forced, false),
    coalesce(series, ''), coalesce(number, 0), coalesce(template, ''), coalesce(template_version, 0), parameters::text
from ledger.transactions
where ledger_id = %(ledger_id)s
    and sequence = any(%(sequences)s);

-- name: origin_entries
-- Their entries.
select sequence, index, account_id, asset_id, layer, side, amount::text, balance_after::text
from ledger.entries
where ledger_id = %(ledger_id)s
    and sequence = any(%(sequences)s)
order by sequence, index;

-- name: reversals
-- Every reversal of them: one each, unless the unique index is damaged.
select reverses, sequence
from ledger.transactions
where ledger_id = %(ledger_id)s
    and reverses = any(%(sequences)s)
order by sequence;

-- name: beyond
-- The first record after the head, where none may be.
with head as (
    select sequence
    from ledger.heads
    where ledger_id = %(ledger_id)s
)
select min(stray.sequence)
from (
    select min(sequence) as sequence
    from ledger.assets
    where ledger_id = %(ledger_id)s
        and sequence > (select sequence from head)
    union all
    select min(sequence)
    from ledger.accounts
    where ledger_id = %(ledger_id)s
        and sequence > (select sequence from head)
    union all
    select min(sequence)
    from ledger.members
    where ledger_id = %(ledger_id)s
        and sequence > (select sequence from head)
    union all
    select min(sequence)
    from ledger.charts
    where ledger_id = %(ledger_id)s
        and sequence > (select sequence from head)
    union all
    select min(sequence)
    from ledger.transactions
    where ledger_id = %(ledger_id)s
        and sequence > (select sequence from head)
    union all
    select min(sequence)
    from ledger.entries
    where ledger_id = %(ledger_id)s
        and sequence > (select sequence from head)
) as stray;

-- name: sums
-- Every balance as the sum of its entries, beside the newest running one.
select summed.account_id, summed.asset_id, summed.total::text, newest.balance_after::text
from (
    select account_id, asset_id, sum(case side when 1 then amount else -amount end) as total
    from ledger.entries
    where ledger_id = %(ledger_id)s
        and layer = 0
        and sequence <= %(at)s
    group by account_id, asset_id
) as summed
cross join lateral (
    select entries.balance_after
    from ledger.entries
    where entries.ledger_id = %(ledger_id)s
        and (entries.account_id, entries.asset_id, entries.layer, entries.sequence)
            <= (summed.account_id, summed.asset_id, 0, %(at)s)
        and (entries.account_id, entries.asset_id, entries.layer) >= (summed.account_id, summed.asset_id, 0)
    order by entries.account_id desc, entries.asset_id desc, entries.layer desc, entries.sequence desc,
        entries.index desc
    limit 1
) as newest;

-- name: misstated_bounds
-- Where ledger.bounds is not what the newest versions of accounts say: the first such account.
select coalesce(stated.name, kept.account_id::text)
from (
    select newest.account_id, newest.name, bound.asset_id, bound.lowest, bound.highest
    from (
        select distinct account_id
        from ledger.accounts
        where ledger_id = %(ledger_id)s
            and limits is not null
    ) as once
    cross join lateral (
        select account_id, name, type, limits
        from ledger.accounts
        where ledger_id = %(ledger_id)s
            and accounts.account_id = once.account_id
        order by version desc
        limit 1
    ) as newest
    cross join lateral ledger.bounds_of(newest.type, newest.limits) as bound
) as stated
full join (
    select account_id, asset_id, lowest, highest
    from ledger.bounds
    where ledger_id = %(ledger_id)s
) as kept
    on kept.account_id = stated.account_id
    and kept.asset_id = stated.asset_id
where stated.account_id is null
    or kept.account_id is null
    or stated.lowest is distinct from kept.lowest
    or stated.highest is distinct from kept.highest
order by coalesce(stated.account_id, kept.account_id)
limit 1;
