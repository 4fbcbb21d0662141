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

-- Registration in an installation with one account: joins it with role `user`. 23505 field email when the address is taken.
create function snackbase.auth_join(account text, email text, password_hash text) returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    joined snackbase.accounts;
    person snackbase.users;
begin
    select * into joined from snackbase.accounts a where a.id = snackbase._account_find(auth_join.account);
    if not found then
        raise exception 'The account of this installation does not exist' using errcode = 'P0002';
    elsif joined.id = '00000000-0000-0000-0000-000000000000' or not snackbase._password_logins(joined.id) then
        raise exception 'Registration with a password is switched off' using errcode = '42501';
    end if;
    person := snackbase._user_create(joined.id, email, password_hash, 2, true, false);
    perform snackbase._verification_send(joined.id, person.id);
    return json_build_object('account', snackbase._account_json(joined), 'user', snackbase._auth_user_json(person));
end
$$;

-- The account that a request is about: the one it names, else the one the host names, else `fallback`, the account of an
-- installation with one account. A host that names nothing counts only where there is no fallback. contract identity.md §2.5.
create function snackbase._account_meant(account text, host_label text, fallback text) returns uuid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if nullif(trim(account), '') is not null then
        return snackbase._account_find(account);
    end if;
    return coalesce(snackbase._account_find(host_label), snackbase._account_find(fallback));
end
$$;

-- The user who wants to log in. Unknown account and unknown address look alike: no row. Of a locked user (047_lockout.sql)
-- nobody learns the hash: the right password is as wrong as any other. A client whose budget of wrong passwords is spent gets one
-- row with nothing but `retry_after`, in seconds, whoever it asks for.
create function snackbase.auth_login_find(
    account text, host_label text, fallback text, wanted_email text,
    out user_id uuid, out account_id uuid, out password_hash text, out auth_provider text, out is_active boolean, out email_verified boolean,
    out retry_after int)
returns setof record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted uuid := snackbase._account_meant(account, host_label, fallback);
begin
    retry_after := snackbase._login_wait(snackbase.current_ip_address());
    if retry_after is not null then
        return next;
        return;
    end if;
    return query
    select u.id, u.account_id, case when snackbase._login_locked_until(u.id) is null then u.password_hash end,
           u.auth_provider, u.is_active, u.email_verified, null::int
      from snackbase.users u
     where u.account_id = wanted and lower(u.email) = lower(trim(wanted_email))
       and (wanted = '00000000-0000-0000-0000-000000000000' or snackbase._password_logins(wanted));
end
$$;

create function snackbase._session_open(person snackbase.users, new_session uuid, refresh_id uuid, refresh_hash text, refresh_expires_at timestamptz)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into snackbase.sessions (id, account_id, user_id, ip_address, user_agent)
         values (new_session, person.account_id, person.id, snackbase.current_ip_address(), snackbase.current_user_agent());
    insert into snackbase.refresh_tokens (id, account_id, session_id, token_hash, expires_at)
         values (refresh_id, person.account_id, new_session, refresh_hash, refresh_expires_at);
end
$$;

-- Opens a session for a user whose password the gateway has just checked. All of it is asked again here, because the check before ran
-- in another transaction: `checked` is the SHA-256 of the hash that the password belongs to, in hexadecimal. Whoever has another
-- hash by now has ended all sessions with it, and the old password opens none. `renewed`: the same password, hashed as it is done
-- now; NULL when it is already.
create function snackbase.auth_login_finish(
    who uuid, in_account uuid, checked text, renewed text, new_session uuid, refresh_id uuid, refresh_hash text, refresh_expires_at timestamptz)
returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    person snackbase.users;
    account snackbase.accounts;
begin
    perform snackbase._login_succeeded(in_account, who, snackbase.current_ip_address());
    update snackbase.users u
       set last_login = clock_timestamp(),
           -- (nobody changes the superadmins of a demonstration)
           password_hash = case when in_account = '00000000-0000-0000-0000-000000000000' and current_setting('snackbase.is_demo')::boolean
               then u.password_hash else coalesce(renewed, u.password_hash) end
     where u.id = who and u.account_id = in_account and u.is_active and u.email_verified and u.auth_provider = 'password'
       and snackbase._token_hash(u.password_hash) = checked
    returning * into person;
    if not found then
        raise exception 'Invalid credentials' using errcode = '28P01';
    end if;
    perform snackbase._session_open(person, new_session, refresh_id, refresh_hash, refresh_expires_at);
    select * into account from snackbase.accounts a where a.id = in_account;
    return json_build_object('account', snackbase._account_json(account), 'user', snackbase._auth_user_json(person));
end
$$;

-- Spends one refresh token and stores its successor. One UPDATE decides, so of two concurrent callers one wins.
-- A token presented again within snackbase.refresh_grace_seconds is refused (browser tabs share one token); later, it was stolen or
-- replayed, and the whole session ends. So does a session that is older than snackbase.session_lifetime_days. Both must outlive the
-- refusal, hence the result null instead of an error: the gateway answers 401 to null.
create function snackbase.auth_refresh(
    refresh_id uuid, refresh_hash text, new_refresh_id uuid, new_refresh_hash text, new_expires_at timestamptz) returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    days constant int := current_setting('snackbase.session_lifetime_days')::int;
    spent snackbase.refresh_tokens;
    old snackbase.refresh_tokens;
    session_end timestamptz;
    result json;
begin
    update snackbase.refresh_tokens t
       set spent_at = clock_timestamp(), replaced_by = new_refresh_id
     where t.id = refresh_id and t.token_hash = refresh_hash and t.spent_at is null and t.expires_at > clock_timestamp()
    returning * into spent;
    if not found then
        select * into old from snackbase.refresh_tokens t where t.id = refresh_id and t.token_hash = refresh_hash;
        if old.spent_at < clock_timestamp() - make_interval(secs => current_setting('snackbase.refresh_grace_seconds')::int) then
            update snackbase.sessions s
               set revoked_at = clock_timestamp()
             where s.id = old.session_id and s.account_id = old.account_id and s.revoked_at is null;
        end if;
        return null;
    end if;
    -- (user, session and token are of one account: their keys contain it)
    select json_build_object('user_id', u.id, 'account_id', u.account_id, 'email', u.email, 'role', r.name, 'session_id', s.id),
           case when days > 0 then s.created_at + make_interval(days => days) else 'infinity' end
      into result, session_end
      from snackbase.sessions s
      join snackbase.users u on u.id = s.user_id and u.account_id = s.account_id
      join snackbase.roles r on r.id = u.role_id
     where s.id = spent.session_id and s.account_id = spent.account_id and s.revoked_at is null and u.is_active;
    if result is null then
        raise exception 'Invalid refresh token' using errcode = '28000';
    elsif session_end <= clock_timestamp() then
        update snackbase.sessions s
           set revoked_at = clock_timestamp()
         where s.id = spent.session_id and s.account_id = spent.account_id;
        return null;
    end if;
    insert into snackbase.refresh_tokens (id, account_id, session_id, token_hash, expires_at)
         values (new_refresh_id, spent.account_id, spent.session_id, new_refresh_hash, least(new_expires_at, session_end));
    return result;
end
$$;

-- Ends a session, or all sessions of its user. A session that has ended already ends no others: its tokens may be in wrong hands.
create function snackbase.auth_logout(wanted_session uuid, everywhere boolean) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    ended snackbase.sessions;
begin
    update snackbase.sessions s
       set revoked_at = clock_timestamp()
     where s.id = wanted_session and s.revoked_at is null
    returning * into ended;
    if found and everywhere then
        perform snackbase._sessions_end(ended.account_id, ended.user_id);
    end if;
    return true;
end
$$;

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

-- Where the caller's address has a user: accounts to switch to, by logging in with that account's password. After
-- enter(…, 'member'). Whoever has not proven the address sees its own account only.
create function snackbase.auth_accounts() returns json
language sql stable security definer
set search_path = pg_catalog, pg_temp
return (
    select json_build_object('accounts', coalesce(json_agg(json_build_object('id', a.id, 'account_code', a.account_code, 'name', a.name,
               'slug', a.slug, 'role', r.name, 'is_current', u.account_id = me.account_id) order by a.name, a.account_code), '[]'))
      from snackbase.users me
      join snackbase.users u on lower(u.email) = lower(me.email) and lower(u.email collate "C") = lower(me.email collate "C")
      join snackbase.accounts a on a.id = u.account_id
      join snackbase.roles r on r.id = u.role_id
     where me.id = snackbase.current_user_uuid() and me.account_id = snackbase.current_account_id()
       and (u.account_id = me.account_id or (me.address_proven and u.is_active and u.email_verified))
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
