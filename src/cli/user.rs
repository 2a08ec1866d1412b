//! `estd user`.

use super::{
    admin_client::AdminClient,
    context::Context,
    failure::Failure,
    output::{TextTable, json, line},
};
use crate::{admin, api, entropy::SystemEntropy, types::escaped};
use clap::{Args, Subcommand};
use std::io::{BufRead, Write};
use zeroize::Zeroizing;

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Adds an account, generates its password and shows it once. A given password is read from
    /// standard input, as every user of the machine can read arguments.
    Add(NewAccount),
    /// Changes the labels, the end or the password of an account. Secrets of HTTP Digest and CMC stay
    /// of the kinds that the account has.
    Change(AccountChange),
    /// Removes an account.
    Remove {
        /// User name.
        name: String,
    },
    /// Lists the accounts.
    List,
}

#[derive(Debug, Args)]
pub(super) struct NewAccount {
    /// User name.
    name: String,
    /// Label under which it may enroll; can be repeated. Default: all labels, except those whose
    /// profile issues certificates of registration authorities.
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// End of its use: 90d, 2026-12-31 or 2026-12-31T12:00:00Z. Default: none.
    #[arg(long, value_name = "END")]
    expires: Option<String>,
    /// Reads the password from the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
    /// Accepts HTTP Digest with SHA-256, and Basic. The store then has a password-equivalent
    /// secret instead of a hash: see docs/configuration.md.
    #[arg(long)]
    digest: bool,
    /// Accepts HTTP Digest with MD5, too: only for clients without SHA-256, such as libest.
    #[arg(long)]
    digest_md5: bool,
    /// Accepts the identity proof of CMC with SHA-256, too: the store then has the SHA-256 of the
    /// password.
    #[arg(long)]
    identity_proof: bool,
    /// Accepts an empty user name, for clients that send only a password (RFC 7030).
    #[arg(long)]
    allow_empty_name: bool,
}

#[derive(Debug, Args)]
pub(super) struct AccountChange {
    /// User name.
    name: String,
    /// Label under which it may enroll; can be repeated, and replaces the labels that it has.
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// Lets it enroll under all labels, and without one.
    #[arg(long, conflicts_with = "labels")]
    all_labels: bool,
    /// End of its use: 90d, 2026-12-31 or 2026-12-31T12:00:00Z.
    #[arg(long, value_name = "END")]
    expires: Option<String>,
    /// Lets it never expire.
    #[arg(long, conflicts_with = "expires")]
    never_expires: bool,
    /// Generates a new password and shows it once.
    #[arg(long)]
    password: bool,
    /// Reads the new password from the first line of standard input.
    #[arg(long, conflicts_with = "password")]
    password_stdin: bool,
}

pub(super) fn user_command(context: &Context, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add(arguments) => add(context, arguments),
        UserCommand::Change(arguments) => change(context, arguments),
        UserCommand::Remove { name } => {
            let call = api::RemoveUser { name: name.clone() };
            AdminClient::with(context, async |client| client.call(call).await)?;
            if context.json {
                return json(&serde_json::json!({ "name": name, "removed": true }));
            }
            line(&format!("user {} removed", escaped(&name)))
        }
        UserCommand::List => list(context),
    }
}

/// Adds an account. A generated password is printed before the account is recorded: an account with
/// an unknown password would be useless.
fn add(context: &Context, arguments: NewAccount) -> Result<(), Failure> {
    warn_of_labels(context, &arguments.labels, "remove the account and add it without");
    let generated = !arguments.password_stdin;
    let password = if generated {
        admin::new_password(&SystemEntropy::new())?
    } else {
        password_from_stdin()?
    };
    let new = api::NewUser {
        name: arguments.name,
        password: password.to_string(),
        labels: Some(arguments.labels).filter(|labels| !labels.is_empty()),
        digest: arguments.digest || arguments.digest_md5 || arguments.identity_proof,
        digest_md5: arguments.digest_md5,
        identity_proof: arguments.identity_proof,
        allow_empty_name: arguments.allow_empty_name,
        expires: arguments.expires,
        dry_run: false,
    };
    let (name, digest) = (new.name.clone(), new.digest);
    let shown = escaped(&name);
    AdminClient::with(context, async |client| {
        if generated {
            client.call(api::NewUser { dry_run: true, ..new.clone() }).await?;
            show_password(context, &name, &new.password, "not added")?;
        }
        client.call(new).await.map_err(|failure| not_valid(failure, generated))
    })?;
    // The account exists: an error in printing from now on does not fail the command.
    let printed = match (context.json, generated) {
        (true, true) => Ok(()),
        (true, false) => json(&serde_json::json!({ "name": name, "password": null })),
        (false, false) => line(&format!("user {shown} added")),
        (false, true) if digest => {
            line("The password is shown once; a password-equivalent secret is stored.")
        }
        (false, true) => line("The password is shown once; only a hash of it is stored."),
    };
    if let Err(Failure::Failed { what, .. }) = printed {
        eprintln!("estd: {what}; user {shown} was added nevertheless");
    }
    Ok(())
}

/// Warns of labels that the configuration does not have.
pub(super) fn warn_of_labels(context: &Context, labels: &[String], otherwise: &str) {
    let known = &context.settings.live.policies.labels;
    for label in labels {
        if !known.keys().any(|one| one.as_str() == label) {
            let file = context.settings.file.display();
            let warning = format!("{file} has no [label.{}]", escaped(label));
            context.warn(warning, &format!("add the label, or {otherwise}"));
        }
    }
}

/// Prints a generated password, which is not valid yet.
fn show_password(
    context: &Context,
    name: &str,
    password: &str,
    otherwise: &str,
) -> Result<(), Failure> {
    let shown = escaped(name);
    let text = Zeroizing::new(if context.json {
        serde_json::json!({ "name": name, "password": password }).to_string()
    } else {
        format!("user {shown} password {password}")
    });
    let mut out = std::io::stdout();
    writeln!(out, "{}", *text).and_then(|()| out.flush()).map_err(|cause| {
        Failure::new(
            format!("standard output: {cause}; user {shown} was {otherwise}"),
            "redirect it to a terminal or a file with room: the password is printed once",
        )
    })
}

/// Adds to a failure that a generated password is not valid.
fn not_valid(failure: Failure, generated: bool) -> Failure {
    match failure {
        Failure::Failed { kind, what, remedy } if generated => {
            let what = format!("{what}; the password above is not valid");
            Failure::Failed { kind, what, remedy }
        }
        other => other,
    }
}

/// Changes an account. A generated password is printed before it is recorded.
fn change(context: &Context, arguments: AccountChange) -> Result<(), Failure> {
    warn_of_labels(context, &arguments.labels, "change the account again");
    let generated = arguments.password;
    let password = match (generated, arguments.password_stdin) {
        (true, _) => Some(admin::new_password(&SystemEntropy::new())?),
        (false, true) => Some(password_from_stdin()?),
        (false, false) => None,
    };
    let call = api::ChangeUser {
        name: arguments.name,
        password: password.as_ref().map(|password| password.to_string()),
        labels: Some(arguments.labels).filter(|labels| !labels.is_empty()),
        all_labels: arguments.all_labels,
        expires: arguments.expires,
        never_expires: arguments.never_expires,
        dry_run: false,
    };
    let entry = AdminClient::with(context, async |client| {
        if let Some(password) = password.as_ref().filter(|_| generated) {
            client.call(api::ChangeUser { dry_run: true, ..call.clone() }).await?;
            show_password(context, &call.name, password, "not changed")?;
        }
        client.call(call).await.map_err(|failure| not_valid(failure, generated))
    })?;
    // The account is changed: an error in printing from now on does not fail the command.
    let printed = match (context.json, generated) {
        (true, true) => Ok(()),
        (true, false) => json(&entry),
        (false, _) => line(&format!("user {} changed", escaped(&entry.name))),
    };
    if let Err(Failure::Failed { what, .. }) = printed {
        eprintln!("estd: {what}; user {} was changed nevertheless", escaped(&entry.name));
    }
    Ok(())
}

fn list(context: &Context) -> Result<(), Failure> {
    let all = AdminClient::with(context, async |client| client.call(api::ListUsers {}).await)?;
    if context.json {
        return json(&all);
    }
    let row = |user: &api::UserEntry| {
        let labels = user.labels.as_ref().map_or_else(|| "all".to_owned(), |all| all.join(","));
        // Shows an account without a name.
        let name =
            if user.name.is_empty() { "\"\"".to_owned() } else { escaped(&user.name).to_string() };
        let expires = user.expires.clone().unwrap_or_else(|| "never".to_owned());
        [user.added.clone(), expires, user.kept.join(","), labels, name]
    };
    if all.users.is_empty() {
        eprintln!("no accounts");
    }
    TextTable::new(["ADDED", "EXPIRES", "STORED", "LABELS", "NAME"])
        .rows(all.users.iter().map(row).collect())
}

fn password_from_stdin() -> Result<Zeroizing<String>, Failure> {
    let mut password = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut password).map_err(|cause| {
        Failure::arguments(format!("standard input: {cause}"), "give the password as one line")
    })?;
    let length = password.trim_end_matches(['\r', '\n']).len();
    password.truncate(length);
    Ok(password)
}
