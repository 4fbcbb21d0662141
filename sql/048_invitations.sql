-- Invitations into an account: contract identity.md §4.8. Administrators of an account, and superadmins, invite an address;
-- whoever has its mailbox becomes a user by choosing a password. Only the SHA-256 of a token is stored.

create table snackbase.invitations (
    id uuid not null default gen_random_uuid(),
    account_id uuid not null references snackbase.accounts (id) on delete cascade,
    email text not null
        constraint invitations_email_check check (octet_length(email) <= 254 and email ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+$'),
    token_hash text constraint invitations_token_hash_key unique,
    -- NULL: the role `user`; so it is, too, when the role is deleted meanwhile
    role_id int references snackbase.roles (id) on delete set null,
    -- no reference, because a superadmin is of another account. NULL: the installation itself
    invited_by uuid,
    expires_at timestamptz not null default clock_timestamp() + interval '48 hours',
    -- the mail that went out last (no reference: mail may be tidied away)
    mail_id bigint,
    email_sent_at timestamptz,
    accepted_at timestamptz,
    cancelled_at timestamptz,
    -- accepted, cancelled, or expired and followed by another one
    ended_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    primary key (id, account_id)
);
create unique index invitations_pending_key on snackbase.invitations (account_id, lower(email)) where ended_at is null;
create index invitations_created_idx on snackbase.invitations (account_id, created_at, id);
create index invitations_mail_idx on snackbase.invitations (mail_id) where ended_at is null;

-- Groups that the invited joins.
create table snackbase.invitation_groups (
    account_id uuid not null,
    invitation_id uuid not null,
    group_id uuid not null,
    primary key (invitation_id, group_id, account_id),
    foreign key (invitation_id, account_id) references snackbase.invitations (id, account_id) on delete cascade,
    foreign key (group_id, account_id) references snackbase.groups (id, account_id) on delete cascade
);
create index invitation_groups_group_idx on snackbase.invitation_groups (account_id, group_id);

create trigger z_touch before insert or update on snackbase.invitations
    for each row execute function snackbase._touch();

-- pending, accepted, cancelled or expired.
create function snackbase._invitation_status(accepted_at timestamptz, cancelled_at timestamptz, expires_at timestamptz) returns text
language sql stable
set search_path = pg_catalog, pg_temp
return case when accepted_at is not null then 'accepted' when cancelled_at is not null then 'cancelled'
            when expires_at <= statement_timestamp() then 'expired' else 'pending' end;

-- Inv of the contract; NULL when the caller sees no such invitation.
create function snackbase._invitation_json(invitation uuid, token text) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return (
    select json_build_object('id', i.id, 'account_id', i.account_id, 'account_code', a.account_code, 'email', i.email,
        'invited_by', i.invited_by, 'expires_at', snackbase.rfc3339(i.expires_at), 'accepted_at', snackbase.rfc3339(i.accepted_at),
        'created_at', snackbase.rfc3339(i.created_at), 'updated_at', snackbase.rfc3339(i.updated_at),
        'email_sent', i.email_sent_at is not null, 'email_sent_at', snackbase.rfc3339(i.email_sent_at),
        'status', snackbase._invitation_status(i.accepted_at, i.cancelled_at, i.expires_at), 'role_id', coalesce(i.role_id, 2),
        'groups', (select coalesce(json_agg(g.group_id order by g.group_id), '[]') from snackbase.invitation_groups g
                    where g.invitation_id = i.id and g.account_id = i.account_id),
        'token', token)
      from snackbase.invitations i
      join snackbase.accounts a on a.id = i.account_id
     where i.id = invitation
);

-- Keys of `query`, all optional: status_filter, account_id (of superadmins; others see their own account whatever they say), skip,
-- limit (1 to 1000, 1000). Newest first; tokens are never told again. After enter(…, 'member').
create function snackbase.invitation_list(query json) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted constant text := query ->> 'status_filter';
    part record;
    account constant uuid := case when snackbase.is_superadmin() then (query ->> 'account_id')::uuid end;
    total bigint;
    items json;
begin
    if wanted not in ('pending', 'accepted', 'expired', 'cancelled') then
        raise exception 'status_filter is pending, accepted, expired or cancelled' using errcode = '22023';
    end if;
    part := snackbase._part(query, 1000, 1000);
    select count(*) into total
      from snackbase.invitations i
     where (account is null or i.account_id = account)
       and (wanted is null or snackbase._invitation_status(i.accepted_at, i.cancelled_at, i.expires_at) = wanted);
    select coalesce(json_agg(snackbase._invitation_json(i.id, null) order by i.created_at desc, i.id desc), '[]') into items
      from (select i.id, i.created_at
              from snackbase.invitations i
             where (account is null or i.account_id = account)
               and (wanted is null or snackbase._invitation_status(i.accepted_at, i.cancelled_at, i.expires_at) = wanted)
             order by i.created_at desc, i.id desc
             limit part.size offset part.skip) i;
    return json_build_object('invitations', items, 'total', total);
end
$$;

-- A new token for a pending invitation, and the mail with it; the token before is dead, and the 48 hours begin again. Answers the
-- token. 22023 when it is not pending, or its address got ten mails within the hour.
create function snackbase._invitation_send(in_account uuid, invitation uuid) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    -- 32 bytes as well, but in hexadecimal: contract §4.8
    token constant text := encode(decode(translate(snackbase._token_make(), '-_', '+/') || '=', 'base64'), 'hex');
    pending snackbase.invitations;
    mail bigint;
begin
    perform snackbase._account_of_caller_check(in_account);
    select * into pending from snackbase.invitations i
     where i.id = invitation and i.account_id = in_account and i.ended_at is null and i.expires_at > clock_timestamp()
       for update;
    if not found then
        raise exception 'Only pending invitations can be sent again' using errcode = '22023', detail = '{"error": "Not pending"}';
    end if;
    perform snackbase._mail_allowed_check(in_account, pending.email, 'invitation');
    pending.expires_at := clock_timestamp() + interval '48 hours';
    -- who sends it again is told the new token, and stands for it from now on
    pending.invited_by := coalesce(snackbase.current_user_uuid(), pending.invited_by);
    mail := snackbase._mail_enqueue(in_account, 'invitation', pending.email,
        jsonb_build_object('token', token, 'invitation_url', snackbase._app_url(in_account) || '/accept-invitation?token=' || token,
            'email', pending.email, 'account_name', (select a.name from snackbase.accounts a where a.id = in_account),
            'invited_by', snackbase._inviter_name(pending), 'expires_at', to_char(pending.expires_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')));
    update snackbase.invitations i
       set token_hash = snackbase._token_hash(token), expires_at = pending.expires_at, invited_by = pending.invited_by,
           mail_id = mail, email_sent_at = null
     where i.id = invitation and i.account_id = in_account;
    return token;
end
$$;

-- Who invites, for people to read.
create function snackbase._inviter_name(invitation snackbase.invitations) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((select u.email from snackbase.users u
                      where u.id = (invitation).invited_by and u.account_id in ((invitation).account_id, '00000000-0000-0000-0000-000000000000')),
                    (select a.name from snackbase.accounts a where a.id = (invitation).account_id));
end
$$;

-- `body`: email, role_id or role (absent: user), groups (ids), account_id (of superadmins; absent: the caller's own). Answers the
-- invitation with its token, this once. 22023 for somebody who is there already, 23505 for an invitation that is pending,
-- 42501 for another account, 22P02 for a role or group that is not there.
create function snackbase.invitation_create(body json) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    account uuid := snackbase.current_account_id();
    address constant text := trim(body ->> 'email');
    role int;
    made uuid;
    wanted text[] := array(select distinct lower(g) from json_array_elements_text(coalesce(nullif(body ->> 'groups', 'null')::json, '[]')) g);
begin
    perform snackbase.people_check();
    if body ->> 'account_id' is not null then
        account := snackbase._account_find(body ->> 'account_id');
        if account is null and snackbase.is_superadmin() then
            raise exception 'Account not found' using errcode = 'P0002';
        elsif account is null then
            raise exception 'Access to this account is not allowed' using errcode = '42501';
        end if;
    end if;
    if exists (select from snackbase.users u where u.account_id = account and lower(u.email) = lower(address)) then
        raise exception 'This address belongs to a user of the account already' using errcode = '22023', detail = '{"error": "Already a member"}';
    end if;
    begin
        role := snackbase._role_wanted(body);
    exception when no_data_found then
        perform snackbase._misfit('role_id', 'There is no such role', 'not_found');
    end;
    -- one that has expired makes room
    update snackbase.invitations i
       set ended_at = clock_timestamp()
     where i.account_id = account and lower(i.email) = lower(address) and i.ended_at is null and i.expires_at <= clock_timestamp();
    begin
        insert into snackbase.invitations (account_id, email, role_id, invited_by)
             values (account, address, role, snackbase.current_user_uuid())
          returning id into made;
    exception
        when unique_violation then
            perform snackbase._taken('email', 'An invitation of this address is pending');
        when check_violation or not_null_violation then
            perform snackbase._misfit('email', 'Input should be a valid address', 'value_error');
    end;
    insert into snackbase.invitation_groups (account_id, invitation_id, group_id)
         select account, made, g.id from snackbase.groups g where g.account_id = account and g.id::text = any (wanted);
    if (select count(*) from snackbase.invitation_groups g where g.invitation_id = made and g.account_id = account) <> cardinality(wanted) then
        perform snackbase._misfit('groups', 'There is no such group in this account', 'not_found');
    end if;
    return snackbase._invitation_json(made, snackbase._invitation_send(account, made));
end
$$;

-- {"message", "token"}. P0002: the caller sees no such invitation; 22023: it is not pending.
create function snackbase.invitation_resend(id uuid) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    account uuid;
begin
    perform snackbase.people_check();
    select i.account_id into account from snackbase.invitations i where i.id = invitation_resend.id;
    if not found then
        raise exception 'Invitation not found' using errcode = 'P0002';
    end if;
    return json_build_object('message', 'The invitation was sent again', 'token', snackbase._invitation_send(account, invitation_resend.id));
end
$$;

-- Takes an invitation back: its token is dropped. P0002 also for one that was accepted or cancelled before.
create function snackbase.invitation_cancel(id uuid) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform snackbase.people_check();
    update snackbase.invitations i
       set cancelled_at = clock_timestamp(), ended_at = clock_timestamp(), token_hash = null
     where i.id = invitation_cancel.id and i.accepted_at is null and i.cancelled_at is null;
    if not found then
        raise exception 'Invitation not found' using errcode = 'P0002';
    end if;
    return true;
end
$$;

-- What anybody who holds the token may read. P0002: unknown or cancelled; 22023: expired or accepted. After enter(…, 'auth').
create function snackbase.auth_invitation_view(token text) returns json
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    seen snackbase.invitations;
begin
    select * into seen from snackbase.invitations i where i.token_hash = snackbase._token_hash(token);
    if not found then
        raise exception 'Invitation not found' using errcode = 'P0002';
    elsif seen.accepted_at is not null then
        raise exception 'This invitation was accepted already' using errcode = '22023', detail = '{"error": "Already accepted"}';
    elsif seen.ended_at is not null or seen.expires_at <= clock_timestamp() then
        raise exception 'This invitation has expired' using errcode = '22023', detail = '{"error": "Expired"}';
    end if;
    return json_build_object('email', seen.email, 'account_name', (select a.name from snackbase.accounts a where a.id = seen.account_id),
        'invited_by_name', snackbase._inviter_name(seen), 'expires_at', snackbase.rfc3339(seen.expires_at), 'is_valid', true);
end
$$;

-- The account that a token leads into, for whoever is about to accept: {"account_id"}. P0002 for every token that does not do.
create function snackbase.auth_invitation_find(token text) returns json
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    account uuid := (select i.account_id from snackbase.invitations i
                      where i.token_hash = snackbase._token_hash(token) and i.ended_at is null and i.expires_at > clock_timestamp());
begin
    if account is null then
        raise exception 'Invitation not found' using errcode = 'P0002';
    end if;
    return json_build_object('account_id', account);
end
$$;

-- Spends a token: makes the user, verified, in the role and groups that were promised, and opens a session as a login does.
-- What the inviter may no longer give is not given: of somebody who no longer administers the account one becomes a `user`
-- without groups, and nobody gets into the system account by an inviter who has left it. 23505 field email: the address has
-- a user meanwhile.
create function snackbase.auth_invitation_accept(
    token text, new_user uuid, hash text, new_session uuid, refresh_id uuid, refresh_hash text, refresh_expires_at timestamptz) returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    spent snackbase.invitations;
    account snackbase.accounts;
    person snackbase.users;
    stands boolean;
    proven boolean;
    violated text;
begin
    -- one statement decides who of several uses it
    update snackbase.invitations i
       set accepted_at = clock_timestamp(), ended_at = clock_timestamp()
     where i.token_hash = snackbase._token_hash(token) and i.ended_at is null and i.expires_at > clock_timestamp()
    returning * into spent;
    stands := spent.invited_by is null or exists (
        select from snackbase.users u join snackbase.roles r on r.id = u.role_id
         where u.id = spent.invited_by and u.is_active
           and (u.account_id = '00000000-0000-0000-0000-000000000000'
                or u.account_id = spent.account_id and r.name = 'admin' and current_setting('snackbase.account_admin_manages_users')::boolean));
    if spent.id is null or (spent.account_id = '00000000-0000-0000-0000-000000000000' and not stands) then
        raise exception 'Invitation not found' using errcode = 'P0002';
    elsif spent.account_id <> '00000000-0000-0000-0000-000000000000' and not snackbase._password_logins(spent.account_id) then
        raise exception 'Registration with a password is switched off' using errcode = '42501';
    end if;
    select * into account from snackbase.accounts a where a.id = spent.account_id;
    -- whoever invites is told the token, too: of an administrator's guest it does not prove the mailbox
    proven := spent.invited_by is null or exists (
        select from snackbase.users u where u.id = spent.invited_by and u.account_id = '00000000-0000-0000-0000-000000000000');
    begin
        insert into snackbase.users (id, account_id, email, password_hash, role_id, email_verified, email_verified_at, address_proven, last_login)
             values (new_user, spent.account_id, spent.email, hash, case when stands then coalesce(spent.role_id, 2) else 2 end,
                     true, clock_timestamp(), proven, clock_timestamp())
          returning * into person;
    exception when unique_violation or check_violation then
        get stacked diagnostics violated = constraint_name;
        perform snackbase._user_refuse(violated);
    end;
    insert into snackbase.users_groups (account_id, group_id, user_id)
         select g.account_id, g.group_id, person.id
           from snackbase.invitation_groups g
          where g.invitation_id = spent.id and g.account_id = spent.account_id and stands;
    perform snackbase._session_open(person, new_session, refresh_id, refresh_hash, refresh_expires_at);
    return json_build_object('account', snackbase._account_json(account), 'user', snackbase._auth_user_json(person));
end
$$;

-- The account of an installation with one account, made when it is missing; any number of gateways may start at once. As long as
-- it has no active administrator, `admin_email` is invited to be one. {"id", "slug", "invited"}. 23514 for a slug that cannot be
-- one, or the system account's.
create function snackbase.single_tenant_ensure(account_slug text, account_name text, admin_email text) returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    account snackbase.accounts;
    invitation uuid;
begin
    perform pg_advisory_xact_lock(hashtext('snackbase.single_tenant_ensure'));
    select * into account from snackbase.accounts a where a.slug = lower(trim(account_slug));
    if account.id = '00000000-0000-0000-0000-000000000000' then
        raise exception 'The system account cannot be the account of everybody' using errcode = '23514';
    elsif account.id is null then
        account := snackbase._account_create(account_name, account_slug, 'account_slug', false);
    end if;
    if admin_email is not null
       and not exists (select from snackbase.users u where u.account_id = account.id and (u.is_active and u.role_id = 1 or lower(u.email) = lower(trim(admin_email)))) then
        update snackbase.invitations i
           set ended_at = clock_timestamp()
         where i.account_id = account.id and lower(i.email) = lower(trim(admin_email)) and i.ended_at is null and i.expires_at <= clock_timestamp();
        insert into snackbase.invitations (account_id, email, role_id) values (account.id, trim(admin_email), 1)
        on conflict do nothing
        returning id into invitation;
        if found then
            perform snackbase._invitation_send(account.id, invitation);
        end if;
    end if;
    return json_build_object('id', account.id, 'slug', account.slug, 'invited', invitation is not null);
end
$$;
