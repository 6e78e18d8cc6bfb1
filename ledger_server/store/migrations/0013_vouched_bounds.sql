-- Bounds are vouched for with the balances, so that the fence of entries has nothing to look up.
--
-- What is read before BEGIN costs no ledger a conflict with another; the fence looked every
-- account with bounds up again. Where nothing but transactions was recorded since the head
-- that was vouched for, bounds are as they were there, and one pass over the entries sees
-- both that balances continue and that they stay within bounds.

-- As before, with the bounds: of each place its balance, the least that it may be and the most,
-- all of them debit-positive, in three arrays one behind the other. What is read may be newer
-- than the head that is named; then that head has moved, and what is sealed with it is of no use.
create or replace function ledger.vouch(asked_account_ids bigint[], asked_asset_ids integer[])
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
    select array_agg(asked.account_id)::text, array_agg(asked.asset_id)::text,
        concat_ws(' ', array_agg(coalesce(newest.balance_after, 0)),
            array_agg(case when account.type in (1, 5) then bound.balance_min else - bound.balance_max end),
            array_agg(case when account.type in (1, 5) then bound.balance_max else - bound.balance_min end))
        into account_ids, asset_ids, balances
        from unnest(asked_account_ids, asked_asset_ids) as asked (account_id, asset_id)
        -- An account that is not there yet is not vouched for: it may be opened with bounds.
        cross join lateral (
            select accounts.type, accounts.limits from ledger.accounts
            where accounts.ledger_id = named and accounts.account_id = asked.account_id
            order by accounts.version desc
            limit 1
        ) as account
        cross join lateral (
            select (account.limits -> asked.asset_id::text ->> 'balance_min')::numeric as balance_min,
                (account.limits -> asked.asset_id::text ->> 'balance_max')::numeric as balance_max
        ) as bound
        left join lateral (
            select entries.balance_after from ledger.entries
            where entries.ledger_id = named
                and (entries.account_id, entries.asset_id, entries.layer, entries.sequence)
                    <= (asked.account_id, asked.asset_id, 0, vouch.sequence)
                and (entries.account_id, entries.asset_id, entries.layer)
                    >= (asked.account_id, asked.asset_id, 0)
            order by entries.account_id desc, entries.asset_id desc, entries.layer desc,
                entries.sequence desc, entries.index desc
            limit 1
        ) as newest on true;
    seal := ledger.seal(named, sequence, account_ids, asset_ids, balances);
    return next;
end $$;

-- As before, with the bounds.
drop function ledger.vouched_balances;
create function ledger.vouched_balances(named bigint, moved_from bigint)
returns table (account_id integer, asset_id integer, balance numeric, lowest numeric, highest numeric)
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
        (given ->> 'account_ids')::integer[], (given ->> 'asset_ids')::integer[],
        split_part(given ->> 'balances', ' ', 1)::numeric[],
        split_part(given ->> 'balances', ' ', 2)::numeric[],
        split_part(given ->> 'balances', ' ', 3)::numeric[]);
end $$;
revoke all on function ledger.vouched_balances from public;

-- As before; of a batch that is vouched for, no account is looked up.
create or replace function ledger.entries_belong() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named bigint := nullif(current_setting('ledger.id', true), '')::bigint;
    head ledger.heads;
    span record;
    broken text;
    is_sound boolean := false;
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
    -- Where all that was touched is vouched for, or has no bounds, one pass sees that balances
    -- continue and stay within. It only says yes: what it does not pass is judged below. Between
    -- the head that was vouched for and these transactions nothing else was recorded.
    if head.has_limits and head.owing_from = head.moved_from + 1 then
        select bool_and(sound) into is_sound
            from (
                select case
                        -- Vouched for, and not touched.
                        when entry.sequence is null then true
                        when lag(entry.balance_after) over place is not null
                            then entry.before = lag(entry.balance_after) over place
                        when entry.layer <> 0 then true
                        when vouched.account_id is not null then entry.before = vouched.balance
                        else (
                            select false from ledger.accounts
                            where accounts.ledger_id = named and accounts.account_id = entry.account_id
                                and limits is not null
                            limit 1
                        ) is null
                    end
                    and (entry.layer <> 0
                        or coalesce(entry.balance_after >= vouched.lowest, true)
                            and coalesce(entry.balance_after <= vouched.highest, true)) is not false as sound
                from (
                    select account_id, asset_id, layer, sequence, index, balance_after,
                        balance_after - case side when 1 then amount else -amount end as before
                    from inserted
                ) as entry
                -- A full join is made by hashing, however few rows it was planned for.
                full join ledger.vouched_balances(named, head.moved_from) as vouched
                    on vouched.account_id = entry.account_id and vouched.asset_id = entry.asset_id
                window place as (
                    partition by entry.account_id, entry.asset_id, entry.layer
                    order by entry.sequence, entry.index)
            ) as judged;
    end if;
    if not is_sound and exists (
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
    elsif not is_sound and head.has_limits and exists (
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
