-- API keys: made, revoked and listed in one ledger, or outside all of them; found by their id in any.

-- name: set_ledger
-- Names the session's ledger for the current database transaction.
select set_config('ledger.id', %(ledger_id)s::text, true);

-- name: ledger_id
-- The id of a ledger's name.
select ledger_id
from ledger.directory
where name = %(name)s;

-- name: find
-- A key that is neither revoked nor expired, whatever ledger it belongs to.
select digest, principal, ledger
from ledger.find_api_key(%(key_id)s);

-- name: insert
-- A new key; null ledger_id makes a platform's, which only the owner may.
insert into ledger.credentials (
    key_id, digest, ledger_id, principal, description, created_at, created_by, expires_at)
select %(key_id)s,
    %(digest)s,
    %(ledger_id)s,
    %(principal)s,
    %(description)s,
    clock.now,
    %(created_by)s,
    coalesce(%(expires_at)s, clock.now + %(lifetime)s * interval '1 microsecond')
from (select clock_timestamp() as now) as clock
returning key_id, principal, description, created_at, created_by, expires_at, revoked_at;

-- name: revoke
-- Revokes a key, for good; one that is revoked already stays as it is.
update ledger.credentials
set revoked_at = clock_timestamp()
where ledger_id is not distinct from %(ledger_id)s
    and key_id = %(key_id)s
    and revoked_at is null;

-- name: get
-- One key.
select key_id, principal, description, created_at, created_by, expires_at, revoked_at
from ledger.credentials
where ledger_id is not distinct from %(ledger_id)s
    and key_id = %(key_id)s;

-- name: page
-- Keys in order of their making, after one of them.
select key_id, principal, description, created_at, created_by, expires_at, revoked_at
from ledger.credentials
where ledger_id is not distinct from %(ledger_id)s
    and (created_at, key_id) > (%(after_time)s, %(after_id)s)
order by created_at, key_id
limit %(count)s;

-- name: audit
-- Tells of a key that was made or revoked, in the database transaction that did it.
select ledger.audit(
    %(ledger_id)s::bigint,
    %(actor)s::text,
    %(means)s::text,
    %(peer)s::text,
    %(action)s::text,
    %(key_id)s::text);
