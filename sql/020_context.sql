-- Small predicates of the policies and triggers that plain SQL says best. The accessors of the context are in
-- src/context.rs: they read the parameters that only the library can trust.

-- Deliberate refusal with an HTTP status (400 to 499). P0001 with the status in DETAIL, because a SQLSTATE of our own
-- would not survive the Rust frames between the statement and the client.
create function snackbase.abort(status int, message text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if status not between 400 and 499 or status = 429 then
        raise exception 'abort() takes a status from 400 to 499 except 429, not %', status using errcode = '22023';
    end if;
    raise exception '%', message using errcode = 'P0001', detail = format('{"status": %s}', status);
end
$$;

-- Row trigger of core tables that only carry created_at and updated_at.
create function snackbase._touch() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'UPDATE' then
        new.created_at := old.created_at;
        new.updated_at := clock_timestamp();
    elsif not snackbase._restoring() then
        new.created_at := clock_timestamp();
        new.updated_at := new.created_at;
    end if;
    return new;
end
$$;

-- The part of an update rule that compares the old row with the new one; see policies.rs.
create function snackbase._refuse_update() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'Record does not satisfy collection rules' using errcode = '44000';
end
$$;

create function snackbase._refuse_truncate() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'TRUNCATE of % would leave no audit entries; use DELETE', tg_table_name using errcode = '42501';
end
$$;
