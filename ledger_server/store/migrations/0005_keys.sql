-- API keys: what proves a principal where neither a certificate nor a token does.
--
-- Operational, and none of it the truth about money: of a key only the SHA-256 of its
-- secret is kept. A key is found before its ledger is known, so its id is unique across
-- ledgers, and random.

create table ledger.credentials (
    key_id text collate "C" primary key check (key_id ~ '^[0-9a-f]{16}$'),
    digest bytea not null check (length(digest) = 32),
    -- The only ledger that it is good for; null for a platform's key.
    ledger_id bigint references ledger.directory,
    principal text not null check (length(principal) between 1 and 255),
    description text not null check (length(description) <= 255),
    created_at timestamptz not null,
    created_by text not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    constraint credentials_expire_later check (expires_at > created_at)
);
create index credentials_made on ledger.credentials (ledger_id, created_at, key_id);

alter table ledger.credentials enable row level security;
alter table ledger.credentials force row level security;
-- A platform's key, without a ledger, is nobody's but the owner's to see or to make.
create policy tenant on ledger.credentials to ledger_app, ledger_read
    using (ledger_id = nullif(current_setting('ledger.id', true), '')::bigint);
create policy owner on ledger.credentials to ledger_owner using (true);

-- Nobody reads a digest but the function below.
grant select (key_id, ledger_id, principal, description, created_at, created_by, expires_at, revoked_at)
    on ledger.credentials to ledger_app, ledger_read;
grant insert on ledger.credentials to ledger_app;
grant update (revoked_at) on ledger.credentials to ledger_app;

-- A key changes once, when it is revoked, and is kept for whoever asks later whose it was.
create function ledger.credentials_are_revoked_once() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if old.revoked_at is not null or new.revoked_at is null
        or (new.key_id, new.digest, new.principal, new.description, new.created_at, new.created_by)
            is distinct from
            (old.key_id, old.digest, old.principal, old.description, old.created_at, old.created_by)
        or new.ledger_id is distinct from old.ledger_id
        or new.expires_at is distinct from old.expires_at
    then
        raise exception 'API key % may be revoked, once, and not be changed', old.key_id
            using errcode = '23514', constraint = 'credentials_are_revoked_once', table = 'credentials';
    end if;
    return new;
end $$;
create trigger revoked_once before update on ledger.credentials
    for each row execute function ledger.credentials_are_revoked_once();
create trigger append_only before delete or truncate on ledger.credentials
    for each statement execute function ledger.refuse_change();

-- The key of this id if it is good now. Asked before anything else of a call is known.
create function ledger.find_api_key(asked text)
returns table (digest bytea, principal text, ledger text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select credentials.digest, credentials.principal, directory.name
    from ledger.credentials
    left join ledger.directory using (ledger_id)
    where credentials.key_id = asked
        and credentials.revoked_at is null
        and (credentials.expires_at is null or credentials.expires_at > clock_timestamp())
$$;

revoke all on function ledger.find_api_key from public;
grant execute on function ledger.find_api_key to ledger_app;
