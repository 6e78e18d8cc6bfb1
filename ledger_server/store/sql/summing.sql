-- What the entries add up to at a sequence: the trial balance.

-- name: set_ledger
-- Names the session's ledger for the current database transaction.
select set_config('ledger.id', %(ledger_id)s::text, true);

-- name: plan_anew
-- For the current database transaction: a plan for these very sequences, made of everything
-- that a lookup must do without, with memory to group in.
select set_config('plan_cache_mode', 'force_custom_plan', true), set_config('work_mem', '64MB', true),
    set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true),
    set_config('enable_incremental_sort', 'on', true), set_config('enable_hashjoin', 'on', true),
    set_config('enable_mergejoin', 'on', true);

-- name: by_account
-- Gross sums of every posted entry, for each account and asset. Materialized, because
-- a plan made before the first analyze would sum once per account.
with summed as materialized (
    select account_id, asset_id,
        coalesce(sum(amount) filter (where side = 1), 0) as debits,
        coalesce(sum(amount) filter (where side = 2), 0) as credits
    from ledger.entries
    where ledger_id = %(ledger_id)s
        and layer = 0
        and sequence <= %(at)s
    group by account_id, asset_id
)
select account.name, account.type, asset.code, asset.scale, summed.debits, summed.credits
from summed
join ledger.accounts as account
    on account.ledger_id = %(ledger_id)s
        and account.account_id = summed.account_id
        and account.version = 1
join ledger.assets as asset
    on asset.ledger_id = %(ledger_id)s
        and asset.asset_id = summed.asset_id
order by account.name, asset.code;

-- name: by_asset
-- Gross sums of the posted entries after one sequence and up to another, for each asset.
select asset.code, asset.scale, summed.debits, summed.credits
from (
    select asset_id,
        coalesce(sum(amount) filter (where side = 1), 0) as debits,
        coalesce(sum(amount) filter (where side = 2), 0) as credits
    from ledger.entries
    where ledger_id = %(ledger_id)s
        and layer = 0
        and sequence > %(after)s
        and sequence <= %(at)s
    group by asset_id
) as summed
join ledger.assets as asset
    on asset.ledger_id = %(ledger_id)s
        and asset.asset_id = summed.asset_id;

-- name: by_type
-- Gross sums of the posted entries after one sequence and up to another, for each account type and asset.
select '', summed.type, asset.code, asset.scale, summed.debits, summed.credits
from (
    select account.type, entries.asset_id,
        coalesce(sum(entries.amount) filter (where entries.side = 1), 0) as debits,
        coalesce(sum(entries.amount) filter (where entries.side = 2), 0) as credits
    from ledger.entries
    join ledger.accounts as account
        on account.ledger_id = %(ledger_id)s
            and account.account_id = entries.account_id
            and account.version = 1
    where entries.ledger_id = %(ledger_id)s
        and entries.layer = 0
        and entries.sequence > %(after)s
        and entries.sequence <= %(at)s
    group by account.type, entries.asset_id
) as summed
join ledger.assets as asset
    on asset.ledger_id = %(ledger_id)s
        and asset.asset_id = summed.asset_id;

-- name: newest_checkpoint
-- The newest checkpoint at or below a sequence, by account type and asset, and whether its digest is right.
select newest.sequence, newest.is_sound, summed.type, asset.code, asset.scale, summed.debits, summed.credits
from (
    select sequence, asset_ids, types, debits, credits,
        digest = ledger.checkpoint_digest(
            ledger_id, sequence, asset_ids, types, debits, credits, balances_checksum) as is_sound
    from ledger.checkpoints
    where ledger_id = %(ledger_id)s
        and sequence <= %(at)s
    order by sequence desc
    limit 1
) as newest
cross join lateral unnest(newest.asset_ids, newest.types, newest.debits, newest.credits)
    as summed (asset_id, type, debits, credits)
left join ledger.assets as asset
    on asset.ledger_id = %(ledger_id)s
        and asset.asset_id = summed.asset_id;

-- name: by_account_from_checkpoint
-- Gross sums for each account and asset from a checkpoint and what follows it; none if it is not the newest.
with newest as materialized (
    select sequence, balances_checksum
    from ledger.checkpoints
    where ledger_id = %(ledger_id)s
    order by sequence desc
    limit 1
),
held as materialized (
    select account_id, asset_id, debits, credits
    from ledger.checkpoint_balances
    where ledger_id = %(ledger_id)s
),
summed as materialized (
    select account_id, asset_id, sum(debits) as debits, sum(credits) as credits
    from (
        select account_id, asset_id, debits, credits
        from held
        union all
        select account_id, asset_id,
            case side when 1 then amount else 0 end,
            case side when 2 then amount else 0 end
        from ledger.entries
        where ledger_id = %(ledger_id)s
            and layer = 0
            and sequence > %(after)s
            and sequence <= %(at)s
    ) as parts
    group by account_id, asset_id
)
select
    newest.balances_checksum = (
        select sum(ledger.balance_checksum(account_id, asset_id, debits, credits))
        from held
    ),
    account.name, account.type, asset.code, asset.scale, summed.debits, summed.credits
from newest
cross join summed
join ledger.accounts as account
    on account.ledger_id = %(ledger_id)s
        and account.account_id = summed.account_id
        and account.version = 1
join ledger.assets as asset
    on asset.ledger_id = %(ledger_id)s
        and asset.asset_id = summed.asset_id
where newest.sequence = %(after)s
order by account.name, asset.code;
