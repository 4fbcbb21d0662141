-- Accounts, for superadmins: contract identity.md §4.4. All of it runs as the caller.

-- Names of the collections in which the account has records, sorted. Asks the tables themselves, as the caller: one probe of an
-- index each.
create function snackbase._collections_used(account uuid) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    probes text;
    used json;
begin
    select string_agg(format('select %L::text as name where exists (select from %s r where r.account_id = $1)', c.name, t.oid::regclass), ' union all ')
      into probes
      from snackbase.collections c
      join pg_catalog.pg_class t on t.oid = to_regclass('snackbase.' || quote_ident('col_' || lower(c.name)));
    if probes is null then
        return '[]';
    end if;
    execute 'select coalesce(json_agg(p.name order by p.name), ''[]'') from (' || probes || ') p' into used using account;
    return used;
end
$$;

create function snackbase._account_detail(account snackbase.accounts) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return json_build_object('id', (account).id, 'account_code', (account).account_code, 'slug', (account).slug, 'name', (account).name,
    'created_at', snackbase.rfc3339((account).created_at), 'updated_at', snackbase.rfc3339((account).updated_at),
    'user_count', (select count(*) from snackbase.users u where u.account_id = (account).id),
    'collections_used', snackbase._collections_used((account).id));

-- The account by id, code or slug, as far as the caller sees it; P0002 when there is none.
create function snackbase._account_row(account text) returns snackbase.accounts
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_account snackbase.accounts;
begin
    select * into found_account from snackbase.accounts a where a.id = snackbase._account_find(account);
    if not found then
        raise exception 'Account not found' using errcode = 'P0002';
    end if;
    return found_account;
end
$$;

create function snackbase.account_create(name text, slug text) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return snackbase._account_detail(snackbase._account_create(name, slug, 'slug', true));
end
$$;

create function snackbase.account_view(account text) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return snackbase._account_detail(snackbase._account_row(account));

-- Renames an account; nothing else of it changes.
create function snackbase.account_change(account text, name text) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    changed snackbase.accounts := snackbase._account_row(account);
    wanted constant text := trim(account_change.name);
begin
    if changed.id = '00000000-0000-0000-0000-000000000000' then
        perform snackbase._misfit('account', 'The system account cannot be changed', 'system_account');
    elsif wanted is null or char_length(wanted) not between 1 and 255 then
        perform snackbase._misfit('name', 'A name of 1 to 255 characters is required', 'value_error');
    end if;
    update snackbase.accounts a set name = wanted where a.id = changed.id returning * into changed;
    return snackbase._account_detail(changed);
end
$$;

-- Deletes an account with everything that has its id: users, groups, settings, records of all collections. The foreign keys do it,
-- so nothing can be forgotten, and their triggers leave an entry in the trail for every row. What the trail says stays.
create function snackbase.account_drop(account text) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    dropped constant snackbase.accounts := snackbase._account_row(account);
begin
    if dropped.id = '00000000-0000-0000-0000-000000000000' then
        perform snackbase._misfit('account', 'The system account cannot be deleted', 'system_account');
    end if;
    delete from snackbase.accounts a where a.id = dropped.id;
    return true;
end
$$;

-- NULL = page 1 and 25 users. The newest come first.
create function snackbase.account_users(account text, page bigint, page_size bigint) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    asked constant snackbase.accounts := snackbase._account_row(account);
    part constant record := snackbase._page(page, page_size);
    total constant bigint := (select count(*) from snackbase.users u where u.account_id = asked.id);
begin
    return json_build_object('items', (
            select coalesce(json_agg(json_build_object('id', p.id, 'email', p.email, 'role', p.role, 'is_active', p.is_active,
                       'created_at', snackbase.rfc3339(p.created_at)) order by p.created_at desc, p.id), '[]')
              from (select u.id, u.email, r.name as role, u.is_active, u.created_at
                      from snackbase.users u
                      join snackbase.roles r on r.id = u.role_id
                     where u.account_id = asked.id
                     order by u.created_at desc, u.id
                     limit part.size offset part.skip) p),
        'total', total, 'page', part.number, 'page_size', part.size, 'total_pages', greatest(1, (total + part.size - 1) / part.size));
end
$$;

create function snackbase.account_list(page bigint, page_size bigint, sort_by text, sort_order text, search text) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    part constant record := snackbase._page(page, page_size);
    wanted text := coalesce(snackbase._containing(search), '%');
    key text := case when sort_by in ('id', 'slug', 'name', 'created_at', 'account_code') then sort_by else 'created_at' end;
    direction text := case when lower(sort_order) = 'asc' then 'asc' else 'desc' end;
    total bigint;
    items json;
begin
    select count(*) into total
      from snackbase.accounts a
     where a.name ilike wanted or a.slug ilike wanted or a.account_code ilike wanted or a.id::text ilike wanted;
    execute format($q$
        select coalesce(json_agg(json_build_object('id', a.id, 'account_code', a.account_code, 'slug', a.slug, 'name', a.name,
                   'created_at', snackbase.rfc3339(a.created_at),
                   'user_count', (select count(*) from snackbase.users u where u.account_id = a.id), 'status', 'active')), '[]')
          from (select * from snackbase.accounts a
                 where a.name ilike $1 or a.slug ilike $1 or a.account_code ilike $1 or a.id::text ilike $1
                 order by %I %s, id limit $2 offset $3) a$q$, key, direction)
       into items using wanted, part.size, part.skip;
    return json_build_object('items', items, 'total', total, 'page', part.number, 'page_size', part.size,
        'total_pages', greatest(1, (total + part.size - 1) / part.size));
end
$$;
