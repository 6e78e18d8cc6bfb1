-- Checkpoints: what the entries add up to at a sequence, so that a trial balance need not
-- add up everything again.
--
-- Derivable, and none of it the truth about money: whoever deletes all of it loses a few
-- seconds. Nobody may write it but the owner's function below, which takes every figure
-- from the entries, so a checkpoint can be wrong only where its rows were damaged.

-- The gross sums of all posted entries up to a sequence, one element for each account type
-- and asset. A row never changes; all may be discarded.
create table ledger.checkpoints (
    ledger_id bigint not null references ledger.directory,
    sequence bigint not null check (sequence > 0),
    asset_ids integer[] not null,
    types smallint[] not null,
    debits numeric[] not null,
    credits numeric[] not null,
    -- The sum of the checksums of every row of checkpoint_balances, when this was the newest one.
    balances_checksum numeric not null,
    -- Of all of the above.
    digest bytea not null check (length(digest) = 32),
    primary key (ledger_id, sequence)
);

-- The same for each account and asset, at the newest checkpoint only.
create table ledger.checkpoint_balances (
    ledger_id bigint not null,
    account_id bigint not null,
    asset_id integer not null,
    debits numeric not null,
    credits numeric not null,
    primary key (ledger_id, account_id, asset_id)
) with (fillfactor = 70);

do $$
declare
    relation text;
begin
    foreach relation in array array['checkpoints', 'checkpoint_balances'] loop
        execute format('alter table ledger.%I enable row level security', relation);
        execute format('alter table ledger.%I force row level security', relation);
        execute format(
            'create policy tenant on ledger.%I to ledger_app, ledger_read'
            ' using (ledger_id = nullif(current_setting(''ledger.id'', true), '''')::bigint)', relation);
        execute format('create policy owner on ledger.%I to ledger_owner using (true)', relation);
        execute format('grant select on ledger.%I to ledger_app, ledger_read', relation);
    end loop;
end $$;

-- What damage to a checkpoint is noticed by. Sums of checksums can be kept up to date for
-- the rows that change, without reading the others.
create function ledger.checkpoint_digest(
    ledger_id bigint, sequence bigint, asset_ids integer[], types smallint[], debits numeric[],
    credits numeric[], balances_checksum numeric)
returns bytea
language sql stable parallel safe
return sha256(convert_to(
    concat_ws('|', ledger_id, sequence, asset_ids, types, debits, credits, balances_checksum), 'UTF8'));

create function ledger.balance_checksum(account_id bigint, asset_id integer, debits numeric, credits numeric)
returns numeric
language sql stable parallel safe
return ('x' || encode(substr(sha256(convert_to(
    concat_ws('|', account_id, asset_id, debits, credits), 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint::numeric;


-- Writes the session's ledger's next checkpoint: the newest one, and the entries that
-- follow it, as many as asked for. Answers its sequence, or null where fewer entries
-- follow or another session is writing one. It is refused where the newest one is
-- damaged, where an account's sums are not the running balance of its newest entry, or
-- where debits do not equal credits.
create function ledger.write_checkpoint(entries_asked integer)
returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
-- Planned for these very sequences, and by the index in record order.
set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_sort = off as $$
declare
    named bigint := nullif(current_setting('ledger.id', true), '')::bigint;
    newest ledger.checkpoints;
    next ledger.checkpoints;
    odd_account bigint;
    odd_asset integer;
begin
    -- The two-key space, which no lane uses: "cp" and what the ledger's id leaves.
    if not pg_try_advisory_xact_lock(x'6370'::integer, (named % 2147483647)::integer) then
        return null;
    end if;
    select * into newest from ledger.checkpoints
        where ledger_id = named order by sequence desc limit 1;
    if newest.digest <> ledger.checkpoint_digest(named, newest.sequence, newest.asset_ids, newest.types,
        newest.debits, newest.credits, newest.balances_checksum)
    then
        raise exception 'checkpoint % is damaged', newest.sequence
            using errcode = '23514', constraint = 'checkpoint_digest', table = 'checkpoints';
    end if;
    next.ledger_id := named;
    select sequence into next.sequence from ledger.entries
        where ledger_id = named and sequence > coalesce(newest.sequence, 0)
        order by sequence, index offset entries_asked - 1 limit 1;
    if next.sequence is null then
        return null;
    end if;

    with tail as materialized (
        select account_id, asset_id, sequence, index, side, amount, balance_after from ledger.entries
        where ledger_id = named
            and sequence > coalesce(newest.sequence, 0)
            and sequence <= next.sequence
            and layer = 0
        order by sequence, index
    ),
    moved as materialized (
        select account_id, asset_id,
            coalesce(sum(amount) filter (where side = 1), 0) as debits,
            coalesce(sum(amount) filter (where side = 2), 0) as credits,
            (array_agg(balance_after order by sequence desc, index desc))[1] as balance
        from tail group by account_id, asset_id
    ),
    held as (
        insert into ledger.checkpoint_balances as held (ledger_id, account_id, asset_id, debits, credits)
        select named, account_id, asset_id, debits, credits from moved
        on conflict (ledger_id, account_id, asset_id) do update
            set debits = held.debits + excluded.debits, credits = held.credits + excluded.credits
        returning account_id, asset_id, debits, credits
    ),
    judged as materialized (
        select account_id, asset_id, account.type, moved.debits, moved.credits,
            held.debits - held.credits <> moved.balance as is_odd,
            ledger.balance_checksum(account_id, asset_id, held.debits, held.credits)
                - case when (held.debits, held.credits) = (moved.debits, moved.credits) then 0
                    else ledger.balance_checksum(
                        account_id, asset_id, held.debits - moved.debits, held.credits - moved.credits)
                end as checksum
        from held
        join moved using (account_id, asset_id)
        cross join lateral (
            select accounts.type from ledger.accounts
            where accounts.ledger_id = named and accounts.account_id = held.account_id
            order by version limit 1
        ) as account
    ),
    summed as (
        select type, asset_id, sum(debits) as debits, sum(credits) as credits
        from (
            select type, asset_id, debits, credits from judged
            union all
            select * from unnest(newest.types, newest.asset_ids, newest.debits, newest.credits)
        ) as parts
        group by type, asset_id
    ),
    odd as (
        select account_id, asset_id from judged where is_odd order by account_id, asset_id limit 1
    )
    select coalesce(array_agg(asset_id order by asset_id, type), '{}'),
        coalesce(array_agg(type order by asset_id, type), '{}'),
        coalesce(array_agg(debits order by asset_id, type), '{}'),
        coalesce(array_agg(credits order by asset_id, type), '{}'),
        coalesce(newest.balances_checksum, 0) + coalesce((select sum(checksum) from judged), 0),
        (select account_id from odd), (select asset_id from odd)
        into next.asset_ids, next.types, next.debits, next.credits, next.balances_checksum,
            odd_account, odd_asset
        from summed;

    if odd_account is not null then
        raise exception 'the entries of account % in asset % up to % do not add up to their running balance',
            odd_account, odd_asset, next.sequence
            using errcode = '23514', constraint = 'checkpoint_running', table = 'checkpoints';
    end if;
    select asset_id into odd_asset
        from unnest(next.asset_ids, next.debits, next.credits) as summed (asset_id, debits, credits)
        group by asset_id having sum(debits) <> sum(credits) limit 1;
    if odd_asset is not null then
        raise exception 'debits and credits of asset % differ at %', odd_asset, next.sequence
            using errcode = '23514', constraint = 'checkpoint_balanced', table = 'checkpoints';
    end if;
    next.digest := ledger.checkpoint_digest(named, next.sequence, next.asset_ids, next.types,
        next.debits, next.credits, next.balances_checksum);
    insert into ledger.checkpoints select next.*;
    return next.sequence;
end $$;

-- Discards every checkpoint of the session's ledger.
create function ledger.discard_checkpoints()
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named bigint := nullif(current_setting('ledger.id', true), '')::bigint;
begin
    perform pg_advisory_xact_lock(x'6370'::integer, (named % 2147483647)::integer);
    delete from ledger.checkpoints where ledger_id = named;
    delete from ledger.checkpoint_balances where ledger_id = named;
end $$;

revoke all on all functions in schema ledger from public;
grant execute on function ledger.write_checkpoint, ledger.discard_checkpoints to ledger_app;
grant execute on function ledger.checkpoint_digest, ledger.balance_checksum to ledger_app, ledger_read;
