-- Tokens that go out by mail, once: the proof that an address is somebody's, and the new password of somebody who forgot it.
-- contract identity.md §5.4. Only the SHA-256 of a token is stored; the text is in the queue of mail until that is sent.

create table snackbase.one_time_tokens (
    account_id uuid not null,
    user_id uuid not null,
    purpose text not null constraint one_time_tokens_purpose_check check (purpose in ('verification', 'reset')),
    -- where it was sent, ASCII letters in lower case: using it proves that address and no other, also none that only looks like it
    email text not null constraint one_time_tokens_email_check check (email = lower(email collate "C")),
    token_hash text not null constraint one_time_tokens_token_hash_key unique
        constraint one_time_tokens_token_hash_check check (token_hash ~ '^[0-9a-f]{64}$'),
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    -- a new token takes the place of the one before
    primary key (account_id, user_id, purpose, email),
    foreign key (user_id, account_id) references snackbase.users (id, account_id) on delete cascade
);
create index one_time_tokens_expires_idx on snackbase.one_time_tokens (expires_at);
-- one person in several accounts
create index users_address_idx on snackbase.users (lower(email));

create function snackbase._token_hash(token text) returns text
language sql immutable strict parallel safe
return encode(sha256(convert_to(token, 'UTF8')), 'hex');

-- Address of the application that links in mail lead to, without a slash at the end.
create function snackbase._app_url(in_account uuid) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return rtrim(coalesce((select c.config ->> 'app_url'
                             from snackbase._configuration_candidates(in_account, 'system_settings') c
                            where c.provider_name = 'system'), 'http://localhost:8000'), '/');
end
$$;

-- Makes a token for one hour and queues the mail that holds it, in the running transaction.
create function snackbase._token_send(in_account uuid, who uuid, wanted_purpose text, address text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    token text := snackbase._token_make();
    ends timestamptz := clock_timestamp() + interval '1 hour';
    url text := snackbase._app_url(in_account) || case wanted_purpose when 'reset' then '/reset-password' else '/verify-email' end
                || '?token=' || token;
begin
    delete from snackbase.one_time_tokens t
     where t.token_hash in (select o.token_hash from snackbase.one_time_tokens o
                             where o.expires_at < clock_timestamp() - interval '1 day'
                             order by o.expires_at
                             limit 100
                               for update skip locked);
    perform snackbase._mail_enqueue(in_account, case wanted_purpose when 'reset' then 'password_reset' else 'email_verification' end, address,
        jsonb_build_object('token', token, case wanted_purpose when 'reset' then 'reset_url' else 'verification_url' end, url,
                           'email', address, 'expires_at', to_char(ends at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'))
        || case wanted_purpose when 'reset' then jsonb_build_object('ip_address', snackbase.current_ip_address()) else '{}' end);
    insert into snackbase.one_time_tokens as t (account_id, user_id, purpose, email, token_hash, expires_at)
         values (in_account, who, wanted_purpose, lower(address collate "C"), snackbase._token_hash(token), ends)
    on conflict (account_id, user_id, purpose, email)
      do update set token_hash = excluded.token_hash, created_at = clock_timestamp(), expires_at = excluded.expires_at;
end
$$;

-- Refuses an administrator of an account, which anybody can be, more than ten mails of a type to one address in an hour.
create function snackbase._mail_allowed_check(in_account uuid, address text, wanted_type text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not snackbase._mail_allowed(in_account, address, wanted_type, 10) then
        raise exception 'Too many messages were sent to this address; try again in an hour' using errcode = '22023';
    end if;
end
$$;

-- Sends a user the link that confirms its address; the link before stops to work. An administrator asks for it, or a
-- registration. P0002: no such user; 22023: too many.
create function snackbase._verification_send(in_account uuid, who uuid) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    address text;
begin
    perform snackbase._account_of_caller_check(in_account);
    select u.email into address from snackbase.users u where u.id = who and u.account_id = in_account;
    if not found then
        raise exception 'User not found' using errcode = 'P0002';
    end if;
    perform snackbase._mail_allowed_check(in_account, address, 'email_verification');
    perform snackbase._token_send(in_account, who, 'verification', address);
end
$$;

-- As before, with a link to a new password. 22023: too many, or the user logs in by another provider.
create function snackbase._reset_send(in_account uuid, who uuid) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    person snackbase.users;
begin
    perform snackbase._account_of_caller_check(in_account);
    select * into person from snackbase.users u where u.id = who and u.account_id = in_account;
    if not found then
        raise exception 'User not found' using errcode = 'P0002';
    elsif person.auth_provider <> 'password' then
        raise exception 'This user does not log in with a password' using errcode = '22023';
    end if;
    perform snackbase._mail_allowed_check(in_account, person.email, 'password_reset');
    perform snackbase._token_send(in_account, who, 'reset', person.email);
end
$$;

-- A new password, hashed by the gateway. Whoever knew the old one is out: all sessions end, links to a new password stop to
-- work, and the lock that wrong passwords caused is opened. P0002: no such user.
create function snackbase._password_set(in_account uuid, who uuid, hash text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform snackbase._account_of_caller_check(in_account);
    update snackbase.users u
       set password_hash = hash, failed_login_attempts = 0, locked_until = null
     where u.id = who and u.account_id = in_account;
    if not found then
        raise exception 'User not found' using errcode = 'P0002';
    end if;
    delete from snackbase.login_failures f where f.user_id = who;
    delete from snackbase.one_time_tokens t where t.account_id = in_account and t.user_id = who and t.purpose = 'reset';
    perform snackbase._sessions_end(in_account, who);
end
$$;

-- POST /auth/verify-email. The address that the token was sent to must still be the user's. 22023 for any token that does
-- not do: unknown, used, expired, replaced.
create function snackbase.auth_verify_email(token text) returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    spent snackbase.one_time_tokens;
    person snackbase.users;
begin
    -- one statement decides who of several uses it
    delete from snackbase.one_time_tokens t
     where t.token_hash = snackbase._token_hash(token) and t.purpose = 'verification' and t.expires_at > clock_timestamp()
    returning * into spent;
    update snackbase.users u
       set email_verified = true, email_verified_at = coalesce(u.email_verified_at, clock_timestamp()), address_proven = true
     where u.id = spent.user_id and u.account_id = spent.account_id and lower(u.email collate "C") = spent.email
    returning * into person;
    if not found then
        raise exception 'The link is not valid or has expired' using errcode = '22023';
    end if;
    return json_build_object('message', 'The email address is confirmed',
        'user', json_build_object('id', person.id, 'email', person.email, 'email_verified', person.email_verified));
end
$$;

-- Whether a mail of this type may go to this address on somebody's asking: `most` in an hour. Requests for one address wait for
-- each other, so that none is counted by two.
create function snackbase._mail_allowed(in_account uuid, address text, wanted_type text, most int) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_advisory_xact_lock(hashtextextended(format('%s %s %s', in_account, wanted_type, lower(address)), 0));
    return (
        select count(*) < most
          from snackbase.mail_outbox m
         where m.account_id = in_account and lower(m.recipient) = lower(address) and m.template_type = wanted_type
           and m.created_at > clock_timestamp() - interval '1 hour'
    );
end
$$;

-- Sends a token to a user, or does the same work and undoes it: who asks cannot tell from the time whether there is such a user.
create function snackbase._token_offer(in_account uuid, who uuid, wanted_purpose text, address text, wanted boolean) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    allowed boolean := snackbase._mail_allowed(in_account, address,
        case wanted_purpose when 'reset' then 'password_reset' else 'email_verification' end, 3);
begin
    perform snackbase._token_send(coalesce(in_account, '00000000-0000-0000-0000-000000000000'), coalesce(who, gen_random_uuid()),
        wanted_purpose, address);
    if not (wanted and allowed) then
        raise exception 'not to be sent' using errcode = 'P0001';
    end if;
exception when raise_exception or foreign_key_violation or check_violation or not_null_violation then
    -- undone: nobody to send it to, too many, or no address at all
    null;
end
$$;

-- POST /auth/send-verification and /auth/resend-verification. Of a user: for its own address, or for another one that it
-- wants to confirm beforehand. Of a visitor: for the user of that address who has not confirmed it, in the account that is
-- named, else in the newest. Always true.
create function snackbase.auth_verification_request(account text, host_label text, fallback text, address text) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    person snackbase.users;
    named boolean := coalesce(nullif(trim(account), ''), host_label, fallback) is not null;
    meant uuid := snackbase._account_meant(account, host_label, fallback);
    target text := nullif(trim(address), '');
    wanted boolean;
begin
    if snackbase.is_authenticated() then
        select * into person from snackbase.users u
         where u.id = snackbase.current_user_uuid() and u.account_id = snackbase.current_account_id()
           for update;
        target := coalesce(target, person.email);
        wanted := case when lower(target collate "C") = lower(person.email collate "C") then not person.address_proven
            -- nobody writes to the whole world from here
            else 3 > (select count(*) from snackbase.one_time_tokens t
                       where t.account_id = person.account_id and t.user_id = person.id and t.purpose = 'verification'
                         and t.email <> lower(person.email collate "C") and t.email <> lower(target collate "C")
                         and t.created_at > clock_timestamp() - interval '1 hour') end;
    else
        select * into person from snackbase.users u
         where lower(u.email) = lower(target) and u.is_active and not u.email_verified
           and (not named or u.account_id = meant)
         order by u.created_at desc
         limit 1;
        -- as the user wrote it when it signed up
        target := coalesce(person.email, target);
        wanted := person.id is not null;
    end if;
    perform snackbase._token_offer(person.account_id, person.id, 'verification', target, wanted);
    return true;
end
$$;

-- POST /auth/forgot-password. Always true, and the same work whether there is such a user or not.
create function snackbase.auth_forgot_password(account text, host_label text, fallback text, address text) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    person snackbase.users;
    meant uuid := snackbase._account_meant(account, host_label, fallback);
    switched_on boolean := snackbase._password_logins(coalesce(meant, '00000000-0000-0000-0000-000000000000'))
                           or meant = '00000000-0000-0000-0000-000000000000';
begin
    select * into person from snackbase.users u
     where u.account_id = meant and lower(u.email) = lower(trim(address)) and u.is_active and u.auth_provider = 'password';
    perform snackbase._token_offer(person.account_id, person.id, 'reset', coalesce(person.email, trim(address)),
        person.id is not null and switched_on);
    return true;
end
$$;

-- The user whose password a token may set, and until when; NULLs when it may not: unknown, used, expired, replaced; sent to an
-- address that is no longer the user's; of a user who is not active or does not log in with a password.
create function snackbase._reset_find(token text, out person snackbase.users, out ends timestamptz)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    seen snackbase.one_time_tokens;
begin
    select * into seen from snackbase.one_time_tokens t
     where t.token_hash = snackbase._token_hash(token) and t.purpose = 'reset' and t.expires_at > clock_timestamp();
    select * into person from snackbase.users u
     where u.id = seen.user_id and u.account_id = seen.account_id and lower(u.email collate "C") = seen.email
       and u.is_active and u.auth_provider = 'password'
       and (u.account_id = '00000000-0000-0000-0000-000000000000' or snackbase._password_logins(u.account_id));
    ends := case when person.id is not null then seen.expires_at end;
end
$$;

-- GET /auth/verify-reset-token: {"valid", "expires_at"}. Spends nothing.
create function snackbase.auth_reset_check(token text) returns json
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    ends timestamptz := (select f.ends from snackbase._reset_find(token) f);
begin
    return json_build_object('valid', ends is not null, 'expires_at', snackbase.rfc3339(ends));
end
$$;

-- POST /auth/reset-password: spends a token for a password that the gateway has hashed. The mailbox is proven as well, and is
-- told. 22023 for a token that does not do.
create function snackbase.auth_reset_password(token text, hash text) returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    person snackbase.users := (select f.person from snackbase._reset_find(token) f);
begin
    -- one statement decides who of several uses it
    delete from snackbase.one_time_tokens t
     where t.token_hash = snackbase._token_hash(token) and t.purpose = 'reset' and t.user_id = person.id and t.account_id = person.account_id
       and t.expires_at > clock_timestamp();
    if not found then
        raise exception 'The link is not valid or has expired' using errcode = '22023';
    end if;
    perform snackbase._password_set(person.account_id, person.id, hash);
    update snackbase.users u
       set email_verified = true, email_verified_at = coalesce(u.email_verified_at, clock_timestamp()), address_proven = true
     where u.id = person.id and u.account_id = person.account_id and not (u.email_verified and u.address_proven);
    perform snackbase._mail_enqueue(person.account_id, 'password_changed', person.email,
        jsonb_build_object('email', person.email, 'ip_address', snackbase.current_ip_address()));
    return json_build_object('message', 'The password is changed');
end
$$;
