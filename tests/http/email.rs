//! Templates and the log of mail over HTTP.

use serde_json::{Value, json};
use snackbase_e2e::{Scenario, World, run};

#[tokio::test]
async fn templates_are_listed_changed_rendered_and_made() {
    let world = World::new().await;
    let list = world
        .root
        .get("/admin/email/templates?template_type=verification")
        .await
        .expect(200);
    let built_in = &list[0];
    assert_eq!(
        (
            &built_in["template_type"],
            &built_in["is_builtin"],
            &built_in["locale"]
        ),
        (&json!("email_verification"), &json!(true), &json!("en"))
    );
    let path = format!(
        "/admin/email/templates/{}",
        built_in["id"].as_str().expect("an id")
    );
    let changed = world
        .root
        .put(&path, json!({"subject": "Welcome {{ email }}"}))
        .await
        .expect(200);
    assert_eq!(changed["html_body"], built_in["html_body"]);
    let body = json!({"template_type": "email_verification", "variables": {"email": "<a>@example.com", "verification_url": "https://x/?a=1&b=2"}});
    let texts = world
        .root
        .post("/admin/email/templates/render", body)
        .await
        .expect(200);
    assert_eq!(texts["subject"], "Welcome <a>@example.com");
    let (html, text) = (
        texts["html_body"].as_str().expect("a text"),
        texts["text_body"].as_str().expect("a text"),
    );
    assert!(
        html.contains("&lt;a&gt;@example.com") && html.contains("SnackBase"),
        "{html}"
    );
    assert!(text.contains("https://x/?a=1&b=2"), "{text}");

    let own = json!({"account_id": "acme", "template_type": "email_verification", "subject": "Acme", "html_body": "h", "text_body": "t"});
    let made = world
        .root
        .post("/admin/email/templates", own.clone())
        .await
        .expect(201);
    assert_eq!(made["account_id"], world.account_id("alice"));
    world.root.post("/admin/email/templates", own).await.expect(409);
    let body = json!({"template_type": "verification", "account_id": "acme", "variables": {}});
    let texts = world
        .root
        .post("/admin/email/templates/render", body)
        .await
        .expect(200);
    assert_eq!(texts["subject"], "Acme");
    let own = format!("/admin/email/templates/{}", made["id"].as_str().expect("an id"));
    assert_eq!(world.root.delete(&own).await.status, 204);
    world.root.delete(&own).await.expect(404);
    world.root.delete(&path).await.expect(400);
    assert!(world.audit_findings().await.is_empty());
}

#[tokio::test]
async fn what_does_not_fit_is_said_with_its_place() {
    let world = World::new().await;
    let template = "/admin/email/templates/00000000-0000-4000-8000-000000000001";
    let put = format!("PUT {template}");
    let test = format!("POST {template}/test");
    let row = |name, request, body, status, contains| Scenario {
        name,
        caller: &world.root,
        request,
        body,
        status,
        contains,
        lacks: &[],
    };
    run(&[
        row("a template that does not parse", &put, json!({"html_body": "a\n{% if %}"}), 422, &["html_body", "line 2"]),
        row("an include", &put, json!({"text_body": "{% include 'x' %}"}), 422, &["text_body"]),
        row("a subject that is too long", &put, json!({"subject": "x".repeat(256)}), 422, &["subject"]),
        row("no variables", "POST /admin/email/templates/render", json!({"template_type": "invitation"}), 422, &["variables"]),
        row(
            "a text that grows without end",
            "POST /admin/email/templates/render",
            json!({"template_type": "invitation", "variables": {}, "text_body": "{% for a in [1,2,3,4,5,6,7,8,9] %}{{ 'xxxxxxxxxx' * 9999 }}{% endfor %}"}),
            422,
            &["text_body", "too large"],
        ),
        row("an unknown type", "POST /admin/email/templates/render", json!({"template_type": "nothing", "variables": {}}), 404, &[]),
        row("an unknown account", "POST /admin/email/templates/render", json!({"template_type": "invitation", "variables": {}, "account_id": "nobody"}), 404, &[]),
        row("structure in variables", "POST /admin/email/templates/render", json!({"template_type": "invitation", "variables": {"a": [1]}}), 422, &["variables"]),
        row("a test without a provider", &test, json!({"recipient_email": "a@example.com"}), 400, &["No email provider"]),
        row("a test for nobody", &test, json!({"recipient_email": "nobody"}), 422, &["recipient_email"]),
        row("a date that is none", "GET /admin/email/logs?start_date=yesterday", Value::Null, 422, &["start_date"]),
        row("a date that does not exist", "GET /admin/email/logs?end_date=2024-02-31", Value::Null, 422, &["end_date"]),
        row("a status nobody knows", "GET /admin/email/logs?status_filter=lost", Value::Null, 422, &["status_filter"]),
        row("an unknown log", "GET /admin/email/logs/999", Value::Null, 404, &[]),
        row("the failed test is in the log", "GET /admin/email/logs?status_filter=failed", Value::Null, 200, &["a@example.com", "\"total\" : 1"]),
    ])
    .await;
}

#[tokio::test]
async fn all_of_it_is_for_superadmins() {
    let world = World::new().await;
    let id = "00000000-0000-4000-8000-000000000001";
    let mut failures = Vec::new();
    for (method, path) in [
        ("GET", "/admin/email/templates".to_owned()),
        ("POST", "/admin/email/templates".to_owned()),
        ("GET", format!("/admin/email/templates/{id}")),
        ("PUT", format!("/admin/email/templates/{id}")),
        ("DELETE", format!("/admin/email/templates/{id}")),
        ("POST", "/admin/email/templates/render".to_owned()),
        ("POST", format!("/admin/email/templates/{id}/test")),
        ("GET", "/admin/email/logs".to_owned()),
        ("GET", "/admin/email/logs/1".to_owned()),
        ("GET", "/admin/configuration/stats".to_owned()),
        ("GET", "/admin/configuration/recent".to_owned()),
        ("GET", "/admin/configuration/system".to_owned()),
        ("GET", "/admin/configuration/account?account_id=acme".to_owned()),
        ("GET", "/admin/configuration/providers".to_owned()),
        (
            "GET",
            "/admin/configuration/schema/email_providers/smtp".to_owned(),
        ),
        ("POST", "/admin/configuration".to_owned()),
        ("PATCH", format!("/admin/configuration/{id}")),
        ("DELETE", format!("/admin/configuration/{id}")),
        ("GET", format!("/admin/configuration/{id}/values")),
        ("PATCH", format!("/admin/configuration/{id}/values")),
        ("POST", format!("/admin/configuration/{id}/set-default")),
        ("DELETE", format!("/admin/configuration/{id}/set-default")),
        ("POST", "/admin/configuration/test-connection".to_owned()),
        ("GET", "/dashboard/stats".to_owned()),
    ] {
        for (caller, api, wanted) in [
            ("a tenant's admin", &world.alice, 403),
            ("nobody", &world.gateway.api(), 401),
        ] {
            // Whatever the body says.
            for body in [None, Some("{}"), Some("nonsense")] {
                let answer = api.send(method.parse().expect("a method"), &path, body).await;
                if answer.status != wanted || !answer.json["detail"].is_string() {
                    failures.push(format!(
                        "{caller}: {method} {path} {body:?}: {} {}",
                        answer.status, answer.text
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
