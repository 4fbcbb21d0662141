-- The flows before and around a login: contract identity.md §4.1. The gateway calls them after enter(…, 'auth');
-- they run as snackbase_owner, and each changes state in one statement where two callers could race.

-- Whether people of an account log in with passwords: provider email_password, of the account or of the system, is switched on
-- (contract identity.md §5.6). Superadmins always do: no other provider leads into their account.
create function snackbase._password_logins(account uuid) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (select from snackbase._configuration_candidates(account, 'auth_providers') c where c.provider_name = 'email_password');
end
$$;

create function snackbase.auth_register(email text, password_hash text, account_name text, account_slug text) returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    account snackbase.accounts;
    person snackbase.users;
begin
    if not snackbase._password_logins('00000000-0000-0000-0000-000000000000') then
        raise exception 'Registration with a password is switched off' using errcode = '42501';
    end if;
    account := snackbase._account_create(account_name, account_slug, 'account_slug', false);
    person := snackbase._user_create(account.id, email, password_hash, 1, true, false);
    insert into snackbase.users_groups (account_id, group_id, user_id)
         select g.account_id, g.id, person.id
           from snackbase.groups g
          where g.account_id = account.id and g.name = 'pii_access';
    perform snackbase._verification_send(account.id, person.id);
    return json_build_object('account', snackbase._account_json(account), 'user', snackbase._auth_user_json(person));
end
$$;

-- The user who wants to log in. Unknown account and unknown address look alike: no row. Of a locked user (047_lockout.sql)
-- nobody learns the hash: the right password is as wrong as any other.
create function snackbase.auth_login_find(
    account text, host_label text, wanted_email text,
    out user_id uuid, out account_id uuid, out password_hash text, out auth_provider text, out is_active boolean, out email_verified boolean)
returns setof record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted uuid := snackbase._account_find(coalesce(nullif(trim(account), ''), host_label));
begin
    return query
    select u.id, u.account_id, case when snackbase._login_locked_until(u.id) is null then u.password_hash end,
           u.auth_provider, u.is_active, u.email_verified
      from snackbase.users u
     where u.account_id = wanted and lower(u.email) = lower(trim(wanted_email))
       and (wanted = '00000000-0000-0000-0000-000000000000' or snackbase._password_logins(wanted));
end
$$;

-- Opens a session for a user whose password the gateway has just checked. Activity is checked again here,
-- because the check before ran in another transaction.
create function snackbase.auth_login_finish(
    who uuid, in_account uuid, new_session uuid, refresh_id uuid, refresh_hash text, refresh_expires_at timestamptz) returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    person snackbase.users;
    account snackbase.accounts;
begin
    perform snackbase._login_succeeded(in_account, who, snackbase.current_ip_address());
    update snackbase.users u
       set last_login = clock_timestamp()
     where u.id = who and u.account_id = in_account and u.is_active and u.email_verified
    returning * into person;
    if not found then
        raise exception 'Invalid credentials' using errcode = '28P01';
    end if;
    select * into account from snackbase.accounts a where a.id = in_account;
    insert into snackbase.sessions (id, account_id, user_id, ip_address, user_agent)
         values (new_session, in_account, who, snackbase.current_ip_address(), snackbase.current_user_agent());
    insert into snackbase.refresh_tokens (id, account_id, session_id, token_hash, expires_at)
         values (refresh_id, in_account, new_session, refresh_hash, refresh_expires_at);
    return json_build_object('account', snackbase._account_json(account), 'user', snackbase._auth_user_json(person));
end
$$;

-- Spends one refresh token and stores its successor. One UPDATE decides, so of two concurrent callers one wins.
-- A token presented again within ten seconds is refused (browser tabs share one token); later, it was stolen or
-- replayed, and the whole session ends. That must outlive the refusal, hence the result null instead of an error:
-- the gateway answers 401 to null.
create function snackbase.auth_refresh(
    refresh_id uuid, refresh_hash text, new_refresh_id uuid, new_refresh_hash text, new_expires_at timestamptz) returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    spent snackbase.refresh_tokens;
    old snackbase.refresh_tokens;
    result json;
begin
    update snackbase.refresh_tokens t
       set spent_at = clock_timestamp(), replaced_by = new_refresh_id
     where t.id = refresh_id and t.token_hash = refresh_hash and t.spent_at is null and t.expires_at > clock_timestamp()
    returning * into spent;
    if not found then
        select * into old from snackbase.refresh_tokens t where t.id = refresh_id and t.token_hash = refresh_hash;
        if old.spent_at < clock_timestamp() - interval '10 seconds' then
            update snackbase.sessions s
               set revoked_at = clock_timestamp()
             where s.id = old.session_id and s.account_id = old.account_id and s.revoked_at is null;
        end if;
        return null;
    end if;
    select json_build_object('user_id', u.id, 'account_id', u.account_id, 'email', u.email, 'role', r.name, 'session_id', s.id)
      into result
      from snackbase.sessions s
      join snackbase.users u on u.id = s.user_id and u.account_id = s.account_id
      join snackbase.roles r on r.id = u.role_id
     where s.id = spent.session_id and s.account_id = spent.account_id and s.revoked_at is null and u.is_active;
    if result is null then
        raise exception 'Invalid refresh token' using errcode = '28000';
    end if;
    insert into snackbase.refresh_tokens (id, account_id, session_id, token_hash, expires_at)
         values (new_refresh_id, spent.account_id, spent.session_id, new_refresh_hash, new_expires_at);
    return result;
end
$$;

create function snackbase.auth_logout(wanted_session uuid) returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
    update snackbase.sessions s set revoked_at = clock_timestamp() where s.id = wanted_session and s.revoked_at is null;
    select true;
end;

-- The caller about itself; after enter(…, 'member').
create function snackbase.auth_me() returns json
language sql stable security definer
set search_path = pg_catalog, pg_temp
return (
    select json_build_object('user_id', u.id, 'account_id', u.account_id, 'email', u.email, 'role', snackbase.current_user_role(),
               'id', u.id, 'user', snackbase._auth_user_json(u), 'account', snackbase._account_json(a))
      from snackbase.users u
      join snackbase.accounts a on a.id = u.account_id
     where u.id = snackbase.current_user_uuid() and u.account_id = snackbase.current_account_id()
);

create function snackbase.superadmin_exists() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
return exists (select from snackbase.users u where u.account_id = '00000000-0000-0000-0000-000000000000');

-- Bootstrap of the first superadmin, for the gateway's login role before it has introduced anyone.
create function snackbase.superadmin_create(email text, password_hash text, force boolean) returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    person snackbase.users;
begin
    -- one at a time: two gateways starting together must not make two
    perform pg_advisory_xact_lock(hashtext('snackbase.superadmin_create'));
    if snackbase.superadmin_exists() and not force then
        raise exception 'A superadmin exists already' using errcode = '23505',
            detail = '[{"field": "email", "message": "A superadmin exists already", "code": "exists"}]';
    end if;
    person := snackbase._user_create('00000000-0000-0000-0000-000000000000', email, password_hash, 1, true, true);
    return json_build_object('id', person.id, 'email', person.email);
end
$$;
