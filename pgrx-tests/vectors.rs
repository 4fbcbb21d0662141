//! The rule vectors of the contract through the product: each text is saved as a rule of a real collection, or sent as a
//! filter, and must be accepted or refused as the compiler's own tests say, with the same codes and places.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::{Value, json};

    use crate::tests::scene::{Outcome, Scene, ask, quoted};

    const VECTORS: &str = include_str!("../extension/core/tests/rules_vectors.txt");

    /// The fixture of the contract, less its encrypted field, which no collection can have yet.
    fn fixture() -> Scene {
        let scene = Scene::new();
        for (name, body) in [
            ("m2", "views > 1"),
            ("m1", "@m2 && views = 2"),
            ("m", "select $1 = $2"),
            (
                "ten",
                "views = $1 || views = $10 || views IN ($2, $3, $4, $5, $6, $7, $8, $9)",
            ),
        ] {
            let definition = quoted(&json!({"name": name, "sql_query": body}).to_string());
            scene
                .root
                .ask(
                    "superadmin",
                    &format!("select snackbase.macro_create({definition})"),
                )
                .answer();
        }
        scene.collection(
            r#"{"name": "vectors", "create_rule": "", "list_rule": "", "fields": [
                {"name": "title", "type": "text"}, {"name": "status", "type": "text", "default": "draft"}, {"name": "owner", "type": "text"},
                {"name": "views", "type": "number"}, {"name": "active", "type": "boolean"}, {"name": "public", "type": "boolean"},
                {"name": "at", "type": "datetime"}, {"name": "d", "type": "date"}, {"name": "meta", "type": "json"},
                {"name": "post", "type": "reference", "collection": "vectors", "on_delete": "set_null"}, {"name": "doc", "type": "file"},
                {"name": "total", "type": "computed", "expression": "views * 2", "return_type": "number"}]}"#,
        );
        scene
    }

    fn codes(outcome: Outcome) -> Vec<String> {
        match outcome {
            Outcome::Answer(_) => Vec::new(),
            Outcome::Refused(refusal) => {
                assert_eq!(refusal.code, "22023", "{refusal:?}");
                let detail: Value = refusal.json();
                let errors = detail["errors"].as_array().cloned().unwrap_or_default();
                errors
                    .iter()
                    .map(|error| {
                        format!(
                            "! {} @{}",
                            error["code"].as_str().unwrap_or("?"),
                            error["position"]
                        )
                    })
                    .collect()
            }
        }
    }

    #[pg_test]
    fn the_vectors_of_the_contract_hold_for_saved_rules_and_sent_filters() {
        let scene = fixture();
        scene
            .ada
            .created("vectors", r#"{"title": "Eggplant", "views": 2, "active": true}"#);
        let save = |operation: &str, rule: &str| {
            let changes = quoted(&json!({format!("{operation}_rule"): rule}).to_string());
            scene.root.ask(
                "superadmin",
                &format!("select snackbase.collection_rules_change('vectors', {changes})"),
            )
        };
        let mut checked = 0;
        let mut lines = VECTORS.lines().peekable();
        while let Some(line) = lines.next() {
            let Some((head, rest)) = line.split_once(" «") else {
                continue;
            };
            if line.starts_with('#') || line.starts_with("    ") {
                continue;
            }
            let (id, context) = head.split_once(' ').expect("id and context");
            let text = rest
                .strip_suffix('»')
                .expect("a closing mark")
                .replace("<NBSP>", "\u{a0}");
            let mut expected = Vec::new();
            while let Some(next) = lines.peek().and_then(|next| next.strip_prefix("    ")) {
                if next.starts_with('!') {
                    expected.push(next.to_owned());
                }
                lines.next();
            }
            // U+0000 does not get as far as the compiler, `loop` not as far as a rule, and `sec` does not exist.
            if text.contains("<NUL>") || text.contains("sec") || text == "@loop" || context == "X" {
                continue;
            }
            let operations: &[&str] = match context {
                "J" | "L" => &["list"],
                "C" => &["create"],
                "U" => &["update"],
                _ => &[],
            };
            for operation in operations {
                assert_eq!(
                    codes(save(operation, &text)),
                    expected,
                    "{id} as a {operation} rule"
                );
                // What was saved can be asked: nothing is left to fail.
                if *operation == "list" && expected.is_empty() {
                    scene.ada.list("vectors", "").answer();
                }
            }
            if matches!(context, "J" | "F") {
                scene.rules("vectors", r#"{"list_rule": ""}"#);
                assert_eq!(
                    codes(scene.ada.list("vectors", &text)),
                    expected,
                    "{id} as a filter"
                );
            }
            checked += 1;
        }
        assert!(checked > 140, "{checked}");
    }

    #[pg_test]
    fn a_macro_of_itself_is_refused_when_it_is_saved() {
        // v144
        let scene = fixture();
        let definition = quoted(r#"{"name": "loop", "sql_query": "@loop"}"#);
        let refusal = scene
            .root
            .ask(
                "superadmin",
                &format!("select snackbase.macro_create({definition})"),
            )
            .refused("22023");
        let error = &refusal.json()["errors"][0];
        assert_eq!(
            (&error["code"], &error["position"]),
            (&json!("macro_cycle"), &json!(0))
        );
        ask("select count(*) from snackbase.macros").says("4");
    }
}
