//! Keys of former versions: each is rejected with its new form, spelled out from its value.

use crate::config::section::Section;

/// Rejects the former keys of `[est]` and `[label.NAME]`.
pub(super) fn reject_former_keys(section: &Section<'_>) {
    let name = section.path("").trim_end().trim_matches(['[', ']']).to_owned();
    let former = |key: &str, new: String| {
        let value = section.value(key);
        section.report.add(
            "E-CONFIG-FORMER-KEY",
            &section.path(key),
            value,
            "got a key of a former version",
            format!("write instead: {new}"),
        );
    };
    let schemes = section
        .has("schemes")
        .then(|| section.strings("schemes"))
        .flatten()
        .unwrap_or_else(|| vec!["basic"]);
    let passwords: Vec<String> = schemes
        .iter()
        .map(|scheme| match *scheme {
            "basic" => "\"password\"".to_owned(),
            other => format!("\"password:{other}\""),
        })
        .collect();
    if section.has("authentication") || section.has("schemes") {
        let demand =
            section.has("authentication").then(|| section.string("authentication")).flatten();
        let both = || {
            passwords
                .iter()
                .map(|password| format!("[\"certificate\", {password}]"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (accept, renewal) = match demand {
            Some("certificate") => ("\"certificate\", \"ra\"".to_owned(), None),
            Some("password") => (passwords.join(", "), None),
            Some("both") => (both(), Some(both())),
            _ => (format!("\"certificate\", {}, \"ra\"", passwords.join(", ")), None),
        };
        let mut new = format!("accept = [{accept}]");
        if demand != Some("password") {
            new.push_str(
                "; for other CAs also \"manufacturer:NAME\" with a section [manufacturer.NAME]",
            );
        }
        if let Some(renewal) = renewal {
            new.push_str(&format!("; and under [{name}.renewal] accept = [{renewal}]"));
        }
        let key = if section.has("authentication") { "authentication" } else { "schemes" };
        former(key, new.clone());
        if key == "authentication" && section.has("schemes") {
            former("schemes", new);
        }
    }
    if section.has("certificate_names") {
        let mode = section.string("certificate_names").unwrap_or("own").to_owned();
        former("certificate_names", format!("under [{name}.names] mode = {mode:?}"));
    }
    if section.has("renew") || section.has("rekey") {
        let allowed = |key| !section.has(key) || section.boolean(key, true);
        let new = match (allowed("renew"), allowed("rekey")) {
            (true, false) => "same",
            (false, true) => "new",
            _ => "either",
        };
        for key in ["renew", "rekey"] {
            if section.has(key) {
                former(key, format!("under [{name}.renewal] key = {new:?}"));
            }
        }
    }
    if section.has("expired_grace") {
        let grace = section.string("expired_grace").unwrap_or("0s").to_owned();
        former("expired_grace", format!("under [{name}.renewal] grace = {grace:?}"));
    }
}

/// Rejects `[client_trust]`.
pub(super) fn reject_client_trust(top: &Section<'_>) {
    if !top.has("client_trust") {
        return;
    }
    let section = top.section("client_trust");
    let mut files: Vec<&str> = Vec::new();
    for key in ["explicit", "implicit"] {
        files.extend(section.strings(key).unwrap_or_default());
    }
    top.report.add(
        "E-CONFIG-FORMER-KEY",
        "[client_trust]",
        None,
        "got a section of a former version",
        format!(
            "write instead: under [manufacturer.NAME] anchors = {files:?}; and \"manufacturer:NAME\" in accept of each label that takes these certificates"
        ),
    );
}
