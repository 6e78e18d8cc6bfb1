-- Narrower rows of transactions and entries, which are nearly all of what a ledger keeps.
--
-- Both are copied into tables whose columns leave no gap between them: a value of eight
-- bytes begins at a multiple of eight, and what stands before it is filled up. Numbers of
-- ledgers and accounts take four bytes there; elsewhere they stay as they are, and fences
-- see to it that none is given that does not fit. Entries are found by sequence through an
-- index that is not unique: a transaction's entries share one place in it. That they are
-- numbered once each, from 0 on, is their fence's to see.

-- In the order in which writers take them.
lock table ledger.heads, ledger.transactions, ledger.entries in access exclusive mode;

-- No number is given that has more than four bytes.
alter table ledger.directory alter column ledger_id set maxvalue 2147483647;
alter table ledger.heads add constraint accounts_per_ledger_max check (account_id_max <= 2147483647);

create schema ledger_wide;
alter table ledger.transactions set schema ledger_wide;
alter table ledger.entries set schema ledger_wide;

create table ledger.transactions (
    sequence bigint not null check (sequence > 1),
    effective_time timestamptz not null check (
        effective_time between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'),
    record_time timestamptz not null,
    ledger_id integer not null,
    effective_time_given boolean not null,
    idempotency_key text collate "C" check (length(idempotency_key) between 1 and 128),
    kind text collate "C" not null check (length(kind) <= 64),
    created_by text not null,
    -- Null: redacted.
    description text,
    metadata jsonb,
    external_ref text collate "C",
    salt bytea not null check (length(salt) = 16),
    hash bytea not null check (length(hash) = 32),
    -- From here on null in most rows, where it takes no room.
    details_digest bytea check (length(details_digest) = 32),
    reverses bigint check (reverses < sequence),
    forced boolean,
    number bigint,
    series text collate "C",
    template text collate "C",
    template_version integer,
    parameters jsonb,
    check ((description is null) = (details_digest is not null)),
    check ((metadata is null) = (details_digest is not null)),
    check ((external_ref is null) = (details_digest is not null)),
    constraint forced_reversals_only check (forced is null or (forced and reverses is not null)),
    constraint numbered_in_series check (
        case when number is null then series is null
            else series is not null and number > 0 and length(series) between 1 and 320 end),
    constraint made_by_template check (
        (template is null) = (template_version is null)
        and length(template) between 1 and 64
        and template_version > 0
        and (template is null or reverses is null)),
    constraint template_parameters check (
        (parameters is null) = (template is null or details_digest is not null))
);

-- balance_after is debit-positive: the running balance of its account, asset and
-- layer (0 posted, 1 pending debits, 2 pending credits) in record order. The
-- newest entry is the balance; no balance column is ever updated.
create table ledger.entries (
    ledger_id integer not null,
    account_id integer not null,
    asset_id integer not null,
    layer smallint not null check (layer between 0 and 2),
    index smallint not null check (index between 0 and 999),
    sequence bigint not null,
    side smallint not null check (side in (1, 2)),
    -- NaN is a numeric too, and greater than every number.
    amount numeric(38, 0) not null check (amount > 0 and amount <> 'NaN'),
    balance_after numeric(38, 0) not null check (balance_after <> 'NaN')
);

-- In the order in which they lie, which is that of their records.
set local synchronize_seqscans = off;
insert into ledger.transactions (
    ledger_id, sequence, idempotency_key, kind, effective_time, effective_time_given, record_time, created_by,
    reverses, description, metadata, external_ref, salt, details_digest, hash, forced, series, number, template,
    template_version, parameters
)
select ledger_id, sequence, idempotency_key, kind, effective_time, effective_time_given, record_time, created_by,
    reverses, description, metadata, external_ref, salt, details_digest, hash, forced, series, number, template,
    template_version, parameters
from ledger_wide.transactions;
insert into ledger.entries (ledger_id, account_id, asset_id, layer, sequence, index, side, amount, balance_after)
select ledger_id, account_id, asset_id, layer, sequence, index, side, amount, balance_after
from ledger_wide.entries;

drop table ledger_wide.transactions, ledger_wide.entries;
drop schema ledger_wide;

alter table ledger.transactions add constraint transactions_pkey primary key (ledger_id, sequence);
-- One transaction per key, for ever; one reversal per origin; one per number of a series.
create unique index transactions_key on ledger.transactions (ledger_id, idempotency_key)
    where idempotency_key is not null;
create unique index transactions_reverses on ledger.transactions (ledger_id, reverses)
    where reverses is not null;
create unique index transactions_numbers on ledger.transactions (ledger_id, series, number)
    where number is not null;
-- Reversals in record order; costs nothing to the others.
create index transactions_reversals on ledger.transactions (ledger_id, sequence)
    where reverses is not null;
alter table ledger.entries
    add constraint entries_pkey primary key (ledger_id, account_id, asset_id, layer, sequence, index);
create index entries_sequence on ledger.entries (ledger_id, sequence);
-- What was learnt of the old ones is gone; of empty ones nothing is to be learnt.
do $$
begin
    if exists (select from ledger.transactions) then
        analyze ledger.transactions, ledger.entries;
    end if;
end $$;


-- The fences that the tables had, all of them.
do $$
declare
    relation text;
begin
    foreach relation in array array['transactions', 'entries'] loop
        execute format('alter table ledger.%I enable row level security', relation);
        execute format('alter table ledger.%I force row level security', relation);
        execute format(
            'create policy tenant on ledger.%I to ledger_app, ledger_read'
            ' using (ledger_id = nullif(current_setting(''ledger.id'', true), '''')::bigint)', relation);
        execute format('create policy owner on ledger.%I to ledger_owner using (true)', relation);
        execute format('create policy backup on ledger.%I for select to ledger_backup using (true)', relation);
        execute format('grant select on ledger.%I to ledger_app, ledger_read', relation);
        execute format('grant insert on ledger.%I to ledger_app', relation);
        execute format(
            'create trigger append_only before update or delete or truncate on ledger.%I'
            ' for each statement execute function ledger.refuse_change()', relation);
    end loop;
end $$;
create trigger records_continue after insert on ledger.transactions
    referencing new table as inserted for each statement execute function ledger.transaction_records_continue();
create trigger reversals_have_origins after insert on ledger.transactions
    referencing new table as inserted for each statement execute function ledger.reversals_have_origins();
create trigger entries_belong after insert on ledger.entries
    referencing new table as inserted for each statement execute function ledger.entries_belong();

-- As before, and a transaction's entries are numbered from 0 on, without a gap and once each;
-- accounts with bounds are looked up once each.
create or replace function ledger.entries_belong() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named bigint := nullif(current_setting('ledger.id', true), '')::bigint;
    head ledger.heads;
    span record;
    broken text;
begin
    -- One entry alone is never balanced: its amount is positive.
    select count(distinct sequence) as transactions, min(sequence) as first, max(sequence) as last,
        min(ledger_min) as ledger_min, max(ledger_max) as ledger_max,
        min(account_min) as account_min, max(account_max) as account_max,
        min(asset_id) as asset_min, max(asset_id) as asset_max,
        bool_and(difference = 0) as balanced
        into span
        from (
            select sequence, asset_id,
                min(ledger_id) as ledger_min, max(ledger_id) as ledger_max,
                min(account_id) as account_min, max(account_id) as account_max,
                sum(case side when 1 then amount else -amount end) as difference
            from inserted group by sequence, asset_id, layer
        ) as summed;
    if span.transactions = 0 then
        return null;
    end if;
    if named is null or span.ledger_min <> named or span.ledger_max <> named then
        raise exception 'entries of another ledger than the session''s'
            using errcode = '23514', constraint = 'session_ledger', table = 'entries';
    end if;
    select * into head from ledger.heads where ledger_id = named;
    if head.owing_from is null or span.first <> head.owing_from or span.last <> head.filled
        or span.transactions <> head.filled - head.owing_from + 1
    then
        raise exception 'entries of %..% are not those of the transactions just recorded', span.first, span.last
            using errcode = '23514', constraint = 'entries_belong', table = 'entries';
    end if;
    if not span.balanced then
        if exists (select from inserted group by sequence having count(*) < 2) then
            raise exception 'a transaction with fewer than two entries'
                using errcode = '23514', constraint = 'entries_paired', table = 'entries';
        end if;
        raise exception 'a transaction whose debits and credits differ'
            using errcode = '23514', constraint = 'entries_balanced', table = 'entries';
    end if;
    if span.asset_min < 1 or span.asset_max > head.asset_id_max then
        raise exception 'an entry without its asset'
            using errcode = '23514', constraint = 'entries_have_assets', table = 'entries';
    end if;
    if span.account_min < 1 or span.account_max > head.account_id_max then
        raise exception 'an entry without its account'
            using errcode = '23514', constraint = 'entries_have_accounts', table = 'entries';
    end if;
    if exists (
        select from (
            select index, row_number() over (partition by sequence order by index) - 1 as place from inserted
        ) as numbered
        where index <> place
    ) then
        raise exception 'a transaction whose entries are not numbered from 0 on, once each'
            using errcode = '23514', constraint = 'entries_numbered', table = 'entries';
    end if;
    if exists (
        select from (
            select balance_after - case side when 1 then amount else -amount end as before,
                lag(balance_after) over (
                    partition by account_id, asset_id, layer order by sequence, index) as previous
            from inserted
        ) as continued
        where before <> previous
    ) then
        broken := 'entries_continue';
    elsif head.has_shut and exists (
        select from (select distinct account_id from inserted) as touched
        cross join lateral (
            select from ledger.accounts
            where accounts.ledger_id = named and accounts.account_id = touched.account_id
                and status <> 1
            limit 1
        ) as once
        cross join lateral (
            select status from ledger.accounts
            where accounts.ledger_id = named and accounts.account_id = touched.account_id
            order by version desc limit 1
        ) as newest
        where newest.status <> 1
    ) then
        broken := 'entries_in_open_accounts';
    elsif head.has_limits and exists (
        select from (select distinct account_id from inserted) as touched
        cross join lateral (
            select from ledger.accounts
            where accounts.ledger_id = named and accounts.account_id = touched.account_id
                and limits is not null
            limit 1
        ) as limited
    ) then
        -- Once for each account, and not for each entry, which is what a session would choose
        -- that plans it for its first, smallest batch.
        with known as materialized (
            select touched.account_id, account.limits,
                case when account.type in (1, 5) then 1 else -1 end as sign,
                case when account.version = 1 then account.sequence
                    else (
                        select opened.sequence from ledger.accounts as opened
                        where opened.ledger_id = named and opened.account_id = touched.account_id
                            and opened.version = 1)
                end > head.moved_from as is_new
            from (select distinct account_id from inserted) as touched
            cross join lateral (
                select from ledger.accounts
                where accounts.ledger_id = named and accounts.account_id = touched.account_id
                    and limits is not null
                limit 1
            ) as limited
            cross join lateral (
                select type, limits, version, sequence from ledger.accounts
                where accounts.ledger_id = named and accounts.account_id = touched.account_id
                order by version desc limit 1
            ) as account
            where limits is not null
        ),
        bounded as (
            select inserted.account_id, inserted.asset_id, inserted.sequence, inserted.index, known.sign,
                known.is_new, inserted.balance_after, bound.balance_min, bound.balance_max,
                inserted.balance_after - case side when 1 then amount else -amount end as before
            from inserted
            join known using (account_id)
            cross join lateral (
                select (limits -> asset_id::text ->> 'balance_min')::numeric as balance_min,
                    (limits -> asset_id::text ->> 'balance_max')::numeric as balance_max
            ) as bound
            where inserted.layer = 0 and limits ? asset_id::text
        ),
        first_of_batch as (
            select distinct on (account_id, asset_id) account_id, asset_id, before, is_new
            from bounded order by account_id, asset_id, sequence, index
        ),
        vouched as (
            select * from ledger.vouched_balances(named, head.moved_from)
        ),
        judged as (
            select sequence, sign, balance_min, balance_max, balance_after,
                first_value(before) over (partition by account_id, asset_id, sequence order by index) as before,
                lead(index) over (partition by account_id, asset_id, sequence order by index) is null as is_last
            from bounded
        )
        select case
            when exists (
                select from first_of_batch
                left join vouched using (account_id, asset_id)
                -- Only where records of other kinds stand between two runs of this batch.
                left join lateral (
                    select balance_after from ledger.entries
                    where head.owing_from > head.moved_from + 1
                        and entries.ledger_id = named
                        and entries.account_id = first_of_batch.account_id
                        and entries.asset_id = first_of_batch.asset_id
                        and entries.layer = 0
                        and entries.sequence > head.moved_from
                        and entries.sequence < head.owing_from
                    order by sequence desc, index desc limit 1
                ) as earlier on true
                where coalesce(earlier.balance_after, vouched.balance, case when is_new then 0 end)
                    is distinct from first_of_batch.before
            ) then 'entries_continue'
            -- A bound that a transaction passes is passed by its last entry, so that transactions
            -- are put together only where some entry is beyond a bound.
            when exists (
                select from bounded
                where sign * balance_after < balance_min or sign * balance_after > balance_max
            ) and exists (
                select from judged
                where is_last
                    -- Transactions are looked up only where a bound was passed: every read is one
                    -- more way for two ledgers to abort each other.
                    and case
                        when (sign * balance_after < sign * before and sign * balance_after < balance_min)
                            or (sign * balance_after > sign * before and sign * balance_after > balance_max)
                        then not exists (
                            select from ledger.transactions
                            where transactions.ledger_id = named
                                and transactions.sequence = judged.sequence
                                and transactions.forced)
                        else false
                    end
            ) then 'entries_within_bounds'
            end into broken;
    end if;
    if broken is not null then
        raise exception 'entries refused: %', broken
            using errcode = '23514', constraint = broken, table = 'entries';
    end if;
    update ledger.heads set owing_from = null where ledger_id = named;
    return null;
end $$;

-- As before; the index that it goes by has entries in the order of their sequences, and
-- those of one transaction in any order.
create or replace function ledger.write_checkpoint(entries_asked integer)
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
        order by sequence offset entries_asked - 1 limit 1;
    if next.sequence is null then
        return null;
    end if;

    with tail as materialized (
        select account_id, asset_id, sequence, index, side, amount, balance_after from ledger.entries
        where ledger_id = named
            and sequence > coalesce(newest.sequence, 0)
            and sequence <= next.sequence
            and layer = 0
        order by sequence
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
