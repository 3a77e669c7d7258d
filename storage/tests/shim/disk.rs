//! What a disk may hold when the power is cut: all that was synced, and of the rest whatever chance keeps.
//!
//! - Of a file: each sector (512 B) or page (4 KiB) that was written since its last sync is there or not, whatever the
//!   order of the writes; its length may have grown, with zeros, or be the old one.
//! - Of a folder: the changes of names since its last sync are there up to one of them. File systems that keep a journal
//!   (ext4, XFS, btrfs) keep the order of such changes; that a file was synced says nothing of its name.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::chance::Chance;
use super::log::Entry;

/// A file's content: `bytes`, then zeros up to `length`. A new journal is 64 MiB of zeros.
#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    length: u64,
}

impl Content {
    fn put(&mut self, offset: u64, part: &[u8]) {
        let end = offset as usize + part.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset as usize..end].copy_from_slice(part);
        self.length = self.length.max(end as u64);
    }

    fn resize(&mut self, length: u64) {
        self.length = length;
        self.bytes.truncate(length as usize);
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Write(offset, bytes) => self.put(*offset, bytes),
            Change::Resize(length) => self.resize(*length),
        }
    }
}

enum Change {
    Write(u64, Rc<[u8]>),
    Resize(u64),
}

/// A file, on the disk and what is not yet there.
#[derive(Default)]
struct Kept {
    safe: Content,
    pending: Vec<Change>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Node {
    File(usize),
    Folder(usize),
}

/// A name that is put in its place or (`None`) taken away; a renaming is both at once.
type Naming = Vec<(String, Option<Node>)>;

#[derive(Default)]
struct Folder {
    safe: BTreeMap<String, Node>,
    now: BTreeMap<String, Node>,
    pending: Vec<Naming>,
}

impl Folder {
    fn change(&mut self, naming: Naming) {
        name_all(&mut self.now, &naming);
        self.pending.push(naming);
    }
}

fn name_all(names: &mut BTreeMap<String, Node>, naming: &Naming) {
    for (name, node) in naming {
        match node {
            Some(node) => names.insert(name.clone(), *node),
            None => names.remove(name),
        };
    }
}

/// The disk below one directory.
pub(crate) struct Disk {
    root: PathBuf,
    files: Vec<Kept>,
    folders: Vec<Folder>,
    inodes: HashMap<u64, usize>,
}

impl Disk {
    /// As it lies there, all of it synced.
    pub(crate) fn of(root: &Path) -> Self {
        let mut disk =
            Self { root: root.to_owned(), files: Vec::new(), folders: vec![Folder::default()], inodes: HashMap::new() };
        disk.take(0, root);
        disk
    }

    fn take(&mut self, folder: usize, path: &Path) {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let node = if entry.file_type().unwrap().is_dir() {
                self.folders.push(Folder::default());
                let inner = self.folders.len() - 1;
                self.take(inner, &entry.path());
                Node::Folder(inner)
            } else {
                let mut bytes = fs::read(entry.path()).unwrap();
                let length = bytes.len() as u64;
                bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
                self.files.push(Kept { safe: Content { bytes, length }, pending: Vec::new() });
                Node::File(self.files.len() - 1)
            };
            let name = entry.file_name().into_string().unwrap();
            self.folders[folder].safe.insert(name.clone(), node);
            self.folders[folder].now.insert(name, node);
        }
    }

    /// The folder that holds `path`, and its name there.
    fn place(&self, path: &str) -> (usize, String) {
        let path = Path::new(path).strip_prefix(&self.root).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut folder = 0;
        for part in path.parent().unwrap() {
            match self.folders[folder].now.get(part.to_str().unwrap()) {
                Some(Node::Folder(inner)) => folder = *inner,
                other => panic!("{} lies in {other:?}", path.display()),
            }
        }
        (folder, name)
    }

    fn folder(&self, path: &str) -> usize {
        if Path::new(path) == self.root {
            return 0;
        }
        let (folder, name) = self.place(path);
        match self.folders[folder].now.get(&name) {
            Some(Node::Folder(inner)) => *inner,
            other => panic!("{path} is {other:?}"),
        }
    }

    fn pend(&mut self, inode: u64, change: Change) {
        // One that was never opened by name: a lock file's, of no matter here.
        if let Some(file) = self.inodes.get(&inode) {
            self.files[*file].pending.push(change);
        }
    }

    /// Goes on by one operation.
    pub(crate) fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Create { inode, path } => {
                let (folder, name) = self.place(path);
                self.files.push(Kept::default());
                let file = self.files.len() - 1;
                self.inodes.insert(*inode, file);
                self.folders[folder].change(vec![(name, Some(Node::File(file)))]);
            }
            Entry::Open { inode, path } => {
                let (folder, name) = self.place(path);
                let Some(Node::File(there)) = self.folders[folder].now.get(&name).copied() else {
                    return self.infer(folder, name, *inode);
                };
                if *self.inodes.entry(*inode).or_insert(there) != there {
                    self.infer(folder, name, *inode);
                }
            }
            Entry::MakeFolder { path } => {
                let (folder, name) = self.place(path);
                self.folders.push(Folder::default());
                let inner = self.folders.len() - 1;
                self.folders[folder].change(vec![(name, Some(Node::Folder(inner)))]);
            }
            Entry::Write { inode, offset, bytes } => self.pend(*inode, Change::Write(*offset, bytes.as_slice().into())),
            Entry::Resize { inode, length } => self.pend(*inode, Change::Resize(*length)),
            Entry::Sync { inode } => {
                if let Some(file) = self.inodes.get(inode) {
                    let Kept { safe, pending } = &mut self.files[*file];
                    pending.drain(..).for_each(|change| safe.apply(&change));
                }
            }
            Entry::SyncFolder { path } => {
                let folder = self.folder(path);
                let Folder { safe, pending, .. } = &mut self.folders[folder];
                pending.drain(..).for_each(|naming| name_all(safe, &naming));
            }
            Entry::Rename { from, to } => {
                let ((folder, from), (other, to)) = (self.place(from), self.place(to));
                assert_eq!(folder, other, "nothing is moved between folders");
                let node = self.folders[folder].now.get(&from).copied();
                self.folders[folder].change(vec![(from, None), (to, node)]);
            }
            Entry::Unlink { path } | Entry::RemoveFolder { path } => {
                let (folder, name) = self.place(path);
                self.folders[folder].change(vec![(name, None)]);
            }
            Entry::Said { .. } | Entry::Failed { .. } => {}
        }
    }

    /// A file was found under a name that is not the one it had: it was renamed by a call that the library cannot see.
    fn infer(&mut self, folder: usize, name: String, inode: u64) {
        let file = self.inodes.get(&inode).copied();
        let folder = &mut self.folders[folder];
        let from = folder.now.iter().find(|(_, node)| file.is_some_and(|file| **node == Node::File(file)));
        let (from, node) = from.map(|(from, node)| (from.clone(), *node)).unwrap_or_else(|| panic!("whence {name}?"));
        folder.change(vec![(from, None), (name, Some(node))]);
    }

    /// Makes what is left after a cut now, in the empty directory `into`.
    pub(crate) fn cut(&self, chance: &mut Chance, into: &Path) {
        self.write_folder(0, chance, into);
    }

    fn write_folder(&self, folder: usize, chance: &mut Chance, into: &Path) {
        let Folder { safe, pending, .. } = &self.folders[folder];
        let mut names = safe.clone();
        pending.iter().take(chance.below(pending.len() + 1)).for_each(|naming| name_all(&mut names, naming));
        for (name, node) in names {
            let path = into.join(name);
            match node {
                Node::Folder(inner) => {
                    fs::create_dir(&path).unwrap();
                    self.write_folder(inner, chance, &path);
                }
                Node::File(file) => {
                    let content = left_of(&self.files[file], chance);
                    let file = File::create(path).unwrap();
                    file.write_all_at(&content.bytes, 0).unwrap();
                    file.set_len(content.length).unwrap();
                }
            }
        }
    }
}

/// What a cut leaves of a file.
fn left_of(file: &Kept, chance: &mut Chance) -> Content {
    let mut left = file.safe.clone();
    // A file that is never synced gathers thousands of small changes; most of them have long reached the disk.
    let recent = file.pending.len().saturating_sub(chance.below(200));
    file.pending.iter().take(recent).for_each(|change| left.apply(change));
    let rest = &file.pending[recent..];
    let grain = match chance.below(6) {
        0 => return left,
        1 => {
            rest.iter().for_each(|change| left.apply(change));
            return left;
        }
        2 | 3 => 512,
        _ => 4_096,
    };
    let eighths = [1, 4, 7][chance.below(3)];
    for change in rest {
        match change {
            Change::Resize(_) if chance.eighths(4) => left.apply(change),
            Change::Resize(_) => {}
            Change::Write(offset, bytes) => {
                let mut at = 0;
                while at < bytes.len() {
                    let end = bytes.len().min(at + grain - (*offset as usize + at) % grain);
                    if chance.eighths(eighths) {
                        left.put(offset + at as u64, &bytes[at..end]);
                    }
                    at = end;
                }
                if chance.eighths(4) {
                    left.length = left.length.max(offset + bytes.len() as u64);
                }
            }
        }
    }
    left
}
