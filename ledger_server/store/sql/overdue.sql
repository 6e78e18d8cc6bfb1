-- Charges, what was paid of them, and what of them is overdue.
--
-- An entry on the normal side of its account is a charge, one on the other side a
-- payment. What was paid pays the oldest charges first: so of a charge there remains
-- what the charges up to it, in their order, are more than everything paid, and never
-- more than itself. A transaction that was reversed by then counts as little as its
-- reversal.
--
-- Probes as in reading.sql: nearest rows in the order of an index, never joins.

-- name: set_ledger
-- Names the session's ledger for the current database transaction.
select set_config('ledger.id', %(ledger_id)s::text, true);

-- name: accounts
-- Walks accounts by name and answers those with something overdue, each with its oldest
-- unpaid charge. Row 0 says of which sequence and moment; the last row says where the
-- walk ended: found, accounts or entries were enough, or no account was left. Of the account
-- that would have been one entry too many as many are read as are left, and its row means nothing.
with recursive moment as materialized (
    select sequence as head,
        case when %(at)s::bigint = 0 then sequence else %(at)s::bigint end as at,
        coalesce(%(as_of)s::timestamptz, greatest(clock_timestamp(), record_time)) as as_of
    from ledger.heads
    where ledger_id = %(ledger_id)s
),
asset as materialized (
    select asset_id
    from ledger.assets
    where ledger_id = %(ledger_id)s
        and code = %(asset)s
        and sequence <= (select at from moment)
),
walk as (
    select 0 as place, false as is_meant, null::text collate "C" as name,
        %(start)s::text collate "C" as next_from,
        0::bigint as examined, 0::bigint as found, null::numeric as overdue, null::numeric as balance,
        null::timestamptz as effective_time, null::bigint as sequence, null::smallint as index,
        null::numeric as amount, null::numeric as remaining
    union all
    select walk.place + 1, account.is_meant, account.name,
        -- No name lies between one and the same with a control character behind it.
        greatest(account.name || E'\x01', %(prefix)s || ':'),
        walk.examined + owed.lines, walk.found + (owed.overdue is not null)::integer, owed.overdue,
        owed.balance, owed.effective_time, owed.sequence, owed.index, owed.amount, owed.remaining
    from walk
    cross join moment
    left join asset on true
    cross join lateral (
        select name, account_id, type,
            accounts.sequence <= moment.at
                and (name = %(prefix)s or starts_with(name, %(prefix)s || ':')) as is_meant
        from ledger.accounts
        where ledger_id = %(ledger_id)s
            and name >= walk.next_from
            and name < %(until)s
        order by name, version
        limit 1
    ) as account
    cross join lateral (
        with lines as materialized (
            select sequence, index, side, amount
            from ledger.entries
            where ledger_id = %(ledger_id)s
                and account.is_meant
                and (account_id, asset_id, layer) >= (account.account_id, asset.asset_id, 0)
                and (account_id, asset_id, layer, sequence) <= (account.account_id, asset.asset_id, 0, moment.at)
            order by account_id, asset_id, layer, sequence, index
            limit %(entries_max)s::bigint - walk.examined + 1
        ),
        standing as (
            select lines.sequence, lines.index, lines.amount, recorded.effective_time,
                (lines.side = 1) = (account.type in (1, 5)) as is_charge
            from lines
            cross join lateral (
                select effective_time, reverses
                from ledger.transactions
                where ledger_id = %(ledger_id)s
                    and transactions.sequence = lines.sequence
                limit 1
            ) as recorded
            left join lateral (
                select reverses, sequence, effective_time
                from ledger.transactions
                where ledger_id = %(ledger_id)s
                    and reverses >= lines.sequence
                    and reverses <= lines.sequence
                order by reverses
                limit 1
            ) as reversal
                on reversal.sequence <= moment.at
                    and reversal.effective_time <= moment.as_of
            where recorded.effective_time <= moment.as_of
                and recorded.reverses is null
                and reversal.sequence is null
        ),
        summed as (
            select *,
                sum(amount) filter (where is_charge) over (order by effective_time, sequence, index)
                    - coalesce(sum(amount) filter (where not is_charge) over (), 0) as unpaid,
                sum(case when is_charge then amount else -amount end) over () as balance
            from standing
        ),
        oldest as (
            select effective_time, sequence, index, amount, least(amount, unpaid) as remaining, balance,
                sum(least(amount, unpaid)) filter (
                    where effective_time < moment.as_of - %(days)s::integer * interval '24 hours'
                ) over () as overdue
            from summed
            where is_charge
                and unpaid > 0
            order by effective_time, sequence, index
            limit 1
        )
        select read.lines, oldest.*
        from (select count(*) as lines from lines) as read
        left join oldest on true
    ) as owed
    where walk.found < %(count)s
        and walk.place < %(accounts_max)s
        and walk.examined <= %(entries_max)s
)
select moment.head, moment.at, moment.as_of, exists (select from asset), walk.*
from walk
cross join moment
where place = 0
    or overdue is not null
    or place = (select max(place) from walk)
order by place;

-- name: charges
-- An account's charges in their order, each with what remains of it and when the last of it was
-- paid: the first moment at which everything paid until then was as much as the charges up to it.
-- One row at least, which says of which sequence and moment, and how many entries were read.
with moment as materialized (
    select sequence as head,
        case when %(at)s::bigint = 0 then sequence else %(at)s::bigint end as at,
        coalesce(%(as_of)s::timestamptz, greatest(clock_timestamp(), record_time)) as as_of
    from ledger.heads
    where ledger_id = %(ledger_id)s
),
asset as materialized (
    select asset_id
    from ledger.assets
    where ledger_id = %(ledger_id)s
        and code = %(asset)s
        and sequence <= (select at from moment)
),
account as materialized (
    select account_id, type
    from ledger.accounts
    where ledger_id = %(ledger_id)s
        and name = %(account)s
        and sequence <= (select at from moment)
    order by version
    limit 1
),
lines as materialized (
    select line.*
    from moment
    cross join asset
    cross join account
    cross join lateral (
        select sequence, index, (side = 1) = (account.type in (1, 5)) as is_charge, amount
        from ledger.entries
        where ledger_id = %(ledger_id)s
            and (account_id, asset_id, layer) >= (account.account_id, asset.asset_id, 0)
            and (account_id, asset_id, layer, sequence) <= (account.account_id, asset.asset_id, 0, moment.at)
        order by account_id, asset_id, layer, sequence, index
        limit %(entries_max)s::bigint + 1
    ) as line
),
standing as (
    select lines.sequence, lines.index, lines.amount, lines.is_charge, recorded.effective_time
    from moment
    cross join lines
    cross join lateral (
        select effective_time, reverses
        from ledger.transactions
        where ledger_id = %(ledger_id)s
            and transactions.sequence = lines.sequence
        limit 1
    ) as recorded
    left join lateral (
        select reverses, sequence, effective_time
        from ledger.transactions
        where ledger_id = %(ledger_id)s
            and reverses >= lines.sequence
            and reverses <= lines.sequence
        order by reverses
        limit 1
    ) as reversal
        on reversal.sequence <= moment.at
            and reversal.effective_time <= moment.as_of
    where recorded.effective_time <= moment.as_of
        and recorded.reverses is null
        and reversal.sequence is null
),
summed as (
    select *,
        sum(amount) over (partition by is_charge order by effective_time, sequence, index) as upto,
        coalesce(sum(amount) filter (where not is_charge) over (), 0) as paid
    from standing
),
matched as (
    select *,
        min(effective_time) filter (where not is_charge) over (
            order by upto desc, is_charge rows between unbounded preceding and current row
        ) as paid_at
    from summed
),
page as (
    select sequence, index, effective_time, amount, least(amount, greatest(upto - paid, 0)) as remaining,
        case when upto <= paid then greatest(effective_time, paid_at) end as settled_at
    from matched
    where is_charge
        and (upto > paid or not %(unpaid_only)s)
        and (effective_time, sequence, index)
            > (%(after_time)s::timestamptz, %(after_sequence)s::bigint, %(after_index)s::integer)
    order by effective_time, sequence, index
    limit %(count)s
)
select moment.head, moment.at, moment.as_of, exists (select from asset), exists (select from account),
    (select count(*) from lines), page.*
from moment
left join page on true
order by page.effective_time, page.sequence, page.index;
