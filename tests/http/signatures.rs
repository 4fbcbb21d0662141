//! Electronic signatures over HTTP. Each test names the paragraph of 21 CFR Part 11 that it shows; `docs/part11.md` lists them.

use serde_json::{Value, json};
use snackbase_e2e::{Answer, Api, PASSWORD, World};

/// Collection `doses`: everybody of an account may do everything, with a reason (create) or a signature.
async fn world() -> World {
    let world = World::new().await;
    world
        .define(json!({"name": "doses",
            "fields": [{"name": "mg", "type": "number"}],
            "list_rule": "", "view_rule": "", "create_rule": "", "update_rule": "", "delete_rule": "",
            "options": {"signature": {"create": "reason", "update": "signature", "delete": "signature"}}}))
        .await;
    world
}

fn signing_as(api: &Api, username: &str, password: &str) -> Api {
    api.with_header("x-es-username", username)
        .with_header("x-es-password", password)
        .with_header("x-es-meaning", "approval")
        .with_header("x-es-reason", "UTF-8''wrong%20dose%20%E2%80%93%20corrected")
}

fn signing(api: &Api, username: &str) -> Api {
    signing_as(api, username, PASSWORD)
}

async fn dose(api: &Api) -> String {
    let made = api
        .with_header("x-es-reason", "first entry")
        .post("/records/doses", json!({"mg": 5}))
        .await
        .expect(201);
    format!("/records/doses/{}", made["id"].as_str().expect("an id"))
}

/// A 403 with this code, whose detail is a text without the words that clients take for something else.
#[track_caller]
fn refused(answer: Answer, code: &str) {
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert_eq!(answer.json["code"], code, "{}", answer.text);
    let detail = answer.json["detail"].as_str().expect("a text");
    for word in ["email", "verify", "superadmin", "restricted"] {
        assert!(!detail.contains(word), "{detail}");
    }
    assert!(!answer.text.contains(PASSWORD));
}

async fn entries(world: &World, query: &[(&str, &str)]) -> Vec<Value> {
    let mut all = vec![("limit", "500"), ("sort_by", "id"), ("sort_order", "asc")];
    all.extend_from_slice(query);
    let page = world.root.query("/audit-logs", &all).await.expect(200);
    page["items"].as_array().expect("items").clone()
}

#[tokio::test]
async fn part11_11_50_a_signature_shows_who_when_and_what_it_means() {
    let world = world().await;
    let path = dose(&world.alice).await;
    signing(&world.alice, "Alice@example.com")
        .patch(&path, json!({"mg": 6}))
        .await
        .expect(200);
    let updates = entries(&world, &[("table_name", "col_doses"), ("operation", "UPDATE")]).await;
    assert!(updates.len() > 1);
    for entry in &updates {
        assert_eq!(entry["es_username"], "alice@example.com");
        assert_eq!(entry["es_reason"], "approval: wrong dose – corrected");
        assert_eq!(entry["es_timestamp"], updates[0]["es_timestamp"]);
        assert!(entry["es_timestamp"].as_str() <= entry["occurred_at"].as_str());
    }
    // and in what people print
    let printed = world
        .root
        .with_header("accept", "application/pdf")
        .get("/audit-logs/export?format=pdf&table_name=col_doses&operation=UPDATE")
        .await
        .text;
    let at = updates[0]["es_timestamp"].as_str().unwrap_or_default();
    let signature = format!("alice@example.com | {at} | approval: wrong dose \u{96} corrected");
    let column = column(&printed, "Signature");
    assert_eq!(
        column,
        format!("Signature{}", signature.repeat(updates.len())),
        "{printed}"
    );
    let created = entries(&world, &[("table_name", "col_doses"), ("operation", "CREATE")]).await;
    assert_eq!(created[0]["es_reason"], "first entry");
    assert_eq!(
        (&created[0]["es_username"], &created[0]["es_timestamp"]),
        (&Value::Null, &Value::Null)
    );
}

/// What stands below each other in a column of a PDF, its title first; bytes as Latin-1.
fn column(document: &str, title: &str) -> String {
    let mut place = None;
    let mut column = String::new();
    let mut here = "";
    for line in document.lines() {
        if let Some((x, _)) = line.strip_suffix(" Td").and_then(|place| place.split_once(' ')) {
            here = x;
        }
        let Some(shown) = line.strip_suffix(" Tj") else {
            continue;
        };
        let text = match shown.strip_prefix('<').and_then(|shown| shown.strip_suffix('>')) {
            // a text with other characters than ASCII
            Some(digits) => (0..digits.len() / 2)
                .filter_map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok())
                .map(char::from)
                .collect(),
            None => shown.trim_matches(['(', ')']).to_owned(),
        };
        if text == title {
            place = Some(here);
        }
        if place == Some(here) {
            column.push_str(&text);
        }
    }
    column
}

#[tokio::test]
async fn part11_11_50_a_signature_lacking_a_part_is_none() {
    let world = world().await;
    let path = dose(&world.alice).await;
    let whole = [
        ("x-es-username", "alice@example.com"),
        ("x-es-password", PASSWORD),
        ("x-es-meaning", "review"),
        ("x-es-reason", "checked"),
    ];
    for left_out in 0..4 {
        let mut api = world.alice.clone();
        for (index, (name, value)) in whole.iter().enumerate() {
            api = api.with_header(name, if index == left_out { " " } else { value });
        }
        let answer = api.patch(&path, json!({"mg": 6})).await;
        // A password of one blank is a password: a wrong one.
        if whole[left_out].0 == "x-es-password" {
            refused(answer, "signature_refused");
        } else {
            assert!(answer.text.contains(whole[left_out].0), "{}", answer.text);
            answer.expect(422);
        }
    }
    let answer = signing(&world.alice, "alice@example.com")
        .with_header("x-es-meaning", "fun")
        .patch(&path, json!({"mg": 6}))
        .await;
    assert!(
        answer.status == 200,
        "the first of two headers counts: {}",
        answer.text
    );
    let mut api = world.alice.clone();
    for (name, value) in whole {
        api = api.with_header(name, if name == "x-es-meaning" { "fun" } else { value });
    }
    api.patch(&path, json!({"mg": 7})).await.expect(400);
}

#[tokio::test]
async fn part11_11_70_a_signature_is_bound_to_its_record_by_the_hash() {
    let world = world().await;
    let path = dose(&world.alice).await;
    signing(&world.alice, "alice@example.com")
        .patch(&path, json!({"mg": 6}))
        .await
        .expect(200);
    assert_eq!(world.audit_findings().await, [""; 0]);
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(
            "set session_replication_role = replica; set row_security = off; set check_function_bodies = off;
             alter table snackbase.audit_change disable trigger prevent_audit_log_update;
             update snackbase.audit_change set es_username = 'bob@example.com' where es_username is not null",
        )
        .await
        .expect("a superuser can");
    let findings = world.audit_findings().await;
    assert!(
        findings
            .iter()
            .any(|finding| finding.starts_with("checksum col_doses")),
        "{findings:?}"
    );
}

#[tokio::test]
async fn part11_11_100_only_the_own_name_signs_and_an_account_knows_no_other_accounts_names() {
    let world = world().await;
    let path = dose(&world.alice).await;
    for other in ["bob@example.com", "carol@example.com", "nobody@example.com"] {
        refused(
            signing(&world.alice, other).patch(&path, json!({"mg": 6})).await,
            "signature_refused",
        );
    }
    refused(
        signing(&world.root, "alice@example.com")
            .patch(&path, json!({"mg": 6}))
            .await,
        "signature_refused",
    );
    signing(&world.root, "root@example.com")
        .patch(&path, json!({"mg": 6}))
        .await
        .expect(200);
    signing(&world.anonymous, "alice@example.com")
        .patch(&path, json!({"mg": 6}))
        .await
        .expect(401);
}

#[tokio::test]
async fn part11_11_200_both_components_are_checked_at_each_signing() {
    let world = world().await;
    let path = dose(&world.alice).await;
    refused(
        world.alice.patch(&path, json!({"mg": 6})).await,
        "signature_required",
    );
    refused(world.alice.delete(&path).await, "signature_required");
    refused(
        world.alice.post("/records/doses", json!({})).await,
        "reason_required",
    );
    let signed = signing(&world.alice, "alice@example.com");
    signed.patch(&path, json!({"mg": 6})).await.expect(200);
    // The session goes on, the signature does not.
    refused(
        world.alice.patch(&path, json!({"mg": 7})).await,
        "signature_required",
    );
    refused(
        signing_as(&world.alice, "alice@example.com", "Wrong-Horse-7-Battery")
            .patch(&path, json!({"mg": 7}))
            .await,
        "signature_refused",
    );
    // A user who was deactivated cannot sign, whatever token is still about.
    let superuser = world.database.superuser().await;
    superuser
        .execute(
            "update snackbase.users set is_active = false where email = 'alice@example.com'",
            &[],
        )
        .await
        .expect("an update");
    signed.patch(&path, json!({"mg": 7})).await.expect(401);
    let record = world.root.get(&path).await.expect(200);
    assert_eq!(record["mg"], 6);
}

#[tokio::test]
async fn part11_11_200_batches_are_signed_as_a_whole() {
    let world = world().await;
    let (one, two) = (dose(&world.alice).await, dose(&world.alice).await);
    let ids: Vec<&str> = [&one, &two]
        .iter()
        .filter_map(|path| path.rsplit('/').next())
        .collect();
    let changes =
        json!({"records": ids.iter().map(|id| json!({"id": id, "data": {"mg": 9}})).collect::<Vec<_>>()});
    refused(
        world.alice.patch("/records/doses/batch", changes.clone()).await,
        "signature_required",
    );
    let signed = signing(&world.alice, "alice@example.com");
    signed.patch("/records/doses/batch", changes).await.expect(200);
    let deletion = json!({ "ids": ids }).to_string();
    refused(
        world
            .alice
            .send(reqwest::Method::DELETE, "/records/doses/batch", Some(&deletion))
            .await,
        "signature_required",
    );
    signed
        .send(reqwest::Method::DELETE, "/records/doses/batch", Some(&deletion))
        .await
        .expect(200);
    let created = json!({"records": [{"mg": 1}, {"mg": 2}]});
    refused(
        world.alice.post("/records/doses/batch", created.clone()).await,
        "reason_required",
    );
    world
        .alice
        .with_header("x-es-reason", "stock-taking")
        .post("/records/doses/batch", created)
        .await
        .expect(201);
    let deleted = entries(&world, &[("table_name", "col_doses"), ("operation", "DELETE")]).await;
    assert!(
        deleted
            .iter()
            .all(|entry| entry["es_username"] == "alice@example.com")
    );
    assert_eq!(world.audit_findings().await, [""; 0]);
}

#[tokio::test]
async fn part11_11_200_a_second_signer_has_the_right_to_the_operation_too() {
    let world = world().await;
    world
        .root
        .put(
            "/collections/doses",
            json!({"options": {"signature": {"update": "signature"}, "second_signer": true}}),
        )
        .await
        .expect(200);
    let path = dose(&world.alice).await;
    signing(&world.alice, "bob@example.com")
        .patch(&path, json!({"mg": 6}))
        .await
        .expect(200);
    let updates = entries(&world, &[("table_name", "col_doses"), ("operation", "UPDATE")]).await;
    assert_eq!(updates[0]["es_username"], "bob@example.com");
    assert_eq!(updates[0]["user_email"], "alice@example.com");
    world
        .rules("doses", json!({"update_rule": "@request.auth.role = \"admin\""}))
        .await;
    refused(
        signing(&world.alice, "bob@example.com")
            .patch(&path, json!({"mg": 7}))
            .await,
        "signature_refused",
    );
    refused(
        signing(&world.alice, "carol@example.com")
            .patch(&path, json!({"mg": 7}))
            .await,
        "signature_refused",
    );
}

#[tokio::test]
async fn part11_11_300_failures_lock_and_are_in_the_trail_without_the_password() {
    let world = world().await;
    let path = dose(&world.alice).await;
    let superuser = world.database.superuser().await;
    superuser
        .batch_execute(&format!(
            "alter database {} set snackbase.login_lockout_threshold = 3",
            world.database.name
        ))
        .await
        .expect("a setting");
    let gateway = snackbase_e2e::Gateway::start(&world.database, &[]).await;
    let alice = gateway
        .api()
        .with_token(world.people["alice"]["token"].as_str().expect("a token"));
    let guess = "Guessed-Horse-7-Battery";
    for _ in 0..3 {
        let answer = signing_as(&alice, "alice@example.com", guess)
            .patch(&path, json!({"mg": 6}))
            .await;
        assert!(!answer.text.contains(guess));
        refused(answer, "signature_refused");
    }
    // Locked: the right password signs nothing, and logs in nobody.
    refused(
        signing(&alice, "alice@example.com")
            .patch(&path, json!({"mg": 6}))
            .await,
        "signature_refused",
    );
    gateway
        .api()
        .post(
            "/auth/login",
            json!({"account": "acme", "email": "alice@example.com", "password": PASSWORD}),
        )
        .await
        .expect(401);
    let failures = entries(&world, &[("table_name", "signature_failures")]).await;
    let causes: Vec<&str> = failures
        .iter()
        .filter(|entry| entry["column_name"] == "cause")
        .filter_map(|entry| entry["new_value"].as_str())
        .collect();
    assert_eq!(
        causes,
        ["wrong_password", "wrong_password", "wrong_password", "locked"]
    );
    for entry in &failures {
        assert_eq!(entry["user_email"], "alice@example.com");
        assert_eq!(entry["account_id"].as_str(), Some(world.account_id("alice")));
    }
    let trail = world.root.get("/audit-logs?limit=500").await;
    assert!(
        trail.text.contains("wrong dose – corrected"),
        "the reason that was given is noted"
    );
    for secret in [guess, PASSWORD] {
        assert!(!trail.text.contains(secret), "no password in the trail");
    }
    assert_eq!(world.audit_findings().await, [""; 0]);
}

#[tokio::test]
async fn a_browser_may_send_the_headers_of_a_signature() {
    let world = world().await;
    let answer = world
        .gateway
        .api()
        .with_header("origin", "http://localhost:3000")
        .with_header("access-control-request-method", "PATCH")
        .with_header(
            "access-control-request-headers",
            "x-es-username,x-es-password,x-es-meaning,x-es-reason",
        )
        .send(reqwest::Method::OPTIONS, "/records/doses/x", None)
        .await;
    let allowed = answer.header("access-control-allow-headers").to_ascii_lowercase();
    for header in ["x-es-username", "x-es-password", "x-es-meaning", "x-es-reason"] {
        assert!(allowed.contains(header), "{allowed}");
    }
}
