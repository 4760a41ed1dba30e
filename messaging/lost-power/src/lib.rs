//! What a loss of power leaves of a directory: for tests, which find out whether what was acknowledged was synced.
//!
//! A process killed by SIGKILL leaves in its files what the system has not yet written to the disk. A small library of C,
//! preloaded into the process ([`Disk::environment`]), notes each sync that has succeeded: how long the file was, or which
//! names the directory had, when it began. After the kill, [`Disk::lose_power`] gives every file its synced length, removes
//! names that were not synced, and brings back what was removed or replaced without that being synced.
//!
//! It is the worst that a disk which keeps its promises may leave: everything that was not synced is lost. What is overwritten
//! in place or through a mapping counts as written once the file is synced; it is for files that only grow.
//! Nothing that is shipped may depend on this; a check of the workspace sees to that.

use std::{
    collections::{BTreeMap, HashMap},
    env,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

const SOURCE: &str = include_str!("noting.c");

/// The disk under one directory of files.
#[derive(Debug)]
pub struct Disk {
    directory: PathBuf,
    notes: PathBuf,
    library: PathBuf,
}

/// What a loss of power has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// How many bytes of which files that were there.
    pub bytes: BTreeMap<String, u64>,
    /// Files that were there, and are not.
    pub names: Vec<String>,
    /// Files that had been removed or replaced, and are there again.
    pub back: Vec<String>,
}

impl Lost {
    /// Bytes of all files whose names end like this.
    pub fn bytes_of(&self, ending: &str) -> u64 {
        self.bytes.iter().filter_map(|(name, bytes)| name.ends_with(ending).then_some(*bytes)).sum()
    }
}

/// A file by its inode, and a length.
type ByInode = HashMap<u64, u64>;
type Names = BTreeMap<String, u64>;

impl Disk {
    /// The disk under `directory`, which need not exist yet. Notes are kept in `notes`, on the same file system; the library is
    /// built there by the system's C compiler (`CC`, or `cc`).
    ///
    /// # Errors
    /// There is no compiler, or a file cannot be written.
    pub fn under(directory: &Path, notes: &Path) -> io::Result<Self> {
        fs::create_dir_all(notes)?;
        let (source, library) = (notes.join("noting.c"), notes.join("noting.so"));
        fs::write(&source, SOURCE)?;
        let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
        let built = Command::new(compiler)
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status()?;
        if !built.success() {
            return Err(io::Error::other("the C compiler refuses noting.c"));
        }
        Ok(Self { directory: directory.into(), notes: notes.into(), library })
    }

    /// What a process is given that writes to the disk, and what counts as on it from the beginning: all that is there now.
    ///
    /// # Errors
    /// The directory cannot be read, or the notes not written.
    pub fn environment(&self) -> io::Result<[(&'static str, OsString); 2]> {
        let gone = self.notes.join("gone");
        if gone.exists() {
            fs::remove_dir_all(&gone)?;
        }
        fs::create_dir(&gone)?;
        let mut notes = File::create(self.journal())?;
        if self.directory.exists() {
            let (names, lengths) = self.files()?;
            for (inode, length) in lengths {
                writeln!(notes, "F {inode} {length}")?;
            }
            let names: Vec<_> = names.iter().map(|(name, inode)| format!("{inode}/{name}/")).collect();
            writeln!(notes, "D {} 0/{}", fs::metadata(&self.directory)?.ino(), names.concat())?;
        }
        Ok([("LD_PRELOAD", self.library.clone().into()), ("SKEP_TEST_SYNC_NOTES", self.notes.clone().into())])
    }

    /// Takes away what was not synced. The process must have been killed.
    ///
    /// # Errors
    /// Files cannot be read or moved, or the notes do not fit what is there.
    pub fn lose_power(&self) -> io::Result<Lost> {
        if !self.directory.exists() {
            return Ok(Lost::default());
        }
        let (there, lengths) = self.files()?;
        let (synced, kept) = self.noted()?;
        let kept_of = |inode: &u64, length: u64| kept.get(inode).map_or(0, |kept| length.min(*kept));
        let paths: HashMap<_, _> = there.iter().map(|(name, inode)| (inode, self.directory.join(name))).collect();

        let left = self.notes.join("left");
        fs::create_dir(&left)?;
        for (name, inode) in &synced {
            let gone = || self.notes.join("gone").join(inode.to_string());
            let path = left.join(name);
            fs::hard_link(paths.get(inode).cloned().unwrap_or_else(gone), &path)?;
            let length = fs::metadata(&path)?.len();
            OpenOptions::new().write(true).open(&path)?.set_len(kept_of(inode, length))?;
        }
        let mut lost = Lost::default();
        for (name, inode) in &there {
            let length = lengths.get(inode).copied().unwrap_or_default();
            let is_kept = synced.get(name) == Some(inode);
            let missing = if is_kept { length - kept_of(inode, length) } else { length };
            if missing > 0 {
                lost.bytes.insert(name.clone(), missing);
            }
            if !synced.contains_key(name) {
                lost.names.push(name.clone());
            }
        }
        lost.back =
            synced.into_iter().filter(|(name, inode)| there.get(name) != Some(inode)).map(|(name, _)| name).collect();
        fs::remove_dir_all(&self.directory)?;
        fs::rename(left, &self.directory)?;
        Ok(lost)
    }

    fn journal(&self) -> PathBuf {
        self.notes.join("notes")
    }

    /// Files by name, and the length of each.
    fn files(&self) -> io::Result<(Names, ByInode)> {
        let (mut names, mut lengths) = (Names::new(), ByInode::new());
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if !metadata.is_file() {
                return Err(io::Error::other(format!("{} is not a file", entry.path().display())));
            }
            let name = entry.file_name().into_string().map_err(|name| io::Error::other(format!("{name:?}")))?;
            names.insert(name, metadata.ino());
            lengths.insert(metadata.ino(), metadata.len());
        }
        Ok((names, lengths))
    }

    /// The names that were synced last, and the synced length of each file.
    fn noted(&self) -> io::Result<(Names, ByInode)> {
        let directory = fs::metadata(&self.directory)?.ino();
        let notes = fs::read_to_string(self.journal())?;
        let (mut names, mut lengths) = (None, ByInode::new());
        // What has no end was not yet told to whoever asked for the sync.
        for line in notes.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let read = |text: &str| text.parse::<u64>().map_err(|_| io::Error::other(format!("not a note: {line}")));
            match line.split_at_checked(2) {
                Some(("F ", rest)) => {
                    let (inode, length) = rest.split_once(' ').unwrap_or_default();
                    let longest: &mut u64 = lengths.entry(read(inode)?).or_default();
                    *longest = read(length)?.max(*longest);
                }
                Some(("D ", rest)) => {
                    let mut parts = rest.split('/');
                    let (inode, time) = parts.next().and_then(|head| head.split_once(' ')).unwrap_or_default();
                    let time = read(time)?;
                    let is_later = names.as_ref().is_none_or(|(last, _)| *last <= time);
                    if read(inode)? == directory && is_later {
                        let mut listed = Names::new();
                        while let (Some(inode), Some(name)) = (parts.next(), parts.next()) {
                            listed.insert(name.to_owned(), read(inode)?);
                        }
                        names = Some((time, listed));
                    }
                }
                Some(_) | None => return Err(io::Error::other(format!("not a note: {line}"))),
            }
        }
        Ok((names.map(|(_, names)| names).unwrap_or_default(), lengths))
    }
}

#[cfg(test)]
mod tests;
