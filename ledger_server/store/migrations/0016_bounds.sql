-- The bounds that hold now are numbers in a table of their own.
--
-- To vouch for a batch, each of its places asked for the newest version of its account and
-- took the bounds out of the JSON there, and read a page of the index for its newest entry.
-- Together that was a third to a half of what it takes to write the batch.

-- A batch that began before this is over does not see what is filled in below, and would leave
-- it beside its own: it is made to fail, and to be tried again.
lock table ledger.heads in share row exclusive mode;
update ledger.heads set filled = filled where has_limits;

-- What follows from the newest versions of accounts. Only the trigger below writes it.
create table ledger.bounds (
    ledger_id integer not null,
    account_id integer not null,
    asset_id integer not null,
    -- The least and the most that the posted balance may be, both debit-positive.
    lowest numeric(38, 0),
    highest numeric(38, 0),
    primary key (ledger_id, account_id, asset_id)
);
alter table ledger.bounds enable row level security;
alter table ledger.bounds force row level security;
create policy tenant on ledger.bounds to ledger_app, ledger_read
    using (ledger_id = nullif(current_setting('ledger.id', true), '')::bigint);
create policy owner on ledger.bounds to ledger_owner using (true);
create policy backup on ledger.bounds for select to ledger_backup using (true);
grant select on ledger.bounds to ledger_app, ledger_read;

-- An account's limits as bounds of its balances, debit-positive.
create function ledger.bounds_of(account_type smallint, limits jsonb)
returns table (asset_id integer, lowest numeric, highest numeric)
language sql immutable parallel safe
begin atomic
    select key::integer,
        case when account_type in (1, 5) then (value ->> 'balance_min')::numeric
            else - (value ->> 'balance_max')::numeric end,
        case when account_type in (1, 5) then (value ->> 'balance_max')::numeric
            else - (value ->> 'balance_min')::numeric end
    from jsonb_each(limits);
end;
grant execute on function ledger.bounds_of to ledger_app, ledger_read;

create function ledger.account_bounds_follow() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named bigint := nullif(current_setting('ledger.id', true), '')::bigint;
begin
    -- What is looked for here may be on a page of the index that another ledger writes to.
    if (select has_limits from ledger.heads where heads.ledger_id = named)
        and exists (select from inserted where version > 1)
    then
        delete from ledger.bounds using inserted
            where inserted.version > 1
                and bounds.ledger_id = inserted.ledger_id and bounds.account_id = inserted.account_id;
    end if;
    if exists (select from inserted where limits is not null) then
        insert into ledger.bounds (ledger_id, account_id, asset_id, lowest, highest)
            select account.ledger_id, account.account_id, bound.*
            from (
                select distinct on (ledger_id, account_id) ledger_id, account_id, type, limits
                from inserted order by ledger_id, account_id, version desc
            ) as account
            cross join lateral ledger.bounds_of(account.type, account.limits) as bound;
    end if;
    return null;
end $$;
revoke all on function ledger.account_bounds_follow from public;

-- Behind the fences of accounts, by its name.
create trigger written_to_bounds after insert on ledger.accounts
    referencing new table as inserted for each statement execute function ledger.account_bounds_follow();

insert into ledger.bounds (ledger_id, account_id, asset_id, lowest, highest)
select newest.ledger_id, newest.account_id, bound.*
from (select distinct ledger_id, account_id from ledger.accounts where limits is not null) as once
cross join lateral (
    select ledger_id, account_id, type, limits from ledger.accounts
    where accounts.ledger_id = once.ledger_id and accounts.account_id = once.account_id
    order by version desc limit 1
) as newest
cross join lateral ledger.bounds_of(newest.type, newest.limits) as bound;

-- As before, from that table, and with a shorter look at the entries.
--
-- What is read may be newer than the head that is named; then that head has moved, and what is
-- sealed with it is of no use.
create or replace function ledger.vouch(asked_account_ids bigint[], asked_asset_ids integer[])
returns table (sequence bigint, account_ids text, asset_ids text, balances text, seal text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named bigint := nullif(current_setting('ledger.id', true), '')::bigint;
    recent bigint;
begin
    if pg_current_xact_id_if_assigned() is not null then
        raise exception 'balances are vouched before anything is written'
            using errcode = '23514', constraint = 'vouched_before_writing', table = 'heads';
    end if;
    -- A probe compares its bounds with every entry of the place on its page of the index, so it is
    -- made among the records of late first: as many as touch each account a few times, taken evenly.
    select heads.sequence, heads.sequence - 2 * heads.account_id_max into sequence, recent
        from ledger.heads where heads.ledger_id = named;
    select array_agg(place.account_id)::text, array_agg(place.asset_id)::text,
        concat_ws(' ', array_agg(place.balance), array_agg(place.lowest), array_agg(place.highest))
        into account_ids, asset_ids, balances
        from (
            select asked.account_id, asked.asset_id, bound.lowest, bound.highest, coalesce(
                (
                    select balance_after from ledger.entries
                    where entries.ledger_id = named
                        and (entries.account_id, entries.asset_id, entries.layer, entries.sequence)
                            <= (asked.account_id, asked.asset_id, 0, vouch.sequence)
                        and (entries.account_id, entries.asset_id, entries.layer, entries.sequence)
                            > (asked.account_id, asked.asset_id, 0, recent)
                    order by entries.account_id desc, entries.asset_id desc, entries.layer desc,
                        entries.sequence desc, entries.index desc
                    limit 1
                ),
                (
                    select balance_after from ledger.entries
                    where entries.ledger_id = named
                        and (entries.account_id, entries.asset_id, entries.layer, entries.sequence)
                            <= (asked.account_id, asked.asset_id, 0, recent)
                        and (entries.account_id, entries.asset_id, entries.layer)
                            >= (asked.account_id, asked.asset_id, 0)
                    order by entries.account_id desc, entries.asset_id desc, entries.layer desc,
                        entries.sequence desc, entries.index desc
                    limit 1
                ),
                0) as balance
            from (
                -- In the order of the indexes: what stands on one page is looked up together.
                select * from unnest(asked_account_ids, asked_asset_ids) as one (account_id, asset_id)
                order by account_id, asset_id
            ) as asked
            left join lateral (
                select true as is_there, bounds.lowest, bounds.highest from ledger.bounds
                where bounds.ledger_id = named
                    and bounds.account_id = asked.account_id and bounds.asset_id = asked.asset_id
                order by bounds.account_id, bounds.asset_id
                limit 1
            ) as bound on true
            -- An account that is not there yet is not vouched for: it may be opened with bounds.
            where coalesce(bound.is_there, (
                select true from ledger.accounts
                where accounts.ledger_id = named and accounts.account_id = asked.account_id
                order by accounts.version
                limit 1
            ))
        ) as place;
    seal := ledger.seal(named, sequence, account_ids, asset_ids, balances);
    return next;
end $$;
