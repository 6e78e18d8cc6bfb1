-- Members of a ledger, reversals with force, and the audit of who did what.
--
-- A membership is a record of its ledger's journal: it shares the numbering and the
-- chain, and has the fences of every other record. Audit events are beside the journal,
-- numbered on their own, and written in the same database transaction as the act they
-- tell of: neither stands without the other.

-- Members, one row a version. Roles by number (1 reader, 2 poster, 3 reverser,
-- 4 force-reverser, 5 accountant, 6 auditor, 7 tenant-admin), none once the membership
-- has ended. No account prefixes: every account.
create table ledger.members (
    ledger_id bigint not null references ledger.directory,
    principal text collate "C" not null check (length(principal) between 1 and 255),
    version integer not null check (version > 0),
    -- 1 present, 2 ended.
    status smallint not null check (status between 1 and 2),
    roles smallint[] not null check (roles <@ array[1, 2, 3, 4, 5, 6, 7]::smallint[]),
    account_prefixes text[] collate "C" not null,
    sequence bigint not null check (sequence > 1),
    record_time timestamptz not null,
    created_by text not null,
    hash bytea not null check (length(hash) = 32),
    primary key (ledger_id, principal, version),
    unique (ledger_id, sequence),
    check ((status = 1) = (cardinality(roles) > 0)),
    check (status = 1 or cardinality(account_prefixes) = 0),
    -- Who grants cannot post; who sees the whole ledger is not narrowed.
    constraint duties_separated check (not (7 = any (roles) and roles && array[2, 3, 4]::smallint[])),
    constraint not_narrowed check (cardinality(account_prefixes) = 0 or not roles && array[6, 7]::smallint[])
);
-- The tenant-admins of a ledger, past and present: they are few.
create index members_tenant_admins on ledger.members (ledger_id, principal, version) where 7 = any (roles);

-- Who did what, from where. ledger_id is null for what is of no ledger: the platform's
-- own events, which tenants do not see. `count` is how many acts an event stands for.
create table ledger.audit_events (
    event_id bigint generated always as identity,
    ledger_id bigint references ledger.directory,
    occurred_at timestamptz not null default clock_timestamp(),
    actor text collate "C" not null check (length(actor) between 1 and 255),
    means text not null check (means in ('open', 'certificate', 'token', 'api_key')),
    peer text not null,
    action text collate "C" not null check (action ~ '^[A-Z][A-Z_]{1,63}$'),
    subject text not null,
    -- The record that the act made, or the first of several.
    sequence bigint,
    count integer not null check (count > 0),
    -- Empty where it was done, else the reason why not.
    refused text not null
);
create unique index audit_events_by_time on ledger.audit_events (ledger_id, occurred_at, event_id);
create index audit_events_by_actor on ledger.audit_events (ledger_id, actor, occurred_at, event_id);

do $$
declare
    relation text;
begin
    foreach relation in array array['members', 'audit_events'] loop
        execute format('alter table ledger.%I enable row level security', relation);
        execute format('alter table ledger.%I force row level security', relation);
        execute format(
            'create policy tenant on ledger.%I to ledger_app, ledger_read'
            ' using (ledger_id = nullif(current_setting(''ledger.id'', true), '''')::bigint)', relation);
        execute format('create policy owner on ledger.%I to ledger_owner using (true)', relation);
        execute format('grant select on ledger.%I to ledger_app, ledger_read', relation);
        execute format('grant insert on ledger.%I to ledger_app', relation);
        execute format(
            'create trigger append_only before update or delete or truncate on ledger.%I'
            ' for each statement execute function ledger.refuse_change()', relation);
    end loop;
end $$;
-- The platform's own events are seen and written by who says that it means them.
create policy platform on ledger.audit_events to ledger_app
    using (ledger_id is null and current_setting('ledger.platform', true) = 'on');

-- A member's versions continue each other.
create function ledger.member_versions_continue() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if exists (
        select from inserted
        where version > 1 and not exists (
            select from ledger.members as previous
            where previous.ledger_id = inserted.ledger_id
                and previous.principal = inserted.principal
                and previous.version = inserted.version - 1)
    ) then
        raise exception 'a member''s version does not continue the one before'
            using errcode = '23514', constraint = 'member_versions_continue', table = 'members';
    end if;
    return null;
end $$;

create trigger records_continue after insert on ledger.members
    referencing new table as inserted for each statement execute function ledger.records_continue();
create trigger versions_continue after insert on ledger.members
    referencing new table as inserted for each statement execute function ledger.member_versions_continue();

-- Writes one audit event of the named ledger, which must be the session's, or of the
-- platform where it is null and the session has set ledger.platform to 'on'. Called in the
-- database transaction of the act. `action` is an upper-case word (API_KEY_CREATED),
-- `subject` what it was done to, `means` how the caller was proved, in lower case.
create function ledger.audit(
    ledger_id bigint, actor text, means text, peer text, action text, subject text,
    sequence bigint default null, count integer default 1, refused text default '')
returns void
language sql volatile set search_path = pg_catalog, pg_temp as $$
    insert into ledger.audit_events (ledger_id, actor, means, peer, action, subject, sequence, count, refused)
    values ($1, $2, $3, left($4, 255), $5, left($6, 1024), $7, $8, $9)
$$;

revoke all on function ledger.member_versions_continue from public;
revoke all on function ledger.audit from public;
grant execute on function ledger.audit to ledger_app;


-- Reversals with force pass over balance bounds. They say so, and nothing else may; all
-- others say nothing, which costs their rows nothing.
alter table ledger.transactions add column forced boolean;
-- Not validated: nothing is sound in the rows that are there, and a scan would lock them.
alter table ledger.transactions
    add constraint forced_reversals_only check (forced is null or (forced and reverses is not null)) not valid;
