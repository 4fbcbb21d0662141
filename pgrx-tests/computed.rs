//! Computed fields: read-only, made from stored ones, and no way round field lists and masks.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::json;

    use crate::tests::scene::Scene;

    const SHOP: &str = r#"{"name": "shop", "list_rule": "", "view_rule": "", "create_rule": "",
        "fields": [
            {"name": "price", "type": "number"}, {"name": "quantity", "type": "number"},
            {"name": "owner", "type": "text", "pii": true, "mask_type": "name"},
            {"name": "total", "type": "computed", "expression": "price * quantity", "return_type": "number"},
            {"name": "third", "type": "computed", "expression": "round(price / 3, 2)", "return_type": "number"},
            {"name": "kind", "type": "computed", "expression": "if(price > 100, \"expensive\", \"cheap\")", "return_type": "text"},
            {"name": "due", "type": "computed", "expression": "date_diff(date_add(created_at, 1, \"months\"), created_at, \"days\") >= 28", "return_type": "boolean"},
            {"name": "hello", "type": "computed", "expression": "concat(\"Hello \", owner)", "return_type": "text"}]}"#;

    #[pg_test]
    fn values_follow_the_stored_fields() {
        let scene = Scene::new();
        scene.collection(SHOP);
        let made = scene
            .ada
            .create("shop", r#"{"price": 10, "quantity": 3, "total": 99}"#)
            .json();
        assert_eq!(
            json!([made["total"], made["third"], made["kind"], made["due"]]),
            json!([30, 3.33, "cheap", true])
        );
        assert_eq!(scene.ada.total("shop", "total > 29 && kind = \"cheap\""), 1);
        assert_eq!(scene.ada.total("shop", "total > 30"), 0);
    }

    #[pg_test]
    fn what_cannot_be_computed_is_null() {
        let scene = Scene::new();
        scene.collection(SHOP);
        let made = scene
            .ada
            .create("shop", r#"{"price": 1e308, "quantity": 1e308}"#)
            .json();
        assert_eq!(made["total"], json!(null));
    }

    #[pg_test]
    fn a_value_made_of_hidden_fields_is_hidden() {
        let scene = Scene::new();
        scene.collection(SHOP);
        scene.ada.created("shop", r#"{"price": 10, "quantity": 3}"#);
        scene.rules("shop", r#"{"list_fields": ["quantity", "total", "hello"]}"#);
        let page = scene.ada.list("shop", "quantity = 3").json();
        assert!(page["items"][0].get("total").is_none(), "{page}");
        scene.ada.list("shop", "total > 1").refused("22023");
    }

    #[pg_test]
    fn a_value_made_of_masked_fields_is_masked() {
        let scene = Scene::new();
        scene.collection(SHOP);
        let made = scene.ada.create("shop", r#"{"owner": "Ada Lovelace"}"#).json();
        assert_eq!(
            json!([made["owner"], made["hello"]]),
            json!(["A*** L***", "*".repeat(18)])
        );
    }
}
