//! The program as it is: `estd serve` in a folder of its own with the example configuration. Certificates
//! can be renewed at once: no test waits for half of a lifetime.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
};
use tempfile::TempDir;

/// A running `estd serve`; killed when dropped.
pub(crate) struct Estd {
    /// The server, or what runs it.
    child: Child,
    pid: u32,
    pub folder: TempDir,
    pub port: u16,
    pub password: String,
    pub welcome: String,
}

impl Estd {
    /// A first start with est.toml as it is but for a free port, and renewal at once without a label.
    pub(crate) fn start() -> Self {
        Self::start_with("[\"localhost\"]")
    }

    /// The same, with other host names in its certificate.
    pub(crate) fn start_with(names: &str) -> Self {
        Self::start_in(Self::folder(names))
    }

    /// A folder for a first start.
    pub(crate) fn folder(names: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let example = include_str!("../../est.toml");
        let mut text = example.replace("[\"localhost\"]", names);
        for (shown, here) in [
            ("listen = [\"0.0.0.0:8443\"]", "listen = [\"127.0.0.1:0\"]"),
            ("window = \"50%\" ", "window = \"100%\""),
        ] {
            assert_eq!(text.matches(shown).count(), 1, "{shown}");
            text = text.replace(shown, here);
        }
        fs::write(folder.path().join("est.toml"), text).unwrap();
        folder
    }

    /// A folder for a first start, with these lines in table `[store]`.
    pub(crate) fn folder_on_postgres(lines: &str) -> TempDir {
        let folder = Self::folder("[\"localhost\"]");
        let path = folder.path().join("est.toml");
        let text = fs::read_to_string(&path).unwrap();
        for part in ["backend = \"sled\"", "cache_mib = 64"] {
            assert!(text.contains(part));
        }
        let store = format!("backend = \"postgres\"\n{lines}\n#");
        let text = text.replace("backend = \"sled\"", &store).replace("cache_mib = 64", "#");
        fs::write(&path, text).unwrap();
        folder
    }

    /// A start in a folder that may have been used before.
    pub(crate) fn start_in(folder: TempDir) -> Self {
        Self::start_under(&[], folder)
    }

    /// The same, under a program that runs the command appended to its own as its only child, until
    /// that ends.
    pub(crate) fn start_under(runner: &[String], folder: TempDir) -> Self {
        let estd = env!("CARGO_BIN_EXE_estd").to_owned();
        let words: Vec<String> = runner.iter().cloned().chain([estd]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        let mut started = Self::start_by(command, folder);
        if !runner.is_empty() {
            started.pid = only_child(started.child.id());
        }
        started
    }

    /// The same by another program, which becomes `estd`.
    pub(crate) fn start_by(command: Command, folder: TempDir) -> Self {
        Self::try_start_by(command, folder).unwrap_or_else(|(folder, status)| {
            let log = fs::read_to_string(folder.path().join("log")).unwrap();
            panic!("estd ended, {status}: {log}")
        })
    }

    /// The same; if it ends before it is ready, the folder and how it ended.
    pub(crate) fn try_start_by(
        mut command: Command,
        folder: TempDir,
    ) -> Result<Self, (TempDir, ExitStatus)> {
        let mut child = command
            .arg("serve")
            .current_dir(folder.path())
            .env("ESTD_LOG", "warn")
            .stdout(Stdio::piped())
            .stderr(
                fs::File::options()
                    .create(true)
                    .append(true)
                    .open(folder.path().join("log"))
                    .unwrap(),
            )
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut welcome = String::new();
        let ready: serde_json::Value = loop {
            let Some(line) = lines.next() else {
                return Err((folder, child.wait().unwrap()));
            };
            let line = line.unwrap();
            if line.starts_with('{') {
                break serde_json::from_str(&line).unwrap();
            }
            welcome.push_str(&line);
            welcome.push('\n');
        };
        assert_eq!(ready["event"], "ready");
        let port =
            ready["listen"][0].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        // Standard output is no terminal. A node whose account another one added has no such file.
        // Read as the server sees it: its data folder may be a file system of its own namespace.
        let pid = child.id();
        let password = fs::read_to_string(format!("/proc/{pid}/cwd/data/first-password"));
        let password = password.map(|line| line.trim_end().to_owned()).unwrap_or_default();
        Ok(Self { child, pid, folder, port, password, welcome })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn anchor(&self) -> PathBuf {
        self.path("data/ca/default/root.pem")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Stops it as an operator does, and returns the folder.
    pub(crate) fn stop(mut self) -> TempDir {
        self.signal("TERM");
        assert!(self.child.wait().unwrap().success());
        self.into_folder()
    }

    /// Kills it unless it has ended, and returns the folder.
    pub(crate) fn kill(mut self) -> TempDir {
        if self.ended().is_none() {
            self.signal("KILL");
        }
        self.child.wait().unwrap();
        self.into_folder()
    }

    /// Its exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    fn into_folder(mut self) -> TempDir {
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    /// `est` with these arguments, in the server's folder and with the server's anchor. With
    /// `--user enroll`, it gets the password of the first start.
    pub(crate) fn est(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_est"));
        command
            .args(arguments)
            .args(["--server", &format!("https://localhost:{}", self.port), "--cacert"])
            .arg(self.anchor())
            .current_dir(self.folder.path())
            .env("EST_PASSWORD", &self.password);
        command
    }

    /// An operator's command.
    pub(crate) fn operator(&self, arguments: &[&str]) -> String {
        operator(self.folder.path(), arguments)
    }
}

impl Drop for Estd {
    fn drop(&mut self) {
        // It may have ended, and its process ID may be reused.
        if let Ok(None) = self.child.try_wait() {
            if self.pid != self.child.id() {
                let _ = Command::new("kill").args(["-KILL", &self.pid.to_string()]).status();
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn only_child(parent: u32) -> u32 {
    let output = Command::new("pgrep").args(["-P", &parent.to_string()]).output().unwrap();
    good("pgrep", output).trim().parse().expect("one child")
}

/// An operator's command in a folder with a configuration.
pub(crate) fn operator(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_estd"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    good(&format!("estd {arguments:?}"), output)
}

/// An operator's command, not started yet.
pub(crate) fn estd(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_estd"));
    command.args(arguments).current_dir(folder);
    command
}

/// Standard output and standard error of an operator's command that must succeed.
pub(crate) fn output(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = estd(folder, arguments).output().unwrap();
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    (good(&format!("estd {arguments:?}"), output), error)
}

/// The exit code and standard error of an operator's command.
pub(crate) fn try_operator(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_estd"));
    let output = command.args(arguments).current_dir(folder).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// The standard output of a command that must succeed.
pub(crate) fn good(what: &str, output: Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{what}:\n{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
