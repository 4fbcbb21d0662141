//! What a person sees in psql: golden files, the BI door, forged identities, and the SQL blocks of the documentation.
//!
//! Each `NAME.sql` is fed to psql in a database of its own that holds the extension and nothing else; what psql prints,
//! input and errors included, has to equal `NAME.out`. `make schema` rewrites the files: read the
//! difference before committing it.

mod bi;
mod documents;
mod forgery;
mod golden;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use snackbase_e2e::Database;
use tokio::{io::AsyncWriteExt, process::Command};

/// Feed a script to psql as the superuser; returns everything printed.
async fn psql(database: &Database, script: &str, arguments: &str) -> String {
    let mut child = Command::new("sh")
        .args([
            "-c",
            &format!("exec psql -X {arguments} -d {} 2>&1", database.name),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin
        .write_all(script.as_bytes())
        .await
        .expect("psql reads its script");
    drop(stdin);
    let output = child.wait_with_output().await.expect("psql ends");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Compare one script with its accepted output, or accept what it prints now.
async fn compare(name: &str) {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("psql").join(name);
    let script = tokio::fs::read_to_string(base.with_extension("sql"))
        .await
        .expect("the script is there");
    let printed = psql(
        &Database::fresh().await,
        &script,
        "--echo-all -v SHOW_CONTEXT=never",
    )
    .await;
    let accepted = base.with_extension("out");
    if std::env::var_os("SNACKBASE_ACCEPT").is_some() {
        tokio::fs::write(&accepted, &printed)
            .await
            .expect("the golden file can be written");
        return;
    }
    let expected = tokio::fs::read_to_string(&accepted)
        .await
        .expect("the golden file is there");
    for (number, (was, is)) in expected.lines().zip(printed.lines()).enumerate() {
        assert_eq!(was, is, "{name}.out, line {}", number + 1);
    }
    assert_eq!(
        expected.lines().count(),
        printed.lines().count(),
        "{name}.out has another number of lines:\n{printed}"
    );
}

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the repository")
}

/// The fenced blocks of a Markdown text in one language.
pub(crate) fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}");
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        match open.as_mut() {
            Some(block) if line.trim_end() == "```" => {
                found.push(std::mem::take(block));
                open = None;
            }
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
            None if line.trim_end() == fence => open = Some(String::new()),
            None => {}
        }
    }
    found
}

/// Every block marked `sql` runs, from top to bottom of its document, in a database with the extension.
#[tokio::test]
async fn the_sql_of_the_documentation_runs() {
    let root = root();
    let mut documents: Vec<PathBuf> = vec![root.join("README.md")];
    let mut folder = tokio::fs::read_dir(root.join("docs"))
        .await
        .expect("docs/ is there");
    while let Some(entry) = folder.next_entry().await.expect("docs/ can be read") {
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "md")
        {
            documents.push(entry.path());
        }
    }
    let mut ran = 0;
    for document in documents {
        let text = tokio::fs::read_to_string(&document)
            .await
            .expect("a document can be read");
        let script = blocks(&text, "sql");
        if script.is_empty() {
            continue;
        }
        ran += script.len();
        let printed = psql(
            &Database::fresh().await,
            &script.join("\n"),
            "-q -v ON_ERROR_STOP=1",
        )
        .await;
        assert!(
            !printed.contains("ERROR:") && !printed.contains("FATAL:"),
            "{}:\n{printed}",
            document.display()
        );
    }
    assert!(ran > 0, "the documentation has SQL blocks");
}
