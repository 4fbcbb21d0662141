//! The statements: what the gateway asks the database, each call once.

/// Lists the statements once and makes an enum of them.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:literal;)*) => {
        /// Everything the gateway asks the database. `$1` is the caller; the rest are the arguments in order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Statement {
            $(#[doc = $sql] $(#[$doc])* $name,)*
        }

        /// The text of every statement, in the order of [`Statement`].
        pub(super) const SQL: &[&str] = &[$($sql),*];
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
    LoginFinish = "select case when snackbase.enter($1, 'auth') then snackbase.auth_login_finish($2, $3, $4, $5, $6, $7, $8, $9) end";
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

impl Statement {
    /// Whether it reads records and does nothing else, so that nothing of where the request came from is kept.
    pub(super) fn reads_records(self) -> bool {
        matches!(
            self,
            Statement::RecordsList | Statement::RecordsView | Statement::RecordsAggregate
        )
    }
}
