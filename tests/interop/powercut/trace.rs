//! Reads a server's strace recording: each operation on its files, and each answer it sent.
//!
//! Why strace: it stops a thread before and after each call, so the order of its lines respects
//! causality over all threads. It records the calls of sled as well as those of this crate, and
//! needs no privileges to trace a child process. A call interrupted by a line of another thread
//! takes two lines, `<unfinished ...>` and `resumed`.

use std::{
    collections::HashMap,
    fs,
    path::{Component, Path, PathBuf},
};

/// The calls that change files or make them durable, and those that send an answer. Some are not
/// expected: if one of them occurs, the test fails.
const CALLS: &str = "open,openat,openat2,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,\
     truncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,\
     symlink,symlinkat,copy_file_range,sendfile,splice,fsync,fdatasync,sync,syncfs,msync,\
     sync_file_range,accept4,sendto,sendmsg,io_uring_setup";

/// Returns the command that records the program appended to it into `file`.
pub(super) fn recorder(file: &Path) -> Vec<String> {
    let words = [
        "strace",
        "-f", // all threads
        // Only the listed calls stop a thread, so the server runs at almost full speed.
        "--seccomp-bpf",
        "-qq",
        "-y",  // each descriptor with its file
        "-xx", // all bytes in hexadecimal: no quoting to undo, nothing lossy
        "-s",
        "16777216", // whole writes
        "-e",
        "signal=none",
        "-o",
        file.to_str().unwrap(),
        "-e",
    ];
    let mut words: Vec<String> = words.map(str::to_owned).to_vec();
    words.push(format!("trace={CALLS}"));
    words
}

/// A system call. Descriptors are numbers of one run of the server.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Open {
        path: PathBuf,
        create: bool,
        truncate: bool,
        append: bool,
        fd: u32,
    },
    /// `at` is none for a write at the descriptor's position.
    Write {
        fd: u32,
        path: PathBuf,
        at: Option<u64>,
        bytes: Vec<u8>,
    },
    Length {
        fd: u32,
        path: PathBuf,
        length: u64,
    },
    Sync {
        fd: u32,
        path: PathBuf,
        data_only: bool,
    },
    /// `sync_file_range(2)`: makes nothing durable.
    RangeSync {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    MakeFolder {
        path: PathBuf,
    },
    /// A client connected from this port.
    Accept {
        fd: u32,
        port: u16,
    },
    /// This many bytes were sent to it.
    Sent {
        fd: u32,
        bytes: usize,
    },
    /// Text on standard output.
    Said {
        text: String,
    },
}

/// A call and when it ran: its effect may be visible from `start` on, and is visible after `end`.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) call: Call,
}

/// Reads a recording of a server that ran in `folder` and has ended. Times count from `from`;
/// the time after the last call is returned, too. Only calls on `folder` itself and under
/// `folder`/data are kept.
pub(super) fn read(file: &Path, folder: &Path, from: u64) -> (Vec<Operation>, u64) {
    let text = fs::read_to_string(file).unwrap();
    let mut under_way: HashMap<&str, (u64, String)> = HashMap::new();
    let mut operations = Vec::new();
    let mut time = from;
    for line in text.lines() {
        // A call in one line begins and ends with it; a cut may fall between the two.
        let (start, end) = (time, time + 1);
        time += 2;
        let (thread, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        // strace detaches from a thread that was killed within a call.
        let cut = ["<unfinished ...>", "<detached ...>"];
        if let Some(begun) = cut.iter().find_map(|end| rest.strip_suffix(end)) {
            let before = under_way.insert(thread, (start, begun.trim_end().to_owned()));
            assert!(before.is_none(), "{line}");
            continue;
        }
        let (start, whole) = match rest.strip_prefix("<... ") {
            Some(resumed) => {
                let (start, mut begun) = under_way
                    .remove(thread)
                    .unwrap_or_else(|| panic!("resumed without a start: {line}"));
                begun.push_str(resumed.split_once(" resumed>").unwrap().1);
                (start, begun)
            }
            None => (start, rest.to_owned()),
        };
        operations.extend(operation(&whole, folder, start, end));
    }
    // Calls interrupted by the end of the process.
    for (start, begun) in under_way.into_values() {
        operations.extend(operation(&format!("{begun}) = ?"), folder, start, time));
    }
    operations.sort_by_key(|operation| operation.end);
    (operations, time)
}

fn operation(text: &str, folder: &Path, start: u64, end: u64) -> Option<Operation> {
    // strace pads before the result; a call interrupted by a kill may lack its end.
    let (name, arguments, result) = text
        .split_once('(')
        .and_then(|(name, rest)| {
            let (arguments, result) = rest.rsplit_once(" = ")?;
            Some((name, arguments.trim_end().strip_suffix(')')?, result))
        })
        .unwrap_or_else(|| panic!("no call and its result: {text}"));
    let result = result.trim();
    if result.starts_with('-') {
        return None;
    }
    // Strings are hexadecimal, so that commas and quotes are strace's own.
    let arguments: Vec<&str> =
        arguments.trim_end_matches("<unfinished ...>").split(", ").map(str::trim).collect();
    let killed = result == "?";
    let call = call(name, &arguments, result, killed, folder)?;
    let effect = match &call {
        // A sync that never returned covers nothing.
        Call::Sync { .. } if killed => u64::MAX,
        _ => end,
    };
    let mut operation = Operation { start, end: effect, call };
    if killed {
        settle(&mut operation)?;
    }
    Some(operation)
}

fn call(name: &str, arguments: &[&str], result: &str, killed: bool, folder: &Path) -> Option<Call> {
    // The folder itself counts: it holds the entry of `data`.
    let ours =
        |path: PathBuf| (path == folder || path.starts_with(folder.join("data"))).then_some(path);
    let path = |at: usize| {
        let path = PathBuf::from(String::from_utf8(bytes(arguments[at]).remove(0)).unwrap());
        let from = match at.checked_sub(1).map(|before| arguments[before]) {
            Some(base) if base.contains('<') => described(base).unwrap(),
            _ => folder.to_owned(),
        };
        ours(plain(&from.join(path)))
    };
    let number = |text: &str| text.parse::<u64>().unwrap();
    let fd = || fd_number(arguments[0]);
    let file = || described(arguments[0]).and_then(ours);
    match name {
        "openat" | "open" => {
            let at = usize::from(name == "openat");
            let (path, flags) = (path(at)?, arguments[at + 1]);
            assert!(!flags.contains("O_TMPFILE"), "a file without a name");
            let fd = if killed { u32::MAX } else { leading(result).try_into().unwrap() };
            let has = |flag| flags.split('|').any(|found| found == flag);
            let (create, truncate) = (has("O_CREAT"), has("O_TRUNC"));
            Some(Call::Open { path, create, truncate, append: has("O_APPEND"), fd })
        }
        "write" | "writev" | "pwrite64" | "sendto" | "sendmsg" => {
            let whole = arguments.join(", ");
            if let Some(path) = file() {
                let mut bytes = bytes(&whole).concat();
                if !killed {
                    bytes.truncate(leading(result).try_into().unwrap());
                    assert_eq!(bytes.len() as u64, leading(result), "all that was written");
                }
                let at = (name == "pwrite64").then(|| number(arguments[3]));
                return Some(Call::Write { fd: fd(), path, at, bytes });
            }
            if fd_number(arguments[0]) == 1 {
                let text = String::from_utf8(bytes(&whole).concat()).unwrap();
                return Some(Call::Said { text });
            }
            let sent = bytes(&whole).iter().map(Vec::len).sum();
            Some(Call::Sent { fd: fd(), bytes: sent })
        }
        "ftruncate" => {
            file().map(|path| Call::Length { fd: fd(), path, length: number(arguments[1]) })
        }
        "fsync" | "fdatasync" => {
            file().map(|path| Call::Sync { fd: fd(), path, data_only: name == "fdatasync" })
        }
        "sync_file_range" => file().map(|path| Call::RangeSync { path }),
        "rename" => Some(Call::Rename { from: path(0)?, to: path(1)? }),
        "renameat" | "renameat2" => Some(Call::Rename { from: path(1)?, to: path(3)? }),
        "unlink" | "rmdir" => path(0).map(|path| Call::Remove { path }),
        "unlinkat" => path(1).map(|path| Call::Remove { path }),
        "mkdir" => path(0).map(|path| Call::MakeFolder { path }),
        "mkdirat" => path(1).map(|path| Call::MakeFolder { path }),
        "accept4" => {
            let whole = arguments.join(", ");
            let port = whole.split("sin_port=htons(").nth(1)?.split(')').next().unwrap();
            let fd = leading(result).try_into().unwrap();
            Some(Call::Accept { fd, port: port.parse().unwrap() })
        }
        other => {
            // Calls that the replay does not know must not touch the folder.
            let folder: String =
                folder.to_str().unwrap().bytes().map(|byte| format!("\\x{byte:02x}")).collect();
            let touched = arguments.iter().any(|argument| argument.contains(&folder));
            assert!(!touched, "the replay does not know {other}");
            assert!(!["sync", "syncfs", "io_uring_setup"].contains(&other), "nor {other}");
            None
        }
    }
}

/// Determines the effect of a call interrupted by the kill. No process writes any more, so the
/// folder shows it.
fn settle(operation: &mut Operation) -> Option<()> {
    match &mut operation.call {
        Call::Write { path, at, bytes, .. } => {
            let content = fs::read(path).unwrap();
            let there = match at {
                Some(at) => {
                    let there = content.get(usize::try_from(*at).unwrap()..).unwrap_or_default();
                    there.iter().zip(&*bytes).take_while(|(one, other)| one == other).count()
                }
                // It was the last write, at the end of the file.
                None => (0..=bytes.len())
                    .rev()
                    .find(|length| content.ends_with(&bytes[..*length]))
                    .unwrap(),
            };
            bytes.truncate(there);
            Some(())
        }
        Call::Length { path, length, .. } => {
            (fs::metadata(path).unwrap().len() == *length).then_some(())
        }
        Call::Open { path, create, .. } => (*create && path.exists()).then_some(()),
        Call::Rename { from, .. } => (!from.exists()).then_some(()),
        Call::Remove { path } => (!path.exists()).then_some(()),
        Call::MakeFolder { path } => path.exists().then_some(()),
        // Bytes being sent at the kill may have arrived: the last answer a client receives
        // triggers the kill.
        Call::Sync { .. } | Call::RangeSync { .. } | Call::Sent { .. } => Some(()),
        Call::Accept { .. } | Call::Said { .. } => None,
    }
}

/// The number at the start of a result, as in `3<...>`; that of `0x1 (flags ...)` is not used.
fn leading(result: &str) -> u64 {
    let digits = result.bytes().take_while(u8::is_ascii_digit).count();
    result[..digits].parse().unwrap()
}

fn fd_number(argument: &str) -> u32 {
    argument.split('<').next().unwrap().parse().unwrap()
}

/// The file of a descriptor, if it is one: `11<\x2f...>`, `12<\x2f...>(deleted)`.
fn described(argument: &str) -> Option<PathBuf> {
    let inner = argument.split_once('<')?.1.split_once('>')?.0;
    if !inner.starts_with("\\x2f") {
        return None;
    }
    Some(PathBuf::from(String::from_utf8(unescaped(inner)).unwrap()))
}

/// Returns every quoted string.
fn bytes(text: &str) -> Vec<Vec<u8>> {
    assert!(!text.contains("\"..."), "strace has cut a string");
    text.split('"').skip(1).step_by(2).map(unescaped).collect()
}

fn unescaped(text: &str) -> Vec<u8> {
    let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap();
    let fours = text.as_bytes().chunks_exact(4);
    assert!(fours.remainder().is_empty(), "not hexadecimal: {text}");
    fours
        .map(|four| {
            assert_eq!(&four[..2], b"\\x");
            digit(four[2]) * 16 + digit(four[3])
        })
        .collect()
}

/// Returns the path without `.` and `..`; the folder has no symbolic links.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => assert!(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}
