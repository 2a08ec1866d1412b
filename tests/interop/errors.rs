//! Failures of the disk: full, failing, read-only. The answers are correct meanwhile, and service
//! resumes without a restart.
//!
//! Each test has a file system of its own, in memory, in a namespace of its own. A user other than root
//! needs a kernel that lets users create namespaces; otherwise these tests fail.

use crate::{
    common::{Connection, Identity, Reply, base64, basic, post_body},
    process::{Estd, good},
};
use estd::{
    pki::{Certificate, CsrBuilder, PrivateKey},
    types::KeyKind,
};
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long service may take to resume: pauses grow to 10 s, and this machine may be busy.
const RESUMES: Duration = Duration::from_secs(40);

/// Keeps a namespace with a small file system on the data folder.
struct Room {
    /// Ends when its standard input does.
    holder: Child,
    flags: &'static [&'static str],
}

impl Room {
    fn new(folder: &TempDir, megabytes: u32) -> Self {
        let tries: [(&str, &[&str]); 2] =
            [("-rm", &["-U", "--preserve-credentials", "-m"]), ("-m", &["-m"])];
        let script = format!(
            "mkdir -p data && mount -t tmpfs -o mode=700,size={megabytes}m estd data && \
             echo ready && exec cat"
        );
        for (unshare, flags) in tries {
            let mut holder = Command::new("unshare")
                .args([unshare, "--", "sh", "-c", &script])
                .current_dir(folder.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
            if line == "ready\n" {
                return Self { holder, flags };
            }
            holder.wait().unwrap();
        }
        panic!(
            "no file system of its own: run as root, or allow users to make namespaces \
             (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)"
        );
    }

    /// The command that runs a shell's script in there; further arguments are the script's.
    fn shell(&self, folder: &TempDir, script: &str) -> Command {
        let mut command = Command::new("nsenter");
        let target = self.holder.id().to_string();
        command
            .args(["-t", &target])
            .args(self.flags)
            .args(["--", "sh", "-c"])
            .arg(format!("cd '{}' && {script}", folder.path().display()))
            .arg("sh");
        command
    }

    fn run(&self, estd: &Estd, script: &str) -> String {
        good(script, self.shell(&estd.folder, script).output().unwrap())
    }

    /// A start that does not end when a file may not grow.
    fn start(&self, folder: TempDir) -> Estd {
        let mut command = self.shell(&folder, "trap '' XFSZ && exec \"$@\"");
        command.arg(env!("CARGO_BIN_EXE_estd"));
        Estd::start_by(command, folder)
    }

    /// The output of `estd cert list`: serial number and state of each.
    fn listed(&self, estd: &Estd) -> BTreeSet<(String, String)> {
        let script = format!("'{}' cert list --json", env!("CARGO_BIN_EXE_estd"));
        let list = self.run(estd, &script);
        let entry = |line| {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| entry[name].as_str().unwrap().to_owned();
            (text("serial"), text("state"))
        };
        let all: Vec<_> = list.lines().map(entry).collect();
        let set: BTreeSet<_> = all.iter().cloned().collect();
        assert_eq!(all.len(), set.len(), "a serial number twice");
        set
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// strace on the running program: makes system calls fail until it is stopped.
struct Strace(Child);

impl Strace {
    fn attach(room: &Room, estd: &Estd, inject: &str) -> Self {
        let pid = estd.pid();
        // Only injected calls are traced; the output is ignored.
        let script =
            format!("exec strace -f -q -o /dev/null -p {pid} -e signal=none -e inject={inject}");
        let child = room.shell(&estd.folder, &script).spawn().unwrap();
        let is_traced = |task: std::fs::DirEntry| {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            !status.contains("TracerPid:\t0\n")
        };
        let end = Instant::now() + RESUMES;
        while !std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().all(is_traced) {
            assert!(Instant::now() < end, "strace cannot attach");
            std::thread::yield_now();
        }
        Self(child)
    }

    fn detach(mut self) {
        let killed = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        assert!(killed.unwrap().success());
        self.0.wait().unwrap();
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // It has ended, unless a test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn ask(estd: &Estd, device: Option<&Identity>, request: &[u8]) -> Reply {
    let address = SocketAddr::from(([127, 0, 0, 1], estd.port));
    let connection = Connection::open(address, device, &[&rustls::version::TLS13]).await;
    connection.unwrap().send(request).await
}

async fn cacerts(estd: &Estd) -> Reply {
    ask(estd, None, b"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: localhost\r\n\r\n").await
}

/// A client that enrolls, and records its certificates and the requests that got none.
struct Fleet {
    device: Identity,
    received: Vec<Certificate>,
    rejected: Vec<Vec<u8>>,
}

impl Fleet {
    async fn new(estd: &Estd) -> Self {
        let key = PrivateKey::generate(KeyKind::P256).unwrap();
        let csr = CsrBuilder::new().subject("CN=error").unwrap().build(&key).unwrap();
        let headers =
            format!("Content-Type: application/pkcs10\r\n{}", basic("enroll", &estd.password));
        let request = post_body("simpleenroll", base64(&csr).as_bytes(), &headers);
        let reply = ask(estd, None, &request).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let device =
            Identity { pem: reply.certificate_pem(), key: key.to_pem(None).unwrap().to_string() };
        let first = Certificate::parse(&device.der()).unwrap();
        Self { device, received: vec![first], rejected: Vec::new() }
    }

    /// Asks for a certificate, for the key of `csr` or a new one. False: 503, as it should be.
    async fn enroll(&mut self, estd: &Estd, csr: Option<Vec<u8>>) -> bool {
        let csr = csr.unwrap_or_else(|| {
            let key = PrivateKey::generate(KeyKind::P256).unwrap();
            CsrBuilder::new().subject("CN=error").unwrap().build(&key).unwrap()
        });
        let request = post_body(
            "simpleenroll",
            base64(&csr).as_bytes(),
            "Content-Type: application/pkcs10\r\n",
        );
        let reply = ask(estd, Some(&self.device), &request).await;
        if reply.status == 200 {
            let der = estd::pki::base64::decode(&reply.body, false).unwrap().der;
            let der = estd::pki::cms::parse_certs_only(&der).unwrap().remove(0);
            self.received.push(Certificate::parse(&der).unwrap());
            return true;
        }
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert_eq!(reply.header("Retry-After"), Some("10"));
        let text = reply.text();
        assert!(text.starts_with("server.store: the server cannot record"), "{text}");
        self.rejected.push(csr);
        false
    }

    /// Enrolls until that is rejected.
    async fn until_rejected(&mut self, estd: &Estd) {
        for _ in 0..5000 {
            if !self.enroll(estd, None).await {
                return;
            }
        }
        panic!("5000 certificates fitted in");
    }

    /// Retries the rejected requests until each has its certificate.
    async fn until_resumed(&mut self, estd: &Estd) {
        let start = Instant::now();
        while let Some(csr) = self.rejected.pop() {
            if !self.enroll(estd, Some(csr)).await {
                assert!(start.elapsed() < RESUMES, "service did not resume");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        eprintln!("service resumed after {:?}", start.elapsed());
        for _ in 0..20 {
            assert!(self.enroll(estd, None).await);
        }
    }

    /// Checks that each received certificate is on record and belongs to its key.
    fn compare(&self, listed: &BTreeSet<(String, String)>) {
        for certificate in &self.received {
            let entry = (certificate.serial().to_string(), "valid".to_owned());
            assert!(listed.contains(&entry), "{entry:?} was received and is not on record");
        }
        let keys: BTreeSet<_> = self.received.iter().map(Certificate::spki).collect();
        assert_eq!(keys.len(), self.received.len(), "each key was enrolled once");
    }
}

/// Runs a failure: service works, `fail`, requests are rejected, `repair`, service works, also after a
/// restart. `lists`: whether records can be listed during the failure.
async fn survives<T>(
    megabytes: u32,
    fail: impl FnOnce(&Room, &Estd) -> T,
    repair: impl FnOnce(&Room, &Estd, T),
    lists: bool,
) {
    let folder = Estd::folder("[\"localhost\"]");
    let room = Room::new(&folder, megabytes);
    let estd = room.start(folder);
    let mut fleet = Fleet::new(&estd).await;
    for _ in 0..10 {
        assert!(fleet.enroll(&estd, None).await);
    }
    let error = fail(&room, &estd);
    // Requests are rejected as long as it lasts, records stay readable, and the process keeps running.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        fleet.until_rejected(&estd).await;
        let reply = cacerts(&estd).await;
        assert_eq!((reply.status, reply.certificates().len()), (200, 2));
        if lists {
            fleet.compare(&room.listed(&estd));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    repair(&room, &estd, error);
    fleet.until_resumed(&estd).await;
    all_is_well(&room, estd, fleet).await;
}

/// After any failure: nothing is lost, nothing twice, everything is reported, and all of it is
/// the same after a restart.
async fn all_is_well(room: &Room, estd: Estd, mut fleet: Fleet) {
    let listed = room.listed(&estd);
    fleet.compare(&listed);
    assert!(listed.iter().all(|(_, state)| state == "valid"), "{listed:?}");
    // One for each request, and the server's own.
    assert_eq!(listed.len(), fleet.received.len() + 1);
    audit_is_complete(room, &estd, &listed).await;
    let log = std::fs::read_to_string(estd.path("log")).unwrap();
    assert!(log.contains("the store accepts no changes; remedy: make room"), "{log}");
    assert!(log.contains("the store was opened again and accepts changes"), "{log}");
    assert!(!log.contains("panicked") && !log.contains("still locked"), "{log}");

    let folder = estd.stop();
    let estd = room.start(folder);
    assert_eq!(room.listed(&estd), listed);
    assert!(fleet.enroll(&estd, None).await);
    estd.stop();
}

/// The audit file has each committed event, once and in order, also those that had to wait.
async fn audit_is_complete(room: &Room, estd: &Estd, listed: &BTreeSet<(String, String)>) {
    let start = Instant::now();
    loop {
        let text = room.run(estd, "cat data/audit.jsonl");
        let events: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let numbers: Vec<u64> =
            events.iter().filter_map(|event| event["number"].as_u64()).collect();
        let last = numbers.len() as u64;
        assert_eq!(numbers, (1..=last).collect::<Vec<_>>());
        let issued = events.iter().filter(|event| event["event"] == "certificate.issued");
        let issued: BTreeSet<_> =
            issued.map(|event| event["details"]["serial"].as_str().unwrap().to_owned()).collect();
        if listed.iter().all(|(serial, _)| issued.contains(serial)) {
            return;
        }
        assert!(
            start.elapsed() < RESUMES,
            "events are missing: {} of {}",
            issued.len(),
            listed.len()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_rejects_and_resumes() {
    let fill = |room: &Room, estd: &Estd| {
        room.run(estd, "! dd if=/dev/zero of=data/ballast bs=4096 2>/dev/null");
    };
    let free = |room: &Room, estd: &Estd, ()| {
        // The audit file stops growing first.
        let log = std::fs::read_to_string(estd.path("log")).unwrap();
        assert!(log.contains("free at ") && log.contains("kept for the store"), "{log}");
        room.run(estd, "rm data/ballast");
    };
    survives(24, fill, free, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_not_grow_rejects_and_resumes() {
    let limit = |room: &Room, estd: &Estd, limit: &str| {
        room.run(estd, &format!("prlimit --pid {} --fsize={limit}:", estd.pid()));
    };
    survives(
        64,
        |room, estd| limit(room, estd, "$(stat -c %s data/store/db)"),
        |room, estd, ()| limit(room, estd, "unlimited"),
        true,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_does_not_sync_rejects_and_resumes() {
    survives(
        64,
        |room, estd| Strace::attach(room, estd, "fdatasync,fsync:error=EIO"),
        |_, _, strace| strace.detach(),
        false,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_does_not_write_rejects_and_resumes() {
    survives(
        64,
        |room, estd| Strace::attach(room, estd, "pwrite64,sync_file_range:error=EIO"),
        |_, _, strace| strace.detach(),
        true,
    )
    .await;
}

/// Without a repair: the server reads back a write that failed once, and continues.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_now_and_then_loses_nothing() {
    let folder = Estd::folder("[\"localhost\"]");
    let room = Room::new(&folder, 64);
    let estd = room.start(folder);
    let mut fleet = Fleet::new(&estd).await;
    let strace = Strace::attach(&room, &estd, "fdatasync:error=EIO:when=4+31");
    let (start, mut failures) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(10) {
        let csr = fleet.rejected.pop();
        if !fleet.enroll(&estd, csr).await {
            failures += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    strace.detach();
    assert!(failures > 1 && fleet.received.len() > 20, "{failures}, {}", fleet.received.len());
    fleet.until_resumed(&estd).await;
    let log = std::fs::read_to_string(estd.path("log")).unwrap();
    assert!(log.matches("the store was opened again").count() > 1, "{log}");
    all_is_well(&room, estd, fleet).await;
}

/// Simulates Linux remounting a file system read-only after errors: open files cannot be written,
/// either. `mount -o remount,ro` cannot do that: it fails while files are open for writing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_system_that_turns_read_only_rejects_and_resumes() {
    let calls = "pwrite64,ftruncate,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat";
    survives(
        64,
        |room, estd| Strace::attach(room, estd, &format!("{calls}:error=EROFS")),
        |_, _, strace| strace.detach(),
        true,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_in_a_read_only_folder_says_so_and_makes_nothing() {
    let folder = Estd::folder("[\"localhost\"]");
    let room = Room::new(&folder, 64);
    let estd = room.start(folder);
    let fleet = Fleet::new(&estd).await;
    let folder = estd.stop();
    good("remount", room.shell(&folder, "mount -o remount,bind,ro data").output().unwrap());
    let script = format!("exec '{}' serve", env!("CARGO_BIN_EXE_estd"));
    let output = room.shell(&folder, &script).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("Read-only file system"), "{text}");
    good("remount", room.shell(&folder, "mount -o remount,bind,rw data").output().unwrap());
    let estd = room.start(folder);
    fleet.compare(&room.listed(&estd));
    estd.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_does_not_keep_it_from_ending_and_a_start_says_so() {
    let folder = Estd::folder("[\"localhost\"]");
    let room = Room::new(&folder, 24);
    let estd = room.start(folder);
    let mut fleet = Fleet::new(&estd).await;
    room.run(&estd, "! dd if=/dev/zero of=data/ballast bs=4096 2>/dev/null");
    fleet.until_rejected(&estd).await;
    let folder = estd.stop();
    let script = format!("exec '{}' serve", env!("CARGO_BIN_EXE_estd"));
    let output = room.shell(&folder, &script).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("No space left on device") && text.contains("space left on the disk"),
        "{text}"
    );
    good("rm", room.shell(&folder, "rm data/ballast").output().unwrap());
    let estd = room.start(folder);
    fleet.until_resumed(&estd).await;
    fleet.compare(&room.listed(&estd));
    estd.stop();
}

/// On /dev/full every write fails, as on a full disk.
#[tokio::test]
async fn a_password_that_cannot_be_stored_adds_no_account_and_later_starts_serve() {
    let folder = Estd::folder("[\"localhost\"]");
    // A folder in place of the password file.
    let file = folder.path().join("data/first-password");
    let mut private = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(private.recursive(true), 0o700).create(&file).unwrap();
    let serve = |folder: &std::path::Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_estd"));
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        command.arg("serve").current_dir(folder).stdout(full).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let output = serve(folder.path()).wait_with_output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("data/first-password: "), "{log}");
    std::fs::remove_dir(file).unwrap();
    let estd = Estd::start_in(folder);
    assert!(!estd.password.is_empty());
    assert!(estd.operator(&["user", "list"]).contains(" enroll\n"));
    let folder = estd.stop();
    let mut child = serve(folder.path());
    let socket = folder.path().join("data/estd.sock");
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let end = ["-TERM", &child.id().to_string()];
    assert!(Command::new("kill").args(end).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

/// On a disk where the audit file and the log have reached their limits, issuing continues. The
/// requirement's own figures:
/// `ESTD_FULL_AUDIT=256,10000 cargo test --release --test interop full_audit -- --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_audit_file_leaves_room_for_issuing() {
    let asked = std::env::var("ESTD_FULL_AUDIT").unwrap_or_else(|_| "64,300".to_owned());
    let (megabytes, enrollments) = asked.split_once(',').unwrap();
    let (megabytes, enrollments): (u32, usize) =
        (megabytes.parse().unwrap(), enrollments.parse().unwrap());
    let folder = Estd::folder("[\"localhost\"]");
    let path = folder.path().join("est.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    // An eighth of the disk: five files as est.toml has it are five eighths.
    let max = megabytes / 8;
    assert!(text.contains("max_mib = 32 ") && text.contains("keep = 4 "));
    std::fs::write(&path, text.replace("max_mib = 32 ", &format!("max_mib = {max} "))).unwrap();
    let room = Room::new(&folder, megabytes);
    let line = format!("{{\"event\":\"{}\"}}", "x".repeat(487));
    let fill = format!(
        "yes '{line}' | head -c {max}M >data/audit.jsonl && \
         for n in 1 2 3 4; do cp data/audit.jsonl data/audit.jsonl.$n; done && \
         head -c 1M /dev/zero >data/log"
    );
    good("fill", room.shell(&folder, &fill).output().unwrap());
    let estd = room.start(folder);
    let mut fleet = Fleet::new(&estd).await;
    let start = Instant::now();
    for number in 0..enrollments {
        assert!(fleet.enroll(&estd, None).await, "number {number} of {enrollments}");
    }
    let listed = room.listed(&estd);
    fleet.compare(&listed);
    assert_eq!(listed.len(), enrollments + 2, "with the first device and the server");
    let audit: u64 = room.run(&estd, "cat data/audit.jsonl* | wc -c").trim().parse().unwrap();
    assert!(audit <= u64::from(5 * max) << 20, "{audit}");
    let left = room.run(&estd, "df -k data | tail -1");
    eprintln!("{enrollments} enrollments in {:?}; {left}", start.elapsed());
    let log = std::fs::read_to_string(estd.path("log")).unwrap();
    assert!(!log.contains("the store accepts no changes"), "{log}");
    estd.stop();
}
