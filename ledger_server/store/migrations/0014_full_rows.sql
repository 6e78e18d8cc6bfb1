-- What a batch sends where transactions are forced, numbered, or made by a template.
--
-- What stands behind the columns of ledger.transaction_row is null in most transactions, and
-- batches without any of it are sent as before. Numbers and templates came as JSON beside the
-- rows, and cost PostgreSQL more than the rows themselves.

create type ledger.full_transaction_row as (
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
    hash bytea,
    forced boolean,
    series text,
    number bigint,
    template text,
    template_version integer,
    parameters jsonb
);
