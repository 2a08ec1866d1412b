//! `estd serve`: the process around the server.

use super::{failure::Failure, first_password::FirstPassword, welcome::Welcome};
use crate::{
    clock::SystemClock,
    config::{PLACES, Settings, SettingsSource, Terminal},
    entropy::SystemEntropy,
    server::{self, Environment, Running, Swept, private_folder},
    telemetry::{FileOptions, FileTrail, LimitedTrail, start_terminal, summarize_terminal},
};
use sd_notify::NotifyState;
use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, MissedTickBehavior},
};

/// Interval of checks whether the server's own certificate is due.
const RENEWAL_CHECK: Duration = Duration::from_secs(3600);

/// Interval of checks whether a summary of omitted events is due.
const SUMMARIES: Duration = Duration::from_secs(5);

/// Interval of looks at the CRL files of manufacturers. A certificate that was revoked is rejected within a
/// second.
const CRLS: Duration = Duration::from_millis(300);

/// Interval of sweeps, which end issuances of interrupted requests.
const SWEEP: Duration = Duration::from_secs(60);

pub(super) fn start_server(settings: Settings) -> Result<(), Failure> {
    let filter = std::env::var("ESTD_LOG").unwrap_or_else(|_| "info".to_owned());
    start_terminal(&filter).map_err(|error| {
        Failure::new(
            format!("ESTD_LOG={filter:?}: {error}"),
            "set it to info, debug or estd=debug, for example",
        )
    })?;
    if settings.source == SettingsSource::BuiltIn {
        tracing::warn!(
            "no configuration file (searched {}): the built-in settings serve this machine only; \
             remedy: estd init",
            PLACES.join(", ")
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|cause| Failure::new(cause, "free some memory or file descriptors"))?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: Settings) -> Result<(), Failure> {
    server::check_place(&settings).map_err(Failure::Config)?;
    private_folder(&settings.boot.data)?;
    let clock = Arc::new(SystemClock);
    let terminal = settings.boot.audit.terminal == Terminal::Text;
    let trail = FileTrail::open(audit_file(&settings), terminal, Arc::clone(&clock) as _)
        .map_err(|cause| server::Error::File { path: settings.boot.audit.file.clone(), cause })?;
    let trail = Arc::new(trail);
    let limited = Arc::new(LimitedTrail::new(Arc::clone(&trail) as _, Arc::clone(&clock) as _));
    let environment = Environment {
        clock,
        entropy: Arc::new(SystemEntropy::new()),
        trail: Arc::clone(&limited) as _,
    };
    // Handlers first: a signal during the start must not kill the server.
    let failed = |cause| Failure::new(format!("signals: {cause}"), "report it");
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;

    let welcome = Welcome::new(&settings);
    let running = server::start(settings, environment).await?;
    let first = running.first_account().await?;
    let password = match &first {
        Some(account) => {
            match FirstPassword::keep(welcome.data(), account, io::stdout().is_terminal()) {
                Ok(password) => password,
                Err(failure) => {
                    running.stop().await;
                    return Err(failure);
                }
            }
        }
        None => FirstPassword::find(welcome.data(), &running).await?,
    };
    let mut shown = show(&welcome.text(&running, &password));
    if let Some(first) = first {
        // Adds no account with an unknown password: the next start generates another one.
        if let (Err(error), FirstPassword::Shown(_)) = (&shown, &password) {
            let error = format!("standard output: {error}");
            running.stop().await;
            let remedy = "redirect it to a terminal or a file with room: the first account's password is printed once";
            return Err(Failure::new(error, remedy));
        }
        if !running.record_first_account(first).await? {
            password.discard();
        }
    }
    shown = shown.and_then(|()| show(&format!("{}\n", welcome.ready_line(&running))));
    if let Err(error) = shown {
        tracing::warn!("standard output: {error}; estd serves nevertheless");
    }
    notify(&[NotifyState::Ready]);

    let mut check = tokio::time::interval(RENEWAL_CHECK);
    let mut summaries = tokio::time::interval(SUMMARIES);
    // A separate future: signals do not wait for a slow store.
    let mut sweeping = Box::pin(sweep_each_minute(&running));
    let mut looking = Box::pin(look_at_crls(&running));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                trail.reopen();
                running.reload_file().await;
            }
            () = &mut sweeping => {}
            () = &mut looking => {}
            _ = summaries.tick() => {
                limited.summarize();
                summarize_terminal();
            }
            _ = check.tick() => {
                log_renewal(running.renew_if_due().await);
                for one in running.reminders().await {
                    tracing::warn!("{}: {}; remedy: {}", one.about, one.text, one.remedy);
                }
            }
        }
    }
    drop((sweeping, looking));
    notify(&[NotifyState::Stopping]);
    running.stop().await;
    limited.finish();
    trail.close();
    Ok(())
}

/// Returns the place and the limits of the audit file.
pub(super) fn audit_file(settings: &Settings) -> FileOptions {
    let audit = &settings.boot.audit;
    FileOptions {
        path: audit.file.clone(),
        max: audit.max,
        keep: audit.keep,
        data: settings.boot.data.clone(),
        reserve: audit.reserve,
    }
}

/// Writes to standard output, which may be a file on a full disk or a closed pipe.
fn show(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Logs the outcome of a renewal of the server's certificate.
fn log_renewal(renewed: Result<bool, server::Error>) {
    match renewed {
        Ok(true) => tracing::info!("the server's certificate was renewed"),
        Ok(false) => {}
        Err(error) => tracing::error!(
            "the server's certificate was not renewed: {error}; remedy: {}",
            error.remedy()
        ),
    }
}

/// Ends the open issuances of interrupted requests, and revokes superseded certificates, as long as it is
/// polled.
async fn sweep_each_minute(running: &Running) {
    let mut minute = tokio::time::interval_at(Instant::now() + SWEEP, SWEEP);
    loop {
        minute.tick().await;
        match running.renew_if_revoked().await {
            Err(error) if error.is_store_unavailable() => {}
            renewed => log_renewal(renewed),
        }
        match running.sweep().await {
            Ok(Swept { finished: 0, voided: 0 }) => {}
            Ok(Swept { finished, voided }) => tracing::warn!(
                "{finished} issuances of interrupted requests were completed, {voided} voided"
            ),
            Err(error) if error.is_store_unavailable() => {
                tracing::debug!("open issuances were not ended: {error}");
            }
            Err(error) => tracing::error!(
                "open issuances were not ended: {error}; remedy: {}",
                error.remedy()
            ),
        }
        match running.supersede().await {
            Ok(0) => {}
            Ok(revoked) => tracing::info!("{revoked} superseded certificates were revoked"),
            Err(error) if error.is_store_unavailable() => {
                tracing::debug!("superseded certificates were not revoked: {error}");
            }
            Err(error) => tracing::error!(
                "superseded certificates were not revoked: {error}; remedy: {}",
                error.remedy()
            ),
        }
    }
}

/// Looks at the CRL files of manufacturers, as long as it is polled.
async fn look_at_crls(running: &Running) {
    let mut interval = tokio::time::interval(CRLS);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        running.look_at_crls().await;
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("cannot notify systemd: {error}; remedy: check NOTIFY_SOCKET");
    }
}
