//! `snackbase-verify`: checks what came out of a ledger, far away from any database.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::ExitCode;

use snackbase_core::ledger::export::Verifier;
use snackbase_core::ledger::finding::Finding;
use snackbase_core::ledger::note::VerifierKey;
use snackbase_core::ledger::proof::{Consistency, Proof};

const USAGE: &str = "\
Checks exports and proofs of a SnackBase audit ledger. Needs no database.

usage: snackbase-verify export FILE --key KEY [--checkpoint NOTEFILE]… [--max-errors N]
       snackbase-verify proof FILE --key KEY [--checkpoint NOTEFILE]
       snackbase-verify consistency OLDNOTE NEWNOTE FILE --key KEY

  export       one account's trail (JSON Lines, from GET /audit-logs/ledger-export)
  proof        one entry (JSON, from GET /audit-logs/{id}/proof)
  consistency  that one checkpoint continues another (JSON, from GET /audit-logs/consistency)

  --key KEY           a public key, <name>+<hash>+<key>, or a file with one per line. Repeat it after a rotation.
                      Get it from somebody you trust, not from the file that you check.
  --checkpoint FILE   a signed checkpoint that was kept outside the database
  --max-errors N      print at most N findings (default 100); all are counted

FILE may be - for standard input, except for exports with very many records, which are read more than once.

Prints one line per finding: kind, block, record and explanation with tabs between them.
Exit code: 0 nothing wrong, 1 findings, 2 the input cannot be judged.";

/// No line of an export is longer: Postgres holds no value above 1 GB.
const MAX_LINE_BYTES: u64 = 2 << 30;
/// Proofs and notes are small.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The input cannot be judged; says why.
type Unusable = String;

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(found) => ExitCode::from(u8::from(found > 0)),
        Err(why) => {
            // Standard error may be closed; there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "snackbase-verify: {why}");
            ExitCode::from(2)
        }
    }
}

/// What the command line says.
struct Arguments {
    files: Vec<String>,
    keys: Vec<VerifierKey>,
    checkpoints: Vec<String>,
    max_errors: u64,
}

/// Returns the number of findings.
fn run(arguments: Vec<String>) -> Result<u64, Unusable> {
    if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        print(USAGE)?;
        return Ok(0);
    }
    if arguments.iter().any(|argument| argument == "--version") {
        print(concat!("snackbase-verify ", env!("CARGO_PKG_VERSION")))?;
        return Ok(0);
    }
    let (command, rest) = arguments.split_first().ok_or(USAGE)?;
    let arguments = parse(rest)?;
    if arguments.keys.is_empty() {
        return Err(
            "--key is missing: without a key that you trust there is nothing to verify against".into(),
        );
    }
    match (command.as_str(), arguments.files.as_slice()) {
        ("export", [file]) => export(file, &arguments),
        ("proof", [file]) => proof(file, &arguments),
        ("consistency", [old, new, file]) => consistency(old, new, file, &arguments),
        ("export" | "proof", _) => Err(format!("{command} takes one file\n\n{USAGE}")),
        ("consistency", _) => Err(format!("consistency takes two notes and a file\n\n{USAGE}")),
        _ => Err(format!("there is no command {command}\n\n{USAGE}")),
    }
}

fn parse(arguments: &[String]) -> Result<Arguments, Unusable> {
    let mut parsed = Arguments {
        files: Vec::new(),
        keys: Vec::new(),
        checkpoints: Vec::new(),
        max_errors: 100,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{argument} needs a value"))
        };
        match argument.as_str() {
            "--key" => parsed.keys.extend(keys(value()?)?),
            "--checkpoint" => parsed.checkpoints.push(small_file(value()?)?),
            "--max-errors" => {
                let number = value()?;
                parsed.max_errors = number
                    .parse()
                    .map_err(|_| format!("--max-errors {number} is no number"))?;
            }
            option if option.starts_with("--") => {
                return Err(format!("there is no option {option}\n\n{USAGE}"));
            }
            file => parsed.files.push(file.to_owned()),
        }
    }
    Ok(parsed)
}

/// A key, or the keys of a file: one per line, empty lines and lines that begin with `#` apart.
fn keys(text: &str) -> Result<Vec<VerifierKey>, Unusable> {
    let error = match VerifierKey::parse(text) {
        Ok(key) => return Ok(vec![key]),
        Err(error) => error,
    };
    if !std::path::Path::new(text).is_file() {
        return Err(format!("--key {text}: {error}"));
    }
    let file = small_file(text)?;
    let lines = file
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| VerifierKey::parse(line).map_err(|error| format!("{text}: {error}")))
        .collect()
}

fn open(path: &str) -> Result<Box<dyn Read>, Unusable> {
    if path == "-" {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = File::open(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(Box::new(file))
}

fn small_file(path: &str) -> Result<String, Unusable> {
    let mut text = String::new();
    let mut file = open(path)?.take(MAX_FILE_BYTES + 1);
    file.read_to_string(&mut text)
        .map_err(|error| format!("{path}: {error}"))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("{path} is too large"));
    }
    Ok(text)
}

/// Standard output may be a pipe that somebody closes: then the answer was not given, and that is no success.
fn print(line: &str) -> Result<(), Unusable> {
    writeln!(std::io::stdout(), "{line}").map_err(|error| format!("cannot write the result: {error}"))
}

/// Prints findings up to a number and counts all.
struct Report {
    found: u64,
    max_errors: u64,
    failed: Result<(), Unusable>,
}

impl Report {
    fn take(&mut self, finding: &Finding) {
        self.found += 1;
        if self.found <= self.max_errors && self.failed.is_ok() {
            self.failed = print(&finding.to_string());
        }
    }
}

fn export(path: &str, arguments: &Arguments) -> Result<u64, Unusable> {
    let mut report = Report {
        found: 0,
        max_errors: arguments.max_errors,
        failed: Ok(()),
    };
    let mut verifier = Verifier::new(arguments.keys.clone());
    for note in &arguments.checkpoints {
        verifier
            .checkpoint(note, &mut |finding| report.take(&finding))
            .map_err(|error| error.to_string())?;
    }
    let summary = read(path, verifier, &mut report)?;
    for pass in 1..summary.passes {
        if path == "-" {
            return Err("too many records to check in one reading: give a file, not standard input".into());
        }
        read(path, Verifier::again(pass, summary.passes), &mut report)?;
    }
    report.failed?;
    if report.found > 0 {
        print(&format!(
            "{} findings in {} changes of account {}",
            report.found, summary.changes, summary.account_id
        ))?;
    } else {
        let (origin, key) = summary.signed.unwrap_or_default();
        print(&format!(
            "clean: {} changes of account {} in {} blocks, from block {} up to block {} of {origin}, signed by {key}",
            summary.changes, summary.account_id, summary.blocks, summary.from_block, summary.size
        ))?;
    }
    Ok(report.found)
}

fn read(
    path: &str,
    mut verifier: Verifier,
    report: &mut Report,
) -> Result<snackbase_core::ledger::export::Summary, Unusable> {
    let mut file = BufReader::with_capacity(1 << 20, open(path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let size = file.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
        if size.map_err(|error| format!("{path}: {error}"))? == 0 {
            break;
        }
        if line.len() as u64 == MAX_LINE_BYTES {
            return Err(format!("{path}: a line of more than {MAX_LINE_BYTES} bytes"));
        }
        verifier
            .line(&line, &mut |finding| report.take(&finding))
            .map_err(|error| format!("{path}: {error}"))?;
    }
    verifier
        .finish(&mut |finding| report.take(&finding))
        .map_err(|error| format!("{path}: {error}"))
}

fn proof(path: &str, arguments: &Arguments) -> Result<u64, Unusable> {
    let text = small_file(path)?;
    let proof = Proof::parse(&text).map_err(|error| format!("{path} is not a proof: {error}"))?;
    let outside = match arguments.checkpoints.as_slice() {
        [] => None,
        [note] => Some(note.as_str()),
        _ => return Err("proof takes one --checkpoint".into()),
    };
    match proof.verify(&arguments.keys, outside) {
        Ok(proved) => {
            print(&format!(
                "clean: the entry is in block {}, sealed {}, and in checkpoint {} of {}, signed by {}",
                proved.block,
                proved.sealed_at,
                proved.checkpoint.number,
                proved.checkpoint.origin,
                proved.key
            ))?;
            Ok(0)
        }
        Err(finding) => {
            print(&finding.to_string())?;
            Ok(1)
        }
    }
}

fn consistency(old: &str, new: &str, path: &str, arguments: &Arguments) -> Result<u64, Unusable> {
    let (old, new, text) = (small_file(old)?, small_file(new)?, small_file(path)?);
    let proof = Consistency::parse(&text)
        .map_err(|error| format!("{path} is not a proof of consistency: {error}"))?;
    match proof.verify(&arguments.keys, &old, &new) {
        Ok((old, new)) => {
            print(&format!(
                "clean: checkpoint {} of {} continues checkpoint {} of {}",
                new.number, new.origin, old.number, old.origin
            ))?;
            Ok(0)
        }
        Err(finding) => {
            print(&finding.to_string())?;
            Ok(1)
        }
    }
}
