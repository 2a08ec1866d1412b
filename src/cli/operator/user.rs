//! `estd user`.

use super::with_client;
use crate::{
    admin, api,
    cli::{
        Context, Failure, UserCommand,
        output::{Table, json, line},
    },
    entropy::SystemEntropy,
    types::escaped,
};
use std::io::{BufRead, Write};
use zeroize::Zeroizing;

pub(in crate::cli) fn user(context: &Context, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add {
            name,
            labels,
            password_stdin,
            digest,
            digest_md5,
            identity_proof,
            allow_empty_name,
        } => {
            let file = context.settings.file.display();
            let known = |label: &String| {
                context.settings.live.policies.labels.keys().any(|known| known.as_str() == label)
            };
            for label in labels.iter().filter(|label| !known(label)) {
                eprintln!("note: {file} has no [label.{}] yet", escaped(label));
            }
            let digest = digest || digest_md5 || identity_proof;
            let generated = !password_stdin;
            let password = if generated {
                admin::new_password(&SystemEntropy::new())?
            } else {
                password_from_stdin()?
            };
            let new = api::NewUser {
                name,
                password: password.to_string(),
                labels: (!labels.is_empty()).then_some(labels),
                digest,
                digest_md5,
                identity_proof,
                allow_empty_name,
                dry_run: false,
            };
            add(context, new, generated)
        }
        UserCommand::Remove { name } => {
            let call = api::RemoveUser { name: name.clone() };
            with_client(context, async |client| client.call(call).await)?;
            if context.json {
                return json(&serde_json::json!({ "name": name, "removed": true }));
            }
            line(&format!("user {} removed", escaped(&name)))
        }
        UserCommand::List => list(context),
    }
}

/// Adds an account. A generated password is shown before the account is recorded, as that of the
/// first start is: an account whose password nobody has seen would be of no use.
fn add(context: &Context, new: api::NewUser, generated: bool) -> Result<(), Failure> {
    let (name, digest) = (new.name.clone(), new.digest);
    let shown = escaped(&name);
    with_client(context, async |client| {
        if generated {
            client.call(api::NewUser { dry_run: true, ..new.clone() }).await?;
            let text = Zeroizing::new(if context.json {
                serde_json::json!({ "name": name, "password": new.password }).to_string()
            } else {
                format!("user {shown} password {}", new.password)
            });
            let mut out = std::io::stdout();
            writeln!(out, "{}", *text).and_then(|()| out.flush()).map_err(|cause| {
                Failure::new(
                    format!("standard output: {cause}; user {shown} was not added"),
                    "give it a place that can be written: the password is shown there, once",
                )
            })?;
        }
        client.call(new).await.map_err(|failure| match failure {
            Failure::Failed { kind, what, remedy } if generated => {
                let what = format!("{what}; the password above is not in force");
                Failure::Failed { kind, what, remedy }
            }
            other => other,
        })
    })?;
    // The account is there: what is said about it from now on may be lost.
    let said = match (context.json, generated) {
        (true, true) => Ok(()),
        (true, false) => json(&serde_json::json!({ "name": name, "password": null })),
        (false, false) => line(&format!("user {shown} added")),
        (false, true) if digest => line(
            "The password is shown this once; a secret that is as good as the password is stored.",
        ),
        (false, true) => line("The password is shown this once; only a hash of it is stored."),
    };
    if let Err(Failure::Failed { what, .. }) = said {
        eprintln!("estd: {what}; user {shown} was added all the same");
    }
    Ok(())
}

fn list(context: &Context) -> Result<(), Failure> {
    let all = with_client(context, async |client| client.call(api::ListUsers {}).await)?;
    if context.json {
        return json(&all);
    }
    let row = |user: &api::UserEntry| {
        let labels = user.labels.as_ref().map_or_else(|| "all".to_owned(), |all| all.join(","));
        // An account without a name is shown as one.
        let name =
            if user.name.is_empty() { "\"\"".to_owned() } else { escaped(&user.name).to_string() };
        [user.added.clone(), user.kept.join(","), labels, name]
    };
    if all.users.is_empty() {
        eprintln!("no accounts");
    }
    Table::new(["ADDED", "STORED", "LABELS", "NAME"]).rows(all.users.iter().map(row).collect())
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
