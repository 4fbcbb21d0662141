-- Accounts (tenants) and their codes: contract identity.md §2.1 to §2.4.

create table snackbase.accounts (
    id uuid primary key default gen_random_uuid(),
    account_code text not null unique constraint accounts_account_code_check check (account_code ~ '^[A-Z]{2}[0-9]{4}$'),
    slug text not null unique constraint accounts_slug_check check (char_length(slug) between 3 and 32),
    name text not null constraint accounts_name_check check (char_length(name) between 1 and 255),
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp()
);

-- The highest code ever given. One row; its lock orders concurrent creations, and a deleted account's code stays spent.
create table snackbase.account_code_counter (
    singleton boolean primary key default true constraint account_code_counter_singleton check (singleton),
    value int not null
);

-- AA0000 is 0, AA0001 is 1, …, ZZ9999 is 6759999.
create function snackbase._account_code_text(value int) returns text
language sql immutable strict parallel safe
return chr(65 + value / 260000) || chr(65 + value / 10000 % 26) || lpad((value % 10000)::text, 4, '0');

create function snackbase._account_code_value(code text) returns int
language sql immutable strict parallel safe
return case when code ~ '^[A-Z]{2}[0-9]{4}$'
    then ((ascii(code) - 65) * 26 + ascii(substr(code, 2)) - 65) * 10000 + substr(code, 3)::int
end;

-- The code after `value`: one more, jumping over the block SY0000 to SY9999, which belongs to the system account.
create function snackbase._account_code_after(value int) returns int
language sql immutable strict parallel safe
return case when value + 1 between 4920000 and 4929999 then 4930000 else value + 1 end;

-- Takes the next code. Holds the counter's row lock until the creating transaction ends.
create function snackbase._account_code_take() returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    taken int;
begin
    insert into snackbase.account_code_counter (value) values (0) on conflict do nothing;
    update snackbase.account_code_counter
       set value = snackbase._account_code_after(greatest(value, coalesce((
               select snackbase._account_code_value(a.account_code)
                 from snackbase.accounts a
                where a.account_code not like 'SY%'
                order by a.account_code desc
                limit 1), 0)))
    returning value into taken;
    if taken > 6759999 then
        raise exception 'all 6,760,000 account codes are used' using errcode = '23505',
            detail = '[{"field": "account_code", "code": "exhausted", "message": "all 6,760,000 account codes are used"}]';
    end if;
    return snackbase._account_code_text(taken);
end
$$;

-- A slug made from any text, or '' when nothing remains: NFKD, ASCII only, lower case, runs of others to '-', letter first.
create function snackbase._slug_from(source text) returns text
language sql immutable strict parallel safe
return rtrim(left(regexp_replace(
    trim(both '-' from regexp_replace(lower(regexp_replace(normalize(source, nfkd), '[^\x01-\x7f]', '', 'g')), '[^a-z0-9]+', '-', 'g')),
    '^[0-9-]+', ''), 32), '-');

-- What is wrong with a slug somebody chose, as the code of the contract; NULL when nothing is.
create function snackbase._slug_problem(slug text) returns text
language sql immutable strict parallel safe
return case
    when char_length(slug) < 3 then 'slug_too_short'
    when char_length(slug) > 32 then 'slug_too_long'
    when slug !~ '^[a-z]' then 'slug_invalid_start'
    when slug !~ '^[a-z][a-z0-9-]*[a-z0-9]$' then 'slug_invalid_chars'
    when slug ~ '^[a-z]{2}[0-9]{4}$' then 'slug_reserved'
    when slug = any (array['system', 'www', 'api', 'app', 'admin', 'auth', 'static', 'docs', 'status', 'mail']) then 'slug_reserved'
end;

-- Raises 23514 with the contract's field list when the slug is not acceptable.
create function snackbase._slug_check(slug text, field text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    problem text := snackbase._slug_problem(slug);
    sentence text;
begin
    if problem is null then
        return;
    end if;
    sentence := case problem
        when 'slug_too_short' then 'A slug has at least 3 characters'
        when 'slug_too_long' then 'A slug has at most 32 characters'
        when 'slug_invalid_start' then 'A slug begins with a letter'
        when 'slug_invalid_chars' then 'A slug consists of lower-case letters, digits and hyphens, and does not end with a hyphen'
        else 'This slug is reserved'
    end;
    raise exception 'Validation error' using errcode = '23514',
        detail = json_build_array(json_build_object('field', field, 'message', sentence, 'code', problem))::text;
end
$$;

-- Creates an account and its group pii_access. `slug_field` names the field of the caller's form in errors.
-- A given slug that is taken is an error; a slug made from the name is, too, unless `suffix` allows numbers after it.
create function snackbase._account_create(account_name text, account_slug text, slug_field text, suffix boolean) returns snackbase.accounts
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    base text := nullif(lower(trim(account_slug)), '');
    given boolean := base is not null;
    candidate text;
    number int := 0;
    code text;
    violated text;
    created snackbase.accounts;
begin
    if account_name is null or char_length(trim(account_name)) = 0 or char_length(account_name) > 255 then
        raise exception 'Validation error' using errcode = '23514',
            detail = json_build_array(json_build_object('field', case slug_field when 'slug' then 'name' else 'account_name' end,
                'message', 'A name of 1 to 255 characters is required', 'code', 'required'))::text;
    end if;
    if not given then
        base := snackbase._slug_from(account_name);
        if snackbase._slug_problem(base) is not null then
            -- nothing usable in the name (another script, a reserved word): a numbered fallback instead of a refusal
            base := 'account';
            number := 1;
            suffix := true;
        end if;
    else
        perform snackbase._slug_check(base, slug_field);
    end if;
    candidate := base;
    -- outside the loop, which takes a unique violation for a taken slug: being out of codes is one, too
    code := snackbase._account_code_take();
    loop
        if number > 0 then
            candidate := rtrim(left(base, 32 - 1 - char_length(number::text)), '-') || '-' || number;
        end if;
        begin
            insert into snackbase.accounts (account_code, slug, name)
                 values (code, candidate, trim(account_name))
              returning * into created;
            exit;
        exception when unique_violation then
            get stacked diagnostics violated = constraint_name;
            if violated <> 'accounts_slug_key' then
                raise;
            elsif given or not suffix then
                raise exception 'An account with this slug already exists' using errcode = '23505',
                    detail = json_build_array(json_build_object('field', slug_field,
                        'message', 'An account with this slug already exists', 'code', 'taken'))::text;
            end if;
            number := number + 1;
        end;
    end loop;
    insert into snackbase.groups (account_id, name, description)
         values (created.id, 'pii_access', 'May see masked personal data');
    return created;
end
$$;

-- The account that a person meant: UUID, code (any case) or slug; NULL when there is none.
create function snackbase._account_find(account text) returns uuid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted text := lower(trim(account));
begin
    if wanted ~ '^[a-z]{2}[0-9]{4}$' then
        return (select a.id from snackbase.accounts a where a.account_code = upper(wanted));
    elsif wanted ~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$' then
        return (select a.id from snackbase.accounts a where a.id = wanted::uuid);
    end if;
    return (select a.id from snackbase.accounts a where a.slug = wanted);
end
$$;

insert into snackbase.accounts (id, account_code, slug, name)
     values ('00000000-0000-0000-0000-000000000000', 'SY0000', 'system', 'System');

-- The system account is what superadmin means: it is not renamed, re-coded or deleted.
create function snackbase._system_account_guard() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if old.id = '00000000-0000-0000-0000-000000000000' then
        raise exception 'The system account cannot be changed or deleted' using errcode = '23514',
            detail = '[{"field": "account", "message": "The system account cannot be changed or deleted", "code": "system_account"}]';
    end if;
    if tg_op = 'UPDATE' and (new.id, new.account_code, new.slug) is distinct from (old.id, old.account_code, old.slug) then
        raise exception 'id, account_code and slug of an account never change' using errcode = '23514',
            detail = '[{"field": "slug", "message": "id, account_code and slug of an account never change", "code": "immutable"}]';
    end if;
    return case tg_op when 'UPDATE' then new else old end;
end
$$;

create trigger a_guard before update or delete on snackbase.accounts
    for each row execute function snackbase._system_account_guard();
create trigger z_touch before insert or update on snackbase.accounts
    for each row execute function snackbase._touch();
