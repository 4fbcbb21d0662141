//! The SnackBase extension: accounts, collections, rules and a tamper-evident audit trail inside PostgreSQL.
//!
//! This file is a table of contents: the modules, and the install scripts in their order. `docs/ARCHITECTURE.md` is the
//! guide.

// pgrx's ErrorReport is large, and the only error type that keeps its SQLSTATE.
#![allow(clippy::result_large_err)]

::pgrx::pg_module_magic!(name, version);

mod arithmetic;
mod audit;
mod bi;
mod cache;
mod caller;
mod collections;
mod context;
mod credentials;
mod doctor;
mod enter;
mod error;
mod explain;
mod fresh;
mod guc;
mod json;
mod keyed;
mod macros;
mod masking;
mod people;
mod permissions;
mod policies;
mod query;
mod records;
mod signatures;
mod spi;
mod stamp;
mod subjects;
mod tokens;

use pgrx::prelude::*;

extension_sql_file!("../../sql/010_roles.sql", name = "roles", bootstrap);
extension_sql_file!(
    "../../sql/020_context.sql",
    name = "context",
    requires = [
        "roles",
        context::current_account_id,
        context::current_actor,
        context::is_superadmin,
        context::_restoring,
        json::rfc3339
    ]
);
extension_sql_file!(
    "../../sql/025_expressions.sql",
    name = "expressions",
    requires = ["context"]
);
extension_sql_file!(
    "../../sql/028_requests.sql",
    name = "requests",
    requires = ["expressions"]
);
extension_sql_file!(
    "../../sql/030_accounts.sql",
    name = "accounts",
    requires = ["requests"]
);
extension_sql_file!(
    "../../sql/040_identity.sql",
    name = "identity",
    requires = ["accounts"]
);
extension_sql_file!(
    "../../sql/042_account_management.sql",
    name = "account_management",
    requires = ["identity"]
);
extension_sql_file!(
    "../../sql/043_people.sql",
    name = "people",
    requires = ["account_management"]
);
extension_sql_file!("../../sql/044_groups.sql", name = "groups", requires = ["people"]);
extension_sql_file!(
    "../../sql/045_authentication.sql",
    name = "authentication",
    requires = [
        "groups",
        caller::current_user_role,
        context::current_user_uuid,
        context::current_ip_address,
        context::current_user_agent
    ]
);
extension_sql_file!(
    "../../sql/046_tokens.sql",
    name = "tokens",
    requires = ["authentication", tokens::_token_make]
);
extension_sql_file!(
    "../../sql/047_lockout.sql",
    name = "lockout",
    requires = ["tokens"]
);
extension_sql_file!(
    "../../sql/048_invitations.sql",
    name = "invitations",
    requires = ["lockout"]
);
extension_sql_file!(
    "../../sql/049_api_keys.sql",
    name = "api_keys",
    requires = ["invitations", context::current_auth_method]
);
extension_sql_file!(
    "../../sql/050_collections.sql",
    name = "collections",
    requires = ["api_keys"]
);
extension_sql_file!(
    "../../sql/055_macros.sql",
    name = "macros",
    requires = ["collections"]
);
extension_sql_file!(
    "../../sql/057_transfer.sql",
    name = "transfer",
    requires = ["macros"]
);
extension_sql_file!(
    "../../sql/058_permissions.sql",
    name = "permissions",
    requires = ["transfer"]
);
extension_sql_file!(
    "../../sql/060_outbox.sql",
    name = "outbox",
    requires = ["permissions"]
);
extension_sql_file!(
    "../../sql/062_email_texts.sql",
    name = "email_texts",
    requires = ["outbox"]
);
extension_sql_file!(
    "../../sql/065_configuration.sql",
    name = "configuration",
    requires = ["email_texts"]
);
extension_sql_file!(
    "../../sql/070_audit.sql",
    name = "audit",
    requires = [
        "configuration",
        audit::record::_audit_record,
        audit::seal::_system_identifier,
        audit::entry::_audit_header_hash,
        audit::entry::_audit_chain,
        audit::entry::_audit_entries,
        audit::trail::masks::_audit_sees_everything,
        audit::trail::masks::_audit_shown
    ]
);
extension_sql_file!(
    "../../sql/075_blocks.sql",
    name = "blocks",
    requires = ["audit", audit::seal::_seal_lock_key]
);
extension_sql_file!(
    "../../sql/076_status.sql",
    name = "status",
    requires = [
        "blocks",
        audit::status::_audit_writers,
        audit::status::_audit_sealer_pid,
        audit::status::_audit_key_fault
    ]
);
extension_sql_file!("../../sql/077_proofs.sql", name = "proofs", requires = ["status"]);
extension_sql_file!(
    "../../sql/078_import.sql",
    name = "import",
    requires = ["proofs", context::current_actor]
);
extension_sql_file!(
    "../../sql/080_signatures.sql",
    name = "signatures",
    requires = ["import"]
);
extension_sql_file!(
    "../../sql/088_dashboard.sql",
    name = "dashboard",
    requires = ["audit"]
);
extension_sql_file!(
    "../../sql/085_subjects.sql",
    name = "subjects",
    requires = ["signatures", audit::treatment::_audit_treatment]
);
extension_sql_file!(
    "../../sql/090_doctor.sql",
    name = "doctor",
    requires = ["subjects", enter::_is_preloaded, doctor::version]
);
extension_sql_file!(
    "../../sql/095_doors.sql",
    name = "doors",
    requires = ["doctor", context::_own_ddl, context::_restoring]
);
extension_sql_file!(
    "../../sql/900_privileges.sql",
    name = "privileges",
    requires = ["doors"],
    finalize
);

#[pg_guard]
extern "C-unwind" fn _PG_init() {
    guc::disable_backtraces();
    guc::register();
    enter::remember_preloading();
    if guc::is_preloading() {
        audit::worker::register();
    }
    collections::register_invalidation();
}

#[cfg(any(test, feature = "pg_test"))]
#[path = "../../pgrx-tests/mod.rs"]
mod tests;

/// Called by `cargo pgrx test`, which wants it at the root of the crate.
#[cfg(test)]
pub mod pg_test {
    /// Nothing to prepare: every test sets its own scene.
    pub fn setup(_options: Vec<&str>) {}

    /// Lines of the test server's configuration.
    #[must_use]
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec!["shared_preload_libraries = 'snackbase'"]
    }
}
