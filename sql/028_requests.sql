-- What functions that take requests have in common: texts to search for, parts of a list, refusals about one field.

-- A pattern for LIKE that finds the text anywhere, taken literally; NULL for nothing.
create function snackbase._containing(part text) returns text
language sql immutable parallel safe
return '%' || replace(replace(replace(nullif(part, ''), '\', '\\'), '%', '\%'), '_', '\_') || '%';

-- A page by its number; NULL = page 1 and 25 rows.
create function snackbase._page(page bigint, page_size bigint, out number bigint, out size bigint, out skip bigint)
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    number := coalesce(page, 1);
    size := coalesce(page_size, 25);
    if size not between 1 and 100 or number < 1 then
        raise exception 'page is at least 1 and page_size is 1 to 100' using errcode = '22023';
    end if;
    skip := (number - 1) * size;
end
$$;

-- What `query` asks for by skip and limit; without them, from the first row on and `usual` rows.
create function snackbase._part(query json, usual bigint, most bigint, out skip bigint, out size bigint)
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    skip := coalesce((query ->> 'skip')::bigint, 0);
    size := coalesce((query ->> 'limit')::bigint, usual);
    if size not between 1 and most or skip < 0 then
        raise exception 'skip is at least 0 and limit is 1 to %', most using errcode = '22023';
    end if;
end
$$;

-- Raises 22P02 (HTTP 422) about one field.
create function snackbase._misfit(field text, sentence text, code text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '%: %', field, sentence using errcode = '22P02',
        detail = json_build_array(json_build_object('field', field, 'message', sentence, 'code', code))::text;
end
$$;

-- Raises 23505 (HTTP 409): what this field says is there already.
create function snackbase._taken(field text, sentence text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '%', sentence using errcode = '23505',
        detail = format('[{"field": %s, "message": %s, "code": "taken"}]', to_json(field), to_json(sentence));
end
$$;
