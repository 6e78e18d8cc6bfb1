-- Trial-balance runs: what the entries added up to, kept.
--
-- No records of the journal: a run is found from the entries and says nothing new about
-- money. It is kept because of what it says about a moment: that the books were sound up
-- to this sequence and hash, or which transactions were not. Nobody may write one but the
-- owner's function below, which takes every figure from the entries and trusts no
-- checkpoint, so a run cannot say OK where the entries say otherwise.

create table ledger.trial_balance_runs (
    ledger_id bigint not null references ledger.directory,
    -- A ledger's runs are numbered without a gap.
    number bigint not null check (number > 0),
    -- The UTC day of record_time, wherever the server or the session stands.
    day date not null,
    record_time timestamptz not null,
    created_by text not null check (length(created_by) between 1 and 255),
    -- Made by the service itself as the day's run; there is one a day.
    daily boolean not null,
    -- The head that it reflects.
    sequence bigint not null check (sequence > 0),
    hash bytea not null check (length(hash) = 32),
    -- One element for each asset with posted entries; '' where no such asset exists.
    asset_codes text[] collate "C" not null,
    scales smallint[] not null,
    debits numeric[] not null,
    credits numeric[] not null,
    -- How many sequences are at fault, and the lowest hundred of them.
    offending_count bigint not null check (offending_count >= 0),
    offending_sequences bigint[] not null,
    primary key (ledger_id, number),
    constraint runs_of_their_day check (day = (record_time at time zone 'UTC')::date),
    constraint runs_name_offenders check (cardinality(offending_sequences) = least(offending_count, 100)),
    -- What does not add up is some transaction's fault.
    constraint runs_add_up check (offending_count > 0 or debits = credits),
    check (cardinality(scales) = cardinality(asset_codes)),
    check (cardinality(debits) = cardinality(asset_codes)),
    check (cardinality(credits) = cardinality(asset_codes))
);
-- A day's runs, and one of them by the service itself.
create index trial_balance_runs_by_day on ledger.trial_balance_runs (ledger_id, day, number);
create unique index trial_balance_runs_daily on ledger.trial_balance_runs (ledger_id, day) where daily;

alter table ledger.trial_balance_runs enable row level security;
alter table ledger.trial_balance_runs force row level security;
create policy tenant on ledger.trial_balance_runs to ledger_app, ledger_read
    using (ledger_id = nullif(current_setting('ledger.id', true), '')::bigint);
create policy owner on ledger.trial_balance_runs to ledger_owner using (true);
create policy backup on ledger.trial_balance_runs for select to ledger_backup using (true);
grant select on ledger.trial_balance_runs to ledger_app, ledger_read;
create trigger append_only before update or delete or truncate on ledger.trial_balance_runs
    for each statement execute function ledger.refuse_change();

-- The sequences of a ledger that keep its books from being sound: a transaction whose
-- debits and credits differ in an asset and layer, or that has no entries; entries without
-- a transaction, of an account or asset that does not exist, or beyond the head. Answers
-- how many there are and the lowest hundred.
--
-- One pass in record order beside one over the transactions: the settings keep the planner
-- from gathering a group for each transaction instead. Stable, so it sees what the
-- statement that calls it sees.
create function ledger.offending_sequences(named bigint)
returns table (offending_count bigint, offending_sequences bigint[])
language sql stable set search_path = pg_catalog, pg_temp
set enable_hashagg = off set enable_hashjoin = off set enable_seqscan = off set enable_bitmapscan = off
set work_mem = '16MB' as $$
    with head as materialized (
        select heads.sequence, account_id_max, asset_id_max from ledger.heads where ledger_id = named
    ),
    parts as (
        select entries.sequence, entries.asset_id,
            sum(case side when 1 then amount else -amount end) as difference,
            min(account_id) as account_min, max(account_id) as account_max
        from ledger.entries
        where ledger_id = named
        group by entries.sequence, entries.asset_id, layer
    ),
    summed as (
        select parts.sequence, bool_and(difference = 0) as is_balanced,
            min(asset_id) as asset_min, max(asset_id) as asset_max,
            min(account_min) as account_min, max(account_max) as account_max
        from parts
        group by parts.sequence
    ),
    recorded as (
        -- Ordered here: below an outer join PostgreSQL 15 does not see that the index is.
        select transactions.sequence, true as is_recorded
        from ledger.transactions
        where ledger_id = named
        order by transactions.sequence
    ),
    offending as materialized (
        select sequence
        from summed
        full join recorded using (sequence)
        where not coalesce(is_recorded and is_balanced, false)
            or sequence > (select head.sequence from head)
            or asset_min < 1 or asset_max > (select asset_id_max from head)
            or account_min < 1 or account_max > (select account_id_max from head)
    )
    select (select count(*) from offending),
        array(select offending.sequence from offending order by sequence limit 100)
$$;

-- Adds up every entry of the session's ledger, keeps what it finds as its next run, and
-- answers the run's number. Null where `as_daily` asks for the day's run and it is there, or
-- where the session names no ledger. One run of a ledger at a time; one statement reads
-- everything, so everything is of one moment.
create function ledger.run_trial_balance(created_by text, as_daily boolean)
returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
-- Planned for this very ledger.
set plan_cache_mode = force_custom_plan set enable_seqscan = on set enable_sort = on
set enable_incremental_sort = on set enable_hashjoin = on set enable_mergejoin = on as $$
declare
    named bigint := nullif(current_setting('ledger.id', true), '')::bigint;
    previous record;
    run ledger.trial_balance_runs;
begin
    -- The two-key space, which no lane uses: "tb" and what the ledger's id leaves.
    perform pg_advisory_xact_lock(x'7462'::integer, (named % 2147483647)::integer);
    select number, record_time into previous from ledger.trial_balance_runs
        where ledger_id = named order by number desc limit 1;
    run.ledger_id := named;
    run.number := coalesce(previous.number, 0) + 1;
    run.record_time := greatest(clock_timestamp(), previous.record_time);
    run.day := (run.record_time at time zone 'UTC')::date;
    run.created_by := run_trial_balance.created_by;
    run.daily := as_daily;
    if as_daily and exists (
        select from ledger.trial_balance_runs where ledger_id = named and day = run.day and daily
    ) then
        return null;
    end if;
    select head.sequence, head.hash, found.offending_count, found.offending_sequences,
        totals.asset_codes, totals.scales, totals.debits, totals.credits
        into run.sequence, run.hash, run.offending_count, run.offending_sequences,
            run.asset_codes, run.scales, run.debits, run.credits
        from ledger.heads as head
        cross join ledger.offending_sequences(named) as found
        cross join (
            select coalesce(array_agg(code order by code, asset_id), '{}') as asset_codes,
                coalesce(array_agg(scale order by code, asset_id), '{}') as scales,
                coalesce(array_agg(summed.debits order by code, asset_id), '{}') as debits,
                coalesce(array_agg(summed.credits order by code, asset_id), '{}') as credits
            from (
                select by_id.asset_id, by_id.debits, by_id.credits,
                    coalesce(assets.code, '') as code, coalesce(assets.scale, 0::smallint) as scale
                from (
                    select asset_id,
                        coalesce(sum(amount) filter (where side = 1), 0) as debits,
                        coalesce(sum(amount) filter (where side = 2), 0) as credits
                    from ledger.entries
                    where ledger_id = named and layer = 0
                    group by asset_id
                ) as by_id
                left join ledger.assets on assets.ledger_id = named and assets.asset_id = by_id.asset_id
            ) as summed
        ) as totals
        where head.ledger_id = named;
    if run.sequence is null then
        return null;
    end if;
    insert into ledger.trial_balance_runs select run.*;
    return run.number;
end $$;

revoke all on function ledger.offending_sequences, ledger.run_trial_balance from public;
grant execute on function ledger.run_trial_balance to ledger_app;
