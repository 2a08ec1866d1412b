//! `estd store`: the store as a whole, while no server uses it.
#![allow(clippy::print_stdout, reason = "what a command found goes to standard output")]

use super::{CopyArguments, Failure, StoreCommand, load, operator::line};
use crate::{
    admin::check::{self, Inspector},
    clock::{Clock, SystemClock},
    config::Settings,
    server::{Backend, private_folder, setup},
    store::{
        self, SledStore, Store,
        transfer::{self, Export, Items, Step, Summary},
    },
};
use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// How much of a file is read and written at once.
const BUFFER: usize = 1 << 20;

/// How often a long command says how far it is.
const EVERY: Duration = Duration::from_secs(2);

impl From<transfer::Error> for Failure {
    fn from(fault: transfer::Error) -> Self {
        use transfer::Error;
        let remedy = match &fault {
            Error::Store(store::Error::Conflict(_)) | Error::Foreign(_) => {
                "the target has to be empty, or what an interrupted run of the same left: name \
                 another, or move the old one away"
            }
            Error::Store(store::Error::InUse(_)) => {
                "stop the estd that uses this data folder, then try again"
            }
            Error::Store(store::Error::Corrupt(_)) => {
                "see estd store check; restore the store's folder from your backup"
            }
            Error::Store(_) => "make room on the disk or repair it, then try again",
            Error::File(_) => "see that the file can be read or written, with room on its disk",
            Error::Damaged { .. } => "use another copy of the export; nothing was imported from it",
            Error::Differs(_) => {
                "let nobody use either store meanwhile, and try again; the source was not changed"
            }
        };
        Self::new(&fault, remedy)
    }
}

/// Says on standard error how far a long command is.
struct Meter {
    last: Instant,
}

impl Meter {
    fn new() -> Self {
        Self { last: Instant::now() }
    }

    fn say(&mut self, step: &str, count: u64) {
        if self.last.elapsed() >= EVERY {
            self.last = Instant::now();
            eprintln!("{step}: {count} items");
        }
    }

    fn step(&mut self, step: Step, count: u64) {
        let step = match step {
            Step::Reading => "reading",
            Step::Importing => "importing",
            Step::Comparing => "comparing",
        };
        self.say(step, count);
    }
}

pub(super) fn run(settings: &Settings, command: StoreCommand) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| Failure::new(cause, "free some memory or file descriptors"))?;
    runtime.block_on(async {
        match command {
            StoreCommand::Check => check(settings).await,
            StoreCommand::Compact => compact(settings).await,
            StoreCommand::Export { file } => export(settings, file.as_deref()).await,
            StoreCommand::Import { file } => import(settings, &file).await,
            StoreCommand::Copy(arguments) => copy(settings, arguments).await,
        }
    })
}

/// Opens a store, does something with it, and lets go of it whatever came of that.
async fn with<T>(
    store: Arc<dyn Store>,
    work: impl AsyncFnOnce(&dyn Store) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let outcome = work(&*store).await;
    store.close().await;
    outcome
}

fn said(summary: &Summary) -> String {
    format!("{}\nSHA-256 of the contents: {}", summary.counts, summary.digest)
}

/// Prints faults as they come.
struct Printer(Meter);

impl Inspector for Printer {
    fn fault(&mut self, what: &str, why: &str) {
        // Who closed standard output still gets the exit code.
        let _ = line(&format!("fault: {what}: {why}"));
    }

    fn read(&mut self, count: u64) {
        self.0.say("reading", count);
    }
}

async fn check(settings: &Settings) -> Result<(), Failure> {
    let now = SystemClock.now();
    let backend = Backend::of(settings)?;
    let store = setup::open_existing(backend, now).await?;
    let found =
        with(store, async |store| Ok(check::check(store, now, &mut Printer(Meter::new())).await))
            .await?;
    let (counts, open) = (found.counts, found.open.len());
    line(&format!("{counts}"))?;
    let (issued, void, revoked) = (found.issued, found.void, found.revoked);
    line(&format!("issuances: {issued} issued, {void} void, {open} open, {revoked} revoked"))?;
    for (serial, age) in &found.open {
        line(&format!("open: {serial}, begun {} ago", humantime::format_duration(*age)))?;
    }
    if found.faults > 0 {
        return Err(Failure::new(
            format!("{} faults in the store", found.faults),
            "restore the store's folder from your backup, or report them",
        ));
    }
    line("good")
}

async fn compact(settings: &Settings) -> Result<(), Failure> {
    let Backend::Sled { folder, cache } = Backend::of(settings)? else {
        return Err(Failure::new(
            "a store in PostgreSQL is not compacted by estd",
            "PostgreSQL does it by itself (autovacuum); see its documentation of VACUUM",
        ));
    };
    setup::expect_folder(&folder)?;
    let mut meter = Meter::new();
    let mut progress = |step, count| meter.step(step, count);
    let done = SledStore::compact(&folder, cache, SystemClock.now(), &mut progress).await?;
    line(&format!("{} octets before, {} after", done.before, done.after))?;
    line(&said(&done.summary))
}

async fn export(settings: &Settings, file: Option<&Path>) -> Result<(), Failure> {
    let store = setup::open_existing(Backend::of(settings)?, SystemClock.now()).await?;
    let summary = with(store, async |store| {
        let mut meter = Meter::new();
        let mut progress = |step, count| meter.step(step, count);
        let Some(path) = file.filter(|path| *path != Path::new("-")) else {
            let mut out = BufWriter::with_capacity(BUFFER, io::stdout());
            return Ok(transfer::export(store, &mut out, &mut progress).await?);
        };
        // New, for its mode: it holds password hashes. And an old export is not lost by mistake.
        let out = File::options().write(true).create_new(true).mode(0o600).open(path);
        let out = out.map_err(|cause| {
            Failure::new(
                format!("{}: {cause}", path.display()),
                "name a file that does not exist, in a folder where this user may write",
            )
        })?;
        let mut out = BufWriter::with_capacity(BUFFER, out);
        let written = transfer::export(store, &mut out, &mut progress).await;
        let written = match written {
            Ok(summary) => {
                out.get_ref().sync_all().map(|()| summary).map_err(transfer::Error::File)
            }
            Err(fault) => Err(fault),
        };
        if written.is_err() {
            let _ = fs::remove_file(path);
        }
        Ok(written?)
    })
    .await?;
    eprintln!("exported: {}", said(&summary));
    Ok(())
}

async fn import(settings: &Settings, file: &Path) -> Result<(), Failure> {
    let open = || File::open(file).map(|file| BufReader::with_capacity(BUFFER, file));
    let of_file = |cause| {
        Failure::new(
            format!("{}: {cause}", file.display()),
            "name a file that estd store export has written",
        )
    };
    let mut meter = Meter::new();
    let mut progress = |step, count| meter.step(step, count);
    // All of it, before anything is changed.
    let expected = transfer::verify(open().map_err(of_file)?, &mut progress)?;

    private_folder(&settings.data)?;
    let store = setup::open_or_make(Backend::of(settings)?, SystemClock.now()).await?;
    let summary = with(store, async |store| {
        let mut again =
            || -> Result<Box<dyn Items>, transfer::Error> { Ok(Box::new(Export::new(open()?)?)) };
        Ok(transfer::import(&mut again, store, &mut progress).await?)
    })
    .await?;
    if summary.counts != expected.counts {
        return Err(transfer::Error::Differs("the file changed meanwhile".to_owned()).into());
    }
    line(&format!("imported and compared: {}", said(&summary)))
}

async fn copy(settings: &Settings, arguments: CopyArguments) -> Result<(), Failure> {
    let other = arguments.target_config.as_deref().map(load).transpose()?;
    let target = other.as_ref().unwrap_or(settings);
    let from = Backend::named(settings, arguments.from.into())?;
    let to = Backend::named(target, arguments.to.into())?;
    if from == to {
        return Err(Failure::new(
            "source and target are the same store",
            "name the configuration of the other one with --target-config",
        ));
    }
    let now = SystemClock.now();
    let source = setup::open_existing(from, now).await?;
    let summary = with(source, async |source| {
        private_folder(&target.data)?;
        let target = setup::open_or_make(to, now).await?;
        with(target, async |target| {
            let mut meter = Meter::new();
            let mut progress = |step, count| meter.step(step, count);
            Ok(transfer::copy(source, target, &mut progress).await?)
        })
        .await
    })
    .await?;
    line(&format!("copied and compared: {}", said(&summary)))
}
