-- What a batch sends: rows of a batch as one array each, in binary.
--
-- Types of their own, not the tables': a column that a later migration adds to a table
-- leaves them, and the servers that still send them, as they are. What is the same for
-- all rows of a batch (its ledger, its record_time) is a parameter beside them.

create type ledger.transaction_row as (
    sequence bigint,
    idempotency_key text,
    kind text,
    effective_time timestamptz,
    effective_time_given boolean,
    created_by text,
    reverses bigint,
    description text,
    metadata jsonb,
    external_ref text,
    salt bytea,
    hash bytea
);

create type ledger.entry_row as (
    account_id bigint,
    asset_id integer,
    sequence bigint,
    index smallint,
    side smallint,
    amount numeric,
    balance_after numeric
);


-- Vouching as before, by a probe that only the primary key of entries can answer: a
-- session plans it once, perhaps while the tables are empty, and any other plan would
-- read the ledger.
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
    select array_agg(asked.account_id order by place)::text, array_agg(asked.asset_id order by place)::text,
        array_agg(coalesce(newest.balance_after, 0) order by place)::text
        into account_ids, asset_ids, balances
        from unnest(asked_account_ids, asked_asset_ids) with ordinality as asked (account_id, asset_id, place)
        left join lateral (
            select entries.account_id, entries.asset_id, entries.layer, entries.balance_after from ledger.entries
            where entries.ledger_id = named
                and (entries.account_id, entries.asset_id, entries.layer, entries.sequence)
                    <= (asked.account_id, asked.asset_id, 0, vouch.sequence)
            order by entries.account_id desc, entries.asset_id desc, entries.layer desc,
                entries.sequence desc, entries.index desc
            limit 1
        ) as newest
            on newest.account_id = asked.account_id
                and newest.asset_id = asked.asset_id
                and newest.layer = 0;
    seal := ledger.seal(named, sequence, account_ids, asset_ids, balances);
    return next;
end $$;


-- Room for a head's versions beside it. A version that finds none on its page goes to
-- another one and needs a new entry in the primary key's index, whose pages every
-- writer has read: under SERIALIZABLE that is one more way for two ledgers to abort
-- each other. Six heads a page, and room for fifty versions of them.
alter table ledger.heads set (fillfactor = 10);
