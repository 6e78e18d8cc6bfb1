-- What the fence of entries must know of accounts and assets stands in the head.
--
-- Probing every account of a batch was the larger part of what the fence cost. Numbers of
-- accounts and assets are given without a gap, so that one comparison with the last one
-- given says whether all of them exist; and only a ledger in which some account has limits
-- need look for those.

alter table ledger.heads
    -- The last numbers given, which the fences keep.
    add column account_id_max bigint not null default 0,
    add column asset_id_max integer not null default 0,
    -- Whether any account ever had limits.
    add column has_limits boolean not null default false;

do $$
begin
    if exists (
        select from ledger.accounts group by ledger_id
        having min(account_id) <> 1 or max(account_id) <> count(distinct account_id)
    ) or exists (
        select from ledger.assets group by ledger_id
        having min(asset_id) <> 1 or max(asset_id) <> count(*)
    ) then
        raise exception 'accounts or assets are not numbered without a gap; run `ledger verify`';
    end if;
end $$;

update ledger.heads
    set account_id_max = coalesce(
            (select max(account_id) from ledger.accounts where accounts.ledger_id = heads.ledger_id), 0),
        asset_id_max = coalesce(
            (select max(asset_id) from ledger.assets where assets.ledger_id = heads.ledger_id), 0),
        has_limits = exists (
            select from ledger.accounts where accounts.ledger_id = heads.ledger_id and limits is not null);

-- Who may have bounds: a probe for each account of a batch, in a ledger that has any.
create index accounts_with_limits on ledger.accounts (ledger_id, account_id) where limits is not null;

-- As before, and a new head has given no numbers.
create or replace function ledger.head_moves() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        if new.sequence <> 1 or new.moved_from <> 0 or new.filled <> 0 or new.owing_from is not null
            or new.account_id_max <> 0 or new.asset_id_max <> 0 or new.has_limits
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

-- An account's versions continue each other and keep its name and type; accounts are
-- numbered without a gap.
create or replace function ledger.account_versions_continue() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named bigint := nullif(current_setting('ledger.id', true), '')::bigint;
    opened record;
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
    select count(*) filter (where version = 1) as accounts,
        min(account_id) filter (where version = 1) as first, max(account_id) filter (where version = 1) as last,
        coalesce(bool_or(limits is not null), false) as limited
        into opened from inserted;
    update ledger.heads
        set account_id_max = account_id_max + opened.accounts, has_limits = has_limits or opened.limited
        where ledger_id = named
            and (opened.accounts = 0
                or (opened.first = account_id_max + 1 and opened.last = account_id_max + opened.accounts));
    if not found then
        raise exception 'accounts are numbered without a gap'
            using errcode = '23514', constraint = 'account_ids_continue', table = 'accounts';
    end if;
    return null;
end $$;

-- Assets are numbered without a gap.
create function ledger.asset_ids_continue() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named bigint := nullif(current_setting('ledger.id', true), '')::bigint;
    created record;
begin
    select count(*) as assets, min(asset_id) as first, max(asset_id) as last into created from inserted;
    update ledger.heads
        set asset_id_max = asset_id_max + created.assets
        where ledger_id = named
            and (created.assets = 0
                or (created.first = asset_id_max + 1 and created.last = asset_id_max + created.assets));
    if not found then
        raise exception 'assets are numbered without a gap'
            using errcode = '23514', constraint = 'asset_ids_continue', table = 'assets';
    end if;
    return null;
end $$;
revoke all on function ledger.asset_ids_continue from public;
create trigger unbroken_numbers after insert on ledger.assets
    referencing new table as inserted for each statement execute function ledger.asset_ids_continue();

-- As before, in fewer passes over the entries and without a probe for each account; and no
-- bound holds a transaction which says that it is forced.
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
            select balance_after - case side when 1 then amount else -amount end as before,
                lag(balance_after) over (
                    partition by account_id, asset_id, layer order by sequence, index) as previous
            from inserted
        ) as continued
        where before <> previous
    ) then
        broken := 'entries_continue';
    elsif head.has_limits and exists (
        select from (select distinct account_id from inserted) as touched
        cross join lateral (
            select from ledger.accounts
            where accounts.ledger_id = named and accounts.account_id = touched.account_id
                and limits is not null
            limit 1
        ) as limited
    ) then
        with known as (
            select touched.account_id, account.limits,
                case when account.type in (1, 5) then 1 else -1 end as sign,
                account.version = 1 and account.sequence > head.moved_from as is_new
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
            when exists (
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
