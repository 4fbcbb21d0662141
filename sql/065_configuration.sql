-- Configuration of providers in two levels: rows of the system account are everybody's defaults, an account's own rows
-- override them. contract identity.md §4.10 and §5.6. Secrets are stored apart, as the gateway encrypted them: this database
-- never has the key. Values are checked against JSON Schemas by the gateway, too.

create table snackbase.configurations (
    id uuid not null default gen_random_uuid(),
    account_id uuid not null references snackbase.accounts (id) on delete cascade,
    category text not null constraint configurations_category_check check (category ~ '^[a-z][a-z0-9_]{0,49}$'),
    provider_name text not null constraint configurations_provider_name_check check (provider_name ~ '^[a-z][a-z0-9_-]{0,99}$'),
    display_name text not null constraint configurations_display_name_check check (char_length(display_name) between 1 and 255),
    logo_url text constraint configurations_logo_url_check check (char_length(logo_url) <= 500),
    -- for providers that are not built in
    config_schema jsonb constraint configurations_config_schema_check check (octet_length(config_schema::text) <= 65536),
    -- values that are no secrets
    config jsonb not null default '{}'
        constraint configurations_config_check check (jsonb_typeof(config) = 'object' and octet_length(config::text) <= 65536),
    -- name -> {"key": id of the key, "value": base64 of nonce and ciphertext}
    secrets jsonb not null default '{}'
        constraint configurations_secrets_check check (jsonb_typeof(secrets) = 'object' and octet_length(secrets::text) <= 131072),
    enabled boolean not null default true,
    is_builtin boolean not null default false,
    is_default boolean not null default false,
    priority int not null default 0,
    -- counts the changes of values, so that two people who change them at the same time notice each other
    revision int not null default 1,
    -- the same instant in a row that nobody has changed, also in one that is made while a dump is replayed
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (id, account_id),
    constraint configurations_key unique (account_id, category, provider_name),
    constraint configurations_default_check check (enabled or not is_default)
);
create unique index configurations_default_key on snackbase.configurations (account_id, category) where is_default;

-- As with templates: a dump holds the built-in rows that somebody has changed.
create function snackbase._configuration_restore() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from snackbase.configurations c where c.id = new.id and c.account_id = new.account_id;
    return new;
end
$$;

-- Tells every gateway to forget what it knows of an account; of the system account: of everybody. At commit, and whoever
-- made the change. Changes are rare, so the lock that NOTIFY takes does not matter here.
create function snackbase._configuration_notify() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_notify('snackbase_configuration', (case tg_op when 'DELETE' then old else new end).account_id::text);
    return null;
end
$$;

create trigger a_restore before insert on snackbase.configurations
    for each row when (snackbase._restoring()) execute function snackbase._configuration_restore();
create trigger z_touch before insert or update on snackbase.configurations
    for each row execute function snackbase._touch();
create trigger zz_notify after insert or update or delete on snackbase.configurations
    for each row execute function snackbase._configuration_notify();

insert into snackbase.configurations (id, account_id, category, provider_name, display_name, logo_url, config, is_builtin, is_default)
values ('00000000-0000-4000-8000-000000000101', '00000000-0000-0000-0000-000000000000', 'auth_providers', 'email_password',
        'Email and Password', '/assets/providers/email_password.svg', '{}', true, false),
       ('00000000-0000-4000-8000-000000000102', '00000000-0000-0000-0000-000000000000', 'system_settings', 'system',
        'System Settings', '/assets/providers/system.svg', '{"app_name": "SnackBase", "app_url": "http://localhost:8000"}', true, false),
       ('00000000-0000-4000-8000-000000000103', '00000000-0000-0000-0000-000000000000', 'storage_providers', 'local',
        'Local Storage', '/assets/providers/local.svg', '{}', true, true);

-- Values that providers have in common.
create function snackbase._oauth_properties(scopes jsonb) returns jsonb
language sql immutable parallel safe
return '{"client_id": {"type": "string", "title": "Client", "minLength": 1, "maxLength": 500},
         "client_secret": {"type": "string", "title": "Secret", "minLength": 1, "maxLength": 8192, "format": "password", "writeOnly": true, "secret": true},
         "redirect_uri": {"type": "string", "title": "Address to come back to", "format": "uri", "maxLength": 500}}'::jsonb
    || jsonb_build_object('scopes', jsonb_build_object('type', 'array', 'title', 'Scopes', 'items', '{"type": "string", "maxLength": 200}'::jsonb,
                                                       'maxItems', 50, 'default', scopes));

create function snackbase._saml_properties() returns jsonb
language sql immutable parallel safe
return '{"idp_entity_id": {"type": "string", "title": "Identity provider", "minLength": 1, "maxLength": 1024},
         "idp_sso_url": {"type": "string", "title": "Address for logins", "format": "uri", "maxLength": 1024},
         "idp_x509_cert": {"type": "string", "title": "Certificate", "minLength": 1, "maxLength": 16384},
         "sp_entity_id": {"type": "string", "title": "This service", "minLength": 1, "maxLength": 1024},
         "assertion_consumer_url": {"type": "string", "title": "Address to come back to", "format": "uri", "maxLength": 1024}}'::jsonb;

-- What providers there are and what their values look like. `secret: true` marks what is stored encrypted.
create function snackbase._configuration_definitions()
returns table (place int, category text, provider_name text, display_name text, schema jsonb)
language sql immutable parallel safe
begin atomic
    select d.place, d.category, d.provider_name, d.display_name,
           '{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": false}'::jsonb
               || jsonb_build_object('title', d.display_name, 'properties', d.properties, 'required', d.required)
      from (values
        (1, 'auth_providers', 'email_password', 'Email and Password', '{}'::jsonb, '[]'::jsonb),
        (2, 'auth_providers', 'google', 'Google', snackbase._oauth_properties('["openid", "email", "profile"]'),
            '["client_id", "client_secret", "scopes", "redirect_uri"]'),
        (3, 'auth_providers', 'github', 'GitHub', snackbase._oauth_properties('["user:email"]'),
            '["client_id", "client_secret", "scopes", "redirect_uri"]'),
        (4, 'auth_providers', 'microsoft', 'Microsoft', snackbase._oauth_properties('["openid", "email", "profile", "User.Read"]')
            || '{"tenant_id": {"type": "string", "title": "Tenant", "default": "common", "pattern": "^[A-Za-z0-9.-]{1,100}$"}}',
            '["client_id", "client_secret", "scopes", "redirect_uri"]'),
        (5, 'auth_providers', 'apple', 'Apple', snackbase._oauth_properties('["name", "email"]')
            || '{"team_id": {"type": "string", "title": "Team", "minLength": 1, "maxLength": 100},
                 "key_id": {"type": "string", "title": "Key", "minLength": 1, "maxLength": 100}}',
            '["client_id", "client_secret", "redirect_uri", "team_id", "key_id"]'),
        (6, 'saml_providers', 'okta', 'Okta', snackbase._saml_properties(),
            '["idp_entity_id", "idp_sso_url", "idp_x509_cert", "sp_entity_id", "assertion_consumer_url"]'),
        (7, 'saml_providers', 'azure_ad', 'Azure AD', snackbase._saml_properties(),
            '["idp_entity_id", "idp_sso_url", "idp_x509_cert", "sp_entity_id", "assertion_consumer_url"]'),
        (8, 'saml_providers', 'generic_saml', 'SAML 2.0', snackbase._saml_properties()
            || '{"binding": {"type": "string", "title": "Binding", "maxLength": 200},
                 "name_id_format": {"type": "string", "title": "Format of the name", "maxLength": 200,
                                    "default": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"}}',
            '["idp_entity_id", "idp_sso_url", "idp_x509_cert", "sp_entity_id", "assertion_consumer_url"]'),
        (9, 'email_providers', 'smtp', 'SMTP Server',
            '{"host": {"type": "string", "title": "Host", "minLength": 1, "maxLength": 253},
              "port": {"type": "integer", "title": "Port", "minimum": 1, "maximum": 65535, "default": 587},
              "username": {"type": "string", "title": "User name", "maxLength": 320},
              "password": {"type": "string", "title": "Password", "maxLength": 1024, "format": "password", "writeOnly": true, "secret": true},
              "from_email": {"type": "string", "title": "Sender", "format": "email", "maxLength": 254},
              "use_tls": {"type": "boolean", "title": "STARTTLS", "default": true},
              "use_ssl": {"type": "boolean", "title": "TLS from the start", "default": false},
              "from_name": {"type": "string", "title": "Name of the sender", "maxLength": 200, "default": "SnackBase"},
              "reply_to": {"type": "string", "title": "Answers go to", "format": "email", "maxLength": 254}}',
            '["host", "port", "username", "password", "from_email"]'),
        (10, 'email_providers', 'aws_ses', 'AWS SES',
            '{"region": {"type": "string", "title": "Region", "pattern": "^[a-z]{2}(-[a-z]+)+-[0-9]$", "default": "us-east-1"},
              "access_key_id": {"type": "string", "title": "Access key", "minLength": 1, "maxLength": 200},
              "secret_access_key": {"type": "string", "title": "Secret key", "minLength": 1, "maxLength": 200, "format": "password", "writeOnly": true, "secret": true},
              "from_email": {"type": "string", "title": "Sender", "format": "email", "maxLength": 254},
              "from_name": {"type": "string", "title": "Name of the sender", "maxLength": 200, "default": "SnackBase"},
              "reply_to": {"type": "string", "title": "Answers go to", "format": "email", "maxLength": 254},
              "endpoint_url": {"type": "string", "title": "Another endpoint", "format": "uri", "maxLength": 500}}',
            '["region", "access_key_id", "secret_access_key", "from_email"]'),
        (11, 'email_providers', 'resend', 'Resend',
            '{"api_key": {"type": "string", "title": "API key", "minLength": 1, "maxLength": 200, "format": "password", "writeOnly": true, "secret": true},
              "from_email": {"type": "string", "title": "Sender", "format": "email", "maxLength": 254},
              "from_name": {"type": "string", "title": "Name of the sender", "maxLength": 200, "default": "SnackBase"},
              "reply_to": {"type": "string", "title": "Answers go to", "format": "email", "maxLength": 254},
              "endpoint_url": {"type": "string", "title": "Another endpoint", "format": "uri", "maxLength": 500}}',
            '["api_key", "from_email"]'),
        (12, 'system_settings', 'system', 'System Settings',
            '{"app_name": {"type": "string", "title": "Name", "minLength": 1, "maxLength": 200, "default": "SnackBase"},
              "app_url": {"type": "string", "title": "Address", "format": "uri", "maxLength": 500, "pattern": "^https?://"},
              "support_email": {"type": "string", "title": "Address for questions", "format": "email", "maxLength": 254}}',
            '["app_name", "app_url"]'),
        (13, 'storage_providers', 'local', 'Local Storage', '{}', '[]'),
        (14, 'storage_providers', 's3', 'Amazon S3',
            '{"bucket": {"type": "string", "title": "Bucket", "minLength": 3, "maxLength": 63},
              "region": {"type": "string", "title": "Region", "pattern": "^[a-z0-9-]{2,50}$"},
              "access_key_id": {"type": "string", "title": "Access key", "minLength": 1, "maxLength": 200},
              "secret_access_key": {"type": "string", "title": "Secret key", "minLength": 1, "maxLength": 200, "format": "password", "writeOnly": true, "secret": true},
              "endpoint_url": {"type": "string", "title": "Another endpoint", "format": "uri", "maxLength": 500}}',
            '["bucket", "region", "access_key_id", "secret_access_key"]')
      ) as d(place, category, provider_name, display_name, properties, required);
end;

create function snackbase._configuration_logo(provider_name text) returns text
language sql immutable parallel safe
return '/assets/providers/' || provider_name || '.svg';

-- The schema of a provider: its definition's, else the given one.
create function snackbase._configuration_schema(wanted_category text, wanted_provider text, given jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
return coalesce((select d.schema from snackbase._configuration_definitions() d
                  where d.category = wanted_category and d.provider_name = wanted_provider), given);

create function snackbase._configuration_defaults(schema jsonb) returns jsonb
language sql immutable parallel safe
return (
    select coalesce(jsonb_object_agg(p.key, p.value -> 'default'), '{}')
      from jsonb_each(case jsonb_typeof(schema -> 'properties') when 'object' then schema -> 'properties' else '{}' end) p
     where p.value ? 'default' and not coalesce(p.value -> 'secret' = 'true', false)
);

-- Where a secret would be sent to, or how openly. Whoever changes one of these does not get the system's secret along.
create function snackbase._configuration_is_destination(name text) returns boolean
language sql immutable parallel safe
return name in ('host', 'port', 'region', 'endpoint_url', 'client_id', 'access_key_id', 'bucket', 'use_tls', 'use_ssl') or name like 'idp\_%';

-- What counts for an account in a category, in the order of choice: the account's own rows, then the system's; the default
-- first, then the lowest priority. Missing values come from the system's row and from the schema; a row that the account has
-- switched off takes the provider out. `secrets`: name -> {"row": id of the row it belongs to, "key", "value"}.
create function snackbase._configuration_candidates(wanted_account uuid, wanted_category text)
returns table (place bigint, provider_name text, display_name text, own boolean, config jsonb, secrets jsonb)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select row_number() over (order by a.id is null, coalesce(a.is_default, s.is_default) desc, coalesce(a.priority, s.priority),
                                       coalesce(a.provider_name, s.provider_name)),
           coalesce(a.provider_name, s.provider_name), coalesce(a.display_name, s.display_name), a.id is not null,
           snackbase._configuration_defaults(snackbase._configuration_schema(wanted_category, coalesce(a.provider_name, s.provider_name),
                                                                              coalesce(a.config_schema, s.config_schema)))
               || coalesce(s.config, '{}') || coalesce(a.config, '{}'),
           (select coalesce(jsonb_object_agg(x.key, x.value || jsonb_build_object('row', x.id)), '{}')
              from (select e.key, e.value, s.id
                      from jsonb_each(s.secrets) e
                     where not coalesce(a.secrets ? e.key or a.config ? e.key, false)
                       and not exists (select from jsonb_each(a.config) o
                                        where snackbase._configuration_is_destination(o.key) and o.value is distinct from s.config -> o.key)
                    union all
                    select e.key, e.value, a.id from jsonb_each(a.secrets) e) x)
      from (select c.* from snackbase.configurations c
             where c.account_id = wanted_account and c.category = wanted_category
               and wanted_account <> '00000000-0000-0000-0000-000000000000') a
      full join (select c.* from snackbase.configurations c
                  where c.account_id = '00000000-0000-0000-0000-000000000000' and c.category = wanted_category and c.enabled) s
        on s.provider_name = a.provider_name
     where coalesce(a.enabled, true);
end;

-- The same for a gateway, which calls this after enter(…, 'auth').
create function snackbase.configuration_candidates(account uuid, category text) returns json
language sql stable security definer
set search_path = pg_catalog, pg_temp
return (
    select coalesce(json_agg(json_build_object('provider_name', c.provider_name, 'own', c.own, 'config', c.config, 'secrets', c.secrets)
                             order by c.place), '[]')
      from snackbase._configuration_candidates(account, configuration_candidates.category) c
);

-- The values that count for an account, secrets masked; NULL when the provider is not configured or switched off. Without
-- `category` the provider's name must be of one category only (22023). For superadmins, and for administrators of the database.
create function snackbase.get_config(account_id uuid, provider_name text, category text default null) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    categories text[];
begin
    if not snackbase.is_superadmin() and not (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = session_user) then
        raise exception 'Superadmin access required' using errcode = '42501';
    end if;
    categories := case when get_config.category is not null then array[get_config.category] else array(
        select d.category from snackbase._configuration_definitions() d where d.provider_name = get_config.provider_name
        union
        select c.category from snackbase.configurations c where c.provider_name = get_config.provider_name
           and c.account_id in (get_config.account_id, '00000000-0000-0000-0000-000000000000')) end;
    if cardinality(categories) > 1 then
        raise exception 'provider % is in several categories: %', get_config.provider_name, array_to_string(categories, ', ') using errcode = '22023';
    end if;
    return (
        select c.config || (select coalesce(jsonb_object_agg(k, '••••••••'), '{}') from jsonb_object_keys(c.secrets) k)
          from snackbase._configuration_candidates(get_config.account_id, categories[1]) c
         where c.provider_name = get_config.provider_name
    );
end
$$;

-- What a superadmin does; runs as the caller (role snackbase_superadmin).

create function snackbase.configuration_stats() returns json
language sql stable
set search_path = pg_catalog, pg_temp
return (
    select json_build_object(
        'system_configs', json_build_object('total', coalesce(sum(n) filter (where system), 0),
                                            'by_category', coalesce(json_object_agg(category, n) filter (where system), '{}')),
        'account_configs', json_build_object('total', coalesce(sum(n) filter (where not system), 0),
                                             'by_category', coalesce(json_object_agg(category, n) filter (where not system), '{}')))
      from (select c.account_id = '00000000-0000-0000-0000-000000000000' as system, c.category, count(*) as n
              from snackbase.configurations c
             where c.enabled
             group by 1, 2
             order by 2) x
);

create function snackbase.configuration_recent(size bigint) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return (
    select coalesce(json_agg(json_build_object('id', c.id, 'display_name', c.display_name, 'provider_name', c.provider_name,
               'category', c.category, 'updated_at', snackbase.rfc3339(c.updated_at),
               'is_system', c.account_id = '00000000-0000-0000-0000-000000000000', 'account_id', c.account_id,
               'logo_url', c.logo_url, 'enabled', c.enabled) order by c.updated_at desc, c.id), '[]')
      from (select * from snackbase.configurations c order by c.updated_at desc, c.id limit least(greatest(coalesce(size, 5), 1), 100)) c
);

-- A row that the caller sees; P0002 when there is none.
create function snackbase._configuration_row(id uuid) returns snackbase.configurations
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_row snackbase.configurations;
begin
    select * into found_row from snackbase.configurations c where c.id = _configuration_row.id;
    if not found then
        raise exception 'Configuration not found' using errcode = 'P0002';
    end if;
    return found_row;
end
$$;

-- Rows of one account, by priority, then the newest first; `account` NULL: the system's.
create function snackbase.configuration_list(account text, category text) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted constant snackbase.accounts := snackbase._account_row(coalesce(account, '00000000-0000-0000-0000-000000000000'));
begin
    return (
        select coalesce(json_agg(json_build_object('id', c.id, 'display_name', c.display_name, 'provider_name', c.provider_name,
                   'category', c.category, 'enabled', c.enabled, 'is_builtin', c.is_builtin, 'is_default', c.is_default,
                   'priority', c.priority, 'updated_at', snackbase.rfc3339(c.updated_at), 'logo_url', c.logo_url, 'account_id', c.account_id)
                   order by c.priority, c.updated_at desc, c.id), '[]')
          from snackbase.configurations c
         where c.account_id = wanted.id and (configuration_list.category is null or c.category = configuration_list.category)
    );
end
$$;

create function snackbase.configuration_providers(category text) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return (
    select coalesce(json_agg(json_build_object('category', d.category, 'provider_name', d.provider_name, 'display_name', d.display_name,
               'logo_url', snackbase._configuration_logo(d.provider_name), 'is_builtin', true) order by d.place), '[]')
      from snackbase._configuration_definitions() d
     where configuration_providers.category is null or d.category = configuration_providers.category
);

create function snackbase.configuration_schema(category text, provider text) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_schema jsonb := snackbase._configuration_schema(configuration_schema.category, provider,
        (select c.config_schema from snackbase.configurations c
          where c.category = configuration_schema.category and c.provider_name = provider and c.config_schema is not null
          order by c.account_id limit 1));
begin
    if found_schema is null then
        raise exception 'Provider not found' using errcode = 'P0002';
    end if;
    return found_schema;
end
$$;

-- What the gateway needs to check and encrypt values: of a row that exists (`row`), or of one that is to be made.
-- {row_id, account_id, category, provider_name, revision, schema, config, secrets, destinations, inherited}: `inherited` are the values that the
-- row's own ones are laid over. Nulls where there is nothing.
create function snackbase.configuration_draft(wanted_row uuid, account text, category text, provider text, given_schema json) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    seen snackbase.configurations;
    schema jsonb;
begin
    if wanted_row is not null then
        seen := snackbase._configuration_row(wanted_row);
    else
        seen.account_id := (snackbase._account_row(coalesce(account, '00000000-0000-0000-0000-000000000000'))).id;
        seen.category := configuration_draft.category;
        seen.provider_name := provider;
        seen.config_schema := given_schema::jsonb;
        if seen.category = 'backup_settings' and seen.account_id <> '00000000-0000-0000-0000-000000000000' then
            raise exception 'Backups are configured at system level only' using errcode = '22023';
        end if;
    end if;
    schema := snackbase._configuration_schema(seen.category, seen.provider_name, seen.config_schema);
    return json_build_object('row_id', seen.id, 'account_id', seen.account_id, 'category', seen.category, 'provider_name', seen.provider_name,
        'revision', seen.revision, 'schema', schema, 'config', coalesce(seen.config, '{}'), 'secrets', coalesce(seen.secrets, '{}'),
        -- the system's value of each name that says where a secret goes
        'destinations', (
            select coalesce(jsonb_object_agg(p.key, s.config -> p.key), '{}')
              from jsonb_object_keys(case jsonb_typeof(schema -> 'properties') when 'object' then schema -> 'properties' else '{}' end) p(key)
              left join snackbase.configurations s
                on s.account_id = '00000000-0000-0000-0000-000000000000' and s.account_id <> seen.account_id and s.enabled
               and s.category = seen.category and s.provider_name = seen.provider_name
             where snackbase._configuration_is_destination(p.key)),
        'inherited', snackbase._configuration_defaults(schema) || coalesce((
            select s.config || (select coalesce(jsonb_object_agg(k, '••••••••'), '{}') from jsonb_object_keys(s.secrets) k)
              from snackbase.configurations s
             where s.account_id = '00000000-0000-0000-0000-000000000000' and s.account_id <> seen.account_id and s.enabled
               and s.category = seen.category and s.provider_name = seen.provider_name), '{}'));
end
$$;

-- `body`: id, account_id, category, provider_name, display_name, logo_url, enabled, priority, config_schema, config (no secrets),
-- secrets (encrypted, bound to id).
create function snackbase.configuration_create(body json) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    violated text;
begin
    insert into snackbase.configurations (id, account_id, category, provider_name, display_name, logo_url, config_schema, config, secrets,
                                          enabled, priority)
         values ((body ->> 'id')::uuid, (body ->> 'account_id')::uuid, body ->> 'category', body ->> 'provider_name', body ->> 'display_name',
                 coalesce(body ->> 'logo_url', (select snackbase._configuration_logo(d.provider_name) from snackbase._configuration_definitions() d
                                                 where d.category = body ->> 'category' and d.provider_name = body ->> 'provider_name')),
                 nullif((body -> 'config_schema')::jsonb, 'null'), (body -> 'config')::jsonb, (body -> 'secrets')::jsonb,
                 coalesce((body ->> 'enabled')::boolean, true), coalesce((body ->> 'priority')::int, 0));
    return json_build_object('id', body ->> 'id', 'status', 'success');
exception
    when unique_violation then
        perform snackbase._taken('provider_name', 'This provider is configured already');
    when foreign_key_violation then
        raise exception 'Account not found' using errcode = 'P0002';
    when check_violation then
        get stacked diagnostics violated = constraint_name;
        violated := regexp_replace(violated, '^configurations_(.*)_check$', '\1');
        raise exception 'Validation error' using errcode = '22P02',
            detail = json_build_array(json_build_object('field', violated, 'code', 'value_error',
                'message', format('This is too long, or no %s', replace(violated, '_', ' '))))::text;
end
$$;

create function snackbase.configuration_enable(configuration uuid, wanted boolean) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    changed snackbase.configurations;
begin
    update snackbase.configurations c
       set enabled = wanted, is_default = c.is_default and wanted
     where c.id = configuration
    returning * into changed;
    if not found then
        raise exception 'Configuration not found' using errcode = 'P0002';
    end if;
    return json_build_object('status', 'success', 'enabled', changed.enabled, 'is_default', changed.is_default);
end
$$;

-- The row's own values, secrets masked.
create function snackbase.configuration_values(configuration uuid) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    seen constant snackbase.configurations := snackbase._configuration_row(configuration);
begin
    return seen.config || (select coalesce(jsonb_object_agg(k, '••••••••'), '{}') from jsonb_object_keys(seen.secrets) k);
end
$$;

-- Replaces values that the gateway has checked and merged on top of revision `expected`. 40001 when somebody was faster.
create function snackbase.configuration_values_change(configuration uuid, expected int, new_config json, new_secrets json) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    update snackbase.configurations c
       set config = new_config::jsonb, secrets = new_secrets::jsonb, revision = c.revision + 1
     where c.id = configuration and c.revision = expected;
    if not found then
        perform snackbase.configuration_values(configuration);
        raise exception 'the values were changed meanwhile' using errcode = '40001';
    end if;
    return json_build_object('status', 'success') ;
exception when check_violation then
    raise exception 'The values are too large' using errcode = '22023';
end
$$;

create function snackbase.configuration_default_set(configuration uuid) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted snackbase.configurations := snackbase._configuration_row(configuration);
begin
    -- all rows of the category, in one order: two switches at the same time come one after the other
    perform from snackbase.configurations c where c.account_id = wanted.account_id and c.category = wanted.category order by c.id for update;
    wanted := snackbase._configuration_row(configuration);
    if not wanted.enabled then
        raise exception 'A disabled configuration cannot be the default' using errcode = '22023';
    end if;
    update snackbase.configurations c set is_default = false
     where c.account_id = wanted.account_id and c.category = wanted.category and c.is_default and c.id <> configuration;
    update snackbase.configurations c set is_default = true where c.id = configuration and not c.is_default;
    return json_build_object('status', 'success', 'is_default', true, 'provider_name', wanted.provider_name, 'display_name', wanted.display_name);
end
$$;

create function snackbase.configuration_default_unset(configuration uuid) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    update snackbase.configurations c set is_default = false where c.id = configuration;
    if not found then
        raise exception 'Configuration not found' using errcode = 'P0002';
    end if;
    return json_build_object('status', 'success', 'is_default', false);
end
$$;

create function snackbase.configuration_drop(configuration uuid) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seen snackbase.configurations;
begin
    select * into seen from snackbase.configurations c where c.id = configuration for update;
    if not found then
        raise exception 'Configuration not found' using errcode = 'P0002';
    elsif seen.is_builtin then
        raise exception 'A built-in configuration cannot be deleted; switch it off instead' using errcode = '22023';
    end if;
    delete from snackbase.configurations c where c.id = configuration;
    return json_build_object('status', 'success', 'success', true);
end
$$;

-- Built-in rows stay, whoever asks: their ids are known.
create function snackbase._configuration_guard() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if old.is_builtin and not snackbase._restoring() then
        raise exception 'A built-in configuration cannot be deleted; switch it off instead' using errcode = '22023';
    end if;
    return old;
end
$$;
create trigger a_guard before delete on snackbase.configurations
    for each row execute function snackbase._configuration_guard();

-- For the command that encrypts secrets again with a new key; after enter(…, 'auth').
create function snackbase.configuration_secrets() returns json
language sql stable security definer
set search_path = pg_catalog, pg_temp
return (
    select coalesce(json_agg(json_build_object('row_id', c.id, 'revision', c.revision, 'config', c.config, 'secrets', c.secrets) order by c.id), '[]')
      from snackbase.configurations c
     where c.secrets <> '{}'
);

-- Replaces the secrets of a row by the same, encrypted differently. False when the row was changed meanwhile.
create function snackbase.configuration_secrets_change(configuration uuid, expected int, new_secrets json) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update snackbase.configurations c
       set secrets = new_secrets::jsonb, revision = c.revision + 1
     where c.id = configuration and c.revision = expected
       and (select array_agg(k order by k) from jsonb_object_keys(c.secrets) k) = (select array_agg(k order by k) from jsonb_object_keys(new_secrets::jsonb) k);
    return found;
end
$$;
