//! A file that checkpoints are appended to: on a disk, a mounted share or a tape that the database's people cannot write.
//!
//! Each note is followed by an empty line. A crash may leave half a note: then the next one begins after an empty line, so a
//! reader that skips what is no note finds all others.

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use super::{Anchor, Checkpoint};

/// How much of the end is searched for a note that was written before its publication could be noted.
const TAIL_BYTES: u64 = 1 << 20;

/// An append-only file.
pub struct FileAnchor {
    name: String,
    path: PathBuf,
}

impl FileAnchor {
    /// The anchor in that file, which is made with the first note.
    ///
    /// # Errors
    /// A sentence when the file cannot be appended to.
    pub fn new(path: &Path) -> Result<Self, String> {
        open(path)
            .map_err(|failure| format!("SNACKBASE_AUDIT_ANCHOR_FILE {}: {failure}.", path.display()))?;
        Ok(Self {
            name: format!("file:{}", path.display()),
            path: path.to_owned(),
        })
    }
}

impl Anchor for FileAnchor {
    fn name(&self) -> &str {
        &self.name
    }

    fn publish<'a>(
        &'a self,
        checkpoint: &'a Checkpoint,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        let (path, note) = (self.path.clone(), checkpoint.note.clone());
        Box::pin(async move {
            let appended = tokio::task::spawn_blocking(move || append(&path, &note)).await;
            appended
                .map_err(|failure| failure.to_string())?
                .map_err(|failure| format!("{failure}."))
        })
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    let known = path.exists();
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)?;
    if !known {
        // The name itself must survive a crash.
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(file)
}

/// Appends the note, unless it is there.
fn append(path: &Path, note: &str) -> std::io::Result<()> {
    let mut file = open(path)?;
    // Another process may have been given the same note after its claim ran out.
    file.lock()?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let entry = [note.trim_end_matches('\n'), "\n\n"].concat();
    let entry = entry.as_bytes();
    if tail.windows(entry.len()).any(|window| window == entry) {
        return file.sync_all();
    }
    let gap: &[u8] = if tail.is_empty() || tail.ends_with(b"\n\n") {
        b""
    } else {
        b"\n\n"
    };
    file.write_all(&[gap, entry].concat())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_stands_once_however_often_it_is_published() {
        let path = std::env::temp_dir().join(format!("snackbase-anchor-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let read = || std::fs::read_to_string(&path).unwrap_or_default();
        let write = |note: &str| assert!(append(&path, note).is_ok());
        write("one\n\n— a b\n");
        write("two\n\n— a b\n");
        write("one\n\n— a b\n");
        assert_eq!(read(), "one\n\n— a b\n\ntwo\n\n— a b\n\n");
        // half a note, from a crash
        assert!(
            OpenOptions::new()
                .append(true)
                .open(&path)
                .and_then(|mut f| f.write_all(b"thr"))
                .is_ok()
        );
        write("three\n\n— a b\n");
        assert!(
            read().ends_with("— a b\n\nthr\n\nthree\n\n— a b\n\n"),
            "{}",
            read()
        );
        let _ = std::fs::remove_file(&path);
        assert!(FileAnchor::new(Path::new("/nowhere/at/all")).is_err());
    }
}
