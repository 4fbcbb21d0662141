//! A running mail server, and the authority that its certificate comes from.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::environment;

/// An SMTP server on a free port of 127.0.0.1 (`tests/mail/server.py`). It is killed when this is dropped.
pub struct MailServer {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    directory: PathBuf,
    /// Its port.
    pub port: u16,
}

impl MailServer {
    /// Starts one. `kind`: `plain`, `starttls` or `tls`.
    pub async fn start(kind: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
            .expect("a certificate can be made");
        let directory = std::env::temp_dir().join(format!("snackbase-mail-{}", fastrand::u64(..)));
        std::fs::create_dir(&directory).expect("a new directory");
        let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).expect("a file");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("mail/server.py");
        let mut child = Command::new(environment("SNACKBASE_TEST_SMTP"))
            .args(["-W", "ignore"])
            .arg(program)
            .arg(kind)
            .args([&certificate, &key])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the mail server starts (tools/setup.sh smtp)");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let first = lines.next_line().await.expect("the server speaks");
        let port = first.and_then(|line| line.parse().ok());
        Self {
            _child: child,
            lines,
            directory,
            port: port.expect("the server says its port"),
        }
    }

    /// The file with the certificate that a gateway must believe.
    pub fn certificate(&self) -> String {
        self.directory.join("certificate.pem").display().to_string()
    }

    /// The next mail, within 20 seconds: `{from, to, data, tls, user}`.
    pub async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(20), self.lines.next_line()).await;
        let line = line
            .expect("a mail within 20 seconds")
            .expect("the server speaks")
            .expect("the server runs");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Whether a mail comes within a time.
    pub async fn is_silent(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.lines.next_line()).await.is_err()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        // What is left in the directory for temporary files harms nobody.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
