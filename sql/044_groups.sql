-- Groups and their members: contract identity.md §4.7, §7 (T5), §8. All of it runs as the caller after enter(…, 'people'): members of
-- an account read its groups, its administrators write them. A reference to a group or user contains the account, so nobody of
-- another account can be in a group.

-- Group pii_access decides who sees masked values; the house looks it up by name. It ends with its account.
create function snackbase._group_guard() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if old.name = 'pii_access' and exists (select from snackbase.accounts a where a.id = old.account_id) then
        raise exception 'The group pii_access cannot be renamed or deleted' using errcode = '23514',
            detail = '[{"field": "group", "message": "The group pii_access cannot be renamed or deleted", "code": "built_in"}]';
    end if;
    return case tg_op when 'UPDATE' then new else old end;
end
$$;
create trigger a_guard before update on snackbase.groups
    for each row when (old.name <> new.name or old.id <> new.id or old.account_id <> new.account_id)
    execute function snackbase._group_guard();
create trigger a_guard_delete before delete on snackbase.groups
    for each row execute function snackbase._group_guard();

-- Refuses a caller who may not write this group (NULL: any). The policies of both tables say the same of rows; but a row that a
-- policy hides from a DELETE would look like one that is not there.
create function snackbase.group_check(group_name text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_user not in ('snackbase_member', 'snackbase_admin')
       or current_user = 'snackbase_admin' and current_setting('snackbase.account_admin_manages_users')::boolean
       or not current_setting('snackbase.group_writes_admin_only')::boolean and group_name is distinct from 'pii_access' then
        return true;
    end if;
    raise exception '%', case current_user when 'snackbase_admin' then 'Superadmin access required' else 'Administrator access required' end
        using errcode = '42501';
end
$$;

create function snackbase._group_json(in_account uuid, wanted uuid) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return (
    select json_build_object('id', g.id, 'account_id', g.account_id, 'account_code', a.account_code, 'name', g.name,
        'description', g.description, 'is_system', g.name = 'pii_access',
        'member_count', (select count(*) from snackbase.users_groups ug where ug.group_id = g.id and ug.account_id = g.account_id),
        'created_at', snackbase.rfc3339(g.created_at), 'updated_at', snackbase.rfc3339(g.updated_at))
      from snackbase.groups g
      join snackbase.accounts a on a.id = g.account_id
     where g.id = wanted and g.account_id = in_account
);

-- What members of an account see of each other: no more than the columns they are granted.
create function snackbase._user_brief_json(in_account uuid, who uuid) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return (
    select json_build_object('id', u.id, 'email', u.email, 'account_id', u.account_id, 'account_code', a.account_code, 'account_name', a.name,
        'role_id', u.role_id, 'role_name', r.name, 'role', r.name, 'is_active', u.is_active, 'email_verified', u.email_verified,
        'created_at', snackbase.rfc3339(u.created_at), 'updated_at', snackbase.rfc3339(u.updated_at))
      from snackbase.users u
      join snackbase.accounts a on a.id = u.account_id
      join snackbase.roles r on r.id = u.role_id
     where u.id = who and u.account_id = in_account
);

-- The group with its users, by address; plain members see less of each.
create function snackbase._group_detail(in_account uuid, wanted uuid) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    plain constant boolean := current_user = 'snackbase_member';
    people constant json := (
        select coalesce(json_agg(case when plain then snackbase._user_brief_json(u.account_id, u.id) else snackbase._user_json(u.account_id, u.id) end
                                 order by lower(u.email)), '[]')
          from snackbase.users_groups ug
          join snackbase.users u on u.id = ug.user_id and u.account_id = ug.account_id
         where ug.group_id = wanted and ug.account_id = in_account);
begin
    return (snackbase._group_json(in_account, wanted)::jsonb || jsonb_build_object('users', people))::json;
end
$$;

-- A group that the caller sees; P0002 when there is none.
create function snackbase._group_row(id uuid) returns snackbase.groups
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_group snackbase.groups;
begin
    select * into found_group from snackbase.groups g where g.id = _group_row.id;
    if not found then
        raise exception 'Group not found' using errcode = 'P0002';
    end if;
    return found_group;
end
$$;

-- An array by name. Keys of `query`, all optional: search (part of the name), skip, limit (1 to 1000, 100).
create function snackbase.group_list(query json) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    searched constant text := snackbase._containing(query ->> 'search');
    part constant record := snackbase._part(query, 100, 1000);
begin
    return (
        select coalesce(json_agg(snackbase._group_json(p.account_id, p.id) order by p.name, p.id), '[]')
          from (select g.account_id, g.id, g.name
                  from snackbase.groups g
                 where searched is null or g.name ilike searched
                 order by g.name, g.id
                 limit part.size offset part.skip) p);
end
$$;

create function snackbase.group_view(id uuid) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_group constant snackbase.groups := snackbase._group_row(id);
begin
    return snackbase._group_detail(found_group.account_id, id);
end
$$;

-- Raises 22P02 unless name and description of a body are texts that fit.
create function snackbase._group_fits(body json) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(json_typeof(body -> 'name'), 'null') not in ('null', 'string') or body ->> 'name' !~ '\S' or char_length(body ->> 'name') > 100 then
        perform snackbase._misfit('name', 'A name of 1 to 100 characters is required', 'value_error');
    elsif coalesce(json_typeof(body -> 'description'), 'null') not in ('null', 'string') or char_length(body ->> 'description') > 500 then
        perform snackbase._misfit('description', 'Text should have at most 500 characters', 'string_too_long');
    end if;
end
$$;

-- Keys of `body`: name, description, account_id (default: the caller's; another one for superadmins only).
create function snackbase.group_create(body json) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    account uuid := snackbase.current_account_id();
    made uuid;
begin
    perform snackbase.group_check(trim(body ->> 'name'));
    if body ->> 'account_id' is not null then
        account := snackbase._account_find(body ->> 'account_id');
        if current_user in ('snackbase_member', 'snackbase_admin') and account is distinct from snackbase.current_account_id() then
            -- an account of others looks like one that does not exist
            raise exception 'Groups are created in the own account only' using errcode = '42501';
        end if;
    end if;
    if account is null then
        raise exception 'Account not found' using errcode = 'P0002';
    end if;
    perform snackbase._group_fits(body);
    if body ->> 'name' is null then
        perform snackbase._misfit('name', 'Field required', 'missing');
    end if;
    insert into snackbase.groups (account_id, name, description)
         values (account, trim(body ->> 'name'), body ->> 'description')
      returning id into made;
    return snackbase._group_detail(account, made);
exception when unique_violation then
    perform snackbase._taken('name', 'A group with this name already exists in this account');
end
$$;

-- Keys of `changes`: name, description; what is absent stays.
create function snackbase.group_change(id uuid, changes json) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    changed constant snackbase.groups := snackbase._group_row(id);
    wanted constant text := trim(changes ->> 'name');
begin
    perform snackbase.group_check(changed.name);
    perform snackbase.group_check(wanted);
    perform snackbase._group_fits(changes);
    if changed.name = 'pii_access' and wanted <> 'pii_access' then
        perform snackbase._misfit('name', 'The group pii_access cannot be renamed', 'built_in');
    end if;
    update snackbase.groups g
       set name = coalesce(wanted, g.name),
           description = case when changes::jsonb ? 'description' then changes ->> 'description' else g.description end
     where g.id = changed.id and g.account_id = changed.account_id;
    return snackbase._group_detail(changed.account_id, id);
exception when unique_violation then
    perform snackbase._taken('name', 'A group with this name already exists in this account');
end
$$;

create function snackbase.group_drop(id uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    dropped constant snackbase.groups := snackbase._group_row(id);
begin
    perform snackbase.group_check(dropped.name);
    if dropped.name = 'pii_access' then
        perform snackbase._misfit('group', 'The group pii_access cannot be deleted', 'built_in');
    end if;
    delete from snackbase.groups g where g.id = dropped.id and g.account_id = dropped.account_id;
    return true;
end
$$;

create function snackbase.group_member_add(id uuid, member uuid) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    joined constant snackbase.groups := snackbase._group_row(id);
begin
    perform snackbase.group_check(joined.name);
    if not exists (select from snackbase.users u where u.id = member and u.account_id = joined.account_id) then
        raise exception 'User not found' using errcode = 'P0002';
    end if;
    insert into snackbase.users_groups (account_id, group_id, user_id) values (joined.account_id, joined.id, member);
    return json_build_object('message', 'The user is a member of the group');
exception when unique_violation then
    perform snackbase._taken('user_id', 'The user is already a member of the group');
end
$$;

-- True whether the user was a member or not.
create function snackbase.group_member_remove(id uuid, member uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    of_group constant snackbase.groups := snackbase._group_row(id);
begin
    perform snackbase.group_check(of_group.name);
    delete from snackbase.users_groups ug
     where ug.group_id = of_group.id and ug.account_id = of_group.account_id and ug.user_id = member;
    return true;
end
$$;
