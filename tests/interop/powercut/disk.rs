//! A disk that keeps no more than it must: the possible states of a folder after a power cut.
//!
//! The model is stricter than ext4:
//!
//! - Content and length of a file are kept as far as a completed `fsync` or `fdatasync` of it
//!   covers them. A sync covers the calls that returned before it began.
//! - Each later write is independently kept, dropped or torn at a multiple of 512 bytes. A dropped
//!   write may leave its length behind, filled with zeros. Each later change of the length is kept
//!   or dropped as well.
//! - A change of a folder's entries (create, rename, remove) is kept as far as a completed `fsync`
//!   of that folder covers it. The sync of a new file does not make its name durable, although it
//!   does on ext4. The sync of a folder does not make the folder's own name durable: its parent's
//!   does.
//! - A rename happens or does not. The new name may survive even if the removal of the old is lost.
//! - `sync_file_range` makes nothing durable.

use super::trace::{Call, Operation};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

/// Pseudorandom numbers from a seed, the same each time (SplitMix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns one of `0..below`.
    pub(super) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// The fate of changes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// All is kept: as if only the processes had died.
    Kept,
    /// All is lost, and no length left behind.
    Lost,
    /// Each is kept, dropped or torn independently.
    Mixed,
}

/// The syncs that the disk obeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obeys {
    All,
    /// All but `fdatasync` of sled's log, as if sled ran without the store's syncs.
    NoDataSyncOfTheLog,
    /// Only syncs of files.
    NoSyncOfFolders,
}

#[derive(Clone)]
enum Change {
    Write { at: u64, bytes: Vec<u8> },
    Length(u64),
    Entry { name: String, node: usize },
    Gone { name: String },
    Moved { from: String, to: String, node: usize },
}

#[derive(Clone)]
struct Step {
    start: u64,
    end: u64,
    change: Change,
}

struct Sync {
    start: u64,
    end: u64,
    data_only: bool,
}

/// A file or a folder, independent of its names.
struct Node {
    folder: bool,
    /// The path at which it was created.
    created_as: PathBuf,
    steps: Vec<Step>,
    syncs: Vec<Sync>,
    length: u64,
}

/// An open descriptor and its position.
struct Open {
    node: usize,
    position: u64,
    append: bool,
}

/// All operations in a folder, by several servers one after the other.
pub(super) struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
    /// The names as the processes saw them.
    names: HashMap<PathBuf, usize>,
}

impl Disk {
    /// A durable, empty folder.
    pub(super) fn new(root: &Path) -> Self {
        let node = Node {
            folder: true,
            created_as: root.to_owned(),
            steps: Vec::new(),
            syncs: Vec::new(),
            length: 0,
        };
        Self {
            root: root.to_owned(),
            nodes: vec![node],
            names: HashMap::from([(root.to_owned(), 0)]),
        }
    }

    /// Adds the operations of one server, in the order in which the calls ended.
    pub(super) fn record(&mut self, operations: &[Operation]) {
        let mut descriptors: HashMap<u32, Open> = HashMap::new();
        for Operation { start, end, call } in operations {
            let when = (*start, *end);
            match call {
                Call::Open { path, create, truncate, append, fd } => {
                    let node = match self.names.get(path) {
                        Some(node) => *node,
                        None if *create => self.make(path, false, when),
                        None => panic!("{} was never made", path.display()),
                    };
                    if *truncate {
                        self.step(node, when, Change::Length(0));
                    }
                    descriptors.insert(*fd, Open { node, position: 0, append: *append });
                }
                Call::Write { fd, path, at, bytes } => {
                    let open = descriptors.get_mut(fd).expect("it was opened");
                    let place = at.unwrap_or(if open.append {
                        self.nodes[open.node].length
                    } else {
                        open.position
                    });
                    if at.is_none() {
                        open.position = place + bytes.len() as u64;
                    }
                    let node = open.node;
                    self.expect(path, node);
                    self.step(node, when, Change::Write { at: place, bytes: bytes.clone() });
                }
                Call::Length { fd, path, length } => {
                    let node = descriptors[fd].node;
                    self.expect(path, node);
                    self.step(node, when, Change::Length(*length));
                }
                Call::Sync { fd, path, data_only } => {
                    let node = descriptors[fd].node;
                    self.expect(path, node);
                    let sync = Sync { start: *start, end: *end, data_only: *data_only };
                    self.nodes[node].syncs.push(sync);
                }
                Call::Rename { from, to } => {
                    assert_eq!(from.parent(), to.parent(), "a rename stays in its folder");
                    let node = self.names[from];
                    let change = Change::Moved { from: name(from), to: name(to), node };
                    self.step(self.names[from.parent().unwrap()], when, change);
                    let moved: Vec<PathBuf> =
                        self.names.keys().filter(|path| path.starts_with(from)).cloned().collect();
                    for path in moved {
                        let node = self.names.remove(&path).unwrap();
                        let rest = path.strip_prefix(from).unwrap();
                        // `join` of nothing would add a slash.
                        let path =
                            if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                        self.names.insert(path, node);
                    }
                }
                Call::Remove { path } => {
                    // bind(2) creates the socket, which need not last.
                    if self.names.remove(path).is_some() {
                        let folder = self.names[path.parent().unwrap()];
                        self.step(folder, when, Change::Gone { name: name(path) });
                    } else {
                        assert!(path.ends_with("estd.sock"), "{} was never made", path.display());
                    }
                }
                Call::MakeFolder { path } => {
                    self.make(path, true, when);
                }
                Call::RangeSync { .. }
                | Call::Accept { .. }
                | Call::Sent { .. }
                | Call::Said { .. } => {}
            }
        }
    }

    fn make(&mut self, path: &Path, folder: bool, when: (u64, u64)) -> usize {
        let node = self.nodes.len();
        self.nodes.push(Node {
            folder,
            created_as: path.to_owned(),
            steps: Vec::new(),
            syncs: Vec::new(),
            length: 0,
        });
        let parent = self.names[path.parent().unwrap()];
        self.step(parent, when, Change::Entry { name: name(path), node });
        self.names.insert(path.to_owned(), node);
        node
    }

    fn step(&mut self, node: usize, (start, end): (u64, u64), change: Change) {
        let node = &mut self.nodes[node];
        match &change {
            Change::Write { at, bytes } => {
                node.length = node.length.max(at + bytes.len() as u64);
            }
            Change::Length(length) => node.length = *length,
            _ => {}
        }
        node.steps.push(Step { start, end, change });
    }

    /// Asserts that the recorded path of a descriptor names the file opened at that path.
    fn expect(&self, path: &Path, node: usize) {
        assert_eq!(self.names.get(path), Some(&node), "{}", path.display());
    }

    /// Builds the content of the disk after a power cut at `cut` in `target`, an empty folder.
    pub(super) fn after(
        &self,
        cut: u64,
        obeys: Obeys,
        fate: Fate,
        dice: &mut Dice,
        target: &Path,
    ) -> Loss {
        let mut loss = Loss::default();
        self.build(0, cut, (obeys, fate), dice, target, &mut loss);
        loss
    }

    fn build(
        &self,
        node: usize,
        cut: u64,
        rules: (Obeys, Fate),
        dice: &mut Dice,
        target: &Path,
        loss: &mut Loss,
    ) {
        let node = &self.nodes[node];
        if node.folder {
            let mut entries = BTreeMap::new();
            for step in self.survivors(node, cut, rules, dice, loss) {
                match step.change {
                    Change::Entry { name, node } => {
                        entries.insert(name, node);
                    }
                    Change::Gone { name } => {
                        entries.remove(&name);
                    }
                    Change::Moved { from, to, node } => {
                        entries.remove(&from);
                        entries.insert(to, node);
                    }
                    Change::Write { .. } | Change::Length(_) => unreachable!("a folder"),
                }
            }
            for (name, child) in entries {
                let path = target.join(name);
                if self.nodes[child].folder {
                    fs::create_dir(&path).unwrap();
                }
                self.build(child, cut, rules, dice, &path, loss);
            }
            return;
        }
        let mut content = Vec::new();
        for step in self.survivors(node, cut, rules, dice, loss) {
            match step.change {
                Change::Write { at, bytes } => {
                    let at = usize::try_from(at).unwrap();
                    let end = at + bytes.len();
                    if content.len() < end {
                        content.resize(end, 0);
                    }
                    content[at..end].copy_from_slice(&bytes);
                }
                Change::Length(length) => content.resize(usize::try_from(length).unwrap(), 0),
                _ => unreachable!("a file"),
            }
        }
        fs::write(target, content).unwrap();
    }

    /// Returns the steps of a node that the disk has kept.
    fn survivors(
        &self,
        node: &Node,
        cut: u64,
        (obeys, fate): (Obeys, Fate),
        dice: &mut Dice,
        loss: &mut Loss,
    ) -> Vec<Step> {
        let log = node.created_as == self.root.join("data/store/db");
        // The trail and the store's mark are never synced, and would outnumber all other changes.
        let counts = node.created_as.starts_with(self.root.join("data/store"))
            && !node.created_as.ends_with("mark");
        let durable = node
            .syncs
            .iter()
            .filter(|sync| sync.end < cut)
            .filter(|sync| match obeys {
                Obeys::All => true,
                Obeys::NoDataSyncOfTheLog => !(log && sync.data_only),
                Obeys::NoSyncOfFolders => !node.folder,
            })
            .map(|sync| sync.start)
            .max();
        let mut length = 0u64;
        let mut survivors = Vec::new();
        for step in node.steps.iter().filter(|step| step.start < cut) {
            let covered = durable.is_some_and(|durable| step.end < durable);
            loss.pending += usize::from(counts && !covered);
            let lost = match fate {
                _ if covered => false,
                Fate::Kept => false,
                Fate::Lost => true,
                Fate::Mixed => dice.roll(3) == 0,
            };
            let mut step = step.clone();
            if lost {
                loss.dropped += usize::from(counts);
            } else if !covered && fate == Fate::Mixed && dice.roll(2) == 0 {
                let torn = tear(&mut step.change, dice);
                loss.torn += usize::from(counts && torn);
            }
            if let (true, Change::Write { at, bytes }) = (lost, &step.change) {
                // The length was kept, the content was not.
                let end = at + bytes.len() as u64;
                if fate == Fate::Mixed && end > length && dice.roll(2) == 0 {
                    step.change = Change::Length(end);
                } else {
                    continue;
                }
            } else if lost {
                continue;
            }
            match &step.change {
                Change::Write { at, bytes } => length = length.max(at + bytes.len() as u64),
                Change::Length(new) => length = *new,
                _ => {}
            }
            survivors.push(step);
        }
        survivors
    }
}

/// Keeps the front or the back of a write, up to or from a multiple of 512 bytes. Returns false if
/// the write crosses none.
fn tear(change: &mut Change, dice: &mut Dice) -> bool {
    const SECTOR: u64 = 512;
    let Change::Write { at, bytes } = change else { return false };
    let (first, last) = (*at / SECTOR + 1, (*at + bytes.len() as u64).div_ceil(SECTOR));
    if first >= last {
        return false;
    }
    let place = (first + dice.roll(last - first)) * SECTOR;
    let split = usize::try_from(place - *at).unwrap();
    if dice.roll(2) == 0 {
        bytes.truncate(split);
    } else {
        bytes.drain(..split);
        *at = place;
    }
    true
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Counts of the store's changes that the disk did not have to keep.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Loss {
    /// Changes that no sync covered.
    pub(super) pending: usize,
    /// Of these: not kept at all.
    pub(super) dropped: usize,
    /// Of these: kept in part.
    pub(super) torn: usize,
}
