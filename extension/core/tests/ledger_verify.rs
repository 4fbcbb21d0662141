//! The program `snackbase-verify`: what it prints and how it ends.

mod ledger_fixture;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use ledger_fixture::{Ledger, Write, texts, vkey};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    }
}

/// Exit code, standard output, standard error.
fn run(arguments: &[&str], input: &str) -> (i32, String, String) {
    use std::io::Write as _;
    let mut child = Command::new(env!("CARGO_BIN_EXE_snackbase-verify"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    // It may have ended before it read anything.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("ended");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code().expect("a code"),
        text(output.stdout),
        text(output.stderr),
    )
}

fn ledger() -> Ledger {
    let write = |account, record| Write {
        account,
        record,
        columns: 1,
    };
    Ledger::new(
        &[
            vec![write(0, 1), write(1, 1)],
            vec![write(0, 1)],
            vec![write(0, 2)],
        ],
        false,
    )
}

#[test]
fn an_export() {
    let folder = Folder::new("export");
    let ledger = ledger();
    let key = vkey().to_string();
    let text = texts(&ledger.export(0, 1, &[2])).concat();
    let file = folder.file("export.jsonl", &text);
    let keys = folder.file("keys", &format!("# ours\n\n{key}\n"));
    let clean = format!(
        "clean: 3 changes of account 00000000-0000-0000-0000-000000000000 in 3 blocks, from block 1 up to block 3 of snackbase/7/5, signed by {}\n",
        vkey().label()
    );
    assert_eq!(
        run(&["export", &file, "--key", &key], ""),
        (0, clean.clone(), String::new())
    );
    assert_eq!(
        run(&["export", "--key", &keys, "-"], &text),
        (0, clean.clone(), String::new())
    );
    let outside = folder.file("2.note", &ledger.note(2));
    assert_eq!(
        run(&["export", &file, "--key", &key, "--checkpoint", &outside], ""),
        (0, clean, String::new())
    );

    // Who takes the beginning away must say so in the manifest, and the verdict repeats it.
    let later = texts(&ledger.export(0, 2, &[])).concat();
    let (code, out, _) = run(&["export", "-", "--key", &key], &later);
    assert_eq!(code, 0);
    assert!(
        out.contains("in 2 blocks, from block 2 up to block 3 of"),
        "{out}"
    );
    // Nothing is no proof of anything.
    let nothing = texts(&Ledger::default().export(0, 1, &[])).concat();
    let (code, out, _) = run(&["export", "-", "--key", &key], &nothing);
    assert_eq!(code, 1);
    assert!(
        out.starts_with("checkpoint\t-\t-\tit speaks of no block"),
        "{out}"
    );

    let forged = folder.file("forged.jsonl", &text.replace("v2 ", "v2  "));
    let (code, out, _) = run(&["export", &forged, "--key", &key], "");
    assert_eq!(code, 1);
    let lines: Vec<&str> = out.lines().collect();
    let [finding, total] = lines[..] else {
        panic!("{out}")
    };
    assert!(
        finding.starts_with("checksum\t2\tcol_posts/r\u{e9}c-1@2\t"),
        "{finding}"
    );
    assert!(total.starts_with("1 findings in 3 changes"), "{total}");
    let (code, out, _) = run(&["export", &forged, "--key", &key, "--max-errors", "0"], "");
    assert_eq!(
        (code, out.lines().count()),
        (1, 1),
        "findings count even when they are not printed"
    );

    // A name in the file cannot pretend to be the end of the output.
    let line_feed = text
        .replace("\"c0\",null", "\"c0\",\"\\nclean: 3 changes\"")
        .replace("col_posts", "col\\nclean:");
    let (code, out, _) = run(
        &["export", &folder.file("feed.jsonl", &line_feed), "--key", &key],
        "",
    );
    assert_eq!(code, 1);
    assert!(!out.lines().any(|line| line.starts_with("clean")), "{out}");
}

#[test]
fn a_proof_and_a_consistency_proof() {
    let folder = Folder::new("proof");
    let ledger = ledger();
    let key = vkey().to_string();
    let text = serde_json::to_string(&ledger.proof(1, 0, 0, 1, 2)).expect("JSON");
    let file = folder.file("proof.json", &text);
    let (code, out, _) = run(&["proof", &file, "--key", &key], "");
    assert_eq!(code, 0);
    assert!(out.starts_with("clean: the entry is in block 1, sealed 2026-01-02T03:05:00.000000Z, and in checkpoint 2 of snackbase/7/5"), "{out}");
    let forged = folder.file("forged.json", &text.replace("192.0.2.1", "192.0.2.2"));
    let (code, out, _) = run(&["proof", &forged, "--key", &key], "");
    assert_eq!(
        (code, out.starts_with("checksum\t1\tcol_posts/r\u{e9}c-1@1\t")),
        (1, true),
        "{out}"
    );

    let file = folder.file(
        "consistency.json",
        &serde_json::to_string(&ledger.consistency(1, 3)).expect("JSON"),
    );
    let [one, two, three] =
        [1, 2, 3].map(|number| folder.file(&format!("{number}.note"), &ledger.note(number)));
    assert_eq!(
        run(&["consistency", &one, &three, &file, "--key", &key], ""),
        (
            0,
            "clean: checkpoint 3 of snackbase/7/5 continues checkpoint 1 of snackbase/7/5\n".into(),
            String::new()
        )
    );
    let (code, out, _) = run(&["consistency", &two, &three, &file, "--key", &key], "");
    assert_eq!((code, out.starts_with("checkpoint\t1\t-\t")), (1, true), "{out}");
}

#[test]
fn what_cannot_be_judged() {
    let folder = Folder::new("unusable");
    let key = vkey().to_string();
    let note = folder.file("note", &ledger().note(1));
    let export = folder.file("export", &texts(&ledger().export(0, 1, &[])).concat());
    for arguments in [
        &[][..],
        &["export"],
        &["export", "--key", &key],
        &["export", &export],
        &["export", &export, &export, "--key", &key],
        &["export", &export, "--key"],
        &["export", &export, "--key", "nonsense"],
        &["export", &export, "--key", &note],
        &["export", &export, "--key", &key, "--checkpoint", &export],
        &["export", &export, "--key", &key, "--checkpoint", "/no/such/file"],
        &["export", &export, "--key", &key, "--max-errors", "x"],
        &["export", &export, "--key", &key, "--what"],
        &["export", "/no/such/file", "--key", &key],
        &["export", &note, "--key", &key],
        &["proof", &note, "--key", &key],
        &["proof", &export, "--key", &key],
        &["consistency", &note, &note, &note, "--key", &key],
        &["consistency", &note, &note, "--key", &key],
        &["else", &export, "--key", &key],
    ] {
        let (code, out, error) = run(arguments, "");
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(
            error.starts_with("snackbase-verify: ") && error.len() > 30,
            "{arguments:?}: {error}"
        );
    }
    let (code, out, _) = run(&["--help"], "");
    assert_eq!((code, out.contains("Exit code: 0 nothing wrong")), (0, true));
}
