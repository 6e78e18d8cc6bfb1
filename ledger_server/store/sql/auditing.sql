-- Audit events: newest first, from a position on.

-- name: set_ledger
-- Names the session's ledger for the current database transaction.
select set_config('ledger.id', %(ledger_id)s::text, true);

-- name: mean_platform
-- Says that the platform's own events are meant, for the current database transaction.
select set_config('ledger.platform', 'on', true);

-- name: events
-- A ledger's events.
select event_id, occurred_at, actor, means, peer, action, subject, coalesce(sequence, 0), count, refused
from ledger.audit_events
where ledger_id = %(ledger_id)s
    and (%(since)s::timestamptz is null or occurred_at > %(since)s)
    and occurred_at <= coalesce(%(until)s::timestamptz, 'infinity')
    and (occurred_at, event_id) < (
        coalesce(%(position)s::timestamptz, 'infinity'), coalesce(%(event_id)s::bigint, 0))
order by occurred_at desc, event_id desc
limit %(count)s;

-- name: events_of_actor
-- What one principal did in a ledger.
select event_id, occurred_at, actor, means, peer, action, subject, coalesce(sequence, 0), count, refused
from ledger.audit_events
where ledger_id = %(ledger_id)s
    and actor = %(actor)s
    and (%(since)s::timestamptz is null or occurred_at > %(since)s)
    and occurred_at <= coalesce(%(until)s::timestamptz, 'infinity')
    and (occurred_at, event_id) < (
        coalesce(%(position)s::timestamptz, 'infinity'), coalesce(%(event_id)s::bigint, 0))
order by occurred_at desc, event_id desc
limit %(count)s;

-- name: platform_events
-- The platform's own events.
select event_id, occurred_at, actor, means, peer, action, subject, coalesce(sequence, 0), count, refused
from ledger.audit_events
where ledger_id is null
    and (%(since)s::timestamptz is null or occurred_at > %(since)s)
    and occurred_at <= coalesce(%(until)s::timestamptz, 'infinity')
    and (occurred_at, event_id) < (
        coalesce(%(position)s::timestamptz, 'infinity'), coalesce(%(event_id)s::bigint, 0))
order by occurred_at desc, event_id desc
limit %(count)s;

-- name: platform_events_of_actor
-- What one principal did outside ledgers.
select event_id, occurred_at, actor, means, peer, action, subject, coalesce(sequence, 0), count, refused
from ledger.audit_events
where ledger_id is null
    and actor = %(actor)s
    and (%(since)s::timestamptz is null or occurred_at > %(since)s)
    and occurred_at <= coalesce(%(until)s::timestamptz, 'infinity')
    and (occurred_at, event_id) < (
        coalesce(%(position)s::timestamptz, 'infinity'), coalesce(%(event_id)s::bigint, 0))
order by occurred_at desc, event_id desc
limit %(count)s;

-- name: audit
-- What was denied, in a ledger or in none.
select ledger.audit(
    %(ledger_id)s::bigint, %(actor)s::text, %(means)s::text, %(peer)s::text, 'DENIED', %(subject)s::text,
    null::bigint, %(count)s::integer, %(reason)s::text);
