//! `expand`: objects in the place of ids. Contract of records §3.5.

use serde_json::{Value, json};
use snackbase_e2e::{Api, World};

async fn id(api: &Api, collection: &str, record: Value) -> String {
    let made = api
        .post(&format!("/records/{collection}"), record)
        .await
        .expect(201);
    made["id"].as_str().expect("an id").to_owned()
}

struct Library {
    world: World,
    acme: String,
    ada: String,
    hidden: String,
    book: String,
}

/// Books have an author, authors a publisher, publishers a country. Authors are visible unless secret; of a publisher the
/// `margin` is not in the view fields; phone numbers of authors are personal.
async fn library() -> Library {
    let world = World::new().await;
    let open = json!({"list_rule": "", "view_rule": "", "create_rule": "", "delete_rule": ""});
    let define = async |name: &str, fields: Value, rules: Value| {
        let mut definition = open.clone();
        definition["name"] = json!(name);
        definition["fields"] = fields;
        for (key, value) in rules.as_object().expect("an object") {
            definition[key.as_str()] = value.clone();
        }
        world.define(definition).await;
    };
    define("countries", json!([{"name": "code", "type": "text"}]), json!({})).await;
    define(
        "publishers",
        json!([
            {"name": "name", "type": "text"}, {"name": "margin", "type": "number"},
            {"name": "country", "type": "reference", "collection": "countries", "on_delete": "set_null"},
            {"name": "shout", "type": "computed", "return_type": "text", "expression": "upper(name)"},
            {"name": "profit", "type": "computed", "return_type": "number", "expression": "margin * 2"}
        ]),
        json!({"view_fields": ["name", "country", "shout", "profit"]}),
    )
    .await;
    define(
        "authors",
        json!([
            {"name": "name", "type": "text"}, {"name": "secret", "type": "boolean", "default": false},
            {"name": "phone", "type": "text", "pii": true, "mask_type": "phone"},
            {"name": "publisher", "type": "reference", "collection": "publishers", "on_delete": "set_null"},
            {"name": "agent", "type": "user"}
        ]),
        json!({"view_rule": "secret = false"}),
    )
    .await;
    define(
        "books",
        json!([
            {"name": "title", "type": "text"},
            {"name": "author", "type": "reference", "collection": "authors", "on_delete": "set_null"},
            {"name": "second", "type": "reference", "collection": "authors", "on_delete": "set_null"},
            {"name": "editor", "type": "user", "on_delete": "set_null"},
            {"name": "internal", "type": "reference", "collection": "authors", "on_delete": "set_null"}
        ]),
        json!({"list_fields": ["title", "author", "second", "editor"], "view_fields": ["title", "author", "second", "editor"]}),
    )
    .await;
    define(
        "vaults",
        json!([{"name": "name", "type": "text"}]),
        json!({"view_rule": null}),
    )
    .await;
    define(
        "keys",
        json!([{"name": "vault", "type": "reference", "collection": "vaults", "on_delete": "cascade"}]),
        json!({}),
    )
    .await;
    let country = id(&world.bob, "countries", json!({"code": "NZ"})).await;
    let acme = id(
        &world.bob,
        "publishers",
        json!({"name": "acme", "margin": 7, "country": country}),
    )
    .await;
    let bob = world.user_id("bob");
    let ada = id(
        &world.bob,
        "authors",
        json!({"name": "Ada", "phone": "5551234567", "publisher": acme, "agent": bob}),
    )
    .await;
    let hidden = id(&world.bob, "authors", json!({"name": "Hidden", "secret": true})).await;
    let book = id(
        &world.bob,
        "books",
        json!({"title": "One", "author": ada, "second": hidden, "editor": bob, "internal": ada}),
    )
    .await;
    Library {
        world,
        acme,
        ada,
        hidden,
        book,
    }
}

#[tokio::test]
async fn the_object_stands_in_the_place_of_the_id() {
    let Library {
        world,
        acme,
        ada,
        hidden,
        book,
    } = library().await;
    let plain = world.bob.get(&format!("/records/books/{book}")).await.expect(200);
    assert_eq!(
        (&plain["author"], &plain["second"]),
        (&json!(ada), &json!(hidden))
    );
    let path = "author.publisher.country,second,editor,author.agent";
    let list = world
        .bob
        .query("/records/books", &[("expand", path)])
        .await
        .expect(200);
    let view = world
        .bob
        .query(&format!("/records/books/{book}"), &[("expand", path)])
        .await
        .expect(200);
    let cursor = world
        .bob
        .query("/records/books", &[("expand", path), ("cursor", "")])
        .await
        .expect(200);
    for record in [&list["items"][0], &view, &cursor["items"][0]] {
        let author = &record["author"];
        assert_eq!((&author["id"], &author["name"]), (&json!(ada), &json!("Ada")));
        assert_eq!(author["phone"], "***-***-4567", "masked for whoever sees masks");
        assert!(author.get("account_name").is_none());
        let publisher = &author["publisher"];
        assert_eq!(
            (&publisher["id"], &publisher["shout"]),
            (&json!(acme), &json!("ACME"))
        );
        assert!(
            publisher.get("margin").is_none() && publisher.get("profit").is_none(),
            "not in the view fields: {publisher}"
        );
        assert_eq!(publisher["country"]["code"], "NZ");
        assert_eq!(
            record["second"],
            Value::Null,
            "not visible by the author's view rule"
        );
        let person = json!({"id": world.user_id("bob"), "email": "bob@example.com", "first_name": null, "last_name": null, "avatar_url": null});
        assert_eq!((&record["editor"], &author["agent"]), (&person, &person));
    }
    assert_eq!(list["total"], 1);
}

#[tokio::test]
async fn superadmins_see_everything_expanded_too() {
    let Library { world, book, .. } = library().await;
    let record = world
        .root
        .get(&format!("/records/books/{book}?expand=author.publisher,second"))
        .await
        .expect(200);
    assert_eq!(record["second"]["name"], "Hidden");
    assert_eq!(record["author"]["phone"], "5551234567");
    assert_eq!(record["author"]["publisher"]["margin"], 7);
}

#[tokio::test]
async fn people_have_names_from_their_profile() {
    let Library { world, book, .. } = library().await;
    let superuser = world.database.superuser().await;
    let profile =
        r#"{"given_name": "Bob", "family_name": "B", "picture": "https://example.com/b.png", "salary": 5}"#;
    superuser
        .execute(
            "update snackbase.users set profile_data = $1::text::jsonb where email = 'bob@example.com'",
            &[&profile],
        )
        .await
        .expect("the superuser writes");
    let record = world
        .bob
        .get(&format!("/records/books/{book}?expand=editor"))
        .await
        .expect(200);
    assert_eq!(
        record["editor"],
        json!({"id": world.user_id("bob"), "email": "bob@example.com", "first_name": "Bob", "last_name": "B", "avatar_url": "https://example.com/b.png"})
    );
}

#[tokio::test]
async fn what_cannot_be_expanded_is_refused_and_what_is_locked_is_null() {
    let Library { world, .. } = library().await;
    // (`internal` is not in the field lists.)
    for path in [
        "title",
        "nosuch",
        "internal",
        "id",
        "created_by",
        "author,title",
        "author.publisher.country.code",
    ] {
        let answer = world.bob.query("/records/books", &[("expand", path)]).await;
        assert_eq!(
            (answer.status, answer.json["error"].as_str()),
            (400, Some("Invalid expand field")),
            "{path}: {}",
            answer.text
        );
    }
    for path in [
        "",
        ",",
        ".",
        "author.",
        "author..publisher",
        "author.nosuch",
        "author.name",
        " author ",
    ] {
        let answer = world.bob.query("/records/books", &[("expand", path)]).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    let vault = id(&world.bob, "vaults", json!({"name": "gold"})).await;
    id(&world.bob, "keys", json!({"vault": vault})).await;
    let keys = world.bob.get("/records/keys?expand=vault").await.expect(200);
    assert_eq!(keys["items"][0]["vault"], Value::Null, "nobody may view vaults");
    let trimmed = world
        .bob
        .query("/records/books", &[("expand", "author"), ("fields", "title")])
        .await
        .expect(200);
    assert!(trimmed["items"][0].get("author").is_none());
}

#[tokio::test]
async fn anonymous_visitors_expand_what_they_may_view() {
    let Library { world, .. } = library().await;
    let list = world
        .anonymous
        .query("/records/books", &[("expand", "author,editor")])
        .await
        .expect(200);
    assert_eq!(
        list["items"][0]["author"],
        Value::Null,
        "the rule of authors is an expression"
    );
    assert_eq!(list["items"][0]["editor"]["email"], "bob@example.com");
    let publishers = world
        .anonymous
        .query("/records/publishers", &[("expand", "country")])
        .await
        .expect(200);
    assert_eq!(publishers["items"][0]["country"]["code"], "NZ");
}

#[tokio::test]
async fn the_same_target_many_times_is_one_object_each() {
    let Library { world, ada, .. } = library().await;
    let books: Vec<Value> = (0..60)
        .map(|n| json!({"title": n.to_string(), "author": ada, "second": ada}))
        .collect();
    world
        .bob
        .post("/records/books/batch", json!({"records": books}))
        .await
        .expect(201);
    let list = world
        .bob
        .query(
            "/records/books",
            &[("expand", "author.publisher,second"), ("limit", "60")],
        )
        .await
        .expect(200);
    for record in list["items"].as_array().expect("items") {
        assert_eq!(record["author"]["publisher"]["name"], "acme");
        assert_eq!(
            record["second"]["publisher"].as_str(),
            record["author"]["publisher"]["id"].as_str()
        );
    }
}
