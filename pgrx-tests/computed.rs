//! Computed fields: read-only, made from stored ones, and no way round field lists and masks.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::json;

    use crate::tests::scene::{Scene, ask, run};

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

    #[pg_test]
    fn a_mask_is_inherited_unless_there_is_one_of_its_own() {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "people", "create_rule": "", "view_rule": "", "fields": [
                {"name": "called", "type": "text", "pii": true, "mask_type": "name"}, {"name": "age", "type": "number"},
                {"name": "copy", "type": "computed", "expression": "trim(called)", "return_type": "text"},
                {"name": "own", "type": "computed", "expression": "trim(called)", "return_type": "text", "pii": true, "mask_type": "name"},
                {"name": "grown", "type": "computed", "expression": "length(called) > 3", "return_type": "boolean"},
                {"name": "older", "type": "computed", "expression": "age + 1", "return_type": "number"}]}"#,
        );
        let id = scene.ada.created("people", r#"{"called": "Ada Love", "age": 3}"#);
        let seen = |record: serde_json::Value| {
            json!([
                record["called"],
                record["copy"],
                record["own"],
                record["grown"],
                record["older"]
            ])
        };
        assert_eq!(
            seen(scene.ada.view("people", &id).json()),
            json!(["A*** L***", "********", "A*** L***", "****", 4])
        );
        assert_eq!(
            seen(scene.root.view("people", &id).json()),
            json!(["Ada Love", "Ada Love", "Ada Love", true, 4])
        );
        // a mask that comes later covers what is made of the field at once, over both doors
        scene
            .change("people", r#"{"fields": [{"name": "called", "type": "text"}, {"name": "age", "type": "number", "pii": true},
                {"name": "older", "type": "computed", "expression": "age + 1", "return_type": "number"},
                {"name": "copy", "type": "computed", "expression": "called", "return_type": "text"},
                {"name": "own", "type": "computed", "expression": "called", "return_type": "text"},
                {"name": "grown", "type": "computed", "expression": "true", "return_type": "boolean"}]}"#)
            .answer();
        assert_eq!(
            seen(scene.ada.view("people", &id).json()),
            json!(["Ada Love", "Ada Love", "Ada Love", true, "*"])
        );
        ask("select format_type(atttypid, -1) from pg_attribute where attrelid = 'snackbase_bi.people'::regclass and attname = 'older'")
            .says("text");
    }

    /// Random expressions of every type, from a fixed seed.
    struct Expressions(u64);

    impl Expressions {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap_or(0) % limit
        }

        fn unit(&mut self) -> &'static str {
            ["days", "hours", "minutes", "seconds", "months", "years"][self.below(6)]
        }

        fn text(&mut self, depth: usize) -> String {
            let leaf = self.below(4);
            if depth == 0 {
                return ["t", "u", "'a%b_c\\\\'", "''"][leaf].to_owned();
            }
            let d = depth - 1;
            match self.below(9) {
                0 => format!("concat({}, {}, {})", self.text(d), self.number(d), self.text(d)),
                1 => format!("upper({})", self.text(d)),
                2 => format!("trim({})", self.text(d)),
                3 => format!("substring({}, {})", self.text(d), self.number(d)),
                4 => format!(
                    "substring({}, {}, {})",
                    self.text(d),
                    self.number(d),
                    self.number(d)
                ),
                5 => format!("if({}, {}, {})", self.boolean(d), self.text(d), self.text(d)),
                6 => format!("coalesce({}, {})", self.text(d), self.text(d)),
                7 => format!("nullif({}, {})", self.text(d), self.text(d)),
                _ => format!("lower({})", self.text(d)),
            }
        }

        fn number(&mut self, depth: usize) -> String {
            let leaf = self.below(7);
            if depth == 0 {
                return ["n", "m", "0", "-1", "1e308", "2147483648", "0.5"][leaf].to_owned();
            }
            let d = depth - 1;
            match self.below(14) {
                0 => format!("({} + {})", self.number(d), self.number(d)),
                1 => format!("({} - {})", self.number(d), self.number(d)),
                2 => format!("({} * {})", self.number(d), self.number(d)),
                3 => format!("({} / {})", self.number(d), self.number(d)),
                4 => format!("({} % {})", self.number(d), self.number(d)),
                5 => format!("-{}", self.number(d)),
                6 => format!("round({}, {})", self.number(d), self.number(d)),
                7 => format!("round({})", self.number(d)),
                8 => format!("abs({})", self.number(d)),
                9 => format!("ceil({})", self.number(d)),
                10 => format!("floor({})", self.number(d)),
                11 => format!("length({})", self.text(d)),
                12 => {
                    let unit = self.unit();
                    format!("date_diff({}, {}, '{unit}')", self.moment(d), self.moment(d))
                }
                _ => format!(
                    "coalesce(nullif({}, {}), {})",
                    self.number(d),
                    self.number(d),
                    self.number(d)
                ),
            }
        }

        fn boolean(&mut self, depth: usize) -> String {
            if depth == 0 {
                return ["b", "!b", "n IS NULL", "t ~ '%a%'"][self.below(4)].to_owned();
            }
            let d = depth - 1;
            match self.below(6) {
                0 => format!("({} < {})", self.number(d), self.number(d)),
                1 => format!("({} = {})", self.text(d), self.text(d)),
                2 => format!("({} >= {})", self.moment(d), self.moment(d)),
                3 => format!(
                    "({} && {} || !({}))",
                    self.boolean(d),
                    self.boolean(d),
                    self.boolean(d)
                ),
                4 => format!("({} IN ({}, 1, null))", self.number(d), self.number(d)),
                _ => format!("({} IS NOT NULL)", self.text(d)),
            }
        }

        fn moment(&mut self, depth: usize) -> String {
            let leaf = self.below(4);
            if depth == 0 {
                return ["at", "created_at", "now()", "at"][leaf].to_owned();
            }
            let d = depth - 1;
            match self.below(4) {
                0 | 1 => {
                    let unit = self.unit();
                    format!("date_add({}, {}, '{unit}')", self.moment(d), self.number(d))
                }
                2 => {
                    let unit = self.unit();
                    format!("date_add(day, {}, '{unit}')", self.number(d))
                }
                _ => format!("if({}, {}, {})", self.boolean(d), self.moment(d), self.moment(d)),
            }
        }
    }

    #[pg_test]
    fn no_value_and_no_expression_can_break_a_read() {
        let scene = Scene::new();
        let mut random = Expressions(20_261_125);
        for round in 0..12 {
            let mut fields = vec![
                json!({"name": "t", "type": "text"}),
                json!({"name": "u", "type": "text"}),
                json!({"name": "n", "type": "number"}),
                json!({"name": "m", "type": "number"}),
                json!({"name": "b", "type": "boolean"}),
                json!({"name": "at", "type": "datetime"}),
                json!({"name": "day", "type": "date"}),
            ];
            let mut names = Vec::new();
            for index in 0..10 {
                let depth = 1 + index % 3;
                let (kind, expression) = match index % 4 {
                    0 => ("text", random.text(depth)),
                    1 => ("number", random.number(depth)),
                    2 => ("boolean", random.boolean(depth)),
                    _ => ("datetime", random.moment(depth)),
                };
                let name = format!("c{index}");
                fields.push(
                    json!({"name": name, "type": "computed", "expression": expression, "return_type": kind}),
                );
                names.push(name);
            }
            let name = format!("wild{round}");
            scene.collection(&json!({"name": name, "list_rule": "", "fields": fields}).to_string());
            // What HTTP refuses, SQL may still have written.
            run(&format!(
                "insert into snackbase.col_{name} (account_id, t, u, n, m, b, at, day)
                 select '{}', t, case n % 3 when 0 then null when 1 then 'x' else t end, v, w, b, at, day
                   from (select row_number() over () as n, * from
                         unnest(array[null, '', ' ', 'a', 'Äß€😀', repeat('long ', 20000), '%_\\', 'a''b\"c']) t) t
                   join (select row_number() over () as k, * from
                         unnest(array[null, 0, '-0', 1, -1.5, 1e308, -1e308, 5e-324, 'NaN', 'Infinity', '-Infinity', 2147483648, 1e15]::float8[],
                                array[0, null, 7, 'NaN', 'Infinity', '-Infinity', 1e308, 1, -3, 0.1, 5e-324, -2147483649, 2]::float8[]) as v(v, w)) v on k % 8 = n % 8
                   join (select row_number() over () as j, * from
                         unnest(array[null, true, false, true, false, true],
                                array[null, 'infinity', '-infinity', '294276-12-31', '4713-01-02 BC', '9999-12-31 23:59:59.999999Z']::timestamptz[],
                                array['infinity', null, '-infinity', '5874897-12-31', '4713-01-02 BC', '0001-01-01']::date[]) as d(b, at, day)) d on true",
                scene.ada.account
            ))
            .answer();
            let total = scene.ada.total(&name, "");
            assert!(total > 60, "{total}");
            for computed in &names {
                scene.ada.list(&name, &format!("{computed} IS NULL")).answer();
                scene
                    .root
                    .list(&name, &format!("{computed} IS NOT NULL"))
                    .answer();
                for page in ["0", "60"] {
                    let sorted = format!(
                        "select snackbase.records_list('{name}', null, '-{computed}', {page}, 100, null)"
                    );
                    scene.ada.ask("list", &sorted).json();
                }
            }
            ask(&format!("select count(md5(w::text)) from snackbase_bi.{name} w")).answer();
        }
    }
}
