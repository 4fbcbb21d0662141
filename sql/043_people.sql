-- What administrators do with accounts and their people. These run as the caller, whom row security binds.

create function snackbase._account_detail(account snackbase.accounts) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return json_build_object('id', (account).id, 'account_code', (account).account_code, 'slug', (account).slug, 'name', (account).name,
    'created_at', snackbase.rfc3339((account).created_at), 'updated_at', snackbase.rfc3339((account).updated_at),
    'user_count', (select count(*) from snackbase.users u where u.account_id = (account).id),
    'collections_used', '[]'::json);

create function snackbase.account_create(name text, slug text) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return snackbase._account_detail(snackbase._account_create(name, slug, 'slug', true));
end
$$;

create function snackbase.account_view(account text) returns json
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
    return snackbase._account_detail(found_account);
end
$$;

create function snackbase.account_list(page bigint, page_size bigint, sort_by text, sort_order text, search text) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    size bigint := coalesce(page_size, 25);
    number bigint := coalesce(page, 1);
    wanted text := '%' || replace(replace(replace(coalesce(search, ''), '\', '\\'), '%', '\%'), '_', '\_') || '%';
    key text := case when sort_by in ('id', 'slug', 'name', 'created_at', 'account_code') then sort_by else 'created_at' end;
    direction text := case when lower(sort_order) = 'asc' then 'asc' else 'desc' end;
    total bigint;
    items json;
begin
    if size not between 1 and 100 or number < 1 then
        raise exception 'page is at least 1 and page_size is 1 to 100' using errcode = '22023';
    end if;
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
       into items using wanted, size, (number - 1) * size;
    return json_build_object('items', items, 'total', total, 'page', number, 'page_size', size,
        'total_pages', greatest(1, (total + size - 1) / size));
end
$$;

create function snackbase.user_create(body json) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    account uuid;
    role int;
    person snackbase.users;
begin
    account := snackbase._account_find(body ->> 'account_id');
    if account is null then
        raise exception 'Account not found' using errcode = 'P0002';
    end if;
    select r.id into role from snackbase.roles r where r.id::text = body ->> 'role_id';
    if role is null then
        raise exception 'Role not found' using errcode = 'P0002';
    end if;
    person := snackbase._user_create(account, body ->> 'email', body ->> 'password_hash', role,
        coalesce((body ->> 'is_active')::boolean, true), false, body);
    return snackbase._user_json(person);
end
$$;

create function snackbase.user_verify(id uuid) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    update snackbase.users u
       set email_verified = true, email_verified_at = coalesce(u.email_verified_at, clock_timestamp())
     where u.id = user_verify.id;
    if not found then
        raise exception 'User not found' using errcode = 'P0002';
    end if;
    return json_build_object('message', 'The email address is verified');
end
$$;
