-- Erasure by destroying keys: docs/ledger.md §12. The trail keeps the erasable values of a record encrypted under the key of
-- their subject (src/subjects.rs); here are the keys, and how one is destroyed.

-- Keys are no account data that anybody reads: no grant on this table, ever, and no recorder. A destroyed key keeps its row, so
-- that a reader can tell erased values from texts that only look like sealed ones.
create table snackbase.subject_keys (
    id uuid not null default gen_random_uuid(),
    account_id uuid not null,
    subject text not null,
    -- 32 bytes or, wrapped by the master key, 72; NULL: destroyed
    secret bytea constraint subject_keys_secret_check check (octet_length(secret) = case when wrapped then 72 else 32 end),
    wrapped boolean not null,
    created_at timestamptz not null default clock_timestamp(),
    destroyed_at timestamptz,
    primary key (id, account_id),
    constraint subject_keys_destroyed_check check ((secret is null) = (destroyed_at is not null))
);
create unique index subject_keys_subject_key on snackbase.subject_keys (account_id, subject) where secret is not null;

-- Every erasure, for the trail: that it happened, when, and by whom. What was erased is what cannot be read any more.
create table snackbase.subject_erasures (
    id bigint not null generated always as identity,
    account_id uuid not null,
    subject text not null,
    -- live records whose values were cleared
    records bigint not null,
    -- the keys that were destroyed; mostly one
    key_ids uuid[] not null,
    erased_by text not null default snackbase.current_actor(),
    erased_at timestamptz not null default clock_timestamp(),
    primary key (id, account_id)
);
create trigger prevent_update before update on snackbase.subject_erasures
    for each row execute function snackbase._audit_immutable();
create trigger prevent_delete before delete on snackbase.subject_erasures
    for each row execute function snackbase._audit_immutable();
alter table snackbase.subject_erasures enable always trigger prevent_update;
alter table snackbase.subject_erasures enable always trigger prevent_delete;

-- The key of a subject, held until the end of the transaction, so that nobody destroys it between a value that was sealed and
-- its commit; the proposed one when there is none. Run by the recorder as the owner.
create function snackbase._subject_key(
    in_account uuid, in_subject text, proposed_id uuid, proposed_secret bytea, proposed_wrapped boolean,
    out id uuid, out secret bytea, out wrapped boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    for attempt in 1..3 loop
        select k.id, k.secret, k.wrapped into id, secret, wrapped
          from snackbase.subject_keys k
         where k.account_id = in_account and k.subject = in_subject and k.secret is not null
           for share;
        if found then
            return;
        end if;
        insert into snackbase.subject_keys (id, account_id, subject, secret, wrapped)
             values (proposed_id, in_account, in_subject, proposed_secret, proposed_wrapped)
        on conflict do nothing;
        if found then
            id := proposed_id;
            secret := proposed_secret;
            wrapped := proposed_wrapped;
            return;
        end if;
    end loop;
    -- another transaction made it, and this one's snapshot is older
    raise exception 'The key of a subject was made meanwhile, please retry' using errcode = '40001';
end
$$;

-- A key by its id, also a destroyed one: then secret is NULL.
create function snackbase._subject_key_by_id(wanted uuid, in_account uuid, out secret bytea, out wrapped boolean)
returns setof record
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select k.secret, k.wrapped from snackbase.subject_keys k where k.id = wanted and k.account_id = in_account;
end;

-- Waits for whoever writes values of the subject, and holds off who comes later.
create function snackbase._subject_hold(in_account uuid, in_subject text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform from snackbase.subject_keys k
      where k.account_id = in_account and k.subject = in_subject and k.secret is not null
        for update;
end
$$;

-- Destroys the key and notes the erasure. Nothing to destroy and nothing cleared: nothing to note.
create function snackbase._subject_key_destroy(in_account uuid, in_subject text, cleared bigint) returns uuid[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    keys uuid[];
begin
    with destroyed as (
        update snackbase.subject_keys k
           set secret = null, destroyed_at = clock_timestamp()
         where k.account_id = in_account and k.subject = in_subject and k.secret is not null
        returning k.id)
    select coalesce(array_agg(d.id), '{}') into keys from destroyed d;
    if cleared > 0 or keys <> '{}' then
        insert into snackbase.subject_erasures (account_id, subject, records, key_ids) values (in_account, in_subject, cleared, keys);
    end if;
    return keys;
end
$$;

-- Erases what is known of a subject: the erasable values of its live records become null, by updates that are audited and signed
-- like any other, and its key is destroyed. Runs as the caller, a superadmin, or a superuser in psql. Twice is as good as once.
create function snackbase.subject_erase(account_id uuid, subject text) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    -- Users and records are uuids, whatever the letters; everybody else who writes is a name of just these letters, such as a login role's.
    wanted_id constant uuid := case when trim(subject) ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then trim(subject)::uuid end;
    wanted constant text := coalesce(wanted_id::text, subject);
    item record;
    affected bigint;
    cleared bigint := 0;
    collections json[] := '{}';
    keys uuid[];
begin
    if not snackbase.is_superadmin() and not (select r.rolsuper from pg_roles r where r.rolname = session_user) then
        raise exception 'Superadmin access required' using errcode = '42501';
    end if;
    if account_id is null or coalesce(trim(subject), '') = '' then
        raise exception 'account_id and subject are needed' using errcode = '22023';
    end if;
    perform snackbase._subject_hold(account_id, wanted);
    for item in
        select c.name, 'col_' || lower(c.name) as relation,
               string_agg(format('%I = null', f.value ->> 'name'), ', ' order by f.ordinality) as assignments,
               string_agg(format('t.%I is not null', f.value ->> 'name'), ' or ' order by f.ordinality) as filled,
               case coalesce(c.options ->> 'subject', 'id')
                   when 'id' then 't.id = $2'
                   when 'created_by' then 't.created_by = $3'
                   else format('(t.%1$I = $2 or t.%1$I is null and t.id = $2)', c.options ->> 'subject') end as belongs
          from snackbase.collections c
         cross join lateral json_array_elements(c.schema) with ordinality f
         where f.value -> 'options' ->> 'erasable' = 'true'
         group by c.id
         order by c.name
    loop
        execute format('update snackbase.%I t set %s where t.account_id = $1 and %s and (%s)',
                item.relation, item.assignments, item.belongs, item.filled)
          using account_id, wanted_id, wanted;
        get diagnostics affected = row_count;
        if affected > 0 then
            cleared := cleared + affected;
            collections := collections || json_build_object('collection', item.name, 'records', affected);
        end if;
    end loop;
    keys := snackbase._subject_key_destroy(account_id, wanted, cleared);
    return json_build_object('account_id', account_id, 'subject', wanted, 'records', cleared,
        'collections', array_to_json(collections), 'keys_destroyed', cardinality(keys));
end
$$;

do $$
begin
    perform snackbase._audit_attach('snackbase.subject_erasures', 'id');
end
$$;

-- The registry of write masks, as the recorder reads it (src/audit/treatment.rs): what the trail keeps of the columns that are not
-- kept as they are. `origin` says whether somebody chose it or the column's name did.
create view snackbase.audit_masks with (security_invoker = true) as
select c.relname::text as table_name, a.attname::text as column_name, m.mask, m.origin
  from pg_catalog.pg_trigger g
  join pg_catalog.pg_class c on c.oid = g.tgrelid and c.relnamespace = 'snackbase'::regnamespace
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
 cross join lateral (select string_to_array(rtrim(encode(g.tgargs, 'escape'), '\000'), '\000') as list) t
 cross join lateral (
       select snackbase._audit_treatment(a.attname::text, t.list[2:]) as mask,
              case when exists (select from unnest(t.list[2:]) x where x = a.attname or starts_with(x, a.attname || '='))
                   then 'chosen' else 'name' end as origin) m
 where g.tgname = 'audit_insert' and m.mask <> 'none';
