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
