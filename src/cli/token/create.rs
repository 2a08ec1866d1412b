//! `estd token create`: shows the tokens, or writes them to a file, before they are stored.

use super::list::{granted, token_names};
use crate::{
    admin,
    api::{self, TokenGrant},
    cli::{
        admin_client::AdminClient,
        context::Context,
        device::DeviceLines,
        failure::{Failure, FailureKind},
        output::line,
        progress::Progress,
        user::warn_of_labels,
    },
    durable,
    entropy::SystemEntropy,
    types::{counted, escaped_line},
};
use clap::{ArgGroup, Args};
use std::{
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Tokens in a call.
const PIECE: usize = 500;

/// Largest number of tokens of a command.
const MOST: usize = 100_000;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("right").required(true).multiple(false)
    .args(["device", "devices", "names", "any_name"])))]
pub(in crate::cli) struct CreateArguments {
    /// Label under which it is accepted. Default: requests without a label.
    #[arg(long)]
    label: Option<String>,
    /// For a certificate of this registered device.
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// One token for each device of a CSV file, as estd device import reads it.
    #[arg(long, value_name = "FILE", requires = "out", conflicts_with = "count")]
    devices: Option<PathBuf>,
    /// For a certificate with exactly this subject, such as CN=gw-1,O=Example; may be empty.
    #[arg(long, value_name = "SUBJECT")]
    names: Option<String>,
    /// Entry of the subjectAltName beside the subject, as dns:, ip:, uri: or email:; can be repeated.
    #[arg(long, value_name = "KIND:VALUE", requires = "names")]
    san: Vec<String>,
    /// For a certificate with any name that the label's rules allow.
    #[arg(long)]
    any_name: bool,
    /// End of its use: 24h, 90d, 2026-12-31 or 2026-12-31T12:00:00Z.
    #[arg(long, value_name = "END", default_value = "24h")]
    expires: String,
    /// Number of tokens.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    count: usize,
    /// Writes the tokens to a new CSV file, which only its owner can read.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Accepts the identity proof of CMC, too: the store then has keys that can be used in place of
    /// the token until its end.
    #[arg(long)]
    cmc: bool,
}

pub(super) fn create_tokens(context: &Context, arguments: CreateArguments) -> Result<(), Failure> {
    let CreateArguments { label, device, devices, names, san, any_name: _, .. } = arguments;
    let CreateArguments { expires, count, out, cmc, .. } = arguments;
    if !(1..=MOST).contains(&count) || count > 1 && out.is_none() {
        return Err(Failure::arguments(
            format!("count: got {count}; expected: 1, or up to {MOST} with --out"),
            "correct it",
        ));
    }
    let grants = match (devices, device, names) {
        (Some(file), ..) => grants_of(&file)?,
        (_, Some(id), _) => vec![TokenGrant::Device(id); count],
        (.., Some(subject)) => vec![TokenGrant::Names { subject, san }; count],
        (None, None, None) => vec![TokenGrant::AnyName; count],
    };
    let labels: Vec<String> = label.iter().cloned().collect();
    warn_of_labels(context, &labels, "revoke the tokens");
    if cmc {
        context.warn(
            "the store has keys that can be used in place of these tokens until their end",
            "leave out --cmc for devices that enroll without CMC",
        );
    }
    let call = |expires: String, tokens, dry_run| api::NewTokens {
        label: label.clone(),
        expires,
        tokens,
        dry_run,
    };
    AdminClient::with(context, async |client| {
        // Checks everything before a token is shown.
        let (mut checked, mut end) = (Vec::with_capacity(grants.len()), expires.clone());
        for piece in grants.chunks(PIECE) {
            let new = |grant: &TokenGrant| api::NewToken {
                id: String::new(),
                grant: grant.clone(),
                proof_keys: None,
            };
            let tokens = piece.iter().map(new).collect();
            let answer = client.call(call(end, tokens, true)).await?;
            checked.extend(answer.grants);
            end = answer.expires;
        }
        let entropy = SystemEntropy::new();
        let mut fresh = Vec::with_capacity(checked.len());
        for grant in checked {
            let token = admin::new_token(&entropy, &grant, cmc)?;
            fresh.push((token, grant));
        }
        let rows = fresh.iter().map(|(token, grant)| Row {
            token: &token.text,
            grant,
            label: label.as_deref().unwrap_or_default(),
            expires: &end,
        });
        match &out {
            Some(path) => write_file(path, rows)?,
            None => rows.into_iter().try_for_each(|row| show(context, &row))?,
        }
        let total = fresh.len();
        let mut progress = Progress::new("tokens", Some(total as u64));
        let mut stored = 0;
        for piece in fresh.chunks(PIECE) {
            let new = |(token, grant): &(admin::FreshToken, TokenGrant)| api::NewToken {
                id: token.id.clone(),
                grant: grant.clone(),
                proof_keys: token.proof_keys.clone(),
            };
            let tokens = piece.iter().map(new).collect();
            let answer = client.call(call(end.clone(), tokens, false)).await;
            answer.map_err(|failure| not_stored(failure, stored, total, out.as_deref()))?;
            stored += piece.len();
            progress.advance(piece.len());
        }
        drop(progress);
        report(context, total, out.as_deref(), &end);
        Ok(())
    })
}

/// Reports the success. The tokens exist: an error in printing does not fail the command.
fn report(context: &Context, total: usize, out: Option<&Path>, end: &str) {
    let printed = match (out, context.json) {
        (Some(path), true) => {
            let path = path.display().to_string();
            let value = serde_json::json!({ "file": path, "tokens": total, "expires": end });
            crate::cli::output::json(&value)
        }
        (Some(path), false) => {
            let tokens = counted(total, "token");
            let file = path.display().to_string();
            line(&format!("{tokens} in {}, to be used before {end}", escaped_line(file)))
        }
        (None, true) => Ok(()),
        (None, false) => line("The token is shown once; only its SHA-256 is stored."),
    };
    if let Err(Failure::Failed { what, .. }) = printed {
        eprintln!("estd: {what}; the tokens were created nevertheless");
    }
}

fn not_stored(failure: Failure, stored: usize, total: usize, out: Option<&Path>) -> Failure {
    let Failure::Failed { kind, what, remedy } = failure else { return failure };
    match out {
        None => {
            let what = format!("{what}; the token above is not valid");
            Failure::Failed { kind, what, remedy }
        }
        Some(path) => {
            let path = path.display();
            let what =
                format!("{what}; at least {stored} of the {total} tokens in {path} are valid");
            let kind = if stored == 0 { kind } else { FailureKind::Partly };
            let again =
                format!("{remedy}; then run estd token revoke --file {path}, and create others");
            Failure::Failed { kind, what, remedy: again }
        }
    }
}

/// The devices of a file.
fn grants_of(file: &Path) -> Result<Vec<TokenGrant>, Failure> {
    let (mut lines, mut grants) = (DeviceLines::open(file)?, Vec::new());
    while let Some(read) = lines.next_line()? {
        if let Some(error) = read.errors.first() {
            let what = format!("{}: line {}: {error}", file.display(), read.line);
            return Err(Failure::arguments(what, "correct the line"));
        }
        grants.push(TokenGrant::Device(read.device.id));
    }
    if !(1..=MOST).contains(&grants.len()) {
        let what = format!("{}: got {}; expected: 1 to {MOST}", file.display(), grants.len());
        return Err(Failure::arguments(what, "divide the file"));
    }
    Ok(grants)
}

/// A token as it is shown.
struct Row<'a> {
    token: &'a str,
    grant: &'a TokenGrant,
    label: &'a str,
    expires: &'a str,
}

/// Prints a token before it is stored: one with an unknown text would be useless.
fn show(context: &Context, row: &Row<'_>) -> Result<(), Failure> {
    let Row { token, grant, label, expires } = row;
    let text = Zeroizing::new(if context.json {
        let label = Some(label).filter(|label| !label.is_empty());
        serde_json::json!({ "token": token, "grant": grant, "label": label, "expires": expires })
            .to_string()
    } else {
        let label = if label.is_empty() { "no label".to_owned() } else { format!("label {label}") };
        let grant = granted(grant);
        format!("token {token} for {}, {label}, until {expires}", escaped_line(grant))
    });
    let mut out = std::io::stdout();
    writeln!(out, "{}", *text).and_then(|()| out.flush()).map_err(|cause| {
        Failure::new(
            format!("standard output: {cause}; no token was created"),
            "redirect it to a terminal or a file with room: the token is printed once",
        )
    })
}

/// Writes the file of the tokens, durably, before they are stored.
fn write_file<'a>(path: &Path, rows: impl Iterator<Item = Row<'a>>) -> Result<(), Failure> {
    let failed = |cause: &dyn std::fmt::Display| {
        Failure::new(
            format!("{}: {cause}; no token was created", path.display()),
            "remove it if it was begun; name a file in a folder that can be written, with room on its disk",
        )
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    let write = |writer: &mut csv::Writer<Vec<u8>>| {
        writer.write_record(["token", "device", "names", "label", "expires"])?;
        for Row { token, grant, label, expires } in rows {
            let device = if let TokenGrant::Device(id) = grant { id } else { "" };
            writer.write_record([token, device, &token_names(grant), label, expires])?;
        }
        Ok::<_, csv::Error>(())
    };
    write(&mut writer).map_err(|cause| failed(&cause))?;
    let bytes = writer.into_inner().map_err(|cause| failed(&cause.error()))?;
    let bytes = Zeroizing::new(bytes);
    durable::create(path, &bytes, 0o600)
        .and_then(|()| durable::sync(durable::folder(path)))
        .map_err(|cause| match cause.kind() {
            ErrorKind::AlreadyExists => Failure::arguments(
                format!("{} exists already, and is not overwritten", path.display()),
                "name another file",
            ),
            _ => failed(&cause),
        })
}
