//! Valid requests for the routes of records and administration.

use serde_json::{Value, json};

use super::{SORTED, Sample, Scene, Who, targets};

const SYSTEM_SETTINGS: &str = "/admin/configuration/00000000-0000-4000-8000-000000000102";
const TEMPLATE: &str = "/admin/email/templates/00000000-0000-4000-8000-000000000003";

impl Scene {
    /// One request for every route of records and administration.
    pub(super) fn other_samples(&self) -> Vec<Sample> {
        let sample = |who, method, path: &str, query: &[(&'static str, &str)], body| Sample {
            who,
            method,
            path: path
                .replace("{record}", &self.record)
                .replace("{target}", &self.target)
                .replace("{entry}", &self.entry)
                .replace("{macro}", &self.custom_macro)
                .replace("{role}", &self.role)
                .replace("{key}", &self.key)
                .replace("{bob}", self.world.user_id("bob")),
            query: query
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            body,
        };
        let (root, alice, anonymous) = (Who::Root, Who::Alice, Who::Anonymous);
        let none = || Value::Null;
        let page: &[(&str, &str)] = &[
            ("page", "1"),
            ("page_size", "10"),
            ("sort_by", "name"),
            ("sort_order", "asc"),
            ("search", "a"),
        ];
        let list: &[(&str, &str)] = &[
            ("filter", "amount > 0 && label ~ \"l%\""),
            ("sort", "-amount,label"),
            ("fields", "label,amount"),
            ("skip", "0"),
            ("limit", "5"),
            ("page", "1"),
            ("perPage", "5"),
        ];
        let record = || {
            json!({"label": "n", "amount": 2.5, "active": true, "day": "2024-02-29", "moment": "2024-02-29T10:00:00Z",
                "contact": "a@example.com", "site": "https://example.com", "extra": {"a": [1, null]}, "target": self.target,
                "owner": self.world.user_id("bob"),
                "upload": {"filename": "f", "size": 1, "mime_type": "text/plain", "path": "p"}})
        };
        let fresh = |name: &str| {
            json!({"name": name, "fields": [
            {"name": "a", "type": "text", "required": true, "default": "x", "unique": false, "pii": true, "mask_type": "name"},
            {"name": "b", "type": "reference", "collection": "targets", "on_delete": "set_null"},
            {"name": "c", "type": "computed", "expression": "a", "return_type": "text"}],
            "list_rule": "a = \"x\"", "create_rule": "", "list_fields": "[\"a\"]"})
        };
        vec![
            sample(
                alice,
                "GET",
                "/records/samples",
                &[
                    &SORTED[..],
                    &[
                        ("expand", "target,owner"),
                        ("cursor", &self.cursor),
                        ("include_count", "true"),
                    ],
                ]
                .concat(),
                none(),
            ),
            sample(
                alice,
                "GET",
                "/samples",
                &[&SORTED[..], &[("cursor_before", &self.cursor)]].concat(),
                none(),
            ),
            sample(
                alice,
                "GET",
                "/records/samples/aggregate",
                &[
                    ("functions", "count(),sum(amount),max(day)"),
                    ("group_by", "active,target"),
                    ("filter", "amount > 0"),
                    ("having", "count() > 0 AND sum(amount) > -1"),
                ],
                none(),
            ),
            sample(
                root,
                "GET",
                "/targets/aggregate",
                &[("functions", "min(size)"), ("filter", "{\"size\": null}")],
                none(),
            ),
            sample(
                alice,
                "POST",
                "/records/samples/batch",
                &[],
                json!({"records": [record(), record()]}),
            ),
            sample(
                alice,
                "PATCH",
                "/samples/batch",
                &[],
                json!({"records": [{"id": self.record, "data": {"amount": 7, "owner": null}}]}),
            ),
            sample(anonymous, "GET", "/records/samples", list, none()),
            sample(alice, "GET", "/samples", list, none()),
            sample(
                alice,
                "GET",
                "/records/samples/{record}",
                &[("fields", "label"), ("expand", "target")],
                none(),
            ),
            sample(alice, "POST", "/records/samples", &[], record()),
            sample(alice, "PUT", "/records/samples/{record}", &[], record()),
            sample(anonymous, "PATCH", "/samples/{record}", &[], record()),
            sample(root, "GET", "/collections", page, none()),
            sample(root, "GET", "/collections/names", &[], none()),
            sample(root, "GET", "/collections/samples", &[], none()),
            sample(root, "POST", "/collections", &[], fresh("fresh")),
            sample(
                root,
                "PUT",
                "/collections/targets",
                &[],
                json!({"fields": targets()["fields"]}),
            ),
            sample(
                root,
                "GET",
                "/collections/export",
                &[("collection_ids", "samples,x")],
                none(),
            ),
            sample(
                root,
                "POST",
                "/collections/import",
                &[],
                json!({"strategy": "update", "atomic": true, "update_rules": true, "data": {"version": "1.0", "collections": [
                    {"name": "moved", "schema": [{"name": "a", "type": "text"}], "rules": {"list_rule": "", "list_fields": "*"}}]}}),
            ),
            sample(
                root,
                "POST",
                "/migrations/plan",
                &[],
                json!({"collections": [fresh("planned")]}),
            ),
            sample(
                root,
                "POST",
                "/migrations/generate",
                &[],
                json!({"confirm": true, "collections": [fresh("planned")]}),
            ),
            sample(root, "GET", "/migrations", &[], none()),
            sample(root, "GET", "/migrations/current", &[], none()),
            sample(root, "GET", "/migrations/history", &[], none()),
            sample(root, "GET", "/collections/samples/rules", &[], none()),
            sample(
                root,
                "PUT",
                "/collections/targets/rules",
                &[],
                json!({"list_rule": "name != \"x\"", "update_rule": "@request.data.name != \"\"",
                "view_rule": null, "create_rule": "@has_role(\"admin\")", "delete_rule": "@owns_record()", "list_fields": "*", "update_fields": "[\"name\"]"}),
            ),
            sample(
                root,
                "GET",
                "/audit-logs",
                &[
                    ("table_name", "col_samples"),
                    ("record_id", "x"),
                    ("user_id", "x"),
                    ("operation", "CREATE"),
                    ("from_date", "2024-01-01T00:00:00Z"),
                    ("to_date", "2034-01-01T00:00:00Z"),
                    ("skip", "0"),
                    ("limit", "5"),
                    ("sort_by", "occurred_at"),
                    ("sort_order", "asc"),
                ],
                none(),
            ),
            sample(
                root,
                "GET",
                "/audit-logs/export",
                &[
                    ("table_name", "col_samples"),
                    ("operation", "CREATE"),
                    ("from_date", "2024-01-01T00:00:00Z"),
                    ("format", "json"),
                    ("full", "true"),
                ],
                none(),
            ),
            sample(root, "GET", "/audit-logs/{entry}", &[], none()),
            sample(
                root,
                "GET",
                "/audit-logs/imported",
                &[
                    ("import_id", "1"),
                    ("table_name", "col_samples"),
                    ("auth_method", "jwt"),
                    ("from_date", "2024-01-01T00:00:00Z"),
                    ("skip", "0"),
                    ("limit", "5"),
                    ("sort_order", "asc"),
                ],
                none(),
            ),
            sample(root, "GET", "/admin/configuration/stats", &[], none()),
            sample(
                root,
                "GET",
                "/admin/configuration/recent",
                &[("limit", "5")],
                none(),
            ),
            sample(
                root,
                "GET",
                "/admin/configuration/system",
                &[("category", "system_settings")],
                none(),
            ),
            sample(
                root,
                "GET",
                "/admin/configuration/account",
                &[("account_id", "acme"), ("category", "email_providers")],
                none(),
            ),
            sample(
                root,
                "GET",
                "/admin/configuration/providers",
                &[("category", "email_providers")],
                none(),
            ),
            sample(
                root,
                "GET",
                "/admin/configuration/schema/email_providers/smtp",
                &[],
                none(),
            ),
            sample(
                root,
                "POST",
                "/admin/configuration",
                &[],
                json!({"category": "colours", "provider_name": "palette", "display_name": "Palette", "account_id": "acme",
                "enabled": true, "priority": 3, "logo_url": "/x.svg", "config": {"shade": "red", "depth": 3},
                "config_schema": {"type": "object", "properties": {"shade": {"type": "string"}, "depth": {"type": "integer"}}}}),
            ),
            sample(root, "PATCH", SYSTEM_SETTINGS, &[], json!({"enabled": true})),
            sample(
                root,
                "GET",
                "/admin/configuration/00000000-0000-4000-8000-000000000102/values",
                &[],
                none(),
            ),
            sample(
                root,
                "PATCH",
                "/admin/configuration/00000000-0000-4000-8000-000000000102/values",
                &[],
                json!({"app_name": "Sample", "app_url": "https://app.example.com", "support_email": "help@example.com"}),
            ),
            sample(
                root,
                "POST",
                "/admin/configuration/00000000-0000-4000-8000-000000000102/set-default",
                &[],
                none(),
            ),
            sample(
                root,
                "DELETE",
                "/admin/configuration/00000000-0000-4000-8000-000000000102/set-default",
                &[],
                none(),
            ),
            sample(
                root,
                "POST",
                "/admin/configuration/test-connection",
                &[],
                json!({"category": "system_settings", "provider_name": "system", "account_id": "acme",
                "config_id": "00000000-0000-4000-8000-000000000102", "config": {"app_name": "x"}}),
            ),
            sample(
                root,
                "GET",
                "/admin/email/templates",
                &[
                    ("template_type", "invitation"),
                    ("locale", "en"),
                    ("account_id", "x"),
                    ("enabled", "true"),
                ],
                none(),
            ),
            sample(root, "GET", TEMPLATE, &[], none()),
            sample(
                root,
                "PUT",
                TEMPLATE,
                &[],
                json!({"subject": "Hello {{ name }}", "html_body": "<p>{{ name }}</p>", "text_body": "{{ name }}", "enabled": true}),
            ),
            sample(
                root,
                "POST",
                "/admin/email/templates",
                &[],
                json!({"template_type": "sample", "locale": "en", "account_id": "acme", "subject": "s", "html_body": "h", "text_body": "t"}),
            ),
            sample(
                root,
                "POST",
                "/admin/email/templates/render",
                &[],
                json!({"template_type": "invitation", "locale": "en", "account_id": "acme", "variables": {"email": "a@example.com", "n": 1},
                "subject": "{% if n %}{{ n }}{% endif %}", "html_body": "h", "text_body": "t"}),
            ),
            sample(
                root,
                "GET",
                "/admin/email/logs",
                &[
                    ("status_filter", "failed"),
                    ("template_type", "invitation"),
                    ("start_date", "2024-01-01T00:00:00Z"),
                    ("end_date", "2034-01-01"),
                    ("page", "1"),
                    ("page_size", "5"),
                ],
                none(),
            ),
            sample(
                alice,
                "GET",
                "/admin/api-keys",
                &[("limit", "5"), ("offset", "0")],
                none(),
            ),
            sample(
                alice,
                "POST",
                "/admin/api-keys",
                &[],
                json!({"name": "sample", "expires_at": "2099-01-01T00:00:00Z", "scopes": ["records:secrets:read"]}),
            ),
            sample(alice, "GET", "/admin/api-keys/{key}", &[], none()),
            sample(alice, "DELETE", "/admin/api-keys/{key}", &[], none()),
            sample(root, "GET", "/dashboard/stats", &[("range", "30d")], none()),
            sample(
                root,
                "POST",
                "/admin/subjects/erase",
                &[],
                json!({"account_id": self.world.account_id("alice"), "subject": "somebody"}),
            ),
            sample(root, "GET", "/accounts", page, none()),
            sample(root, "GET", "/accounts/acme", &[], none()),
            sample(
                root,
                "POST",
                "/accounts",
                &[],
                json!({"name": "Initech", "slug": "initech"}),
            ),
            sample(
                root,
                "POST",
                "/users",
                &[],
                json!({"email": "new@example.com", "password": "Correct-Horse-7-Battery",
                "account_id": self.world.account_id("alice"), "role_id": 2}),
            ),
            sample(root, "POST", "/users/{bob}/verify", &[], none()),
            sample(alice, "GET", "/auth/me", &[], none()),
            sample(
                anonymous,
                "POST",
                "/auth/refresh",
                &[],
                json!({"refresh_token": self.world.people["bob"]["refresh_token"]}),
            ),
            sample(
                anonymous,
                "POST",
                "/auth/logout",
                &[],
                json!({"refresh_token": self.world.people["carol"]["refresh_token"]}),
            ),
            sample(
                anonymous,
                "POST",
                "/auth/login",
                &[],
                json!({"account": "acme", "email": "bob@example.com", "password": "Correct-Horse-7-Battery"}),
            ),
            sample(
                anonymous,
                "POST",
                "/auth/register",
                &[],
                json!({"email": "reg@example.com", "password": "Correct-Horse-7-Battery",
                "account_name": "Hooli", "account_slug": "hooli"}),
            ),
            sample(
                root,
                "POST",
                "/rules/validate",
                &[],
                json!({"rule": "amount > 1", "operation": "list", "collectionFields": ["amount"], "collection": "samples"}),
            ),
            sample(
                root,
                "POST",
                "/rules/test",
                &[],
                json!({"rule": "label = @request.auth.id", "context": {"auth": {"id": "u"}, "record": {"label": "u"}}}),
            ),
            sample(
                root,
                "POST",
                "/roles/validate-rule",
                &[],
                json!({"rule": "amount > 1"}),
            ),
            sample(root, "GET", "/roles", &[], none()),
            sample(
                root,
                "POST",
                "/roles",
                &[],
                json!({"name": "fresh", "description": "d"}),
            ),
            sample(root, "GET", "/roles/{role}", &[], none()),
            sample(root, "PUT", "/roles/{role}", &[], json!({"description": "e"})),
            sample(root, "GET", "/roles/{role}/permissions", &[], none()),
            sample(root, "GET", "/roles/{role}/permissions/matrix", &[], none()),
            sample(
                root,
                "PUT",
                "/roles/{role}/permissions/bulk",
                &[],
                json!({"updates": [{"collection": "samples", "operation": "read", "rule": "amount > 1", "fields": ["label"]}]}),
            ),
            sample(root, "DELETE", "/roles/{role}", &[], none()),
            sample(alice, "GET", "/macros", &[("skip", "0"), ("limit", "10")], none()),
            sample(
                root,
                "POST",
                "/macros",
                &[],
                json!({"name": "fresh", "sql_query": "select count(*) = 3 and :label <> '' from generate_series(1, 3)", "parameters": ["label"],
                    "description": "more than"}),
            ),
            sample(alice, "GET", "/macros/{macro}", &[], none()),
            sample(
                root,
                "PUT",
                "/macros/{macro}",
                &[],
                json!({"sql_query": "select true", "parameters": [], "description": null}),
            ),
            sample(
                root,
                "POST",
                "/macros/{macro}/test",
                &[],
                json!({"parameters": []}),
            ),
            sample(root, "DELETE", "/macros/{macro}", &[], none()),
            sample(alice, "DELETE", "/records/samples/{record}", &[], none()),
            sample(
                alice,
                "DELETE",
                "/records/targets/batch",
                &[],
                json!({"ids": [self.target]}),
            ),
            sample(root, "DELETE", "/collections/fresh", &[], none()),
        ]
    }
}
