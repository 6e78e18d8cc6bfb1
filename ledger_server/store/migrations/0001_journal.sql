-- The journal: records, heads, fences.
--
-- A journal is a gapless sequence of records per ledger. Each kind of record has
-- its own INSERT-only table and they share the numbering: ledgers (record 1),
-- assets, accounts (one row a version), transactions with their entries. The only
-- mutable row of a ledger is its head. docs/architecture.md draws it.
--
-- The order of a write, which the triggers enforce: the head moves first, then
-- the records fill the span it opened, in order, each transaction's entries right
-- after the run of transactions they belong to. At COMMIT the span must be full.
-- So the fences need to read nothing but the session's own head row and the rows
-- being inserted: under SERIALIZABLE every other read would be one more way for
-- two ledgers to abort each other.

create schema if not exists ledger;

-- Names of ledgers. The only table without ledger_id as its tenant fence: it says
-- which ledger_id a name stands for, and nothing else.
create table ledger.directory (
    ledger_id bigint generated always as identity primary key,
    name text collate "C" not null unique check (length(name) between 1 and 255)
);

-- A ledger's head: the one mutable row. `moved_from`, `filled` and `owing_from` are
-- the fences' own: where the head stood before its last move, the last sequence
-- recorded in the span it opened, and the first transaction whose entries are
-- still to come.
create table ledger.heads (
    ledger_id bigint primary key references ledger.directory,
    sequence bigint not null check (sequence > 0),
    hash bytea not null check (length(hash) = 32),
    -- What every client can read: no infinity, no year beyond four digits.
    record_time timestamptz not null check (
        record_time between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'),
    epoch bigint not null default 1 check (epoch > 0),
    moved_from bigint not null default 0,
    filled bigint not null default 0,
    owing_from bigint
) with (fillfactor = 50);

-- The first record of each ledger. Null description: redacted.
create table ledger.ledgers (
    ledger_id bigint not null references ledger.directory,
    sequence bigint not null check (sequence = 1),
    record_time timestamptz not null,
    created_by text not null,
    description text,
    salt bytea not null check (length(salt) = 16),
    details_digest bytea check (length(details_digest) = 32),
    hash bytea not null check (length(hash) = 32),
    primary key (ledger_id, sequence),
    check ((description is null) = (details_digest is not null))
);

create table ledger.assets (
    ledger_id bigint not null references ledger.directory,
    asset_id integer not null check (asset_id > 0),
    code text collate "C" not null check (length(code) between 1 and 32),
    scale smallint not null check (scale between 0 and 36),
    sequence bigint not null check (sequence > 1),
    record_time timestamptz not null,
    created_by text not null,
    hash bytea not null check (length(hash) = 32),
    primary key (ledger_id, asset_id),
    unique (ledger_id, code),
    unique (ledger_id, sequence)
);

-- Accounts, one row a version. Limits by asset_id, in the account's normal sense:
-- {"1": {"balance_min": "0"}}; null where there are none.
create table ledger.accounts (
    ledger_id bigint not null references ledger.directory,
    account_id bigint not null check (account_id > 0),
    version integer not null check (version > 0),
    sequence bigint not null check (sequence > 1),
    name text collate "C" not null check (length(name) between 1 and 255),
    type smallint not null check (type between 1 and 5),
    status smallint not null default 1 check (status between 1 and 3),
    limits jsonb,
    metadata jsonb,
    record_time timestamptz not null,
    created_by text not null,
    salt bytea not null check (length(salt) = 16),
    details_digest bytea check (length(details_digest) = 32),
    hash bytea not null check (length(hash) = 32),
    primary key (ledger_id, account_id, version),
    unique (ledger_id, name, version),
    unique (ledger_id, sequence),
    check ((metadata is null) = (details_digest is not null))
);

create table ledger.transactions (
    ledger_id bigint not null,
    sequence bigint not null check (sequence > 1),
    idempotency_key text collate "C" check (length(idempotency_key) between 1 and 128),
    kind text collate "C" not null check (length(kind) <= 64),
    effective_time timestamptz not null check (
        effective_time between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'),
    effective_time_given boolean not null,
    record_time timestamptz not null,
    created_by text not null,
    reverses bigint check (reverses < sequence),
    description text,
    metadata jsonb,
    external_ref text collate "C",
    salt bytea not null check (length(salt) = 16),
    details_digest bytea check (length(details_digest) = 32),
    hash bytea not null check (length(hash) = 32),
    constraint transactions_pkey primary key (ledger_id, sequence),
    check ((description is null) = (details_digest is not null)),
    check ((metadata is null) = (details_digest is not null)),
    check ((external_ref is null) = (details_digest is not null))
);

-- One transaction per key, for ever; one reversal per origin.
create unique index transactions_key on ledger.transactions (ledger_id, idempotency_key)
    where idempotency_key is not null;
create unique index transactions_reverses on ledger.transactions (ledger_id, reverses)
    where reverses is not null;
-- Reversals in record order; costs nothing to the others.
create index transactions_reversals on ledger.transactions (ledger_id, sequence)
    where reverses is not null;

-- balance_after is debit-positive: the running balance of its account, asset and
-- layer (0 posted, 1 pending debits, 2 pending credits) in record order. The
-- newest entry is the balance; no balance column is ever updated.
create table ledger.entries (
    ledger_id bigint not null,
    account_id bigint not null,
    asset_id integer not null,
    layer smallint not null check (layer between 0 and 2),
    sequence bigint not null,
    index smallint not null check (index between 0 and 999),
    side smallint not null check (side in (1, 2)),
    -- NaN is a numeric too, and greater than every number.
    amount numeric(38, 0) not null check (amount > 0 and amount <> 'NaN'),
    balance_after numeric(38, 0) not null check (balance_after <> 'NaN'),
    constraint entries_pkey primary key (ledger_id, account_id, asset_id, layer, sequence, index)
);
create unique index entries_sequence on ledger.entries (ledger_id, sequence, index);

-- Which database this is; `epoch` of every head rises when it turns out to be
-- another one (restored, failed over).
create table ledger.database_identity (
    only_row boolean primary key default true check (only_row),
    system_identifier text not null,
    timeline integer not null
);


-- The tenant fence: a session sees and writes the ledger it named by
-- `set_config('ledger.id', …, true)`, and nothing when it named none (unset is
-- NULL, and '' after one transaction-local setting).
do $$
declare
    relation text;
begin
    foreach relation in array array['heads', 'ledgers', 'assets', 'accounts', 'transactions', 'entries'] loop
        execute format('alter table ledger.%I enable row level security', relation);
        execute format('alter table ledger.%I force row level security', relation);
        execute format(
            'create policy tenant on ledger.%I to ledger_app, ledger_read'
            ' using (ledger_id = nullif(current_setting(''ledger.id'', true), '''')::bigint)', relation);
        execute format('create policy owner on ledger.%I to ledger_owner using (true)', relation);
    end loop;
end $$;

grant usage on schema ledger to ledger_app, ledger_read;
grant select on all tables in schema ledger to ledger_app, ledger_read;
grant insert (name) on ledger.directory to ledger_app;
grant insert on ledger.heads, ledger.ledgers, ledger.assets, ledger.accounts,
    ledger.transactions, ledger.entries, ledger.database_identity to ledger_app;
grant update (sequence, hash, record_time, epoch) on ledger.heads to ledger_app;
grant update (system_identifier, timeline) on ledger.database_identity to ledger_app;


-- Vouched balances. The fence of bounded accounts must know the balance before a
-- batch, but a read of entries inside the SERIALIZABLE transaction would make
-- ledgers abort each other (measured: 30,300/s to 5,200/s with four at once). So it
-- is read before BEGIN, by the owner's function, which seals what it read with a
-- secret that only the owner can see; the fence accepts it back under that seal,
-- and only for the very head it was read at. Nothing is vouched in a database
-- transaction that has written: its head may be rolled back and another history put
-- under the same sequence.
create table ledger.vouching (
    only_row boolean primary key default true check (only_row),
    secret text not null
);
insert into ledger.vouching (secret) values (gen_random_uuid()::text || gen_random_uuid()::text);

create function ledger.seal(ledger_id bigint, sequence bigint, account_ids text, asset_ids text, balances text)
returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select encode(sha256(convert_to(concat_ws('|', vouching.secret, $1, $2, $3, $4, $5), 'UTF8')), 'hex')
    from ledger.vouching
$$;

create function ledger.vouch(asked_account_ids bigint[], asked_asset_ids integer[])
returns table (sequence bigint, account_ids text, asset_ids text, balances text, seal text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named bigint := nullif(current_setting('ledger.id', true), '')::bigint;
begin
    if pg_current_xact_id_if_assigned() is not null then
        raise exception 'balances are vouched before anything is written'
            using errcode = '23514', constraint = 'vouched_before_writing', table = 'heads';
    end if;
    select heads.sequence into sequence from ledger.heads where heads.ledger_id = named;
    select array_agg(asked.account_id order by place)::text, array_agg(asked.asset_id order by place)::text,
        array_agg(coalesce(newest.balance_after, 0) order by place)::text
        into account_ids, asset_ids, balances
        from unnest(asked_account_ids, asked_asset_ids) with ordinality as asked (account_id, asset_id, place)
        left join lateral (
            select entries.balance_after from ledger.entries
            where entries.ledger_id = named
                and entries.account_id = asked.account_id
                and entries.asset_id = asked.asset_id
                and entries.layer = 0
                and entries.sequence <= vouch.sequence
            order by entries.sequence desc, entries.index desc limit 1
        ) as newest on true;
    seal := ledger.seal(named, sequence, account_ids, asset_ids, balances);
    return next;
end $$;

-- Append-only: even the owner cannot change or remove a record.
create function ledger.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception '% is append-only: % refused', tg_table_name, tg_op
        using errcode = '23514', constraint = 'append_only', table = tg_table_name;
end $$;

do $$
declare
    relation text;
begin
    foreach relation in array array['directory', 'ledgers', 'assets', 'accounts', 'transactions', 'entries'] loop
        execute format(
            'create trigger append_only before update or delete or truncate on ledger.%I'
            ' for each statement execute function ledger.refuse_change()', relation);
    end loop;
end $$;
create trigger append_only before delete or truncate on ledger.heads
    for each statement execute function ledger.refuse_change();


-- The head moves forward only, and only when the span before is full.
create function ledger.head_moves() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        if new.sequence <> 1 or new.moved_from <> 0 or new.filled <> 0 or new.owing_from is not null then
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
create trigger head_moves before insert or update of ledger_id, sequence, hash, record_time, epoch
    on ledger.heads for each row execute function ledger.head_moves();

-- At COMMIT the span that the head opened is full of records, each transaction
-- with its entries.
create function ledger.head_span_full() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    head ledger.heads;
begin
    select * into head from ledger.heads where ledger_id = new.ledger_id;
    if head.filled <> head.sequence or head.owing_from is not null then
        raise exception 'ledger % is recorded up to % of %, entries owed from %',
            new.ledger_id, head.filled, head.sequence, head.owing_from
            using errcode = '23514', constraint = 'head_span_full', table = 'heads';
    end if;
    return null;
end $$;
create constraint trigger head_span_full after insert or update of sequence on ledger.heads
    deferrable initially deferred for each row execute function ledger.head_span_full();


-- Records continue the numbering: of the session's ledger, without a gap from the
-- last one recorded, within the span the head opened in this very database
-- transaction, at the head's time.
create function ledger.records_continue() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named bigint := nullif(current_setting('ledger.id', true), '')::bigint;
    head ledger.heads;
    span record;
begin
    select count(*) as records, min(sequence) as first, max(sequence) as last,
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
    update ledger.heads
        set filled = span.last,
            owing_from = case when tg_table_name = 'transactions' then span.first end
        where ledger_id = named;
    return null;
end $$;

-- The balances the session had vouched at the head `moved_from`, if the seal is
-- ours; else none, and the fence refuses.
create function ledger.vouched_balances(named bigint, moved_from bigint)
returns table (account_id bigint, asset_id integer, balance numeric)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    given jsonb := nullif(current_setting('ledger.vouched', true), '')::jsonb;
begin
    if given is null or (given ->> 'seal') is distinct from ledger.seal(
        named, moved_from, given ->> 'account_ids', given ->> 'asset_ids', given ->> 'balances')
    then
        return;
    end if;
    return query select * from unnest(
        (given ->> 'account_ids')::bigint[], (given ->> 'asset_ids')::integer[], (given ->> 'balances')::numeric[]);
end $$;

-- An account's versions continue each other and keep its name and type.
create function ledger.account_versions_continue() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if exists (
        select from inserted
        where version > 1 and not exists (
            select from ledger.accounts as previous
            where previous.ledger_id = inserted.ledger_id
                and previous.account_id = inserted.account_id
                and previous.version = inserted.version - 1
                and previous.name = inserted.name
                and previous.type = inserted.type)
    ) then
        raise exception 'an account''s version does not continue the one before'
            using errcode = '23514', constraint = 'account_versions_continue', table = 'accounts';
    end if;
    return null;
end $$;

-- A reversal's origin exists and is no reversal itself.
create function ledger.reversals_have_origins() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if exists (
        select from inserted
        where reverses is not null and not exists (
            select from ledger.transactions as origin
            where origin.ledger_id = inserted.ledger_id
                and origin.sequence = inserted.reverses
                and origin.reverses is null)
    ) then
        raise exception 'a reversal without an origin, or of a reversal'
            using errcode = '23514', constraint = 'reversals_have_origins', table = 'transactions';
    end if;
    return null;
end $$;

-- Entries belong to exactly the transactions just recorded, at least two each,
-- balanced per asset and layer, in existing accounts and assets. Each balance_after
-- is the one before it plus or minus the amount: within the batch for every
-- account, and from the vouched balance before the batch for accounts with bounds;
-- no bound is passed.
create function ledger.entries_belong() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named bigint := nullif(current_setting('ledger.id', true), '')::bigint;
    head ledger.heads;
    span record;
    broken text;
begin
    select count(*) as transactions, min(first) as first, max(last) as last,
        min(ledger_min) as ledger_min, max(ledger_max) as ledger_max,
        bool_and(entries >= 2) as paired
        into span
        from (
            select min(sequence) as first, max(sequence) as last, count(*) as entries,
                min(ledger_id) as ledger_min, max(ledger_id) as ledger_max
            from inserted group by sequence
        ) as counted;
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
    if not span.paired then
        raise exception 'a transaction with fewer than two entries'
            using errcode = '23514', constraint = 'entries_paired', table = 'entries';
    end if;
    if exists (
        select from inserted
        group by sequence, asset_id, layer
        having sum(case side when 1 then amount else -amount end) <> 0
    ) then
        raise exception 'a transaction whose debits and credits differ'
            using errcode = '23514', constraint = 'entries_balanced', table = 'entries';
    end if;
    if exists (
        select from (select distinct asset_id from inserted) as touched
        where not exists (
            select from ledger.assets where assets.ledger_id = named and assets.asset_id = touched.asset_id)
    ) then
        raise exception 'an entry without its asset'
            using errcode = '23514', constraint = 'entries_have_assets', table = 'entries';
    end if;

    with continued as (
        select account_id, asset_id, layer, sequence, index, balance_after,
            balance_after - case side when 1 then amount else -amount end as before,
            lag(balance_after) over (partition by account_id, asset_id, layer order by sequence, index) as previous
        from inserted
    ),
    known as (
        select touched.account_id, account.limits,
            account.type
        from (select distinct account_id from inserted) as touched
        left join lateral (
            select type, limits from ledger.accounts
            where accounts.ledger_id = named and accounts.account_id = touched.account_id
            order by version desc limit 1
        ) as account on true
    )
    select case
        when exists (select from continued where before <> previous) then 'entries_continue'
        when exists (select from known where type is null) then 'entries_have_accounts'
        when exists (select from known where limits is not null) then 'bounded'
        end into broken;
    if broken = 'bounded' then
        broken := null;
        with known as (
            select touched.account_id, account.limits,
                case when account.type in (1, 5) then 1 else -1 end as sign,
                account.version = 1 and account.sequence > head.moved_from as is_new
            from (select distinct account_id from inserted) as touched
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
            select sign, balance_min, balance_max, balance_after,
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
            when exists (
                select from judged
                where is_last
                    and ((sign * balance_after < sign * before and sign * balance_after < balance_min)
                        or (sign * balance_after > sign * before and sign * balance_after > balance_max))
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

create trigger records_continue after insert on ledger.ledgers
    referencing new table as inserted for each statement execute function ledger.records_continue();
create trigger records_continue after insert on ledger.assets
    referencing new table as inserted for each statement execute function ledger.records_continue();
create trigger records_continue after insert on ledger.accounts
    referencing new table as inserted for each statement execute function ledger.records_continue();
create trigger versions_continue after insert on ledger.accounts
    referencing new table as inserted for each statement execute function ledger.account_versions_continue();
create trigger records_continue after insert on ledger.transactions
    referencing new table as inserted for each statement execute function ledger.records_continue();
create trigger reversals_have_origins after insert on ledger.transactions
    referencing new table as inserted for each statement execute function ledger.reversals_have_origins();
create trigger entries_belong after insert on ledger.entries
    referencing new table as inserted for each statement execute function ledger.entries_belong();

-- Nobody may call a function, or put it on a table of his own: a fence of ours as the
-- trigger of a stranger's temporary table would count rows that are in no journal.
revoke all on all functions in schema ledger from public;
grant execute on function ledger.vouch to ledger_app;
