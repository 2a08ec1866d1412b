//! A disk that keeps no more than it must: what a folder can look like after a power cut.
//!
//! The model, stricter than ext4 is:
//!
//! - Content and length of a file are kept as far as a completed `fsync` or `fdatasync` of it
//!   covers them: it covers what had returned before it began.
//! - Each later write is kept, dropped or torn at a multiple of 512 bytes, one by one, in
//!   whatever combination; a dropped one may leave its length behind, filled with zeros. So is
//!   each change of the length kept or dropped.
//! - An entry of a folder (made, renamed, removed) is kept as far as a completed `fsync` of that
//!   folder covers it. The sync of a new file does not make its name durable, though ext4 does
//!   so; neither does the sync of a folder make its own name durable, which stands in its parent.
//! - A rename happens or does not. A name that is made by it may outlive the loss of the old one.
//! - `sync_file_range` means nothing.

use super::trace::{Call, Operation};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

/// Numbers from a seed, the same each time (SplitMix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of `0..below`.
    pub(super) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// What becomes of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// All is kept: as if only the processes had died.
    Kept,
    /// All is lost, and no length left behind.
    Lost,
    /// Each for itself.
    Mixed,
}

/// Which syncs the disk obeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obeys {
    All,
    /// All but `fdatasync` of sled's log: what sled does by itself.
    NoDataSyncOfTheLog,
    /// Only those of files.
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

/// A file or a folder under whatever names.
struct Node {
    folder: bool,
    /// The name it was made under.
    made_as: PathBuf,
    steps: Vec<Step>,
    syncs: Vec<Sync>,
    length: u64,
}

/// Where a descriptor stands.
struct Open {
    node: usize,
    position: u64,
    append: bool,
}

/// Everything that was done in a folder, by several servers one after the other.
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
            made_as: root.to_owned(),
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

    /// Takes over what one server did, in the order of the calls' ends.
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
                    // The socket is made by bind(2), and is nothing that lasts.
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
            made_as: path.to_owned(),
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

    /// The recording's own name of a descriptor is that of the file it was opened as.
    fn expect(&self, path: &Path, node: usize) {
        assert_eq!(self.names.get(path), Some(&node), "{}", path.display());
    }

    /// Builds in `target`, an empty folder, what is on the disk if the power goes at `cut`.
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

    /// What of a node's history the disk has.
    fn survivors(
        &self,
        node: &Node,
        cut: u64,
        (obeys, fate): (Obeys, Fate),
        dice: &mut Dice,
        loss: &mut Loss,
    ) -> Vec<Step> {
        let log = node.made_as == self.root.join("data/store/db");
        // The trail and the store's mark are never synced, and would outnumber all else.
        let counts = node.made_as.starts_with(self.root.join("data/store"))
            && !node.made_as.ends_with("mark");
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
                // The length came through and the content did not.
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

/// Keeps the front or the back of a write, up to or from a multiple of 512 bytes. Answers
/// whether there is one in it.
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

/// How much of what was done to the store the disk did not have to keep.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Loss {
    /// Changes that no sync covered.
    pub(super) pending: usize,
    /// Of these: not kept at all.
    pub(super) dropped: usize,
    /// Of these: kept in part.
    pub(super) torn: usize,
}
