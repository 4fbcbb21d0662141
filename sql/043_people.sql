-- Who uses an account, for its administrators and for superadmins: contract identity.md §4.5. All of it runs as the caller, whom row
-- security binds: role snackbase_admin sees its own account alone.

-- What no statement does to a user, whoever sends it: contract identity.md §4.5 and §7 (T9, T40).
create function snackbase._user_guard() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    of_system constant boolean := old.account_id = '00000000-0000-0000-0000-000000000000';
    leaves constant boolean := old.is_active and (tg_op = 'DELETE' or not new.is_active);
begin
    if tg_op = 'UPDATE' and (new.id, new.account_id) is distinct from (old.id, old.account_id) then
        raise exception 'id and account_id of a user never change' using errcode = '23514',
            detail = '[{"field": "account_id", "message": "id and account_id of a user never change", "code": "immutable"}]';
    end if;
    if of_system and current_setting('snackbase.is_demo')::boolean
       and (tg_op = 'DELETE' or (new.email, new.role_id, new.password_hash, new.is_active)
                                is distinct from (old.email, old.role_id, old.password_hash, old.is_active)) then
        raise exception 'The superadmins of a demonstration cannot be changed' using errcode = '42501';
    end if;
    if old.id = snackbase.current_user_uuid() and old.account_id = snackbase.current_account_id()
       and (leaves or tg_op = 'DELETE' or new.role_id <> old.role_id) then
        raise exception 'You cannot deactivate yourself or change your own role' using errcode = '42501';
    end if;
    if of_system and leaves then
        -- one after another: of two that deactivate each other, the second sees what the first has done
        perform pg_advisory_xact_lock(hashtext('snackbase.superadmins'));
        if not snackbase._superadmin_remains(old.id) then
            raise exception 'The last active superadmin cannot be deactivated' using errcode = '42501';
        end if;
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    -- What was confirmed was the address before; a statement that confirms the new one at the same time says when.
    if lower(new.email collate "C") <> lower(old.email collate "C") and new.email_verified_at is not distinct from old.email_verified_at then
        new.email_verified := false;
        new.email_verified_at := null;
    end if;
    if leaves then
        -- (enter() refuses inactive users; this is for the day when the user is active again)
        perform snackbase._sessions_end(old.account_id, old.id);
    end if;
    return new;
end
$$;
-- (a login and a failed login change none of these, and do not pay)
create trigger a_guard before update on snackbase.users
    for each row when (old.email <> new.email or old.role_id <> new.role_id or old.is_active <> new.is_active
                       or old.password_hash is distinct from new.password_hash or old.id <> new.id or old.account_id <> new.account_id)
    execute function snackbase._user_guard();
create trigger a_guard_delete before delete on snackbase.users
    for each row execute function snackbase._user_guard();

-- Refuses administrators of an account when snackbase.account_admin_manages_users is off. (So do the policies; here it is said.)
create function snackbase.people_check() returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_user = 'snackbase_admin' and not current_setting('snackbase.account_admin_manages_users')::boolean then
        raise exception 'Superadmin access required' using errcode = '42501';
    end if;
    return true;
end
$$;

-- The account of a user that the caller manages; P0002 when it sees no such user.
create function snackbase._user_account(id uuid) returns uuid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    account uuid;
begin
    perform snackbase.people_check();
    select u.account_id into account from snackbase.users u where u.id = _user_account.id;
    if account is null then
        raise exception 'User not found' using errcode = 'P0002';
    end if;
    return account;
end
$$;

-- The role that a body names by `role_id` (a number, or one in a text) or `role` (a name); NULL when it names none.
create function snackbase._role_wanted(body json) returns int
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted int;
begin
    if coalesce(body ->> 'role_id', body ->> 'role') is null then
        return null;
    end if;
    select r.id into wanted
      from snackbase.roles r
     where r.id::text = coalesce(body ->> 'role_id', r.id::text) and r.name = coalesce(body ->> 'role', r.name);
    if wanted is null then
        raise exception 'Role not found' using errcode = 'P0002';
    end if;
    return wanted;
end
$$;

-- Keys of `query`, all optional: account_id, role_id, is_active, search (part of the address), skip, limit (1 to 100, 30), sort (a
-- column, `-` in front of it to descend; -created_at).
create function snackbase.user_list(query json) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    account constant uuid := query ->> 'account_id';
    role constant int := query ->> 'role_id';
    active constant boolean := query ->> 'is_active';
    searched constant text := snackbase._containing(query ->> 'search');
    part record;
    wanted constant text := coalesce(query ->> 'sort', '-created_at');
    -- nothing else can be sorted by: the order of password_hash would tell about hashes
    key constant text := case ltrim(wanted, '+-')
        when 'id' then 'u.id' when 'email' then 'lower(u.email)' when 'account_id' then 'u.account_id' when 'role_id' then 'u.role_id'
        when 'role' then 'r.name' when 'role_name' then 'r.name' when 'account_code' then 'a.account_code' when 'account_name' then 'a.name'
        when 'is_active' then 'u.is_active' when 'email_verified' then 'u.email_verified' when 'auth_provider' then 'u.auth_provider'
        when 'created_at' then 'u.created_at' when 'updated_at' then 'u.updated_at' when 'last_login' then 'u.last_login' end;
    total bigint;
    items json;
begin
    perform snackbase.people_check();
    part := snackbase._part(query, 30, 100);
    if key is null then
        perform snackbase._misfit('sort', 'Input should be a column that users can be sorted by', 'enum');
    end if;
    select count(*) into total
      from snackbase.users u
     where (account is null or u.account_id = account) and (role is null or u.role_id = role)
       and (active is null or u.is_active = active) and (searched is null or u.email ilike searched);
    execute format($q$
        select coalesce(json_agg(snackbase._user_json(p.account_id, p.id) order by p.place), '[]')
          from (select u.account_id, u.id, row_number() over (order by %1$s, u.id) as place
                  from snackbase.users u
                  join snackbase.roles r on r.id = u.role_id
                  join snackbase.accounts a on a.id = u.account_id
                 where ($1 is null or u.account_id = $1) and ($2 is null or u.role_id = $2)
                   and ($3 is null or u.is_active = $3) and ($4 is null or u.email ilike $4)
                 order by %1$s, u.id
                 limit $5 offset $6) p$q$,
        key || case when wanted like '-%' then ' desc nulls last' else ' asc nulls first' end)
       into items using account, role, active, searched, part.size, part.skip;
    return json_build_object('items', items, 'total', total, 'skip', part.skip, 'limit', part.size);
end
$$;

create function snackbase.user_view(id uuid) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return snackbase._user_json(snackbase._user_account(id), id);

-- Body of POST /users with `password_hash` for `password`. An administrator of an account may leave `account_id` out.
create function snackbase.user_create(body json) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    account uuid := snackbase._account_find(body ->> 'account_id');
    role int;
    person uuid;
begin
    perform snackbase.people_check();
    if current_user = 'snackbase_admin' then
        if body ->> 'account_id' is null then
            account := snackbase.current_account_id();
        elsif account is distinct from snackbase.current_account_id() then
            -- an account of others looks like one that does not exist
            raise exception 'Users are created in the own account only' using errcode = '42501';
        end if;
    elsif body ->> 'account_id' is null then
        perform snackbase._misfit('account_id', 'Field required', 'missing');
    end if;
    if account is null then
        raise exception 'Account not found' using errcode = 'P0002';
    end if;
    role := snackbase._role_wanted(body);
    if role is null then
        perform snackbase._misfit('role_id', 'Field required', 'missing');
    end if;
    person := snackbase._user_insert(account, body ->> 'email', body ->> 'password_hash', role,
        coalesce((body ->> 'is_active')::boolean, true), false, body);
    return snackbase._user_json(account, person);
end
$$;

-- Body of PATCH /users/{id}: what is absent stays. Null removes what a user may be without; elsewhere it is absent, too.
create function snackbase.user_change(id uuid, changes json) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    given constant jsonb := changes;
    account constant uuid := snackbase._user_account(id);
    role constant int := snackbase._role_wanted(changes);
    violated text;
begin
    update snackbase.users u
       set email = coalesce(trim(given ->> 'email'), u.email),
           role_id = coalesce(role, u.role_id),
           is_active = coalesce((given ->> 'is_active')::boolean, u.is_active),
           auth_provider = coalesce(given ->> 'auth_provider', u.auth_provider),
           auth_provider_name = case when given ? 'auth_provider_name' then given ->> 'auth_provider_name' else u.auth_provider_name end,
           external_id = case when given ? 'external_id' then given ->> 'external_id' else u.external_id end,
           external_email = case when given ? 'external_email' then given ->> 'external_email' else u.external_email end,
           profile_data = case when given ? 'profile_data' then nullif(given -> 'profile_data', 'null') else u.profile_data end
     where u.id = user_change.id and u.account_id = account;
    return snackbase._user_json(account, id);
exception when unique_violation or check_violation then
    get stacked diagnostics violated = constraint_name;
    if violated not like 'users\_%' then
        raise;
    end if;
    perform snackbase._user_refuse(violated);
end
$$;

-- Deactivates a user. Nobody is removed: records and the trail name their authors.
create function snackbase.user_drop(id uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    account constant uuid := snackbase._user_account(id);
begin
    update snackbase.users u set is_active = false where u.id = user_drop.id and u.account_id = account;
    return true;
end
$$;

create function snackbase.user_verify(id uuid) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    account constant uuid := snackbase._user_account(id);
begin
    update snackbase.users u
       set email_verified = true, email_verified_at = coalesce(u.email_verified_at, clock_timestamp())
     where u.id = user_verify.id and u.account_id = account and not u.email_verified;
    return json_build_object('message', 'The email address is verified');
end
$$;

-- A new password, hashed by the gateway, a link to one, or both.
create function snackbase.user_password_change(id uuid, hash text, send_link boolean) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    account constant uuid := snackbase._user_account(id);
begin
    if hash is null and send_link is not true then
        perform snackbase._misfit('new_password', 'new_password or send_reset_link is required', 'missing');
    end if;
    if hash is not null then
        perform snackbase._password_set(account, id, hash);
    end if;
    if send_link then
        perform snackbase._reset_send(account, id);
    end if;
    return json_build_object('message', case when hash is null then 'A link to a new password is on its way'
        when send_link then 'The password is set, and a link to another one is on its way' else 'The password is set' end);
end
$$;

create function snackbase.user_verification_send(id uuid) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    account constant uuid := snackbase._user_account(id);
begin
    if (select u.email_verified from snackbase.users u where u.id = user_verification_send.id and u.account_id = account) then
        raise exception 'The email address is verified already' using errcode = '22023';
    end if;
    perform snackbase._verification_send(account, id);
    return json_build_object('message', 'A link that verifies the email address is on its way');
end
$$;
