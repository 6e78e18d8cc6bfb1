-- As before, with each account's bounds found once and passed on as the text that they are.
--
-- What is read may be newer than the head that is named; then that head has moved, and what is
-- sealed with it is of no use.
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
            array_agg(case when account.type in (1, 5) then account.bound ->> 'balance_min'
                else (- (account.bound ->> 'balance_max')::numeric)::text end),
            array_agg(case when account.type in (1, 5) then account.bound ->> 'balance_max'
                else (- (account.bound ->> 'balance_min')::numeric)::text end))
        into account_ids, asset_ids, balances
        from unnest(asked_account_ids, asked_asset_ids) as asked (account_id, asset_id)
        -- An account that is not there yet is not vouched for: it may be opened with bounds.
        cross join lateral (
            select accounts.type, accounts.limits -> asked.asset_id::text as bound from ledger.accounts
            where accounts.ledger_id = named and accounts.account_id = asked.account_id
            order by accounts.version desc
            limit 1
        ) as account
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
