-- Mail: the texts it is made from, and the queue of what waits to be sent, which is also the log of what became of it.
-- contract identity.md §4.11 and §5.5. Whoever wants a mail sent calls _mail_enqueue() in its own transaction; a worker of
-- a gateway takes it from there.

create table snackbase.email_templates (
    id uuid not null default gen_random_uuid(),
    -- the system account holds the texts of everybody who has none of its own
    account_id uuid not null references snackbase.accounts (id) on delete cascade,
    template_type text not null constraint email_templates_template_type_check check (template_type ~ '^[a-z][a-z0-9_]{0,49}$'),
    locale text not null default 'en'
        constraint email_templates_locale_check check (char_length(locale) <= 10 and locale ~ '^[a-z]{2,3}([-_][A-Za-z0-9]{2,6})?$'),
    subject text not null constraint email_templates_subject_check check (char_length(subject) between 1 and 255),
    html_body text not null constraint email_templates_html_body_check check (octet_length(html_body) between 1 and 65536),
    text_body text not null constraint email_templates_text_body_check check (octet_length(text_body) between 1 and 65536),
    enabled boolean not null default true,
    is_builtin boolean not null default false,
    -- the same instant in a row that nobody has changed, also in one that is made while a dump is replayed
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (id, account_id),
    constraint email_templates_key unique (account_id, template_type, locale)
);

create table snackbase.mail_outbox (
    id bigint not null generated always as identity,
    account_id uuid not null references snackbase.accounts (id) on delete cascade,
    template_type text not null,
    locale text not null default 'en',
    recipient text not null
        constraint mail_outbox_recipient_check check (octet_length(recipient) <= 254 and recipient ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+$'),
    -- what the text is made of. Tokens are in it: it is erased as soon as the mail is sent or given up.
    variables jsonb constraint mail_outbox_variables_check check (octet_length(variables::text) <= 16384),
    -- the same for people to read: whatever opens a door is masked
    shown_variables jsonb not null,
    status text not null default 'pending' constraint mail_outbox_status_check check (status in ('pending', 'sent', 'failed')),
    -- counted when a worker takes the mail, so that one that ends its worker is not taken for ever
    attempts int not null default 0,
    -- a pending mail is taken from this moment on; while a worker has it, this is when the worker counts as lost
    due_at timestamptz not null default now(),
    -- smtp, aws_ses or resend, of the last attempt
    provider text,
    error_message text constraint mail_outbox_error_message_check check (char_length(error_message) <= 1000),
    created_at timestamptz not null default clock_timestamp(),
    attempted_at timestamptz,
    finished_at timestamptz,
    primary key (id, account_id),
    constraint mail_outbox_erased_check check (status = 'pending' or variables is null)
);
create index mail_outbox_due_idx on snackbase.mail_outbox (due_at) where status = 'pending';
create index mail_outbox_created_idx on snackbase.mail_outbox (created_at, id);
-- how many mails somebody was sent lately
create index mail_outbox_recipient_idx on snackbase.mail_outbox (account_id, lower(recipient), template_type, created_at);

-- A dump holds the built-in texts that somebody has changed; they take the place of those that CREATE EXTENSION made.
create function snackbase._email_template_restore() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from snackbase.email_templates t where t.id = new.id and t.account_id = new.account_id;
    return new;
end
$$;

create trigger a_restore before insert on snackbase.email_templates
    for each row when (snackbase._restoring()) execute function snackbase._email_template_restore();
create trigger z_touch before insert or update on snackbase.email_templates
    for each row execute function snackbase._touch();

-- Older clients have other names for two of the texts.
create function snackbase._email_template_type(name text) returns text
language sql immutable parallel safe
return case name when 'verification' then 'email_verification' when 'reset_password' then 'password_reset' else name end;

-- Variables as a log may show them: a token, or an address that holds one, opens a door.
create function snackbase._mail_shown(variables jsonb) returns jsonb
language sql immutable parallel safe
return (
    select coalesce(jsonb_object_agg(v.key, case
               when v.key ~* '(token|code|secret|password|_key|_url|link)$' and v.key not in ('app_url') then to_jsonb('***'::text)
               else v.value end), '{}')
      from jsonb_each(variables) v
);

-- Queues a mail in the running transaction: it is sent if and only if that commits, and some time after it.
-- `variables`: an object of scalars for the text (contract §5.5). Errors: 22023 for anything else, 23514 for an address that
-- is none. Answers the id, which is its entry in the log.
create function snackbase._mail_enqueue(account_id uuid, template_type text, recipient text, variables jsonb, locale text default 'en')
returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    queued bigint;
begin
    if jsonb_typeof(variables) is distinct from 'object'
       or exists (select from jsonb_each(variables) v where jsonb_typeof(v.value) in ('object', 'array')) then
        raise exception 'variables is an object of texts, numbers and booleans' using errcode = '22023';
    end if;
    insert into snackbase.mail_outbox (account_id, template_type, locale, recipient, variables, shown_variables)
         values (_mail_enqueue.account_id, snackbase._email_template_type(_mail_enqueue.template_type), coalesce(_mail_enqueue.locale, 'en'),
                 trim(_mail_enqueue.recipient), _mail_enqueue.variables, snackbase._mail_shown(_mail_enqueue.variables))
      returning id into queued;
    return queued;
end
$$;

-- The text for an account: its own, else the system's; in the wanted language, else in English. NULL when there is none, or
-- the one that counts is switched off.
create function snackbase._email_template_find(wanted_account uuid, wanted_type text, wanted_locale text) returns snackbase.email_templates
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select t.*
      from snackbase.email_templates t
     where t.account_id in (wanted_account, '00000000-0000-0000-0000-000000000000') and t.enabled
       and t.template_type = snackbase._email_template_type(wanted_type) and t.locale in (wanted_locale, 'en')
     order by t.locale = wanted_locale desc, t.account_id = wanted_account desc
     limit 1;
end;

-- What a worker does; the gateway calls these after enter(…, 'auth').

-- Takes up to `size` mails that are due, for `lease_seconds`: who does not report until then counts as lost, and another
-- worker takes the mail again. So a mail can be sent twice, and never not at all; its id goes along as the Message-ID, by which
-- mail programs and providers recognise the second one. A mail that was taken `max_attempts` times is given up.
create function snackbase.mail_claim(size int, lease_seconds int, max_attempts int) returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    claimed json;
begin
    with due as (
        select m.id, m.account_id
          from snackbase.mail_outbox m
         where m.status = 'pending' and m.due_at <= statement_timestamp()
         order by m.due_at
         limit size
           for update skip locked
    ), given_up as (
        update snackbase.mail_outbox m
           set status = 'failed', variables = null, finished_at = clock_timestamp(),
               error_message = coalesce(m.error_message, 'Given up: no worker lived to report')
          from due d
         where m.id = d.id and m.account_id = d.account_id and m.attempts >= max_attempts
    ), taken as (
        update snackbase.mail_outbox m
           set attempts = m.attempts + 1, attempted_at = clock_timestamp(),
               due_at = clock_timestamp() + make_interval(secs => lease_seconds)
          from due d
         where m.id = d.id and m.account_id = d.account_id and m.attempts < max_attempts
     returning m.*
    )
    select coalesce(json_agg(json_build_object('id', t.id, 'account_id', t.account_id, 'template_type', t.template_type,
               'recipient', t.recipient, 'variables', t.variables, 'attempt', t.attempts,
               'template', (select json_build_object('subject', e.subject, 'html_body', e.html_body, 'text_body', e.text_body)
                              from snackbase._email_template_find(t.account_id, t.template_type, t.locale) e
                             where e.id is not null))
               order by t.due_at, t.id), '[]')
      into claimed
      from taken t;
    return claimed;
end
$$;

-- Reports what became of attempt number `attempt`. `outcome`: sent, failed (for good), or retry after `retry_seconds`. False
-- when the mail is no longer the reporting worker's: its lease ended, and another one took it.
create function snackbase.mail_finish(mail bigint, attempt int, outcome text, used_provider text, reason text, retry_seconds int) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if outcome not in ('sent', 'failed', 'retry') then
        raise exception 'outcome is sent, failed or retry' using errcode = '22023';
    end if;
    update snackbase.mail_outbox m
       set status = case outcome when 'retry' then 'pending' else outcome end,
           variables = case outcome when 'retry' then m.variables end,
           provider = coalesce(used_provider, m.provider),
           error_message = left(reason, 1000),
           due_at = case outcome when 'retry' then clock_timestamp() + make_interval(secs => retry_seconds) else m.due_at end,
           finished_at = case when outcome <> 'retry' then clock_timestamp() end
     where m.id = mail and m.attempts = attempt and m.status = 'pending';
    if not found then
        return false;
    elsif outcome = 'sent' then
        update snackbase.invitations i set email_sent_at = clock_timestamp() where i.mail_id = mail and i.ended_at is null;
    end if;
    return true;
end
$$;

-- What a superadmin does; runs as the caller (role snackbase_superadmin).

create function snackbase._email_template_json(template snackbase.email_templates) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return json_build_object('id', (template).id, 'account_id', (template).account_id, 'template_type', (template).template_type,
    'locale', (template).locale, 'subject', (template).subject, 'html_body', (template).html_body, 'text_body', (template).text_body,
    'enabled', (template).enabled, 'is_builtin', (template).is_builtin,
    'created_at', snackbase.rfc3339((template).created_at), 'updated_at', snackbase.rfc3339((template).updated_at));

-- `query`: template_type, locale, account_id, enabled; all may be absent.
create function snackbase.email_template_list(query json) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return (
    select coalesce(json_agg(snackbase._email_template_json(t) order by t.account_id, t.template_type, t.locale), '[]')
      from snackbase.email_templates t
     where (query ->> 'template_type' is null or t.template_type = snackbase._email_template_type(query ->> 'template_type'))
       and (query ->> 'locale' is null or t.locale = query ->> 'locale')
       and (query ->> 'account_id' is null or t.account_id::text = lower(query ->> 'account_id'))
       and (query ->> 'enabled' is null or t.enabled = (query ->> 'enabled')::boolean)
);

create function snackbase.email_template_view(template uuid) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    seen snackbase.email_templates;
begin
    select * into seen from snackbase.email_templates t where t.id = template;
    if not found then
        raise exception 'Email template not found' using errcode = 'P0002';
    end if;
    return snackbase._email_template_json(seen);
end
$$;

-- The text that counts for an account; see _email_template_find.
create function snackbase.email_template_find(account text, template_type text, locale text) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    of_account constant snackbase.accounts := snackbase._account_row(coalesce(account, '00000000-0000-0000-0000-000000000000'));
    seen constant snackbase.email_templates := snackbase._email_template_find(
        of_account.id, email_template_find.template_type, coalesce(email_template_find.locale, 'en'));
begin
    if seen.id is null then
        raise exception 'Email template not found' using errcode = 'P0002';
    end if;
    return snackbase._email_template_json(seen);
end
$$;

-- Raises 22P02 (422 over HTTP) for a text of the wrong length and the like, in the words of the table's checks.
create function snackbase._email_template_refuse(violated text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    field text := regexp_replace(violated, '^email_templates_(.*)_check$', '\1');
begin
    raise exception 'Validation error' using errcode = '22P02',
        detail = json_build_array(json_build_object('field', field, 'code', 'value_error', 'message', case field
            when 'subject' then 'A subject has 1 to 255 characters'
            when 'template_type' then 'A type consists of lower-case letters, digits and _, and has at most 50 characters'
            when 'locale' then 'A locale is a language such as en or pt-BR'
            else 'A text has 1 to 65536 bytes' end))::text;
end
$$;

-- `changes`: subject, html_body, text_body, enabled; what is absent or null stays.
create function snackbase.email_template_change(template uuid, changes json) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    changed snackbase.email_templates;
    violated text;
begin
    update snackbase.email_templates t
       set subject = coalesce(changes ->> 'subject', t.subject),
           html_body = coalesce(changes ->> 'html_body', t.html_body),
           text_body = coalesce(changes ->> 'text_body', t.text_body),
           enabled = coalesce((changes ->> 'enabled')::boolean, t.enabled)
     where t.id = template
    returning * into changed;
    if not found then
        raise exception 'Email template not found' using errcode = 'P0002';
    end if;
    return snackbase._email_template_json(changed);
exception when check_violation then
    get stacked diagnostics violated = constraint_name;
    perform snackbase._email_template_refuse(violated);
end
$$;

-- `body`: account_id (absent: the system account), template_type, locale (en), subject, html_body, text_body, enabled (true).
create function snackbase.email_template_create(body json) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    account constant snackbase.accounts := snackbase._account_row(coalesce(body ->> 'account_id', '00000000-0000-0000-0000-000000000000'));
    created snackbase.email_templates;
    violated text;
begin
    insert into snackbase.email_templates (account_id, template_type, locale, subject, html_body, text_body, enabled)
         values (account.id, snackbase._email_template_type(body ->> 'template_type'), coalesce(body ->> 'locale', 'en'),
                 body ->> 'subject', body ->> 'html_body', body ->> 'text_body', coalesce((body ->> 'enabled')::boolean, true))
      returning * into created;
    return snackbase._email_template_json(created);
exception
    when unique_violation then
        perform snackbase._taken('template_type', 'This account has a template of this type and locale');
    when check_violation then
        get stacked diagnostics violated = constraint_name;
        perform snackbase._email_template_refuse(violated);
end
$$;

create function snackbase.email_template_drop(template uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    seen snackbase.email_templates;
begin
    select * into seen from snackbase.email_templates t where t.id = template for update;
    if not found then
        raise exception 'Email template not found' using errcode = 'P0002';
    elsif seen.is_builtin then
        raise exception 'A built-in template cannot be deleted; switch it off instead' using errcode = '22023';
    end if;
    delete from snackbase.email_templates t where t.id = template;
    return true;
end
$$;

create function snackbase._mail_log_json(mail snackbase.mail_outbox) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return json_build_object('id', (mail).id::text, 'account_id', (mail).account_id, 'template_type', (mail).template_type,
    'recipient_email', (mail).recipient, 'provider', (mail).provider, 'status', (mail).status, 'error_message', (mail).error_message,
    'variables', (mail).shown_variables, 'attempts', (mail).attempts,
    'next_attempt_at', case when (mail).status = 'pending' then snackbase.rfc3339((mail).due_at) end,
    'created_at', snackbase.rfc3339((mail).created_at),
    -- clients expect an instant there: of the last attempt, or of the request
    'sent_at', snackbase.rfc3339(coalesce((mail).finished_at, (mail).attempted_at, (mail).created_at)));

-- SECURITY DEFINER with a check of its own, because nobody but the owner may read the column `variables`.
-- `query`: status_filter, template_type, start_date, end_date, page, page_size. Newest first.
create function snackbase.mail_log_list(query json) returns json
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'  -- a date without offset is UTC
as $$
declare
    part record;
    iso constant text := '^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}(:?\d{2})?)?)?$';
    first timestamptz;
    last timestamptz;
    total bigint;
    logs json;
begin
    if not snackbase.is_superadmin() then
        raise exception 'Superadmin access required' using errcode = '42501';
    end if;
    part := snackbase._page((query ->> 'page')::bigint, (query ->> 'page_size')::bigint);
    begin
        if coalesce(query ->> 'start_date', '2000-01-01') !~ iso or coalesce(query ->> 'end_date', '2000-01-01') !~ iso then
            raise exception 'not a date' using errcode = '22007';
        end if;
        first := (query ->> 'start_date')::timestamptz;
        last := (query ->> 'end_date')::timestamptz;
    exception when datetime_field_overflow or invalid_datetime_format then
        raise exception 'start_date and end_date are ISO 8601 dates or instants' using errcode = '22P02',
            detail = '[{"field": "start_date", "message": "start_date and end_date are ISO 8601 dates or instants", "code": "datetime_invalid"}]';
    end;
    select count(*) into total
      from snackbase.mail_outbox m
     where (query ->> 'status_filter' is null or m.status = query ->> 'status_filter')
       and (query ->> 'template_type' is null or m.template_type = snackbase._email_template_type(query ->> 'template_type'))
       and (first is null or m.created_at >= first) and (last is null or m.created_at <= last);
    select coalesce(json_agg(snackbase._mail_log_json(m.mail) order by m.created_at desc, m.id desc), '[]') into logs
      from (select m as mail, m.created_at, m.id
              from snackbase.mail_outbox m
             where (query ->> 'status_filter' is null or m.status = query ->> 'status_filter')
               and (query ->> 'template_type' is null or m.template_type = snackbase._email_template_type(query ->> 'template_type'))
               and (first is null or m.created_at >= first) and (last is null or m.created_at <= last)
             order by m.created_at desc, m.id desc
             limit part.size offset part.skip) m;
    return json_build_object('logs', logs, 'total', total, 'page', part.number, 'page_size', part.size);
end
$$;

create function snackbase.mail_log_view(mail bigint) returns json
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    seen snackbase.mail_outbox;
begin
    if not snackbase.is_superadmin() then
        raise exception 'Superadmin access required' using errcode = '42501';
    end if;
    select * into seen from snackbase.mail_outbox m where m.id = mail;
    if not found then
        raise exception 'Email log not found' using errcode = 'P0002';
    end if;
    return snackbase._mail_log_json(seen);
end
$$;

-- Notes a mail that was sent at once, outside of the queue: a superadmin's test of a template.
create function snackbase.mail_log_add(account text, template_type text, recipient text, variables json, used_provider text, reason text) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not snackbase.is_superadmin() then
        raise exception 'Superadmin access required' using errcode = '42501';
    end if;
    insert into snackbase.mail_outbox (account_id, template_type, recipient, shown_variables, status, attempts, attempted_at, finished_at, provider, error_message)
         values (snackbase._account_find(account), snackbase._email_template_type(mail_log_add.template_type), trim(mail_log_add.recipient),
                 snackbase._mail_shown(mail_log_add.variables::jsonb), case when reason is null then 'sent' else 'failed' end, 1,
                 clock_timestamp(), clock_timestamp(), used_provider, left(reason, 1000));
    return true;
end
$$;
