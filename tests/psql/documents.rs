//! What documents promise: the tour of the README works as it is printed, and each test that a document names is there.

use std::fs;
use std::path::{Path, PathBuf};

use snackbase_e2e::{Database, Gateway, PASSWORD};
use tokio::process::Command;

use super::{blocks, root};

#[tokio::test]
async fn the_tour_of_the_readme_works() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let (_, tour) = readme.split_once("## Two minutes with curl").expect("the tour");
    let (tour, _) = tour.split_once("\n## ").expect("its end");
    // What `make run` prints, and the file that it writes.
    let steps = blocks(tour, "sh").join("\necho\n").replace('…', PASSWORD);
    let database = Database::fresh().await;
    let superadmin = [
        ("SNACKBASE_SUPERADMIN_EMAIL", "admin@example.com"),
        ("SNACKBASE_SUPERADMIN_PASSWORD", PASSWORD),
    ];
    let gateway = Gateway::start(&database, &superadmin).await;
    let place = std::env::temp_dir().join(format!("snackbase-tour-{}", std::process::id()));
    fs::create_dir_all(place.join(".snackbase")).expect("a folder");
    fs::write(
        place.join(".snackbase/env"),
        format!("SNACKBASE_URL={}\n", gateway.base),
    )
    .expect("a file");
    let output = Command::new("sh")
        .args(["-eu", "-c", &steps])
        .current_dir(&place)
        .output()
        .await
        .expect("sh runs");
    fs::remove_dir_all(&place).expect("the folder goes");
    let printed =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let end = || printed.lines().rev().take(5).collect::<Vec<_>>().join("\n");
    assert!(
        output.status.success(),
        "{:?}, backwards:\n{}",
        output.status,
        end()
    );
    let plain = printed.replace(" : ", ":").replace(", \"", ",\"");
    for word in [
        "\"title\":\"Hello\"",
        "CREATE,col_posts",
        "occurred_at",
        "\"is_valid\":true",
        "\"slug\":\"acme\"",
        "\"slug\":\"globex\"",
    ] {
        assert!(plain.contains(word), "{word} is missing: {plain}");
    }
    assert!(!plain.contains("\"error\":"), "{plain}");
    // The last step: of the other account there is nothing to see.
    assert!(
        plain.trim_end().ends_with('}') && plain.contains("\"items\":[],\"total\":0"),
        "{plain}"
    );
}

/// The functions in the code spans of a page whose arguments are written with names and types: name, names, types.
fn signatures(page: &str) -> Vec<(String, Vec<String>, Vec<String>)> {
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let mut found = Vec::new();
    for span in page.split('`').skip(1).step_by(2) {
        let Some((name, rest)) = span.split_once('(').filter(|(name, _)| word(name)) else {
            continue;
        };
        let arguments = rest.split_once(')').map_or("", |(arguments, _)| arguments);
        let pairs: Option<Vec<(&str, &str)>> = arguments
            .split(',')
            .map(|argument| argument.split('=').next().unwrap_or_default().trim())
            .map(|argument| argument.split(" default").next().unwrap_or_default())
            .map(|argument| argument.split_once(' ').filter(|(name, _)| word(name)))
            .collect();
        let Some(pairs) = pairs else { continue };
        let (names, types) = pairs
            .into_iter()
            .map(|(name, kind)| (name.to_owned(), kind.trim().to_owned()))
            .unzip();
        found.push((name.to_owned(), names, types));
    }
    found
}

#[tokio::test]
async fn the_page_of_the_sql_api_names_the_functions_that_there_are() {
    let page = fs::read_to_string(root().join("docs/sql-api.md")).expect("the page");
    let superuser = Database::fresh().await.superuser().await;
    let documented = signatures(&page);
    assert!(documented.len() > 100, "{} functions", documented.len());
    let mut wrong = Vec::new();
    for (name, names, types) in documented {
        let sql = format!(
            "select exists (select from pg_proc p where p.pronamespace = 'snackbase'::regnamespace and p.proname = '{name}'
                               and p.proargnames[1:p.pronargs] = '{{{}}}'::text[]
                               and string_to_array(p.proargtypes::text, ' ')::oid[]::regtype[] = '{{{}}}'::regtype[])",
            names.join(","),
            types.join(",")
        );
        if superuser.value(&sql).await != "t" {
            wrong.push(format!("{name}({names:?} {types:?})"));
        }
    }
    assert!(wrong.is_empty(), "there are no such functions: {wrong:#?}");
    let functions = "select string_agg(distinct p.proname, ' ') from pg_proc p
                      where p.pronamespace = 'snackbase'::regnamespace and p.proname !~ '^_'
                        and p.prorettype <> all ('{trigger, event_trigger}'::regtype[])";
    let functions = superuser.value(functions).await;
    let missing: Vec<&str> = functions
        .split(' ')
        .filter(|name| !page.contains(&format!("`{name}(")))
        .collect();
    assert!(missing.is_empty(), "the page does not name {missing:?}");
}

/// Everything below a folder whose name ends with `.rs`.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() && !matches!(name, "node_modules" | "target") {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// What stands between backticks in the last cell of rows, in tables whose last column is headed "Shown by".
fn named(document: &str) -> Vec<String> {
    let mut shows = false;
    let mut names = Vec::new();
    for line in document.lines() {
        let Some((_, last)) = line.strip_suffix('|').and_then(|line| line.rsplit_once('|')) else {
            shows = false;
            continue;
        };
        shows |= last.trim() == "Shown by";
        if shows {
            names.extend(last.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    names
}

#[test]
fn every_test_that_a_document_names_exists() {
    let root = root();
    let mut files = Vec::new();
    for folder in ["tests", "pgrx-tests", "gateway/src", "extension/core"] {
        sources(&root.join(folder), &mut files);
    }
    let code: String = files
        .iter()
        .map(|file| fs::read_to_string(file).expect("a source"))
        .collect();
    let mut missing = Vec::new();
    for document in ["docs/part11.md", "docs/security.md"] {
        let names = named(&fs::read_to_string(root.join(document)).expect(document));
        assert!(names.len() > 20, "{document} names {} tests", names.len());
        for name in names {
            let there = if name.contains('/') {
                root.join(&name).exists()
            } else {
                code.contains(&format!("fn {name}("))
            };
            if !there {
                missing.push(format!("{document}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
