//! A PostgreSQL of the test's own, from Debian's package, in a temporary folder.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The user that it runs as when the test runs as root, which PostgreSQL rejects to do.
const USER: &str = "postgres";

/// The folder of the newest version's programs.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    versions.pop().expect("Debian's package postgresql is missing: tests/run install").1
}

fn id(flag: &str) -> u32 {
    let output = Command::new("id").args([flag, USER]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// One of its programs, as the user that it runs as.
pub(crate) fn program(name: &str) -> Command {
    let path = programs().join(name);
    if !is_root() {
        return Command::new(path);
    }
    // It replaces itself: the process is the program's own.
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"]).arg(path);
    command
}

pub(crate) fn good(what: &str, output: Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{what}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// A folder that PostgreSQL's user may use.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    if is_root() {
        chown(folder.path(), Some(id("-u")), Some(id("-g"))).unwrap();
    }
    folder
}

/// A server; killed when dropped.
pub(crate) struct Postgres {
    child: Option<Child>,
    folder: TempDir,
    pub(crate) port: u16,
    settings: Vec<String>,
}

impl Postgres {
    /// A new cluster with a superuser `estd` and no password, on a Unix socket alone.
    pub(crate) fn start() -> Self {
        Self::start_with(5432, &["listen_addresses="])
    }

    /// The same on a TCP port of 127.0.0.1 as well, with further settings.
    pub(crate) fn start_tcp(settings: &[&str]) -> Self {
        let mut all = vec!["listen_addresses=127.0.0.1"];
        all.extend(settings);
        Self::start_with(free_port(), &all)
    }

    fn start_with(port: u16, settings: &[&str]) -> Self {
        Self::new_in(folder(), port, settings)
    }

    /// A new cluster in a folder that [`folder`] made, started.
    pub(crate) fn new_in(folder: TempDir, port: u16, settings: &[&str]) -> Self {
        let data = folder.path().join("data");
        let made = program("initdb")
            .args(["--auth=trust", "--username=estd", "--encoding=UTF8", "--locale=C"])
            .args(["--no-sync", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        good("initdb", made);
        let mut server = Self::in_folder(folder, port, settings);
        server.run();
        server
    }

    /// A server for an existing data folder, not yet running.
    pub(crate) fn in_folder(folder: TempDir, port: u16, settings: &[&str]) -> Self {
        let settings = settings.iter().map(ToString::to_string).collect();
        Self { child: None, folder, port, settings }
    }

    /// Starts it, and returns when it answers.
    pub(crate) fn run(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = program("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        command.args(["-p", &self.port.to_string()]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(child.spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.is_ready() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            let log = || fs::read_to_string(self.log()).unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "postgres: {}", log());
            std::thread::yield_now();
        }
    }

    fn is_ready(&self) -> bool {
        let mut command = Command::new(programs().join("pg_isready"));
        command.arg("-q").arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string()]);
        command.status().unwrap().success()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The folder of its Unix socket.
    pub(crate) fn socket(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it without a chance to tidy up, as kill -9 does.
    pub(crate) fn kill(&mut self) {
        self.end("KILL");
    }

    /// Ends it at once but in order, as an administrator's `pg_ctl stop -m fast` does.
    pub(crate) fn stop(&mut self) {
        self.end("INT");
    }

    fn end(&mut self, signal: &str) {
        if let Some(mut child) = self.child.take() {
            let id = child.id().to_string();
            let _ = Command::new("kill").args(["-s", signal, &id]).status();
            let _ = child.wait();
        }
    }

    /// Loads a dump, whose tables have no owner.
    pub(crate) fn load(&self, database: &str, dump: &Path) {
        let output = self.psql(database).arg("-f").arg(dump).output().unwrap();
        good("load the dump", output);
    }

    /// Runs SQL as its superuser, and returns what it prints, columns separated by `|`.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.psql(database).args(["-c", sql]).output().unwrap();
        good(sql, output).trim_end().to_owned()
    }

    fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(programs().join("psql"));
        command
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "estd", "-d", database])
            .args(["-p", &self.port.to_string(), "-h"])
            .arg(self.folder.path());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end("QUIT");
    }
}

/// A port that was free when this looked.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server that all tests of this process share while one of them uses it.
pub(crate) fn shared() -> Arc<Postgres> {
    static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Postgres::start());
        *shared = Arc::downgrade(&server);
        server
    })
}
