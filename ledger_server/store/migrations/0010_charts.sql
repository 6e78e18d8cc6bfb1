-- Charts: which accounts and kinds of transactions a ledger has; accounts that a posting
-- opens; numbers without a gap.
--
-- A chart is a record of its ledger's journal, a whole at each version. What it says of
-- names is kept as regular expressions beside it, so that the fence of accounts can ask
-- them of many names at once. An account opened by a posting belongs to the posting's
-- record: its row has that record's sequence, time and hash.

alter table ledger.heads
    -- The newest version of the chart, which the fences keep; 0 for none.
    add column chart_version integer not null default 0;

create table ledger.charts (
    ledger_id bigint not null references ledger.directory,
    version integer not null check (version > 0),
    chart jsonb not null,
    -- For each account type in order of number, what the names of its accounts match, null
    -- where it may have none; empty where the chart says nothing of accounts.
    name_patterns text[] not null check (cardinality(name_patterns) in (0, 5)),
    sequence bigint not null check (sequence > 1),
    record_time timestamptz not null,
    created_by text not null,
    hash bytea not null check (length(hash) = 32),
    primary key (ledger_id, version),
    unique (ledger_id, sequence)
);

alter table ledger.charts enable row level security;
alter table ledger.charts force row level security;
create policy tenant on ledger.charts to ledger_app, ledger_read
    using (ledger_id = nullif(current_setting('ledger.id', true), '')::bigint);
create policy owner on ledger.charts to ledger_owner using (true);
create policy backup on ledger.charts for select to ledger_backup using (true);
grant select on ledger.charts to ledger_app, ledger_read;
grant insert on ledger.charts to ledger_app;
create trigger append_only before update or delete or truncate on ledger.charts
    for each statement execute function ledger.refuse_change();

-- As before, and a new head has no chart.
create or replace function ledger.head_moves() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        if new.sequence <> 1 or new.moved_from <> 0 or new.filled <> 0 or new.owing_from is not null
            or new.account_id_max <> 0 or new.asset_id_max <> 0
            or new.has_limits or new.has_shut or new.chart_version <> 0
        then
            raise exception 'a ledger starts at sequence 1'
                using errcode = '23514', constraint = 'head_starts_at_one', table = 'heads';
        end if;
        return new;
    end if;
    if new.ledger_id <> old.ledger_id or new.epoch < old.epoch or new.record_time < old.record_time
        or new.sequence < old.sequence
        or (new.sequence = old.sequence and (new.hash <> old.hash or new.record_time <> old.record_time))
    then
        raise exception 'the head of ledger % only moves forward', old.ledger_id
            using errcode = '23514', constraint = 'head_moves_forward', table = 'heads';
    end if;
    if new.sequence > old.sequence and (old.filled <> old.sequence or old.owing_from is not null) then
        raise exception 'the head of ledger % moved before its span was full', old.ledger_id
            using errcode = '23514', constraint = 'head_span_full', table = 'heads';
    end if;
    if new.sequence > old.sequence then
        new.moved_from := old.sequence;
    end if;
    return new;
end $$;

-- A chart's versions continue each other.
create function ledger.chart_versions_continue() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named bigint := nullif(current_setting('ledger.id', true), '')::bigint;
    applied record;
begin
    select count(*) as charts, min(version) as first, max(version) as last into applied from inserted;
    update ledger.heads
        set chart_version = chart_version + applied.charts
        where ledger_id = named
            and (applied.charts = 0
                or (applied.first = chart_version + 1 and applied.last = chart_version + applied.charts));
    if not found then
        raise exception 'a chart''s version does not continue the one before'
            using errcode = '23514', constraint = 'chart_versions_continue', table = 'charts';
    end if;
    return null;
end $$;
create trigger records_continue after insert on ledger.charts
    referencing new table as inserted for each statement execute function ledger.records_continue();
create trigger versions_continue after insert on ledger.charts
    referencing new table as inserted for each statement execute function ledger.chart_versions_continue();


-- Accounts. Those that postings open come between their transactions and their entries.
alter table ledger.accounts add column opened_by_posting boolean;
-- Not validated: nothing is so in the rows that are there, and a scan would lock them.
alter table ledger.accounts add constraint opened_by_posting_first
    check (opened_by_posting is null or (opened_by_posting and version = 1)) not valid;
-- A transaction may open several.
alter table ledger.accounts drop constraint accounts_ledger_id_sequence_key;
create unique index accounts_sequence on ledger.accounts (ledger_id, sequence, account_id);

-- As records_continue; and the name and type of a new account are those of a family of the
-- chart, where it has any.
create function ledger.account_records_continue() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named bigint := nullif(current_setting('ledger.id', true), '')::bigint;
    head ledger.heads;
    span record;
    patterns text[];
begin
    select count(*) as records, count(opened_by_posting) as opened, count(distinct sequence) as sequences,
        min(sequence) as first, max(sequence) as last,
        min(ledger_id) as ledger_min, max(ledger_id) as ledger_max,
        min(record_time) as time_min, max(record_time) as time_max
        into span from inserted;
    if span.records = 0 then
        return null;
    end if;
    if named is null or span.ledger_min <> named or span.ledger_max <> named then
        raise exception '% of another ledger than the session''s', tg_table_name
            using errcode = '23514', constraint = 'session_ledger', table = tg_table_name;
    end if;
    select * into head from ledger.heads where ledger_id = named;
    if span.opened > 0 then
        if span.opened < span.records or head.owing_from is null
            or span.first < head.owing_from or span.last > head.filled
            or span.time_min <> head.record_time or span.time_max <> head.record_time
        then
            raise exception 'accounts opened by %..% are not those of the transactions just recorded',
                span.first, span.last
                using errcode = '23514', constraint = 'accounts_opened_by_postings', table = tg_table_name;
        end if;
    else
        if not found or head.owing_from is not null
            or span.first <> head.filled + 1
            or span.last <> head.filled + span.records
            or span.sequences <> span.records
            or span.last > head.sequence
            or span.time_min <> head.record_time or span.time_max <> head.record_time
        then
            raise exception '% records %..% do not continue ledger %: recorded up to % of %',
                tg_table_name, span.first, span.last, named, head.filled, head.sequence
                using errcode = '23514', constraint = 'records_continue', table = tg_table_name;
        end if;
        update ledger.heads set filled = span.last where ledger_id = named;
    end if;
    if head.chart_version > 0 then
        select name_patterns into patterns from ledger.charts
            where ledger_id = named and version = head.chart_version;
        if cardinality(patterns) > 0 and exists (
            select from inserted where version = 1 and (name ~ patterns[type]) is not true
        ) then
            raise exception 'an account whose name and type are of no family of the chart'
                using errcode = '23514', constraint = 'account_names_fit', table = tg_table_name;
        end if;
    end if;
    return null;
end $$;
drop trigger records_continue on ledger.accounts;
create trigger records_continue after insert on ledger.accounts
    referencing new table as inserted for each statement execute function ledger.account_records_continue();


-- Numbers of transactions. Null columns cost the others nothing.
alter table ledger.transactions
    add column series text collate "C",
    add column number bigint;
alter table ledger.transactions add constraint numbered_in_series check (
    case when number is null then series is null
        else series is not null and number > 0 and length(series) between 1 and 320 end
) not valid;
create unique index transactions_numbers on ledger.transactions (ledger_id, series, number)
    where number is not null;

-- As records_continue, and numbers go on in their series without a gap.
create function ledger.transaction_records_continue() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named bigint := nullif(current_setting('ledger.id', true), '')::bigint;
    head ledger.heads;
    span record;
begin
    select count(*) as records, min(sequence) as first, max(sequence) as last,
        min(ledger_id) as ledger_min, max(ledger_id) as ledger_max,
        min(record_time) as time_min, max(record_time) as time_max, count(number) as numbers
        into span from inserted;
    if span.records = 0 then
        return null;
    end if;
    if named is null or span.ledger_min <> named or span.ledger_max <> named then
        raise exception '% of another ledger than the session''s', tg_table_name
            using errcode = '23514', constraint = 'session_ledger', table = tg_table_name;
    end if;
    select * into head from ledger.heads where ledger_id = named;
    if not found or head.owing_from is not null
        or span.first <> head.filled + 1
        or span.last <> head.filled + span.records
        or span.last > head.sequence
        or span.time_min <> head.record_time or span.time_max <> head.record_time
    then
        raise exception '% records %..% do not continue ledger %: recorded up to % of %',
            tg_table_name, span.first, span.last, named, head.filled, head.sequence
            using errcode = '23514', constraint = 'records_continue', table = tg_table_name;
    end if;
    if span.numbers > 0 and exists (
        select from (
            select series, number - row_number() over (partition by series order by sequence) as before
            from inserted
            where number is not null
        ) as given
        group by series
        having min(before) <> max(before)
            -- In order of number, whatever the statistics say: by sequence it would read the whole ledger.
            or (min(before) <> 0 and min(before) is distinct from (
                select last.number
                from ledger.transactions as last
                where last.ledger_id = named
                    and last.series = given.series
                    and last.number <= min(given.before)
                order by last.series desc, last.number desc
                limit 1))
    ) then
        raise exception 'numbers that do not go on in their series'
            using errcode = '23514', constraint = 'numbers_continue', table = 'transactions';
    end if;
    update ledger.heads
        set filled = span.last,
            owing_from = span.first
        where ledger_id = named;
    return null;
end $$;
drop trigger records_continue on ledger.transactions;
create trigger records_continue after insert on ledger.transactions
    referencing new table as inserted for each statement execute function ledger.transaction_records_continue();

revoke all on function ledger.chart_versions_continue from public;
revoke all on function ledger.account_records_continue from public;
revoke all on function ledger.transaction_records_continue from public;
