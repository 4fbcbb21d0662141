//! The route table on one screen, and what surrounds every route.

mod accounts;
mod api_keys;
mod audit;
mod auth;
mod collections;
mod configuration;
mod dashboard;
mod email;
mod groups;
mod health;
mod input;
mod invitations;
mod layers;
mod ledger;
mod macros;
mod migrations;
mod records;
mod roles;
mod rules;
mod subjects;
mod users;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};

use crate::auth::Caller;
use crate::db::{Json, Statement};
use crate::error::Error;
use crate::state::State;

/// The whole gateway as one service.
pub fn app(state: State) -> Router {
    let record = || {
        get(records::view)
            .put(records::replace)
            .merge(patch(records::change))
            .delete(records::delete)
    };
    let batch = || {
        post(records::create_many)
            .patch(records::change_many)
            .delete(records::delete_many)
    };
    let table = Table::new(&state.config.api_prefix)
        .at("/auth/register", post(auth::register::register))
        .at("/auth/login", post(auth::login::login))
        .at("/auth/refresh", post(auth::refresh::refresh))
        .at("/auth/logout", post(auth::logout::logout))
        .at("/invitations", get(invitations::list).post(invitations::create))
        // `{key}` is a token for those who are invited, an id for those who invite.
        .at(
            "/invitations/{key}",
            get(invitations::view).delete(invitations::cancel),
        )
        .at("/invitations/{key}/resend", post(invitations::resend))
        .at("/invitations/{key}/accept", post(invitations::accept))
        .at("/auth/accounts", get(auth::me::accounts))
        .at("/auth/forgot-password", post(auth::password::forgot))
        .at("/auth/reset-password", post(auth::password::reset))
        .at("/auth/verify-reset-token/{token}", get(auth::password::check))
        .at("/auth/verify-email", post(auth::verification::confirm))
        .at("/auth/send-verification", post(auth::verification::send))
        .at("/auth/resend-verification", post(auth::verification::send))
        .at("/auth/me", get(auth::me::me))
        .at("/accounts", get(accounts::list).post(accounts::create))
        .at(
            "/accounts/{account}",
            get(accounts::view).put(accounts::change).delete(accounts::remove),
        )
        .at("/accounts/{account}/users", get(accounts::users))
        .at("/admin/subjects/erase", post(subjects::erase))
        .at("/users", get(users::list).post(users::create))
        .at(
            "/users/{id}",
            get(users::view).patch(users::change).delete(users::remove),
        )
        .at("/users/{id}/password", put(users::set_password))
        .at("/users/{id}/verify", post(users::verify))
        .at(
            "/users/{id}/resend-verification",
            post(users::resend_verification),
        )
        .at("/groups", get(groups::list).post(groups::create))
        .at(
            "/groups/{id}",
            get(groups::view).patch(groups::change).delete(groups::remove),
        )
        .at("/groups/{id}/users", post(groups::add_member))
        .at("/groups/{id}/users/{user_id}", delete(groups::remove_member))
        .at("/collections", get(collections::list).post(collections::define))
        .at("/collections/names", get(collections::names))
        .at("/collections/export", get(collections::export))
        .at("/collections/import", post(collections::import))
        .at(
            "/collections/{collection}",
            get(collections::view)
                .put(collections::change)
                .delete(collections::remove),
        )
        .at(
            "/collections/{collection}/rules",
            get(rules::view).put(rules::change),
        )
        .at("/macros", get(macros::list).post(macros::create))
        .at(
            "/macros/{id}",
            get(macros::view).put(macros::change).delete(macros::remove),
        )
        .at("/macros/{id}/test", post(macros::test))
        .at("/migrations", get(migrations::list))
        .at("/migrations/current", get(migrations::current))
        .at("/migrations/history", get(migrations::history))
        .at("/migrations/plan", post(migrations::plan))
        .at("/migrations/generate", post(migrations::generate))
        .at("/rules/validate", post(rules::validate))
        .at("/rules/test", post(rules::test))
        .at("/roles/validate-rule", post(rules::validate_for_role))
        .at("/roles/test-rule", post(rules::test_for_role))
        .at("/roles", get(roles::list).post(roles::create))
        .at(
            "/roles/{id}",
            get(roles::view).put(roles::change).delete(roles::remove),
        )
        .at("/roles/{id}/permissions", get(roles::permissions))
        .at("/roles/{id}/permissions/matrix", get(roles::matrix))
        .at("/roles/{id}/permissions/bulk", put(roles::change_permissions))
        // The contract says the former, the client library the latter.
        .at("/roles/permissions/{id}", delete(roles::remove_permission))
        .at("/permissions/{id}", delete(roles::remove_permission))
        .at("/admin/api-keys", get(api_keys::list).post(api_keys::create))
        .at(
            "/admin/api-keys/{id}",
            get(api_keys::view).delete(api_keys::revoke),
        )
        .at("/admin/configuration", post(configuration::create))
        .at("/admin/configuration/stats", get(configuration::stats))
        .at("/admin/configuration/recent", get(configuration::recent))
        .at("/admin/configuration/system", get(configuration::system))
        .at("/admin/configuration/account", get(configuration::account))
        .at("/admin/configuration/providers", get(configuration::providers))
        .at(
            "/admin/configuration/schema/{category}/{provider}",
            get(configuration::schema),
        )
        .at(
            "/admin/configuration/test-connection",
            post(configuration::test_connection),
        )
        .at(
            "/admin/configuration/{id}",
            patch(configuration::enable).delete(configuration::remove),
        )
        .at(
            "/admin/configuration/{id}/values",
            get(configuration::view_values).patch(configuration::change_values),
        )
        .at(
            "/admin/configuration/{id}/set-default",
            post(configuration::set_default).delete(configuration::unset_default),
        )
        .at("/dashboard/stats", get(dashboard::stats))
        .at("/admin/email/templates", get(email::list).post(email::create))
        .at("/admin/email/templates/render", post(email::render))
        .at(
            "/admin/email/templates/{id}",
            get(email::view).put(email::change).delete(email::remove),
        )
        .at("/admin/email/templates/{id}/test", post(email::test))
        .at("/admin/email/logs", get(email::logs))
        .at("/admin/email/logs/{id}", get(email::log))
        .at("/records/{collection}", get(records::list).post(records::create))
        .at("/records/{collection}/aggregate", get(records::aggregate))
        .at("/records/{collection}/batch", batch())
        .at("/records/{collection}/{id}", record())
        .at(
            "/{collection}",
            records::short(get(records::list).post(records::create)),
        )
        .at("/{collection}/aggregate", records::short(get(records::aggregate)))
        .at("/{collection}/batch", records::short(batch()))
        .at("/{collection}/{id}", records::short(record()))
        .at("", get(health::root));

    let trail = Table::new(&state.config.api_prefix)
        .at("/audit-logs", get(audit::list))
        .at("/audit-logs/export", get(audit::export::export))
        .at("/audit-logs/verify", get(audit::verify::verify))
        .at("/audit-logs/status", get(audit::status))
        .at("/audit-logs/imported", get(audit::imported))
        .at("/audit-logs/checkpoint", get(ledger::checkpoint))
        .at("/audit-logs/ledger-export", get(ledger::export))
        .at("/audit-logs/consistency", get(ledger::consistency))
        .at("/audit-logs/{id}/proof", get(ledger::proof))
        .at("/audit-logs/{id}", get(audit::view));

    let outside = Table {
        router: table.router.merge(layers::compressed(trail.router)),
        prefix: "",
    }
    .at("/health", get(health::health))
    .at("/ready", get(health::ready))
    .at("/live", get(health::live));

    let router = outside
        .router
        .fallback(async || Error::NoSuchRoute)
        .method_not_allowed_fallback(async || Error::NoSuchMethod);
    layers::around(router, &state).with_state(state)
}

/// A router that takes every path with and without a slash at the end.
struct Table<'a> {
    router: Router<State>,
    prefix: &'a str,
}

impl<'a> Table<'a> {
    fn new(prefix: &'a str) -> Self {
        Self {
            router: Router::new(),
            prefix,
        }
    }

    fn at(self, path: &str, methods: MethodRouter<State>) -> Self {
        let path = format!("{}{path}", self.prefix);
        let slashed = format!("{path}/");
        Self {
            router: self.router.route(&path, methods.clone()).route(&slashed, methods),
            ..self
        }
    }
}

/// Passes on what a superadmin's request says. When it does not fit, only a superadmin is told so: to everybody else the
/// route is closed, whatever the request says. Asks the database only then.
async fn for_superadmins<T>(state: &State, caller: &Caller, input: Result<T, Error>) -> Result<T, Error> {
    only_for(state, caller, Statement::Superadmin, input).await
}

/// As [`for_superadmins`], for a request that administrators of an account may make as well.
async fn for_administrators<T>(state: &State, caller: &Caller, input: Result<T, Error>) -> Result<T, Error> {
    only_for(state, caller, Statement::Administrator, input).await
}

/// As [`for_superadmins`], for a request that readers of the audit trail may make as well.
async fn for_audit_readers<T>(state: &State, caller: &Caller, input: Result<T, Error>) -> Result<T, Error> {
    only_for(state, caller, Statement::AuditReader, input).await
}

/// As [`for_superadmins`], for a request about people that administrators of an account may make as well, unless a setting
/// leaves people to superadmins.
async fn for_people_managers<T>(state: &State, caller: &Caller, input: Result<T, Error>) -> Result<T, Error> {
    only_for(state, caller, Statement::PeopleManager, input).await
}

/// As [`for_superadmins`], for a request that whoever writes groups may make.
async fn for_group_writers<T>(state: &State, caller: &Caller, input: Result<T, Error>) -> Result<T, Error> {
    only_for(state, caller, Statement::GroupWriter, input).await
}

async fn only_for<T>(
    state: &State,
    caller: &Caller,
    admitted: Statement,
    input: Result<T, Error>,
) -> Result<T, Error> {
    if input.is_err() {
        state.database.flag(caller, admitted, &[]).await?;
    }
    input
}

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, json)], self.0).into_response()
    }
}

#[cfg(test)]
mod tests;
