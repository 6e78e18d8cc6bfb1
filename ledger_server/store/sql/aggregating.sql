-- Sums of balances of many accounts at a sequence. Nothing at or below a committed sequence
-- ever changes, so each statement alone sees what the others see.
--
-- A balance is the account's newest entry in the asset at or below the sequence: one probe
-- each. As in reading.sql, what is looked up is the nearest row in the order of the index
-- that is meant, whatever the statistics say.

-- name: set_ledger
-- Names the session's ledger for the current database transaction.
select set_config('ledger.id', %(ledger_id)s::text, true);

-- name: chart_sets
-- The version and the account sets of the chart that stood at a sequence.
select version, coalesce(chart -> 'sets', '[]')
from ledger.charts
where ledger_id = %(ledger_id)s
    and sequence <= %(at)s
order by version desc
limit 1;

-- name: aggregate
-- How many accounts there are, how many assets, and a sum for each asset. Names and prefixes
-- share no account. Where the balances are more than may be added up, nothing is added up.
with asked_assets as materialized (
    select asset_id, code
    from ledger.assets
    where ledger_id = %(ledger_id)s
        and (%(code)s = '' or code = %(code)s)
),
matching as materialized (
    select account.account_id
    from unnest(%(names)s::text[]) as asked (name)
    cross join lateral (
        select account_id, sequence
        from ledger.accounts
        where ledger_id = %(ledger_id)s
            and accounts.name = asked.name
        order by version
        limit 1
    ) as account
    where account.sequence <= %(at)s
    union all
    select account.account_id
    from unnest(%(prefixes)s::text[]) as asked (prefix)
    cross join lateral (
        select account_id
        from ledger.accounts
        where ledger_id = %(ledger_id)s
            -- ';' is the character after ':'.
            and accounts.name > asked.prefix || ':'
            and accounts.name < asked.prefix || ';'
            and version = 1
            and sequence <= %(at)s
        order by name, version
        limit %(most)s::bigint + 1
    ) as account
    limit %(most)s::bigint + 1
),
counted as materialized (
    select
        (select count(*) from matching) as accounts,
        (select count(*) from asked_assets) as assets
),
summed as materialized (
    select newest.asset_id, sum(newest.balance_after) as posted, max(newest.sequence) as sequence,
        count(*) as accounts
    from matching
    cross join asked_assets
    cross join lateral (
        select entries.asset_id, balance_after, sequence
        from ledger.entries
        where entries.ledger_id = %(ledger_id)s
            and (entries.account_id, entries.asset_id, layer, sequence)
                <= (matching.account_id, asked_assets.asset_id, 0, %(at)s::bigint)
            and (entries.account_id, entries.asset_id, layer) >= (matching.account_id, asked_assets.asset_id, 0)
        order by entries.account_id desc, entries.asset_id desc, layer desc, sequence desc, index desc
        limit 1
    ) as newest
    where (select accounts * greatest(assets, 1) <= %(most)s::bigint from counted)
    group by newest.asset_id
)
select counted.accounts, counted.assets, asked_assets.code, summed.posted, summed.sequence,
    recorded.record_time, summed.accounts
from counted
left join asked_assets on true
left join summed on summed.asset_id = asked_assets.asset_id
left join lateral (
    select record_time
    from ledger.transactions
    where ledger_id = %(ledger_id)s
        and transactions.sequence = summed.sequence
    limit 1
) as recorded on true;
