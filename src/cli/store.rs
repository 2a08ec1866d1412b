//! `estd store`: the store as a whole. A check and an export go through the server that runs; the
//! other commands need the store for themselves.

use super::{
    Context, CopyArguments, Failure, StoreCommand, load_for,
    output::{json, line},
    served::Served,
};
use crate::{
    admin::check::{self, Inspector},
    clock::{Clock, SystemClock},
    config::{self, Secrets},
    server::{Backend, private_folder, setup},
    store::{
        self, SledStore, Store,
        transfer::{self, Counts, Cut, Export, Items, Source, Step, Summary},
    },
    types::{self, Serial, Time},
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
    fn from(error: transfer::Error) -> Self {
        use transfer::Error;
        let remedy = match &error {
            Error::Store(store::Error::Conflict(_)) | Error::Foreign(_) => {
                "the target has to be empty, or what an interrupted run of the same left: name \
                 another, or move the old one away"
            }
            Error::Store(store::Error::InUse(_)) => {
                "stop the estd that uses this data folder, then try again"
            }
            Error::Store(store::Error::Corrupt(_)) => {
                "see estd store check; restore the store from your backup"
            }
            Error::Store(_) => {
                "see whether estd runs, and its log; make room on the disk or repair it, then try again"
            }
            Error::File(_) => "see that the file can be read or written, with room on its disk",
            Error::Damaged { .. } => "use another copy of the export; nothing was imported from it",
            Error::Differs(_) => {
                "let nobody use either store meanwhile, and try again; the source was not changed"
            }
        };
        Self::new(&error, remedy)
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

pub(super) fn run(context: &Context, command: StoreCommand) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| Failure::new(cause, "free some memory or file descriptors"))?;
    runtime.block_on(async {
        match command {
            StoreCommand::Check => check(context).await,
            StoreCommand::Compact => compact(context).await,
            StoreCommand::Export { file } => export(context, file.as_deref()).await,
            StoreCommand::Import { file } => import(context, &file).await,
            StoreCommand::Copy(arguments) => copy(context, arguments).await,
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

/// Reads the store: of a server that runs, as it is at this moment, or the one on the disk.
async fn read<T>(
    context: &Context,
    now: Time,
    work: impl AsyncFnOnce(&dyn Source) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let settings = &context.settings;
    // A database is open to several, and read directly.
    let has_one_user = !matches!(settings.boot.store, config::Store::Postgres(_));
    if has_one_user && let Some(served) = Served::find(&settings.boot.data).await {
        let cut = Cut::new(served, now).await.map_err(transfer::Error::from)?;
        return work(&cut).await;
    }
    let store = setup::open_existing(Backend::of(settings)?, now).await?;
    with(store, async |store| work(&store).await).await
}

/// What was read or written, and its digest: `done` says which.
fn said(context: &Context, done: &str, summary: &Summary) -> String {
    let Summary { counts, digest } = summary;
    if !context.json {
        return format!("{done}: {counts}\nSHA-256 of the contents: {digest}");
    }
    let mut value = counted(*counts);
    value.insert("done".to_owned(), done.into());
    value.insert("sha256".to_owned(), digest.to_string().into());
    serde_json::Value::from(value).to_string()
}

fn counted(counts: Counts) -> serde_json::Map<String, serde_json::Value> {
    let Counts { issuances, accounts, registers, events } = counts;
    let each = [
        ("issuances", issuances),
        ("accounts", accounts),
        ("registers", registers),
        ("events", events),
    ];
    each.map(|(name, count)| (name.to_owned(), count.into())).into_iter().collect()
}

/// Prints errors as they come, or collects them for JSON.
struct Printer {
    meter: Meter,
    collected: Option<Vec<serde_json::Value>>,
}

impl Inspector for Printer {
    fn error(&mut self, what: &str, why: &str) {
        match &mut self.collected {
            Some(errors) => errors.push(serde_json::json!({ "item": what, "error": why })),
            // A reader that is gone still gets the exit code.
            None => drop(line(&format!("error: {what}: {why}"))),
        }
    }

    fn read(&mut self, count: u64) {
        self.meter.say("reading", count);
    }
}

async fn check(context: &Context) -> Result<(), Failure> {
    let now = SystemClock.now();
    let collected = context.json.then(Vec::new);
    let mut printer = Printer { meter: Meter::new(), collected };
    let look = async |store: &dyn Source| Ok(check::check_source(store, now, &mut printer).await);
    let found = read(context, now, look).await?;
    let (issued, void, revoked) = (found.issued, found.void, found.revoked);
    if let Some(errors) = printer.collected {
        let open = |(serial, age): &(Serial, Duration)| serde_json::json!({ "serial": serial.to_string(), "seconds": age.as_secs() });
        let mut value = counted(found.counts);
        let more = serde_json::json!({
            "issued": issued,
            "void": void,
            "revoked": revoked,
            "open": found.open.iter().map(open).collect::<Vec<_>>(),
            "errors": errors,
            "good": found.errors == 0,
        });
        value.extend(more.as_object().cloned().unwrap_or_default());
        json(&value)?;
    } else {
        let open = found.open.len();
        line(&format!("{}", found.counts))?;
        line(&format!("issuances: {issued} issued, {void} void, {open} open, {revoked} revoked"))?;
        for (serial, age) in &found.open {
            line(&format!("open: {serial}, begun {} ago", humantime::format_duration(*age)))?;
        }
    }
    if found.errors > 0 {
        return Err(Failure::new(
            format!("{} in the store", types::counted(found.errors, "error")),
            "restore the store from your backup, or report them",
        ));
    }
    if context.json { Ok(()) } else { line("good") }
}

async fn compact(context: &Context) -> Result<(), Failure> {
    let Backend::Sled { folder, cache } = Backend::of(&context.settings)? else {
        return Err(Failure::new(
            "a store in PostgreSQL is not compacted by estd",
            "PostgreSQL does it by itself (autovacuum); see its documentation of VACUUM",
        ));
    };
    setup::expect_folder(&folder)?;
    let mut meter = Meter::new();
    let mut progress = |step, count| meter.step(step, count);
    let done = SledStore::compact(&folder, cache, SystemClock.now(), &mut progress).await?;
    if context.json {
        let mut value = counted(done.summary.counts);
        value.insert("bytes_before".to_owned(), done.before.into());
        value.insert("bytes_after".to_owned(), done.after.into());
        value.insert("sha256".to_owned(), done.summary.digest.to_string().into());
        return json(&value);
    }
    line(&format!("{} bytes before, {} after", done.before, done.after))?;
    line(&said(context, "compacted and compared", &done.summary))
}

async fn export(context: &Context, file: Option<&Path>) -> Result<(), Failure> {
    let summary = read(context, SystemClock.now(), async |store| {
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
            Err(error) => Err(error),
        };
        if written.is_err() {
            let _ = fs::remove_file(path);
        }
        Ok(written?)
    })
    .await?;
    eprintln!("{}", said(context, "exported", &summary));
    Ok(())
}

async fn import(context: &Context, file: &Path) -> Result<(), Failure> {
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

    private_folder(&context.settings.boot.data)?;
    let store = setup::open_or_make(Backend::of(&context.settings)?, SystemClock.now()).await?;
    let summary = with(store, async |store| {
        let mut again =
            || -> Result<Box<dyn Items>, transfer::Error> { Ok(Box::new(Export::new(open()?)?)) };
        Ok(transfer::import(&mut again, store, &mut progress).await?)
    })
    .await?;
    if summary.counts != expected.counts {
        return Err(transfer::Error::Differs("the file changed meanwhile".to_owned()).into());
    }
    line(&said(context, "imported and compared", &summary))
}

async fn copy(context: &Context, arguments: CopyArguments) -> Result<(), Failure> {
    let settings = &context.settings;
    let load = |file: &Path| load_for(file, Secrets::Store);
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
        private_folder(&target.boot.data)?;
        let target = setup::open_or_make(to, now).await?;
        with(target, async |target| {
            let mut meter = Meter::new();
            let mut progress = |step, count| meter.step(step, count);
            Ok(transfer::copy(source, target, &mut progress).await?)
        })
        .await
    })
    .await?;
    line(&said(context, "copied and compared", &summary))
}
