-- Electronic signatures: audit contract §5.4, docs/part11.md. What decides is in src/signatures.rs; here is what the gateway
-- asks before it checks a password, and what becomes of a failure.

-- Raised by the triggers of collections whose options ask for a signature or a reason; the condition is in the trigger.
create function snackbase._refuse_unsigned() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_argv[0] = 'reason' then
        raise exception 'This operation needs a reason' using errcode = '42501',
            detail = '{"error": "Reason required", "code": "reason_required"}',
            hint = 'Send it in X-ES-Reason. Without the gateway nobody can give one.';
    end if;
    raise exception 'This operation needs an electronic signature' using errcode = '42501',
        detail = '{"error": "Signature required", "code": "signature_required"}',
        hint = 'Send X-ES-Username, X-ES-Password, X-ES-Meaning and X-ES-Reason. Without the gateway nobody can sign.';
end
$$;

-- Attempts to sign that failed. Audited, so an attempt cannot be made to disappear; append-only. No references: it outlives
-- whom it names. Never the password.
create table snackbase.signature_failures (
    id bigint not null generated always as identity,
    account_id uuid not null,
    -- who asked
    user_id text not null,
    -- whom the signature named, as it was sent, and who that is
    username text not null,
    signer_id uuid,
    cause text not null constraint signature_failures_cause_check
        check (cause in ('unknown', 'inactive', 'no_password', 'locked', 'wrong_password')),
    collection text not null,
    operation text not null,
    record_id text,
    meaning text,
    reason text,
    created_at timestamptz not null default clock_timestamp(),
    primary key (id, account_id)
);
create trigger prevent_update before update on snackbase.signature_failures
    for each row execute function snackbase._audit_immutable();
create trigger prevent_delete before delete on snackbase.signature_failures
    for each row execute function snackbase._audit_immutable();
alter table snackbase.signature_failures enable always trigger prevent_update;
alter table snackbase.signature_failures enable always trigger prevent_delete;

-- Who would sign: after enter(user, 'auth'). Always one row; `cause` says why the signature will not be accepted, and then
-- there is no hash. Only users of the caller's own account exist here. Whether another user than the caller may sign is
-- said before anything about that user.
create function snackbase.signature_find(
    wanted_collection text, username text, out user_id uuid, out password_hash text, out cause text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    caller constant uuid := snackbase.current_user_uuid();
    account constant uuid := snackbase.current_account_id();
    person snackbase.users;
begin
    if caller is null or account is null then
        raise exception 'Authentication required' using errcode = '28000';
    end if;
    select * into person
      from snackbase.users u
     where u.account_id = account and lower(u.email) = lower(trim(username));
    if person.id is distinct from caller and not exists (
            select from snackbase.collections c where c.name = wanted_collection and (c.options ->> 'second_signer')::boolean) then
        raise exception 'The signer must be the user who makes the request' using errcode = '42501',
            detail = '{"error": "Signature refused", "code": "signature_refused"}';
    end if;
    user_id := person.id;
    cause := case when person.id is null then 'unknown'
                  when not person.is_active then 'inactive'
                  when person.auth_provider <> 'password' or person.password_hash is null then 'no_password'
                  when snackbase._login_locked_until(person.id) is not null then 'locked' end;
    if cause is null then
        password_hash := person.password_hash;
    end if;
end
$$;

-- What the gateway reports of a signature that failed, after enter(user, 'auth'): it is noted, and counts like a failed login.
create function snackbase.signature_failed(
    username text, signer uuid, cause text, collection text, operation text, record_id text, meaning text, reason text) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into snackbase.signature_failures (account_id, user_id, username, signer_id, cause, collection, operation, record_id, meaning, reason)
         values (snackbase.current_account_id(), snackbase.current_actor(), left(username, 254), signer, coalesce(cause, 'wrong_password'),
                 left(collection, 255), operation, left(record_id, 255), left(meaning, 50), left(reason, 2000));
    -- only a password that was checked is a guess at it
    perform snackbase._login_failed(snackbase.current_account_id(), case when cause is null then signer end, snackbase.current_ip_address());
    return true;
end
$$;

do $$
begin
    perform snackbase._audit_attach('snackbase.signature_failures', 'id');
end
$$;
