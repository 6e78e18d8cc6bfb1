-- Backups, and what is refused by default.
--
-- A dump must hold every row of every ledger, so the role that makes it is held to no
-- ledger. BYPASSRLS says so to pg_dump; where nobody may give it, the policy does, and
-- pg_dump wants --enable-row-security.

grant usage on schema ledger to ledger_backup;
grant select on all tables in schema ledger to ledger_backup;
grant select on all sequences in schema ledger to ledger_backup;

do $$
declare
    relation regclass;
begin
    for relation in
        select oid from pg_class where relnamespace = 'ledger'::regnamespace and relrowsecurity order by relname
    loop
        execute format('create policy backup on %s for select to ledger_backup using (true)', relation);
    end loop;
end $$;

-- TRUNCATE asks no policy. Nobody has it, not even the owner, who would first have to give
-- it to himself.
revoke truncate on all tables in schema ledger
    from public, ledger_app, ledger_read, ledger_backup, ledger_owner;
revoke all on all functions in schema ledger from public;

-- The same for everything that a later migration makes.
alter default privileges for role ledger_owner revoke truncate on tables from ledger_owner;
alter default privileges for role ledger_owner revoke execute on functions from public;
alter default privileges for role ledger_owner in schema ledger grant select on tables to ledger_backup;
alter default privileges for role ledger_owner in schema ledger grant select on sequences to ledger_backup;
