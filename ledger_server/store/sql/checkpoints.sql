-- Writing checkpoints, and proving them; see migration 0003.

-- name: read_write
-- Lets a session that is READ ONLY by default write, for the current database transaction.
set transaction read write;

-- name: set_ledger
-- Names the session's ledger for the current database transaction.
select set_config('ledger.id', %(ledger_id)s::text, true);

-- name: plan_freely
-- For the current database transaction: everything that a lookup must do without.
select set_config('plan_cache_mode', 'auto', true), set_config('enable_seqscan', 'on', true),
    set_config('enable_sort', 'on', true), set_config('enable_incremental_sort', 'on', true),
    set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', true);

-- name: join_by_hashing
-- For the current database transaction: a step meets thousands of accounts where young statistics
-- expect a few, and a loop within a loop would look at every pair of them.
select set_config('enable_nestloop', 'off', true);

-- name: write
-- Writes the next checkpoint, so many entries after the newest one; answers its sequence, or null.
select ledger.write_checkpoint(%(entries)s);

-- name: discard
-- Discards every checkpoint.
select ledger.discard_checkpoints();

-- name: stored
-- Every checkpoint in order, and whether its digest is right.
select sequence,
    digest = ledger.checkpoint_digest(
        ledger_id, sequence, asset_ids, types, debits, credits, balances_checksum),
    asset_ids, types, debits, credits
from ledger.checkpoints
where ledger_id = %(ledger_id)s
order by sequence;

-- name: sums_between
-- Gross sums of the posted entries after one sequence and up to another, for each asset and account type.
select entries.asset_id, account.type,
    coalesce(sum(entries.amount) filter (where entries.side = 1), 0),
    coalesce(sum(entries.amount) filter (where entries.side = 2), 0)
from ledger.entries
join ledger.accounts as account
    on account.ledger_id = %(ledger_id)s
        and account.account_id = entries.account_id
        and account.version = 1
where entries.ledger_id = %(ledger_id)s
    and entries.layer = 0
    and entries.sequence > %(after)s
    and entries.sequence <= %(until)s
group by entries.asset_id, account.type;

-- name: differing_balance
-- The first account and asset of which the newest checkpoint holds other sums than the entries give.
with newest as materialized (
    select sequence
    from ledger.checkpoints
    where ledger_id = %(ledger_id)s
    order by sequence desc
    limit 1
),
summed as materialized (
    select account_id, asset_id,
        coalesce(sum(amount) filter (where side = 1), 0) as debits,
        coalesce(sum(amount) filter (where side = 2), 0) as credits
    from ledger.entries
    where ledger_id = %(ledger_id)s
        and layer = 0
        and sequence <= (select sequence from newest)
    group by account_id, asset_id
)
select coalesce((select sequence from newest), 0), account_id, asset_id, held.debits, held.credits,
    summed.debits, summed.credits
from summed
full join (
    select account_id, asset_id, debits, credits
    from ledger.checkpoint_balances
    where ledger_id = %(ledger_id)s
) as held using (account_id, asset_id)
where (held.debits, held.credits) is distinct from (summed.debits, summed.credits)
order by account_id, asset_id
limit 1;

-- name: wrong_checksum
-- The newest checkpoint, where the checksums of its balances do not add up to its own.
select sequence
from ledger.checkpoints
where ledger_id = %(ledger_id)s
    and sequence = (
        select max(sequence)
        from ledger.checkpoints
        where ledger_id = %(ledger_id)s
    )
    and balances_checksum <> (
        select coalesce(sum(ledger.balance_checksum(account_id, asset_id, debits, credits)), 0)
        from ledger.checkpoint_balances
        where ledger_id = %(ledger_id)s
    );
