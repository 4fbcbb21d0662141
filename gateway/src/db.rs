//! The only module that speaks to Postgres.
//!
//! A request is one prepared statement: `case` makes `snackbase.enter` run first, and what follows runs as the role that
//! `enter` took. The statement is its own transaction, so role and identity end with it and nothing can leak through the
//! pool. Every statement is prepared when its connection is made: a warm request is one network flight.
//! The functions are described in `docs/sql-api.md`.

mod import;
mod listen;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use deadpool::managed::{self, Metrics, PoolError, QueueMode, RecycleResult, Timeouts};
use deadpool_postgres::ClientWrapper;
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use tokio::sync::Semaphore;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{NoTls, Row};
use uuid::Uuid;

use crate::auth::signature::Signer;
use crate::auth::{Caller, Introduction};
use crate::config::Config;
use crate::error::{Error, Refusal};

pub use import::import;
pub use listen::listen;
pub use stream::Texts;

/// One argument of a statement.
pub type Argument<'a> = &'a (dyn ToSql + Sync);

/// Lists the statements once and makes an enum of them.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:literal;)*) => {
        /// Everything the gateway asks the database. `$1` is the caller; the rest are the arguments in order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Statement {
            $(#[doc = $sql] $(#[$doc])* $name,)*
        }

        /// The text of every statement, in the order of [`Statement`].
        const SQL: &[&str] = &[$($sql),*];
    };
}

statements! {
    RecordsList = "select case when snackbase.enter($1, 'list') then snackbase.records_list($2, $3, $4, $5, $6, $7, $8, $9, $10, $11) end";
    RecordsView = "select case when snackbase.enter($1, 'view') then snackbase.records_view($2, $3, $4, $5) end";
    RecordsAggregate = "select case when snackbase.enter($1, 'list') then snackbase.records_aggregate($2, $3, $4, $5, $6) end";
    RecordsCreate = "select case when snackbase.enter($1, 'create') then snackbase.records_create($2, $3) end";
    RecordsUpdate = "select case when snackbase.enter($1, 'update') then snackbase.records_update($2, $3, $4, $5, $6) end";
    RecordsDelete = "select case when snackbase.enter($1, 'delete') then snackbase.records_delete($2, $3, $4) end";
    RecordsCreateMany = "select case when snackbase.enter($1, 'create') then snackbase.records_create_many($2, $3) end";
    RecordsUpdateMany = "select case when snackbase.enter($1, 'update') then snackbase.records_update_many($2, $3) end";
    RecordsDeleteMany = "select case when snackbase.enter($1, 'delete') then snackbase.records_delete_many($2, $3) end";
    Superadmin = "select snackbase.enter($1, 'superadmin')";
    Administrator = "select snackbase.enter($1, 'admin')";
    PeopleManager = "select case when snackbase.enter($1, 'admin') then snackbase.people_check() end";
    AuditReader = "select snackbase.enter($1, 'audit')";
    CollectionList = "select case when snackbase.enter($1, 'superadmin') then snackbase.collection_list($2, $3, $4, $5, $6) end";
    CollectionNames = "select case when snackbase.enter($1, 'superadmin') then snackbase.collection_names() end";
    CollectionView = "select case when snackbase.enter($1, 'superadmin') then snackbase.collection_view($2) end";
    CollectionDefine = "select case when snackbase.enter($1, 'superadmin') then snackbase.collection_define($2) end";
    CollectionChange = "select case when snackbase.enter($1, 'superadmin') then snackbase.collection_change($2, $3) end";
    CollectionDrop = "select case when snackbase.enter($1, 'superadmin') then snackbase.collection_drop($2) end";
    CollectionExport = "select case when snackbase.enter($1, 'superadmin') then snackbase.collection_export($2) end";
    CollectionImport = "select case when snackbase.enter($1, 'superadmin') then snackbase.collection_import($2) end";
    MigrationPlan = "select case when snackbase.enter($1, 'superadmin') then snackbase.migration_plan($2) end";
    MigrationGenerate = "select case when snackbase.enter($1, 'superadmin') then snackbase.migration_generate($2) end";
    MigrationList = "select case when snackbase.enter($1, 'superadmin') then snackbase.migration_list() end";
    MigrationCurrent = "select case when snackbase.enter($1, 'superadmin') then snackbase.migration_current() end";
    MigrationHistory = "select case when snackbase.enter($1, 'superadmin') then snackbase.migration_history() end";
    RulesView = "select case when snackbase.enter($1, 'superadmin') then snackbase.collection_rules_view($2) end";
    RulesChange = "select case when snackbase.enter($1, 'superadmin') then snackbase.collection_rules_change($2, $3) end";
    RuleValidate = "select case when snackbase.enter($1, 'superadmin') then snackbase.rules_validate($2, $3, $4, $5) end";
    RuleTest = "select case when snackbase.enter($1, 'superadmin') then snackbase.rules_test($2, $3) end";
    RoleRuleValidate = "select case when snackbase.enter($1, 'superadmin') then snackbase.role_rule_validate($2) end";
    RoleRuleTest = "select case when snackbase.enter($1, 'superadmin') then snackbase.role_rule_test($2, $3) end";
    RoleList = "select case when snackbase.enter($1, 'superadmin') then snackbase.role_list() end";
    RoleCreate = "select case when snackbase.enter($1, 'superadmin') then snackbase.role_create($2) end";
    RoleView = "select case when snackbase.enter($1, 'superadmin') then snackbase.role_view($2) end";
    RoleChange = "select case when snackbase.enter($1, 'superadmin') then snackbase.role_change($2, $3) end";
    RoleDrop = "select case when snackbase.enter($1, 'superadmin') then snackbase.role_drop($2) end";
    RolePermissions = "select case when snackbase.enter($1, 'superadmin') then snackbase.role_permissions($2) end";
    RolePermissionsMatrix = "select case when snackbase.enter($1, 'superadmin') then snackbase.role_permissions_matrix($2) end";
    RolePermissionsChange = "select case when snackbase.enter($1, 'superadmin') then snackbase.role_permissions_change($2, $3) end";
    PermissionDrop = "select case when snackbase.enter($1, 'superadmin') then snackbase.permission_drop($2) end";
    MacroList = "select case when snackbase.enter($1, 'member') then snackbase.macro_list($2, $3) end";
    MacroView = "select case when snackbase.enter($1, 'member') then snackbase.macro_view($2) end";
    MacroCreate = "select case when snackbase.enter($1, 'superadmin') then snackbase.macro_create($2) end";
    MacroChange = "select case when snackbase.enter($1, 'superadmin') then snackbase.macro_change($2, $3) end";
    MacroDrop = "select case when snackbase.enter($1, 'superadmin') then snackbase.macro_drop($2) end";
    MacroTest = "select case when snackbase.enter($1, 'superadmin') then snackbase.macro_test($2, $3) end";
    AuditList = "select case when snackbase.enter($1, 'audit') then snackbase.audit_list($2) end";
    AuditView = "select case when snackbase.enter($1, 'audit') then snackbase.audit_view($2) end";
    AuditImportedList = "select case when snackbase.enter($1, 'audit') then snackbase.audit_imported_list($2) end";
    // In the select list the rows are made as they are fetched; in FROM the server would collect them first.
    AuditExport = "select snackbase.audit_export(case when entered.done then $2::json end) from snackbase.enter($1, 'audit') as entered(done)";
    AuditAccountExport = "select snackbase.audit_account_export(case when entered.done then $2::uuid end, $3, $4) || e'\\n' from snackbase.enter($1, 'audit') as entered(done)";
    AuditVerify = "select case when snackbase.enter($1, 'audit') then snackbase.audit_verify_report($2) end";
    SubjectErase = "select case when snackbase.enter($1, 'superadmin') then snackbase.subject_erase($2, $3) end";
    SubjectKeysRewrap = "select case when snackbase.enter($1, 'auth') then snackbase.subject_keys_rewrap($2) end";
    AuditStatus = "select case when snackbase.enter($1, 'superadmin') then snackbase.audit_status() end";
    AuditAnchorClaim = "select case when snackbase.enter($1, 'auth') then snackbase.audit_anchor_claim($2, $3, $4) end";
    AuditAnchorDone = "select case when snackbase.enter($1, 'auth') then snackbase.audit_anchor_done($2, $3, $4) end";
    AuditProof = "select case when snackbase.enter($1, 'audit') then snackbase.audit_proof($2, $3) end";
    AuditConsistency = "select case when snackbase.enter($1, 'audit') then snackbase.audit_consistency($2, $3) end";
    AuditCheckpoint = "select case when snackbase.enter($1, 'audit') then to_json(snackbase.audit_checkpoint_view($2)) end";
    AccountList = "select case when snackbase.enter($1, 'superadmin') then snackbase.account_list($2, $3, $4, $5, $6) end";
    AccountCreate = "select case when snackbase.enter($1, 'superadmin') then snackbase.account_create($2, $3) end";
    AccountView = "select case when snackbase.enter($1, 'superadmin') then snackbase.account_view($2) end";
    ApiKeyList = "select case when snackbase.enter($1, 'admin') then snackbase.api_key_list($2, $3) end";
    ApiKeyCreate = "select case when snackbase.enter($1, 'admin') then snackbase.api_key_create($2, $3, $4, $5, $6, $7) end";
    ApiKeyView = "select case when snackbase.enter($1, 'admin') then snackbase.api_key_view($2) end";
    ApiKeyRevoke = "select case when snackbase.enter($1, 'admin') then snackbase.api_key_revoke($2) end";
    AccountChange = "select case when snackbase.enter($1, 'superadmin') then snackbase.account_change($2, $3) end";
    AccountDrop = "select case when snackbase.enter($1, 'superadmin') then snackbase.account_drop($2) end";
    AccountUsers = "select case when snackbase.enter($1, 'superadmin') then snackbase.account_users($2, $3, $4) end";
    UserList = "select case when snackbase.enter($1, 'admin') then snackbase.user_list($2) end";
    UserCreate = "select case when snackbase.enter($1, 'admin') then snackbase.user_create($2) end";
    UserView = "select case when snackbase.enter($1, 'admin') then snackbase.user_view($2) end";
    UserChange = "select case when snackbase.enter($1, 'admin') then snackbase.user_change($2, $3) end";
    UserDrop = "select case when snackbase.enter($1, 'admin') then snackbase.user_drop($2) end";
    UserVerify = "select case when snackbase.enter($1, 'admin') then snackbase.user_verify($2) end";
    UserPasswordChange = "select case when snackbase.enter($1, 'admin') then snackbase.user_password_change($2, $3, $4) end";
    UserVerificationSend = "select case when snackbase.enter($1, 'admin') then snackbase.user_verification_send($2) end";
    GroupWriter = "select case when snackbase.enter($1, 'people') then snackbase.group_check(null) end";
    GroupList = "select case when snackbase.enter($1, 'people') then snackbase.group_list($2) end";
    GroupCreate = "select case when snackbase.enter($1, 'people') then snackbase.group_create($2) end";
    GroupView = "select case when snackbase.enter($1, 'people') then snackbase.group_view($2) end";
    GroupChange = "select case when snackbase.enter($1, 'people') then snackbase.group_change($2, $3) end";
    GroupDrop = "select case when snackbase.enter($1, 'people') then snackbase.group_drop($2) end";
    GroupMemberAdd = "select case when snackbase.enter($1, 'people') then snackbase.group_member_add($2, $3) end";
    GroupMemberRemove = "select case when snackbase.enter($1, 'people') then snackbase.group_member_remove($2, $3) end";
    Register = "select case when snackbase.enter($1, 'auth') then snackbase.auth_register($2, $3, $4, $5) end";
    // A function that returns rows cannot stand in `case`; the reference to `entered` keeps the order.
    LoginFind = "select f.user_id, f.account_id, f.password_hash, f.auth_provider, f.is_active, f.email_verified, f.retry_after
        from snackbase.enter($1, 'auth') as entered(done)
        cross join lateral snackbase.auth_login_find(case when entered.done then $2 end, $3, $4, $5) as f";
    LoginFinish = "select case when snackbase.enter($1, 'auth') then snackbase.auth_login_finish($2, $3, $4, $5, $6, $7) end";
    LoginFailed = "select case when snackbase.enter($1, 'auth') then snackbase.auth_login_failed($2, $3) end";
    Refresh = "select case when snackbase.enter($1, 'auth') then snackbase.auth_refresh($2, $3, $4, $5, $6) end";
    // Always one row.
    SignatureFind = "select f.user_id, f.password_hash, f.cause
        from snackbase.enter($1, 'auth') as entered(done)
        cross join lateral snackbase.signature_find(case when entered.done then $2 end, $3) as f";
    SignatureFailed = "select case when snackbase.enter($1, 'auth') then snackbase.signature_failed($2, $3, $4, $5, $6, $7, $8, $9) end";
    Logout = "select case when snackbase.enter($1, 'auth') then snackbase.auth_logout($2, $3) end";
    Join = "select case when snackbase.enter($1, 'auth') then snackbase.auth_join($2, $3, $4) end";
    SingleTenantEnsure = "select case when snackbase.enter($1, 'auth') then snackbase.single_tenant_ensure($2, $3, $4) end";
    ForgotPassword = "select case when snackbase.enter($1, 'auth') then snackbase.auth_forgot_password($2, $3, $4, $5) end";
    ResetCheck = "select case when snackbase.enter($1, 'auth') then snackbase.auth_reset_check($2) end";
    ResetPassword = "select case when snackbase.enter($1, 'auth') then snackbase.auth_reset_password($2, $3) end";
    InvitationList = "select case when snackbase.enter($1, 'member') then snackbase.invitation_list($2) end";
    InvitationCreate = "select case when snackbase.enter($1, 'admin') then snackbase.invitation_create($2) end";
    InvitationResend = "select case when snackbase.enter($1, 'admin') then snackbase.invitation_resend($2) end";
    InvitationCancel = "select case when snackbase.enter($1, 'admin') then snackbase.invitation_cancel($2) end";
    InvitationView = "select case when snackbase.enter($1, 'auth') then snackbase.auth_invitation_view($2) end";
    InvitationFind = "select case when snackbase.enter($1, 'auth') then snackbase.auth_invitation_find($2) end";
    InvitationAccept = "select case when snackbase.enter($1, 'auth') then snackbase.auth_invitation_accept($2, $3, $4, $5, $6, $7, $8) end";
    Accounts = "select case when snackbase.enter($1, 'member') then snackbase.auth_accounts() end";
    VerifyEmail = "select case when snackbase.enter($1, 'auth') then snackbase.auth_verify_email($2) end";
    VerificationRequest = "select case when snackbase.enter($1, 'auth') then snackbase.auth_verification_request($2, $3, $4, $5) end";
    Me = "select case when snackbase.enter($1, 'member') then snackbase.auth_me() end";
    ConfigurationStats = "select case when snackbase.enter($1, 'superadmin') then snackbase.configuration_stats() end";
    ConfigurationRecent = "select case when snackbase.enter($1, 'superadmin') then snackbase.configuration_recent($2) end";
    ConfigurationList = "select case when snackbase.enter($1, 'superadmin') then snackbase.configuration_list($2, $3) end";
    ConfigurationProviders = "select case when snackbase.enter($1, 'superadmin') then snackbase.configuration_providers($2) end";
    ConfigurationSchema = "select case when snackbase.enter($1, 'superadmin') then snackbase.configuration_schema($2, $3) end";
    ConfigurationDraft = "select case when snackbase.enter($1, 'superadmin') then snackbase.configuration_draft($2, $3, $4, $5, $6) end";
    ConfigurationCreate = "select case when snackbase.enter($1, 'superadmin') then snackbase.configuration_create($2) end";
    ConfigurationEnable = "select case when snackbase.enter($1, 'superadmin') then snackbase.configuration_enable($2, $3) end";
    ConfigurationValues = "select case when snackbase.enter($1, 'superadmin') then snackbase.configuration_values($2) end";
    ConfigurationValuesChange = "select case when snackbase.enter($1, 'superadmin') then snackbase.configuration_values_change($2, $3, $4, $5) end";
    ConfigurationDefaultSet = "select case when snackbase.enter($1, 'superadmin') then snackbase.configuration_default_set($2) end";
    ConfigurationDefaultUnset = "select case when snackbase.enter($1, 'superadmin') then snackbase.configuration_default_unset($2) end";
    ConfigurationDrop = "select case when snackbase.enter($1, 'superadmin') then snackbase.configuration_drop($2) end";
    ConfigurationCandidates = "select case when snackbase.enter($1, 'auth') then snackbase.configuration_candidates($2, $3) end";
    ConfigurationSecrets = "select case when snackbase.enter($1, 'auth') then snackbase.configuration_secrets() end";
    ConfigurationSecretsChange = "select case when snackbase.enter($1, 'auth') then snackbase.configuration_secrets_change($2, $3, $4) end";
    TemplateList = "select case when snackbase.enter($1, 'superadmin') then snackbase.email_template_list($2) end";
    TemplateView = "select case when snackbase.enter($1, 'superadmin') then snackbase.email_template_view($2) end";
    TemplateFind = "select case when snackbase.enter($1, 'superadmin') then snackbase.email_template_find($2, $3, $4) end";
    TemplateChange = "select case when snackbase.enter($1, 'superadmin') then snackbase.email_template_change($2, $3) end";
    TemplateCreate = "select case when snackbase.enter($1, 'superadmin') then snackbase.email_template_create($2) end";
    TemplateDrop = "select case when snackbase.enter($1, 'superadmin') then snackbase.email_template_drop($2) end";
    MailLogList = "select case when snackbase.enter($1, 'superadmin') then snackbase.mail_log_list($2) end";
    MailLogView = "select case when snackbase.enter($1, 'superadmin') then snackbase.mail_log_view($2) end";
    MailLogAdd = "select case when snackbase.enter($1, 'superadmin') then snackbase.mail_log_add($2, $3, $4, $5, $6, $7) end";
    DashboardStats = "select case when snackbase.enter($1, 'superadmin') then snackbase.dashboard_stats($2) end";
    MailClaim = "select case when snackbase.enter($1, 'auth') then snackbase.mail_claim($2, $3, $4) end";
    MailFinish = "select case when snackbase.enter($1, 'auth') then snackbase.mail_finish($2, $3, $4, $5, $6, $7) end";
    SuperadminExists = "select case when snackbase.enter($1, 'auth') then snackbase.superadmin_exists() end";
    SuperadminCreate = "select case when snackbase.enter($1, 'auth') then snackbase.superadmin_create($2, $3, $4) end";
}

/// The pool of connections; cloning it copies a pointer.
#[derive(Clone)]
pub struct Database {
    pool: managed::Pool<Manager>,
    /// Permits for answers that keep their connection as long as the client reads.
    streams: Arc<Semaphore>,
    /// How long a request waits for one.
    wait: Duration,
}

/// JSON as the server wrote it. It is forwarded and not parsed.
#[derive(Debug)]
pub struct Json(pub Bytes);

/// JSON as the client wrote it, checked to be JSON. It is bound as `json`.
#[derive(Debug)]
pub struct JsonText(pub Bytes);

impl JsonText {
    /// JSON of our own.
    pub fn of(value: impl Into<serde_json::Value>) -> Self {
        Self(value.into().to_string().into())
    }
}

/// What is known about the user of a login.
pub struct Login {
    /// The user.
    pub user_id: Uuid,
    /// The account.
    pub account_id: Uuid,
    /// PHC string; none for users who have no password.
    pub password_hash: Option<String>,
    /// `password`, `oauth`, `saml` or `platform`.
    pub auth_provider: String,
    /// Whether the user may log in at all.
    pub is_active: bool,
    /// Whether the address was confirmed.
    pub email_verified: bool,
}

/// One finding of `snackbase.doctor()`.
pub struct Finding {
    /// Whether the gateway must not start.
    pub severe: bool,
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Database {
    /// Builds the pool; connections are made when they are needed.
    ///
    /// # Errors
    /// A sentence when the pool refuses its settings.
    pub fn new(config: &Config) -> Result<Self, String> {
        let connect = deadpool_postgres::Manager::new(config.database.clone(), NoTls);
        let timeouts = Timeouts {
            wait: Some(config.database_wait),
            create: Some(config.database_wait),
            recycle: None,
        };
        let pool = managed::Pool::builder(Manager { connect })
            .max_size(config.database_pool_size)
            .timeouts(timeouts)
            // The connection used last has the warmest caches.
            .queue_mode(QueueMode::Lifo)
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|failure| format!("The connection pool cannot be built: {failure}."))?;
        Ok(Self {
            pool,
            streams: Arc::new(Semaphore::new((config.database_pool_size / 4).max(1))),
            wait: config.database_wait,
        })
    }

    /// Calls a function that answers JSON.
    ///
    /// # Errors
    /// What the database refuses, or [`Error::Unavailable`].
    pub async fn json(
        &self,
        caller: &Caller,
        statement: Statement,
        arguments: &[Argument<'_>],
    ) -> Result<Json, Error> {
        self.value(caller, statement, arguments).await
    }

    /// Calls a function that answers JSON or NULL.
    ///
    /// # Errors
    /// What the database refuses, or [`Error::Unavailable`].
    pub async fn json_or_null(
        &self,
        caller: &Caller,
        statement: Statement,
        arguments: &[Argument<'_>],
    ) -> Result<Option<Json>, Error> {
        self.value(caller, statement, arguments).await
    }

    /// Calls a function that answers yes or no.
    ///
    /// # Errors
    /// What the database refuses, or [`Error::Unavailable`].
    pub async fn flag(
        &self,
        caller: &Caller,
        statement: Statement,
        arguments: &[Argument<'_>],
    ) -> Result<bool, Error> {
        self.value(caller, statement, arguments).await
    }

    /// The user of a login. `None`: unknown account or address, which must not be told apart.
    ///
    /// # Errors
    /// [`Error::TooManyFailures`]; what the database refuses, or [`Error::Unavailable`].
    pub async fn login(
        &self,
        caller: &Caller,
        account: Option<&str>,
        host_label: Option<&str>,
        fallback: Option<&str>,
        email: &str,
    ) -> Result<Option<Login>, Error> {
        let arguments: [Argument<'_>; 4] = [&account, &host_label, &fallback, &email];
        let row = self.call(caller, Statement::LoginFind, &arguments).await?;
        let login = |row: Row| -> Result<Login, tokio_postgres::Error> {
            Ok(Login {
                user_id: row.try_get(0)?,
                account_id: row.try_get(1)?,
                password_hash: row.try_get(2)?,
                auth_provider: row.try_get(3)?,
                is_active: row.try_get(4)?,
                email_verified: row.try_get(5)?,
            })
        };
        if let Some(row) = &row
            && let Some(seconds) = row.try_get::<_, Option<i32>>(6).map_err(failure)?
        {
            return Err(Error::TooManyFailures(seconds.unsigned_abs().into()));
        }
        row.map(login).transpose().map_err(failure)
    }

    /// Who would sign under this name for the caller, in this collection.
    ///
    /// # Errors
    /// What the database refuses, or [`Error::Unavailable`].
    pub async fn signer(&self, caller: &Caller, collection: &str, username: &str) -> Result<Signer, Error> {
        let row = self
            .call(caller, Statement::SignatureFind, &[&collection, &username])
            .await?;
        let row = row.ok_or_else(|| Error::Defect("signature_find answered no row".to_owned()))?;
        let signer = |row: Row| -> Result<Signer, tokio_postgres::Error> {
            Ok(Signer {
                user_id: row.try_get(0)?,
                password_hash: row.try_get(1)?,
                cause: row.try_get(2)?,
            })
        };
        signer(row).map_err(failure)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        let flight = Flight::start(self.pool.get().await.map_err(no_connection)?);
        let answered = flight.connection().client.simple_query("").await;
        flight.land();
        answered.map(|_| ()).map_err(failure)
    }

    async fn value<T: for<'a> FromSql<'a>>(
        &self,
        caller: &Caller,
        statement: Statement,
        arguments: &[Argument<'_>],
    ) -> Result<T, Error> {
        let row = self.call(caller, statement, arguments).await?;
        let row = row.ok_or_else(|| Error::Defect(format!("{statement:?} answered no row")))?;
        row.try_get(0).map_err(failure)
    }

    /// One statement, one flight, one row. The answer is complete when the transaction has ended.
    async fn call(
        &self,
        caller: &Caller,
        statement: Statement,
        arguments: &[Argument<'_>],
    ) -> Result<Option<Row>, Error> {
        let flight = Flight::start(self.pool.get().await.map_err(no_connection)?);
        let introduction = caller.introduction();
        let mut parameters: Vec<Argument<'_>> = Vec::with_capacity(arguments.len() + 1);
        parameters.push(&introduction);
        parameters.extend_from_slice(arguments);
        let answer = flight.connection().row(statement, &parameters).await;
        flight.land();
        if answer.is_ok() {
            caller.accepted();
        }
        answer.map_err(failure)
    }
}

/// The findings of `snackbase.doctor()`, over a connection of its own, because the pool's connections need every function
/// to be there.
///
/// # Errors
/// A sentence when there is no connection or no extension.
pub async fn doctor(config: &Config) -> Result<Vec<Finding>, String> {
    let (client, connection) = config
        .database
        .connect(NoTls)
        .await
        .map_err(|failure| format!("Postgres cannot be reached: {}.", cause(&failure)))?;
    let connection = tokio::spawn(connection);
    let rows = client
        .query(
            "select severity, code, message, hint from snackbase.doctor()",
            &[],
        )
        .await;
    connection.abort();
    let rows = rows.map_err(|failure| {
        format!(
            "The extension cannot be asked ({}); was CREATE EXTENSION snackbase run?",
            cause(&failure)
        )
    })?;
    let finding = |row: Row| -> Result<Finding, tokio_postgres::Error> {
        let severity: String = row.try_get(0)?;
        Ok(Finding {
            severe: severity == "severe",
            code: row.try_get(1)?,
            message: row.try_get(2)?,
            hint: row.try_get(3)?,
        })
    };
    let findings: Result<_, _> = rows.into_iter().map(finding).collect();
    findings.map_err(|failure| {
        format!(
            "snackbase.doctor() answers in an unknown shape: {}.",
            cause(&failure)
        )
    })
}

/// Makes connections with all statements prepared.
struct Manager {
    connect: deadpool_postgres::Manager,
}

/// A connection and its statements, in the order of [`Statement`].
struct Connection {
    client: ClientWrapper,
    statements: Vec<tokio_postgres::Statement>,
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = tokio_postgres::Error;

    async fn create(&self) -> Result<Connection, tokio_postgres::Error> {
        let client = managed::Manager::create(&self.connect).await?;
        // Polled together, they travel together.
        let statements = try_join_all(SQL.iter().map(|sql| client.prepare(sql))).await?;
        Ok(Connection { client, statements })
    }

    async fn recycle(
        &self,
        connection: &mut Connection,
        metrics: &Metrics,
    ) -> RecycleResult<tokio_postgres::Error> {
        managed::Manager::recycle(&self.connect, &mut connection.client, metrics).await
    }
}

impl Connection {
    /// The first row, if any. Reads until the server is ready again: a failure of the commit is a failure of the call.
    async fn row(
        &self,
        statement: Statement,
        parameters: &[Argument<'_>],
    ) -> Result<Option<Row>, tokio_postgres::Error> {
        let statement = &self.statements[statement as usize];
        let rows = self
            .client
            .query_raw(statement, parameters.iter().copied())
            .await?;
        futures_util::pin_mut!(rows);
        let mut first = None;
        while let Some(row) = rows.try_next().await? {
            first.get_or_insert(row);
        }
        Ok(first)
    }
}

/// A connection while a statement runs on it.
///
/// When the client hangs up, the handler is dropped half-way. The connection must not go back to the pool with a
/// statement still running, or the next request would wait for it: the statement is cancelled. Nor may it go back at all:
/// the server may deliver the cancellation late, when the next request's statement runs. So it keeps its place in the
/// pool until the statement has ended, and is closed.
struct Flight(Option<managed::Object<Manager>>);

impl Flight {
    fn start(connection: managed::Object<Manager>) -> Self {
        Self(Some(connection))
    }

    fn connection(&self) -> &Connection {
        // `land` and `drop` are the only ones that take it, and both end the flight.
        match &self.0 {
            Some(connection) => connection,
            None => unreachable!("a flight has a connection until it lands"),
        }
    }

    fn land(mut self) {
        self.0 = None;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let Some(connection) = self.0.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            // Both may fail: then the connection is broken, and closing it is right as well.
            let _ = connection.client.cancel_token().cancel_query(NoTls).await;
            let _ = connection.client.simple_query("").await;
            drop(managed::Object::take(connection));
        });
    }
}

/// The one translation of a driver failure.
fn failure(failure: tokio_postgres::Error) -> Error {
    let Some(refused) = failure.as_db_error() else {
        let cause = cause(&failure);
        return match failure.is_closed()
            || std::error::Error::source(&failure).is_some_and(|s| s.is::<std::io::Error>())
        {
            true => Error::Unavailable(cause),
            false => Error::Defect(cause),
        };
    };
    Error::Refused(Box::new(Refusal {
        sqlstate: refused.code().code().to_owned(),
        message: refused.message().to_owned(),
        detail: refused.detail().map(str::to_owned),
    }))
}

/// Whatever keeps us from a connection is no answer to the request: not even a refused password.
fn no_connection(failure: PoolError<tokio_postgres::Error>) -> Error {
    Error::Unavailable(match failure {
        PoolError::Backend(failure) => format!("no connection to Postgres: {}", cause(&failure)),
        PoolError::Timeout(step) => format!("no free connection to Postgres in time ({step:?})"),
        other => format!("no connection to Postgres: {other}"),
    })
}

/// The failure in words: the server's own message where there is one, else the driver's and its reason.
pub(crate) fn cause(failure: &tokio_postgres::Error) -> String {
    if let Some(refused) = failure.as_db_error() {
        return format!("{} {}", refused.code().code(), refused.message());
    }
    match std::error::Error::source(failure) {
        Some(reason) => format!("{failure}: {reason}"),
        None => failure.to_string(),
    }
}

impl ToSql for Introduction<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        serde_json::to_writer(out.writer(), self)?;
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSON
    }

    to_sql_checked!();
}

impl ToSql for JsonText {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSON
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Json {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        // `jsonb` travels with a version byte in front.
        let text = if *ty == Type::JSONB {
            raw.get(1..).unwrap_or_default()
        } else {
            raw
        };
        Ok(Self(Bytes::copy_from_slice(text)))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSON || *ty == Type::JSONB
    }
}
