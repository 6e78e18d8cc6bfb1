-- Which database this is, and which ledgers it holds.

-- name: ledger_id
-- The id of a ledger's name.
select ledger_id
from ledger.directory
where name = %(name)s;

-- name: version
-- PostgreSQL's version.
select version();

-- name: identity
-- The cluster's identity: another one after a restore, another timeline after a failover.
select system_identifier::text, timeline_id
from pg_control_system(), pg_control_checkpoint();

-- name: stored_identity
-- The identity last served from; the first to come settles it.
select system_identifier, timeline
from ledger.database_identity
for update;

-- name: store_identity
-- The first time.
insert into ledger.database_identity (system_identifier, timeline)
values (%(system_identifier)s, %(timeline)s)
on conflict do nothing;

-- name: update_identity
-- After a restore or failover.
update ledger.database_identity
set system_identifier = %(system_identifier)s,
    timeline = %(timeline)s;

-- name: directory_ids
-- Every ledger's id.
select ledger_id
from ledger.directory
order by ledger_id;

-- name: set_ledger
-- Names the session's ledger for the current database transaction.
select set_config('ledger.id', %(ledger_id)s::text, true);

-- name: raise_epoch
-- The one change of a head without a record.
update ledger.heads
set epoch = epoch + 1
where ledger_id = %(ledger_id)s;
