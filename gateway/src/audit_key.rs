//! Makes the key that signs checkpoints of the audit trail: `snackbase-gateway audit keygen FILE`.
//!
//! The server reads the private key, not the gateway: run it as the server's user, on the server's machine. Both halves are
//! texts of C2SP `signed-note`: `PRIVATE+KEY+<name>+<hash>+<key>` in the file, and the *vkey* `<name>+<hash>+<key>`, which goes
//! to whoever verifies.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The type byte of Ed25519.
const ED25519: u8 = 1;

/// Makes a key and writes its private half into a new file that its owner alone may read. Returns the public half.
///
/// Without a name it is called after itself, `snackbase/<16 hex digits>`.
///
/// # Errors
/// One sentence: the name has spaces, plus signs or more than 255 bytes; the file exists or cannot be written.
pub fn generate(file: &Path, name: Option<&str>) -> Result<String, String> {
    let mut seed = [0; 32];
    rand::fill(&mut seed).map_err(|_| "The system gives no random bytes.".to_owned())?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
        .map_err(|failure| format!("A key cannot be made: {failure}."))?;
    let public = pair.public_key().as_ref();
    let name = match name {
        Some(name) => name.to_owned(),
        None => format!("snackbase/{}", hex(&sha(&[public])[..8])),
    };
    if name.is_empty()
        || name.len() > 255
        || name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
    {
        return Err("The name of a key has 1 to 255 bytes, no spaces and no plus sign.".to_owned());
    }
    let hash = hex(&sha(&[name.as_bytes(), b"\n", &[ED25519], public])[..4]);
    let text = |key: &[u8]| format!("{name}+{hash}+{}", STANDARD.encode([&[ED25519], key].concat()));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut opened| {
            writeln!(opened, "PRIVATE+KEY+{}", text(&seed))?;
            opened.sync_all()
        });
    written.map_err(|failure| format!("{} is not written: {failure}.", file.display()))?;
    Ok(text(public))
}

fn sha(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_for_its_owner_alone_and_never_overwritten() {
        let file = std::env::temp_dir().join(format!("snackbase-key-{}", std::process::id()));
        let _ = std::fs::remove_file(&file);
        let public = generate(&file, Some("example.com/ledger")).unwrap_or_default();
        let private = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(public.starts_with("example.com/ledger+"), "{public}");
        // name and hash are the same, the key is not (and in base64 it may hold a plus sign itself)
        let common: String = public.split_inclusive('+').take(2).collect();
        assert!(private.starts_with(&format!("PRIVATE+KEY+{common}")), "{common}");
        assert!(!private.contains(&public));
        let mode = std::fs::metadata(&file)
            .map(|m| m.permissions().mode() & 0o777)
            .unwrap_or_default();
        assert_eq!(mode, 0o600);
        let again = generate(&file, None);
        assert!(again.is_err_and(|sentence| sentence.contains("File exists")));
        assert_eq!(std::fs::read_to_string(&file).unwrap_or_default(), private);
        let _ = std::fs::remove_file(&file);
        assert!(generate(&file, Some("two words")).is_err());
        assert!(!file.exists());
    }
}
