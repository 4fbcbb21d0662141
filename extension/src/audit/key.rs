//! Checkpoints and the keys that sign them (design `ledger.md` §5, C2SP `signed-note` and `tlog-checkpoint`).
//!
//! `snackbase.audit_key_file` names the file of the private key, which never enters a table. The first key named there
//! signs. A key that signs for the first time is entered into `audit_key`, and the one before it is retired: rows of an
//! audited table, so the change of key stands in the trail that the new key signs. If the file of the retired key is
//! still named, as the second, it signs the first checkpoint of its successor, too.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use pgrx::pg_sys;
use snackbase_core::ledger::checkpoint::{Checkpoint, origin};
use snackbase_core::ledger::note::SigningKey;

use super::seal;
use crate::error::Error;
use crate::fresh::Fresh;
use crate::{guc, spi};

/// A key file is one line of about a hundred characters.
const MAX_FILE_BYTES: u64 = 4096;

/// What became of the checkpoint of a step.
#[derive(Default)]
pub struct Outcome {
    /// The block whose checkpoint was signed.
    pub signed: Option<i64>,
    /// A block is waiting for its checkpoint: the interval is not over, or the key cannot be used.
    pub waiting: bool,
    /// Why the key cannot be used.
    pub fault: Option<String>,
}

/// Signs the newest block, if it is time and there is a key. The caller holds the sealer's lock. A key that cannot be used is
/// no reason not to seal: the fault is told, and the checkpoint follows when it is mended.
///
/// # Errors
/// [`Error::Internal`] when stored blocks are damaged; [`Error::Spi`].
pub fn checkpoint() -> Result<Outcome, Error> {
    const WAITING: &str = "
    select b.number, b.block_hash, c.created_at
      from snackbase.audit_block b
      left join lateral (select k.block_number, k.created_at
                           from snackbase.audit_checkpoint k
                          order by k.block_number desc
                          limit 1) c on true
     where b.number = (select n.number from snackbase.audit_block n order by n.number desc limit 1)
       and b.number > coalesce(c.block_number, 0)";
    const INSERT: &str =
        "insert into snackbase.audit_checkpoint (block_number, note, created_at) values ($1, $2, $3)";
    let Some(files) = guc::audit_key_file() else {
        return Ok(Outcome::default());
    };
    let fresh = Fresh::begin();
    let waiting = fresh.first(WAITING, &[], |row| {
        Ok((
            row.want::<i64>(1)?,
            row.hash(2)?,
            row.number(3).map(u64::cast_signed).ok(),
        ))
    })?;
    let Some((number, block_hash, last)) = waiting else {
        return Ok(Outcome::default());
    };
    // SAFETY: reads the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    if last.is_some_and(|last| now - last < guc::audit_checkpoint_interval_ms() * 1000) {
        return Ok(Outcome {
            waiting: true,
            ..Outcome::default()
        });
    }
    let keys = match keys(&fresh, &files, now) {
        Ok(keys) => keys,
        Err(Error::KeyFile(fault)) => {
            return Ok(Outcome {
                signed: None,
                waiting: true,
                fault: Some(fault),
            });
        }
        Err(error) => return Err(error),
    };
    // SAFETY: reads a global of the backend.
    let database = unsafe { pg_sys::MyDatabaseId }.to_u32();
    let checkpoint = Checkpoint {
        origin: origin(seal::system_identifier().cast_unsigned(), database),
        number: number.cast_unsigned(),
        root: seal::tree_of_blocks(&fresh, number)?.root(),
        block_hash,
    };
    let note = checkpoint
        .sign(&keys.iter().collect::<Vec<_>>())
        .map_err(|e| Error::Internal(format!("the checkpoint of block {number} cannot be signed: {e}")))?;
    spi::update(INSERT, &[number.into(), note.into(), spi::instant(now)], |_| {
        Ok(())
    })?;
    guc::require_durable_commit()?;
    Ok(Outcome {
        signed: Some(number),
        ..Outcome::default()
    })
}

/// The keys for a checkpoint signed at `now`: the first of the named files, and the second if it holds the key that the first
/// replaces at this moment. Writes down a key that is new.
fn keys(fresh: &Fresh, files: &str, now: pg_sys::TimestampTz) -> Result<Vec<SigningKey>, Error> {
    const KNOWN: &str = "
    select public_key, retired_at is not null
      from snackbase.audit_key
     where key_id = $1";
    const IN_USE: &str = "select public_key from snackbase.audit_key where retired_at is null";
    const RETIRE: &str = "update snackbase.audit_key set retired_at = $1 where retired_at is null";
    const ENTER: &str = "
    insert into snackbase.audit_key (key_id, name, public_key, activated_at)
    values ($1, $2, $3, $4)";
    let (first, second) = named(files)?;
    let key = read(first)?;
    let verifier = key.verifier();
    let id = verifier.hash();
    let known = fresh.first(KNOWN, &[id.to_vec().into()], |row| {
        Ok((row.hash(1)? == verifier.public(), row.want::<bool>(2)?))
    })?;
    match known {
        Some((true, false)) => return Ok(vec![key]),
        Some((true, true)) => {
            return Err(Error::KeyFile(format!(
                "the key in {first} was retired; a key that was replaced does not sign again"
            )));
        }
        Some((false, _)) => {
            return Err(Error::KeyFile(format!(
                "the key in {first} has the name and hash of another one; make a new key"
            )));
        }
        None => {}
    }
    let mut replaced = Vec::new();
    fresh.read(IN_USE, &[], |row| {
        replaced.push(row.hash(1)?);
        Ok(())
    })?;
    let second = match second {
        Some(path) => Some(read(path)?).filter(|key| replaced.contains(&key.verifier().public())),
        None => None,
    };
    let _system = guc::SystemActor::begin();
    spi::update(RETIRE, &[spi::instant(now)], |_| Ok(()))?;
    spi::update(
        ENTER,
        &[
            id.to_vec().into(),
            verifier.name().to_owned().into(),
            verifier.public().to_vec().into(),
            spi::instant(now),
        ],
        |_| Ok(()),
    )?;
    Ok([Some(key), second].into_iter().flatten().collect())
}

/// Why the named key cannot be used; `None` when it can.
pub fn fault() -> Option<String> {
    let Some(files) = guc::audit_key_file() else {
        return Some("snackbase.audit_key_file names no file".into());
    };
    named(&files)
        .and_then(|(first, _)| read(first))
        .err()
        .map(|error| error.to_string())
}

/// The files of a list: the first signs, the second may hold the key that it replaces.
fn named(files: &str) -> Result<(&str, Option<&str>), Error> {
    let mut paths = files.split(',').map(str::trim).filter(|path| !path.is_empty());
    match (paths.next(), paths.next(), paths.next()) {
        (Some(first), second, None) => Ok((first, second)),
        _ => Err(Error::KeyFile(
            "snackbase.audit_key_file names one file, or two".into(),
        )),
    }
}

/// Reads a private key. Refuses a file that others may read, as the server refuses such a file with its TLS key.
fn read(path: &str) -> Result<SigningKey, Error> {
    let refuse = |why: String| Error::KeyFile(format!("the key file {path} {why}"));
    let inaccessible = |e: std::io::Error| refuse(format!("cannot be read: {e}"));
    // Before it is opened: opening a pipe would wait for its other end.
    if !std::fs::metadata(path).map_err(inaccessible)?.is_file() {
        return Err(refuse("is no regular file".into()));
    }
    let file = File::open(Path::new(path)).map_err(inaccessible)?;
    if let Some(fault) = too_open(&file.metadata().map_err(inaccessible)?) {
        return Err(refuse(fault.into()));
    }
    let mut text = String::new();
    file.take(MAX_FILE_BYTES)
        .read_to_string(&mut text)
        .map_err(inaccessible)?;
    SigningKey::parse(text.trim_end()).map_err(|e| refuse(format!("holds no private key: {e}")))
}

/// The rules of `ssl_key_file`: owned by the server's user and for nobody else, or owned by root and readable by a group.
fn too_open(metadata: &Metadata) -> Option<&'static str> {
    // SAFETY: has no arguments and cannot fail.
    let server = unsafe { libc_geteuid() };
    let mode = metadata.mode();
    match metadata.uid() {
        owner if owner == server && mode & 0o077 == 0 => None,
        0 if server != 0 && mode & 0o037 == 0 => None,
        owner if owner == server => Some("may be read by others: chmod 0600"),
        0 => Some(
            "belongs to root and may be read by others: chmod 0640, or 0600 and give it to the server's user",
        ),
        _ => Some("belongs to somebody else than the server's user or root"),
    }
}

unsafe extern "C" {
    /// The user that the server runs as.
    #[link_name = "geteuid"]
    fn libc_geteuid() -> u32;
}
