//! The program itself: commands, settings, and when it refuses to start.

use std::process::Output;

use serde_json::json;
use snackbase_e2e::{Database, Gateway, environment, gateway_command};

const PASSWORD: &str = "Correct-Horse-7-Battery";

/// Run a command of the gateway to its end.
async fn gateway(database: &Database, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let port = environment("PGPORT").parse().expect("PGPORT is a number");
    let mut command = gateway_command(database, port);
    command
        .args(arguments)
        .envs(settings.iter().copied())
        .stdout(std::process::Stdio::piped());
    command
        .stderr(std::process::Stdio::piped())
        .output()
        .await
        .expect("the gateway program starts")
}

/// Both streams of a command as one text.
fn printed(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test]
async fn help_names_the_commands_and_every_setting() {
    let output = gateway(&Database::fresh().await, &["--help"], &[]).await;
    let text = printed(&output);
    assert!(output.status.success(), "{text}");
    for word in [
        "serve",
        "create-superadmin",
        "doctor",
        "SNACKBASE_PORT",
        "SNACKBASE_SECRET_KEY",
        "SNACKBASE_TRUSTED_PROXIES",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[tokio::test]
async fn every_mistake_in_the_settings_is_named_at_once() {
    let settings = [
        ("SNACKBASE_PORT", "eighty"),
        ("SNACKBASE_DB_POOL_SIZE", "0"),
        ("SNACKBASE_HOST", "nowhere"),
    ];
    let output = gateway(&Database::fresh().await, &["serve"], &settings).await;
    let text = printed(&output);
    assert!(!output.status.success(), "{text}");
    for (name, _) in settings {
        assert!(text.contains(name), "{name}: {text}");
    }
    let production = [
        ("SNACKBASE_ENVIRONMENT", "production"),
        ("SNACKBASE_SECRET_KEY", "short"),
    ];
    let output = gateway(&Database::fresh().await, &["serve"], &production).await;
    assert!(
        !output.status.success() && printed(&output).contains("SNACKBASE_SECRET_KEY"),
        "{}",
        printed(&output)
    );
}

#[tokio::test]
async fn a_superadmin_can_be_made_by_command() {
    let database = Database::fresh().await;
    let arguments = ["create-superadmin", "--email", "root@example.com"];
    let secret = [("SNACKBASE_SUPERADMIN_PASSWORD", PASSWORD)];
    let output = gateway(&database, &arguments, &secret).await;
    assert!(output.status.success(), "{}", printed(&output));
    let again = gateway(&database, &arguments, &secret).await;
    assert!(
        !again.status.success(),
        "there is one already: {}",
        printed(&again)
    );
    let weak = gateway(
        &database,
        &[
            "create-superadmin",
            "--email",
            "b@example.com",
            "--password",
            "short",
        ],
        &[],
    )
    .await;
    assert!(!weak.status.success(), "{}", printed(&weak));
    let nobody = ["create-superadmin", "--email", "nobody", "--force"];
    let nobody = gateway(&database, &nobody, &secret).await;
    assert!(
        !nobody.status.success() && printed(&nobody).contains("email"),
        "{}",
        printed(&nobody)
    );
    let superuser = database.superuser().await;
    let by = "select string_agg(distinct concat_ws(' ', c.user_id, c.user_email, c.auth_method, c.user_agent), ', ')
                from snackbase.audit_change c where c.table_name = 'users'";
    assert_eq!(
        superuser.value(by).await,
        "system system@snackbase.internal system snackbase-gateway"
    );
    let running = Gateway::start(&database, &[]).await;
    let body = json!({"account": "system", "email": "root@example.com", "password": PASSWORD});
    running.api().post("/auth/login", body).await.expect(200);
}

#[tokio::test]
async fn it_does_not_serve_a_database_with_an_open_door() {
    let database = Database::fresh().await;
    let sound = gateway(&database, &["doctor"], &[]).await;
    assert!(sound.status.success(), "{}", printed(&sound));
    let superuser = database.superuser().await;
    superuser
        .batch_execute(
            "begin;
             alter event trigger snackbase_guard_ddl disable;
             alter table snackbase.users no force row level security;
             alter event trigger snackbase_guard_ddl enable always;
             commit",
        )
        .await
        .expect("a superuser can");
    for command in ["doctor", "serve"] {
        let output = gateway(&database, &[command], &[("SNACKBASE_PORT", "1")]).await;
        let text = printed(&output);
        assert!(
            !output.status.success() && text.contains("snackbase.users"),
            "{command}: {text}"
        );
    }
}

#[tokio::test]
async fn without_a_database_it_says_so() {
    let nowhere = Database {
        name: "there_is_no_such_database".to_owned(),
    };
    let output = gateway(&nowhere, &["doctor"], &[]).await;
    let text = printed(&output);
    assert!(
        !output.status.success() && !text.is_empty() && !text.contains("panicked"),
        "{text}"
    );
    assert!(
        !text.contains(&environment("SNACKBASE_TEST_GATEWAY_PASSWORD")),
        "no password in a message"
    );
}

#[tokio::test]
async fn a_log_of_an_original_instance_is_imported_whole_or_not_at_all() {
    let database = Database::fresh().await;
    // the vectors of docs/ledger.md §3, as Postgres writes the table as CSV
    let titles = "id,account_id,operation,table_name,record_id,column_name,old_value,new_value,user_id,user_email,user_name,\
                  es_username,es_reason,es_timestamp,ip_address,user_agent,request_id,occurred_at,checksum,previous_hash,extra_metadata";
    let checksums = [
        "8463f5bcb221850adbf89b0380d7768cc2640c7dba25d595ff7bdaf3953a0d63",
        "e8262997961c60507399f20683daffd8907dcad247b2759de5318b03277c0e79",
    ];
    let line = |id: i64, operation: &str, values: &str, at: &str, checksum: &str, before: &str| {
        format!(
            "{id},550e8400-e29b-41d4-a716-446655440000,{operation},col_posts,post_001,title,{values},u1,a@example.com,a@example.com,\
             ,,,192.0.2.1,curl/8,hk_0123456789ab,{at},{checksum},{before},\"{{\"\"auth_method\"\": \"\"jwt\"\"}}\"\n"
        )
    };
    let sound = format!(
        "{titles}\n{}{}",
        line(
            1,
            "CREATE",
            ",Héllo",
            "2026-01-02 03:04:05.678901+00",
            checksums[0],
            ""
        ),
        line(
            2,
            "UPDATE",
            "Héllo,Bye",
            "2026-01-02 03:04:06+00",
            checksums[1],
            checksums[0]
        )
    );
    let directory = tempdir();
    let import = async |name: &str, text: &str| {
        let file = directory.join(name);
        std::fs::write(&file, text).expect("a file");
        gateway(
            &database,
            &["audit", "import", file.to_str().expect("a path")],
            &[],
        )
        .await
    };
    let output = import("sound.csv", &sound).await;
    let text = printed(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("2 entries of 1 accounts, 0 breaks."), "{text}");

    let output = import("edited.csv", &sound.replace("Héllo,Bye", "Héllo,Hi")).await;
    let text = printed(&output);
    assert!(output.status.success() && text.contains("1 breaks."), "{text}");
    assert!(text.contains("checksum entry 2: expected"), "{text}");

    let output = import("damaged.csv", &sound.replace("03:04:06", "noon")).await;
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("Nothing was imported: ") && text.contains("line 3: occurred_at is no instant"),
        "{text}"
    );
    std::fs::remove_dir_all(&directory).expect("the files go");
    let superuser = database.superuser().await;
    assert_eq!(
        superuser
            .value("select string_agg(distinct imported_by, ', ') from snackbase.audit_import")
            .await,
        "system"
    );
    let row = superuser
        .query_one(
            "select count(*), count(distinct import_id) from snackbase.audit_imported",
            &[],
        )
        .await
        .expect("a count");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (4, 2));
}

/// A directory of this test's own.
fn tempdir() -> std::path::PathBuf {
    let directory = std::env::temp_dir().join(format!("snackbase-import-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    directory
}
