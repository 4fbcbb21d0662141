-- API keys: contract identity.md §3.4 and §4.9. The gateway makes a key and tells the database its SHA-256; the text is nowhere.
-- What a key opens is decided by enter() (src/credentials.rs), from what the tables say at that moment.

create table snackbase.api_keys (
    id uuid not null default gen_random_uuid(),
    account_id uuid not null,
    user_id uuid not null,
    name text not null constraint api_keys_name_check check (char_length(name) between 3 and 100),
    -- SHA-256 of the whole text, in hexadecimal: of 32 random bytes and more, so nobody guesses backwards
    key_hash text not null unique constraint api_keys_key_hash_check check (key_hash ~ '^[0-9a-f]{64}$'),
    -- what is shown of the key: how it begins, and its last four characters. `sb_sk_` are keys of an original instance.
    prefix text not null default 'sb_ak.' constraint api_keys_prefix_check check (prefix in ('sb_ak.', 'sb_sk_')),
    first_four text not null constraint api_keys_first_four_check check (char_length(first_four) = 4),
    last_four text not null constraint api_keys_last_four_check check (char_length(last_four) = 4),
    scopes text[] not null default '{}' constraint api_keys_scopes_check check (scopes <@ array['records:secrets:read']),
    expires_at timestamptz,
    is_active boolean not null default true,
    -- An active key holds one of the places that its user has, and no two hold the same: so the limit holds whoever inserts how
    -- many at a time, in every isolation level.
    place int,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    primary key (id, account_id),
    foreign key (user_id, account_id) references snackbase.users (id, account_id) on delete cascade,
    constraint api_keys_place_check check (not is_active or place is not null)
);
create index api_keys_user_idx on snackbase.api_keys (account_id, user_id);
create unique index api_keys_place_key on snackbase.api_keys (account_id, user_id, place) where is_active;

-- When a key was last used, to the minute. Beside the keys and not in them: use is no change of a key, so it leaves no entry in
-- the trail, and a key can be revoked while a request that uses it is under way.
create table snackbase.api_key_uses (
    key_id uuid not null,
    account_id uuid not null,
    last_used_at timestamptz,
    primary key (key_id, account_id),
    foreign key (key_id, account_id) references snackbase.api_keys (id, account_id) on delete cascade
);

-- Takes a place for a new key. Whoever is second waits, so that two never choose the same place and nobody is refused wrongly.
create function snackbase._api_key_guard() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    places constant int := current_setting('snackbase.api_key_max_per_user')::int;
begin
    if snackbase._restoring() then
        return new;
    end if;
    if tg_op = 'UPDATE' then
        if (old.id, old.account_id, old.user_id, old.key_hash, old.prefix) is distinct from (new.id, new.account_id, new.user_id, new.key_hash, new.prefix)
           or (new.is_active and not old.is_active) then
            raise exception 'An API key keeps its owner and its secret, and stays revoked' using errcode = '23514';
        end if;
        return new;
    end if;
    if snackbase.current_auth_method() = 'api_key' then
        raise exception 'An API key cannot create API keys' using errcode = '42501';
    end if;
    if not new.is_active then
        return new;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('snackbase.api_keys ' || new.user_id, 0));
    select min(p.number) into new.place
      from generate_series(1, places) p (number)
     where not exists (select from snackbase.api_keys k
                        where k.account_id = new.account_id and k.user_id = new.user_id and k.is_active and k.place = p.number);
    if new.place is null then
        raise exception 'A user can have at most % active API keys; revoke one first', places using errcode = '54000';
    end if;
    return new;
end
$$;
create trigger a_guard before insert or update on snackbase.api_keys
    for each row execute function snackbase._api_key_guard();
create trigger z_touch before insert or update on snackbase.api_keys
    for each row execute function snackbase._touch();

-- Every key has its row of uses, so that a request only ever updates it.
create function snackbase._api_key_uses_begin() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not snackbase._restoring() then
        insert into snackbase.api_key_uses (key_id, account_id) values (new.id, new.account_id);
    end if;
    return null;
end
$$;
create trigger b_uses after insert on snackbase.api_keys
    for each row execute function snackbase._api_key_uses_begin();

-- The caller's own keys as the contract shows them, newest first. Runs as the caller.
create function snackbase._api_keys_shown()
returns table (id uuid, shown jsonb, created_at timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select k.id,
           jsonb_build_object('id', k.id, 'name', k.name, 'key', k.prefix || k.first_four || '...' || k.last_four,
               'last_used_at', snackbase.rfc3339(s.last_used_at), 'expires_at', snackbase.rfc3339(k.expires_at),
               'is_active', k.is_active, 'created_at', snackbase.rfc3339(k.created_at), 'scopes', k.scopes,
               'updated_at', snackbase.rfc3339(k.updated_at)),
           k.created_at
      from snackbase.api_keys k
      left join snackbase.api_key_uses s on s.key_id = k.id and s.account_id = k.account_id
     where k.user_id = snackbase.current_user_uuid() and k.account_id = snackbase.current_account_id();
end;

create function snackbase.api_key_list("limit" bigint, "offset" bigint) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return (
    select json_build_object(
               'items', (select coalesce(json_agg(p.shown - 'updated_at' order by p.created_at desc, p.id), '[]')
                           from (select s.* from snackbase._api_keys_shown() s order by s.created_at desc, s.id
                                  limit "limit" offset "offset") p),
               'total', (select count(*) from snackbase._api_keys_shown()))
);

create function snackbase.api_key_view(id uuid) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_key jsonb;
begin
    select s.shown into found_key from snackbase._api_keys_shown() s where s.id = api_key_view.id;
    if not found then
        raise exception 'API key not found' using errcode = 'P0002';
    end if;
    return found_key;
end
$$;

-- Stores a key that the gateway has made. Keys of `body`: name, expires_at (absent: after `days`, NULL: never), scopes.
create function snackbase.api_key_create(id uuid, hash text, first_four text, last_four text, days int, body json) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    label constant text := trim(body ->> 'name');
    expires timestamptz;
    wanted text[];
begin
    if coalesce(json_typeof(body -> 'name'), 'null') <> 'string' or char_length(label) not between 3 and 100 then
        perform snackbase._misfit('name', 'A name of 3 to 100 characters is required', 'value_error');
    end if;
    if coalesce(json_typeof(body -> 'expires_at'), 'null') = 'null' then
        expires := clock_timestamp() + make_interval(days => days);
    else
        begin
            -- Only a date that begins with a year: not 'tomorrow', and not 'infinity'.
            if json_typeof(body -> 'expires_at') <> 'string' or body ->> 'expires_at' !~ '^\d{4}-\d\d-\d\d' then
                raise invalid_datetime_format;
            end if;
            expires := body ->> 'expires_at';
        exception when data_exception then
            perform snackbase._misfit('expires_at', 'A time such as 2030-01-31T12:00:00Z is required', 'datetime_parsing');
        end;
        if expires <= clock_timestamp() then
            perform snackbase._misfit('expires_at', 'The time must lie in the future', 'datetime_past');
        end if;
    end if;
    if coalesce(json_typeof(body -> 'scopes'), 'null') = 'null' then
        wanted := '{}';
    elsif json_typeof(body -> 'scopes') <> 'array'
          or exists (select from json_array_elements(body -> 'scopes') s where json_typeof(s) <> 'string') then
        perform snackbase._misfit('scopes', 'A list of texts is required', 'list_type');
    else
        select coalesce(array_agg(distinct s), '{}') into wanted from json_array_elements_text(body -> 'scopes') s;
    end if;
    if not wanted <@ array['records:secrets:read'] then
        raise exception 'Scope not approved; known is records:secrets:read' using errcode = '22023',
            detail = '[{"field": "scopes", "message": "Scope not approved; known is records:secrets:read", "code": "unapproved_scope"}]';
    end if;
    insert into snackbase.api_keys (id, account_id, user_id, name, key_hash, first_four, last_four, scopes, expires_at)
         values (api_key_create.id, snackbase.current_account_id(), snackbase.current_user_uuid(), label, hash,
                 api_key_create.first_four, api_key_create.last_four, wanted, expires);
    return snackbase.api_key_view(api_key_create.id);
end
$$;

-- Revokes a key; a second time changes nothing.
create function snackbase.api_key_revoke(id uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform snackbase.api_key_view(api_key_revoke.id);
    update snackbase.api_keys k
       set is_active = false
     where k.id = api_key_revoke.id and k.is_active
       and k.user_id = snackbase.current_user_uuid() and k.account_id = snackbase.current_account_id();
    return true;
end
$$;
