//! kill -9 while a store of an earlier version is brought up to date. The next start finishes it, and the
//! store holds what it held.

use super::{
    Backend, Dice, Postgres, before_devices::copy_folder, before_devices::expect_old_plus_defaults,
    before_devices::fixture, was_killed,
};
use std::{
    fs,
    process::{Child, Command},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Kills for each backend: one at each step, the others at any time.
const POINTS: usize = 50;

/// The steps of a migration, and how often each is passed.
const SLED: [(&str, u64); 4] = [
    ("migrate: before the mark", 1),
    ("migrate: marked", 1),
    ("migrate: written", 1),
    ("migrate: durable", 1),
];
const POSTGRES: [(&str, u64); 6] = [
    ("migrate: before a layout", 1),
    ("migrate: columns added", 1),
    ("migrate: a page filled", 1),
    ("migrate: a page filled", 2),
    ("migrate: before its commit", 1),
    ("migrate: committed", 1),
];

/// Starts `estd store export`, which opens the store itself: no server runs.
fn export(folder: &TempDir, step: Option<(&str, u64)>) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_estd"));
    if let Some((step, pass)) = step {
        command.env("ESTD_KILL_AT", format!("{step}={pass}"));
    }
    command
        .args(["store", "export"])
        .current_dir(folder.path())
        .stdout(fs::File::create(folder.path().join("out")).unwrap())
        .stderr(fs::File::create(folder.path().join("log")).unwrap())
        .spawn()
        .unwrap()
}

/// A folder with a store that an earlier version wrote.
fn old_store(backend: &Backend, number: usize) -> TempDir {
    let database = format!("old_{number}");
    let folder = backend.folder(&database);
    match backend {
        Backend::Sled => copy_folder(&folder.path().join("data/store")),
        Backend::Postgres(server) => server.load(&database, &fixture("postgres.sql")),
    }
    folder
}

fn exported(folder: &TempDir) {
    let status = export(folder, None).wait().unwrap();
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(status.success(), "{status}: {log}");
    expect_old_plus_defaults(&fs::read(folder.path().join("out")).unwrap());
}

async fn killed_while_it_migrates(backend: &Backend, steps: &[(&str, u64)]) {
    let mut dice = Dice::new();
    let (mut killed, mut whole) = (0, 0);
    for number in 0.. {
        let folder = old_store(backend, number);
        let began = Instant::now();
        let status = match steps.get(number) {
            Some(step) => {
                let status = export(&folder, Some(*step)).wait().unwrap();
                assert!(was_killed(status), "{step:?} is not reached: {status}");
                status
            }
            None => {
                let mut child = export(&folder, None);
                tokio::time::sleep(Duration::from_micros(dice.below(whole))).await;
                let _ = child.kill();
                child.wait().unwrap()
            }
        };
        // The kills at steps come first and take the longest: they set the range of the others.
        whole = whole.max(u64::try_from(began.elapsed().as_micros()).unwrap());
        killed += usize::from(was_killed(status));
        exported(&folder);
        if killed == POINTS {
            eprintln!("{killed} of {} migrations killed, {} at steps", number + 1, steps.len());
            return;
        }
    }
}

#[tokio::test]
async fn killed_while_it_migrates_a_folder_it_finishes_at_the_next_start() {
    killed_while_it_migrates(&Backend::Sled, &SLED).await;
}

#[tokio::test]
async fn killed_while_it_migrates_a_database_it_finishes_at_the_next_start() {
    killed_while_it_migrates(&Backend::Postgres(Postgres::start()), &POSTGRES).await;
}
