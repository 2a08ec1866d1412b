//! `estd store compact`, `export`, `import` and `copy`.

use super::open::{with_backend, with_source, with_store};
use crate::{
    cli::{
        context::{Context, read_settings},
        failure::Failure,
        output::{json, line},
        progress::Progress,
    },
    clock::{Clock, SystemClock},
    config::Secrets,
    server::{Backend, BackendKind, private_folder, setup},
    store::{
        SledStore,
        transfer::{self, Counts, Export, Items, Summary},
    },
    telemetry::audit::{Event, Name},
    types::Actor,
};
use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Size of a read or write of a file, in bytes.
const BUFFER: usize = 1 << 20;

pub(super) async fn compact_store(context: &Context) -> Result<(), Failure> {
    let Backend::Sled { folder, cache } = Backend::of(&context.settings)? else {
        return Err(Failure::new(
            "a store in PostgreSQL is not compacted by estd",
            "PostgreSQL does it by itself (autovacuum); see its documentation of VACUUM",
        ));
    };
    setup::expect_folder(&folder)?;
    let mut bar = Progress::new("items read", None);
    let mut progress = |step, count| bar.step(step, count);
    let done = SledStore::compact(&folder, cache, SystemClock.now(), &mut progress).await?;
    if context.json {
        let mut value = count_fields(done.summary.counts);
        value.insert("bytes_before".to_owned(), done.before.into());
        value.insert("bytes_after".to_owned(), done.after.into());
        value.insert("sha256".to_owned(), done.summary.digest.to_string().into());
        return json(&value);
    }
    line(&format!("{} bytes before, {} after", done.before, done.after))?;
    line(&describe_summary(context, "compacted and compared", &done.summary))
}

pub(super) async fn export_store(context: &Context, file: Option<&Path>) -> Result<(), Failure> {
    let done = with_source(context, SystemClock.now(), async |store| {
        let mut bar = Progress::new("items read", None);
        let mut progress = |step, count| bar.step(step, count);
        let Some(path) = file.filter(|path| *path != Path::new("-")) else {
            let mut out = BufWriter::with_capacity(BUFFER, io::stdout());
            return Ok(transfer::export(store, &mut out, &mut progress).await?);
        };
        // A new file, for its mode: it has password hashes. And no old export is lost by mistake.
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
            Ok(done) => out.get_ref().sync_all().map(|()| done).map_err(transfer::Error::File),
            Err(error) => Err(error),
        };
        if written.is_err() {
            let _ = fs::remove_file(path);
        }
        Ok(written?)
    })
    .await?;
    eprintln!("{}", describe_summary(context, "exported", &done));
    Ok(())
}

pub(super) async fn import_store(
    context: &Context,
    file: &Path,
    keep_tokens: bool,
) -> Result<(), Failure> {
    let open = || File::open(file).map(|file| BufReader::with_capacity(BUFFER, file));
    let of_file = |cause| {
        Failure::new(
            format!("{}: {cause}", file.display()),
            "name a file that estd store export wrote",
        )
    };
    let mut bar = Progress::new("items read", None);
    // Reads the whole file before anything is changed.
    let expected =
        transfer::verify(open().map_err(of_file)?, &mut |step, count| bar.step(step, count))?;
    bar.expect(expected.counts.total());
    let mut progress = |step, count| bar.step(step, count);

    private_folder(&context.settings.boot.data)?;
    let store = setup::open_or_make(Backend::of(&context.settings)?, SystemClock.now()).await?;
    let done = with_store(store, async |store| {
        let mut again =
            || -> Result<Box<dyn Items>, transfer::Error> { Ok(Box::new(Export::new(open()?)?)) };
        let done = transfer::import(&mut again, store, &mut progress).await?;
        if !keep_tokens && done.counts.tokens > 0 {
            let event = Event::new(SystemClock.now(), Name::TokenDisabled, Actor::server());
            let event = event.with("reason", "the store was imported");
            store.disable_tokens(event).await.map_err(transfer::Error::Store)?;
        }
        Ok(done)
    })
    .await?;
    if done.counts != expected.counts {
        return Err(transfer::Error::Differs("the file changed meanwhile".to_owned()).into());
    }
    line(&describe_summary(context, "imported and compared", &done))
}

pub(super) async fn copy_store(
    context: &Context,
    from: BackendKind,
    to: BackendKind,
    target_config: Option<&Path>,
) -> Result<(), Failure> {
    let settings = &context.settings;
    let load = |file: &Path| read_settings(file, Secrets::Store);
    let other = target_config.map(load).transpose()?;
    let target = other.as_ref().unwrap_or(settings);
    let from = Backend::named(settings, from)?;
    let to = Backend::named(target, to)?;
    if from == to {
        return Err(Failure::new(
            "source and target are the same store",
            "name the configuration of the other one with --target-config",
        ));
    }
    let now = SystemClock.now();
    let done = with_backend(from, now, async |source| {
        private_folder(&target.boot.data)?;
        let target = setup::open_or_make(to, now).await?;
        with_store(target, async |target| {
            let mut bar = Progress::new("items read", None);
            let mut progress = |step, count| bar.step(step, count);
            Ok(transfer::copy(source, target, &mut progress).await?)
        })
        .await
    })
    .await?;
    line(&describe_summary(context, "copied and compared", &done))
}

/// Describes the items that were read or written, and their digest; `done` names the action.
pub(super) fn describe_summary(context: &Context, done: &str, of: &Summary) -> String {
    let Summary { counts, digest } = of;
    if !context.json {
        return format!("{done}: {counts}\nSHA-256 of the contents: {digest}");
    }
    let mut value = count_fields(*counts);
    value.insert("done".to_owned(), done.into());
    value.insert("sha256".to_owned(), digest.to_string().into());
    serde_json::Value::from(value).to_string()
}

/// Returns the counts as fields of JSON.
pub(super) fn count_fields(counts: Counts) -> serde_json::Map<String, serde_json::Value> {
    let Counts { issuances, accounts, registers, devices, tokens, events } = counts;
    let each = [
        ("issuances", issuances),
        ("accounts", accounts),
        ("registers", registers),
        ("devices", devices),
        ("tokens", tokens),
        ("events", events),
    ];
    each.map(|(name, count)| (name.to_owned(), count.into())).into_iter().collect()
}
