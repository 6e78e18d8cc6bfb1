-- Accounts that change: their limits, their metadata, and whether they may be posted to.
--
-- A change is the account's next version, a record as its opening is, and has the fences
-- of all records. Here is what statuses (1 open, 2 frozen, 3 closed) add to them. Only a
-- ledger in which some account ever was frozen or closed looks for those of a batch.

-- Whether any account ever was frozen or closed; the fence below keeps it.
alter table ledger.heads add column has_shut boolean not null default false;

-- Who may be shut: a probe for each account of a batch, in a ledger that has any.
create index accounts_shut on ledger.accounts (ledger_id, account_id) where status <> 1;

-- An account is opened open, closed at zero in every asset, and closed for good.
create function ledger.account_statuses_follow() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named bigint := nullif(current_setting('ledger.id', true), '')::bigint;
    last_asset integer;
begin
    if exists (select from inserted where version = 1 and status <> 1) then
        raise exception 'an account that is not opened open'
            using errcode = '23514', constraint = 'accounts_opened_open', table = 'accounts';
    end if;
    if exists (
        select from inserted
        where version > 1 and exists (
            select from ledger.accounts as previous
            where previous.ledger_id = inserted.ledger_id
                and previous.account_id = inserted.account_id
                and previous.version = inserted.version - 1
                and previous.status = 3)
    ) then
        raise exception 'a change of an account that was closed for good'
            using errcode = '23514', constraint = 'accounts_closed_for_good', table = 'accounts';
    end if;
    if not exists (select from inserted where status <> 1) then
        return null;
    end if;
    update ledger.heads set has_shut = true where ledger_id = named returning asset_id_max into last_asset;
    if exists (
        select from (select account_id from inserted where status = 3) as closed
        cross join generate_series(1, last_asset) as asked (asset_id)
        cross join lateral (
            -- A probe that only the primary key of entries can answer.
            select entries.account_id, entries.asset_id, entries.layer, entries.balance_after from ledger.entries
            where entries.ledger_id = named
                and (entries.account_id, entries.asset_id, entries.layer)
                    <= (closed.account_id, asked.asset_id, 0)
            order by entries.account_id desc, entries.asset_id desc, entries.layer desc,
                entries.sequence desc, entries.index desc
            limit 1
        ) as newest
        where newest.account_id = closed.account_id
            and newest.asset_id = asked.asset_id
            and newest.layer = 0
            and newest.balance_after <> 0
    ) then
        raise exception 'an account that is closed with something in it'
            using errcode = '23514', constraint = 'accounts_closed_empty', table = 'accounts';
    end if;
    return null;
end $$;
revoke all on function ledger.account_statuses_follow from public;
create trigger statuses_follow after insert on ledger.accounts
    referencing new table as inserted for each statement execute function ledger.account_statuses_follow();

-- As before, and nothing is posted to an account that is frozen or closed. An account that
-- was opened and changed in this very batch is as new as one that was only opened.
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
        with known as (
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
