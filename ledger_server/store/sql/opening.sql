-- Creating a ledger.

-- name: serializable
-- The one way writes happen.
set transaction isolation level serializable;

-- name: insert_name
-- Takes the name; a second taker waits and then fails on directory_name_key.
insert into ledger.directory (name)
values (%(name)s)
returning ledger_id;

-- name: set_ledger
-- Names the session's ledger for the current database transaction.
select set_config('ledger.id', %(ledger_id)s::text, true);

-- name: clock
-- The first record's time.
select clock_timestamp();

-- name: insert_head
-- The head opens the span of the first record.
insert into ledger.heads (ledger_id, sequence, hash, record_time)
values (%(ledger_id)s, 1, %(hash)s, %(record_time)s);

-- name: insert_ledger
-- The first record.
insert into ledger.ledgers (ledger_id, sequence, record_time, created_by, description, salt, hash)
values (%(ledger_id)s, 1, %(record_time)s, %(created_by)s, %(description)s, %(salt)s, %(hash)s);

-- name: move_head
-- The head moves on to the second record.
update ledger.heads
set sequence = 2,
    hash = %(hash)s
where ledger_id = %(ledger_id)s
    and sequence = 1;

-- name: insert_tenant_admin
-- The second record: the first member.
insert into ledger.members (
    ledger_id, principal, version, status, roles, account_prefixes, sequence, record_time, created_by, hash)
values (
    %(ledger_id)s, %(principal)s, 1, 1, array[%(role)s::smallint], '{}', 2, %(record_time)s, %(created_by)s,
    %(hash)s);

-- name: mean_platform
-- Says that the platform's own events are meant, for the current database transaction.
select set_config('ledger.platform', 'on', true);

-- name: audit_ledger
-- Tells the platform of the ledger.
select ledger.audit(
    null::bigint, %(actor)s::text, %(means)s::text, %(peer)s::text, 'LEDGER_CREATED', %(name)s::text, 1::bigint);

-- name: audit_tenant_admin
-- Tells the ledger of its first member.
select ledger.audit(
    %(ledger_id)s::bigint, %(actor)s::text, %(means)s::text, %(peer)s::text, 'MEMBER_ADDED',
    %(tenant_admin)s::text, 2::bigint);
