//! Signed notes (C2SP `signed-note`) with Ed25519: a text, an empty line, and one line per signature.
//!
//! A note may carry several signatures: of two keys while one replaces the other, or of witnesses. Those of unknown keys
//! are ignored; one of a known key must verify.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer;
use sha2::{Digest, Sha256};

/// The largest note that is read. Ours have some 300 bytes; witnesses may add signatures of 5 kB each.
pub const MAX_NOTE_BYTES: usize = 256 * 1024;
/// The most signatures that are read; the specification demands at least 16.
pub const MAX_SIGNATURES: usize = 64;
/// The longest name of a key.
pub const MAX_NAME_BYTES: usize = 255;

/// The signature type of Ed25519.
const ED25519: u8 = 1;
const PRIVATE: &str = "PRIVATE+KEY+";

/// Why a key or a note is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A key text that does not read as one.
    #[error("not a key: {0}")]
    Key(&'static str),
    /// Not a signed note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// No signature is of a key we know.
    #[error("no signature of a known key")]
    UnknownKey,
    /// A key we know did not sign this text. Holds its name and hash.
    #[error("the signature of key {0} is wrong")]
    Signature(String),
}

/// The first four bytes of a hash over name and public key: with the name, what tells keys apart.
pub type KeyHash = [u8; 4];

fn key_hash(name: &str, public: &[u8; 32]) -> KeyHash {
    let hash = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', ED25519])
        .chain_update(public)
        .finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

fn hex(hash: KeyHash) -> String {
    format!("{:08x}", u32::from_be_bytes(hash))
}

fn check_name(name: &str) -> Result<(), Error> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    match name {
        "" => Err(Error::Key("the name is empty")),
        _ if name.len() > MAX_NAME_BYTES => Err(Error::Key("the name is longer than 255 bytes")),
        _ if name.contains(bad) => Err(Error::Key("the name holds a space or plus")),
        _ => Ok(()),
    }
}

/// `<name>+<hash>+<base64 of type and 32 bytes>`.
fn parse_key(text: &str) -> Result<(&str, &str, [u8; 32]), Error> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(hash), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Error::Key("it is not of the form name+hash+key"));
    };
    check_name(name)?;
    let data = STANDARD
        .decode(data)
        .map_err(|_| Error::Key("the part after the hash is not base64"))?;
    match data.split_first() {
        Some((&ED25519, key)) => match key.try_into() {
            Ok(key) => Ok((name, hash, key)),
            Err(_) => Err(Error::Key("an Ed25519 key has 32 bytes")),
        },
        _ => Err(Error::Key("it is not of type Ed25519 (1)")),
    }
}

/// A public key with its name. Shown as text: `<name>+<hash>+<key>`, the *vkey* of the C2SP tools.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    hash: KeyHash,
    key: ed25519_dalek::VerifyingKey,
}

impl VerifierKey {
    /// From its parts. Fails if the name has spaces, plus signs, no or more than 255 bytes, and if the bytes are not a key.
    pub fn new(name: &str, public: &[u8; 32]) -> Result<Self, Error> {
        check_name(name)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(public)
            .map_err(|_| Error::Key("the bytes are not an Ed25519 public key"))?;
        if key.is_weak() {
            return Err(Error::Key("the public key is weak: anybody could sign with it"));
        }
        Ok(Self {
            name: name.to_owned(),
            hash: key_hash(name, public),
            key,
        })
    }

    /// Reads the text form, without white space around it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (name, hash, public) = parse_key(text)?;
        let key = Self::new(name, &public)?;
        if hex(key.hash) != hash {
            return Err(Error::Key("the hash does not belong to this name and key"));
        }
        Ok(key)
    }

    /// The name that was given to it; it need not be the origin of a ledger.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key hash.
    pub fn hash(&self) -> KeyHash {
        self.hash
    }

    /// The 32 bytes of the key.
    pub fn public(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// What messages call the key: name and hash.
    pub fn label(&self) -> String {
        format!("{}+{}", self.name, hex(self.hash))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut data = vec![ED25519];
        data.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, hex(self.hash), STANDARD.encode(data))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

/// A private key with its name. It has no `Display`, and `Debug` shows the public half only; its bytes are wiped when it
/// is dropped.
pub struct SigningKey {
    verifier: VerifierKey,
    key: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// From 32 random bytes, which are the secret. Fails for a name that cannot be one.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        Ok(Self {
            verifier: VerifierKey::new(name, key.verifying_key().as_bytes())?,
            key,
        })
    }

    /// Reads `PRIVATE+KEY+<name>+<hash>+<key>`, without white space around it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let rest = text
            .strip_prefix(PRIVATE)
            .ok_or(Error::Key("a private key begins with PRIVATE+KEY+"))?;
        let (name, hash, seed) = parse_key(rest)?;
        let key = Self::from_seed(name, &seed)?;
        if hex(key.verifier.hash) != hash {
            return Err(Error::Key("the hash does not belong to this name and key"));
        }
        Ok(key)
    }

    /// The text form, for a file that only the signer can read.
    pub fn to_secret_text(&self) -> String {
        let mut data = vec![ED25519];
        data.extend_from_slice(self.key.as_bytes());
        let verifier = &self.verifier;
        format!(
            "{PRIVATE}{}+{}+{}",
            verifier.name,
            hex(verifier.hash),
            STANDARD.encode(data)
        )
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifier.label())
    }
}

/// Signs a text with each of the keys. Fails if the text is not one that [`open`] accepts.
pub fn sign(text: &str, keys: &[&SigningKey]) -> Result<String, Error> {
    check_text(text)?;
    let mut note = format!("{text}\n");
    for key in keys {
        note.push_str(&signature_line(text, key));
    }
    if note.len() > MAX_NOTE_BYTES || keys.len() > MAX_SIGNATURES {
        return Err(Error::Malformed("it is too large"));
    }
    Ok(note)
}

/// One more line for a note with this text.
fn signature_line(text: &str, key: &SigningKey) -> String {
    let mut data = key.verifier.hash.to_vec();
    data.extend_from_slice(&key.key.sign(text.as_bytes()).to_bytes());
    format!("— {} {}\n", key.verifier.name, STANDARD.encode(data))
}

fn check_text(text: &str) -> Result<(), Error> {
    if text.len() < 2 || !text.ends_with('\n') {
        return Err(Error::Malformed("the text does not end in a newline"));
    }
    if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        return Err(Error::Malformed("it holds control characters"));
    }
    Ok(())
}

/// A note whose text may be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened<'a> {
    /// The text, with its last newline.
    pub text: &'a str,
    /// Which of the keys signed it: their places in the list, in the order of the signatures.
    pub signers: Vec<usize>,
}

/// Reads a note and verifies it. At least one of the keys must have signed, and no signature in the name and hash of one
/// of them may be wrong.
pub fn open<'a>(note: &'a str, keys: &[VerifierKey]) -> Result<Opened<'a>, Error> {
    let (text, signatures) = split(note)?;
    let mut signers = Vec::new();
    for signature in signatures {
        let signature = signature?;
        let mut wrong = None;
        for (place, key) in keys.iter().enumerate() {
            if key.name != signature.name || key.hash != signature.hash {
                continue;
            }
            let valid = <&[u8; 64]>::try_from(&signature.bytes[..])
                .map(ed25519_dalek::Signature::from_bytes)
                .is_ok_and(|bytes| key.key.verify_strict(text.as_bytes(), &bytes).is_ok());
            if valid {
                wrong = None;
                if !signers.contains(&place) {
                    signers.push(place);
                }
                break;
            }
            wrong = Some(key.label());
        }
        if let Some(label) = wrong {
            return Err(Error::Signature(label));
        }
    }
    if signers.is_empty() {
        return Err(Error::UnknownKey);
    }
    Ok(Opened { text, signers })
}

/// The text of a note whose signatures nobody looked at: to find out which keys could verify it, never to rely on.
pub fn unverified_text(note: &str) -> Result<&str, Error> {
    let (text, signatures) = split(note)?;
    signatures.into_iter().try_for_each(|line| line.map(drop))?;
    Ok(text)
}

struct Line<'a> {
    name: &'a str,
    hash: KeyHash,
    bytes: Vec<u8>,
}

/// Text and signature lines, which are read as they are asked for.
fn split(note: &str) -> Result<(&str, impl IntoIterator<Item = Result<Line<'_>, Error>>), Error> {
    if note.len() > MAX_NOTE_BYTES {
        return Err(Error::Malformed("it is too large"));
    }
    let end = note
        .rfind("\n\n")
        .ok_or(Error::Malformed("no empty line before signatures"))?;
    let (text, signatures) = (&note[..=end], &note[end + 2..]);
    check_text(text)?;
    let lines = signatures
        .strip_suffix('\n')
        .ok_or(Error::Malformed("no newline after the last signature"))?;
    if lines.split('\n').count() > MAX_SIGNATURES {
        return Err(Error::Malformed("too many signatures"));
    }
    Ok((text, lines.split('\n').map(line)))
}

fn line(line: &str) -> Result<Line<'_>, Error> {
    let malformed = Error::Malformed("a line after the text is not a signature");
    let Some((name, data)) = line.strip_prefix("— ").and_then(|rest| rest.split_once(' ')) else {
        return Err(malformed);
    };
    let data = STANDARD.decode(data).map_err(|_| malformed.clone())?;
    match data.split_first_chunk::<4>() {
        Some((hash, bytes)) if check_name(name).is_ok() && !bytes.is_empty() => Ok(Line {
            name,
            hash: *hash,
            bytes: bytes.to_vec(),
        }),
        _ => Err(malformed),
    }
}
