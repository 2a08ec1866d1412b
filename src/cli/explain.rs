//! `estd explain`.

use super::{
    admin_client::AdminClient,
    context::Context,
    failure::Failure,
    output::{json, line},
};
use crate::{
    api::{self, ExplainedVerdict, Explanation},
    pki::{base64 as est_base64, pem},
    types::escaped_line,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Bytes of a file at most: a CSR or a chain that the server accepts is smaller.
const MAX_FILE: u64 = 64 << 10;

#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// Id of a request that the running server answered: of X-Request-Id, the log or the audit file.
    #[arg(long, value_name = "ID", conflicts_with_all = ["label", "csr", "certificates", "user", "operation"])]
    request: Option<String>,
    /// Label. Default: requests without one.
    #[arg(long)]
    label: Option<String>,
    /// simpleenroll, simplereenroll or serverkeygen.
    #[arg(long, value_name = "NAME", default_value = "simpleenroll")]
    operation: String,
    /// File with the CSR, PEM or DER.
    #[arg(long, value_name = "FILE", required_unless_present = "request")]
    csr: Option<PathBuf>,
    /// File with the client's certificate, PEM or DER; then those of its issuers, in the same file or
    /// in further ones.
    #[arg(long = "cert", value_name = "FILE")]
    certificates: Vec<PathBuf>,
    /// Account whose password the client has. The password itself is not asked for.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Time of the request: 2026-12-31 or 2026-12-31T12:00:00Z. Default: now.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// Explains a request. Exit codes: 0 a certificate would be issued, 1 the request would be rejected, 3
/// undecided.
pub(super) fn explain_command(
    context: &Context,
    arguments: ExplainArguments,
) -> Result<ExitCode, Failure> {
    let call = call(arguments)?;
    let explanation = AdminClient::with(context, async |client| client.call(call).await)?;
    if context.json {
        json(&explanation)?;
    } else {
        lines(&explanation).iter().try_for_each(|text| line(text))?;
    }
    Ok(match explanation.verdict {
        ExplainedVerdict::Issued => ExitCode::SUCCESS,
        ExplainedVerdict::Rejected => ExitCode::FAILURE,
        ExplainedVerdict::Undecided => ExitCode::from(3),
    })
}

fn call(arguments: ExplainArguments) -> Result<api::Explain, Failure> {
    let ExplainArguments { request, label, operation, csr, certificates, user, at } = arguments;
    if request.is_some() {
        return Ok(api::Explain { request, at, ..api::Explain::default() });
    }
    let mut chain = Vec::new();
    for file in &certificates {
        chain.extend(certificates_of(file)?.iter().map(|der| STANDARD.encode(der)));
    }
    Ok(api::Explain {
        request: None,
        label,
        operation: Some(operation),
        csr: csr.as_deref().map(csr_of).transpose()?.map(|der| STANDARD.encode(der)),
        certificates: chain,
        account: user,
        at,
    })
}

fn content(file: &Path, remedy: &str) -> Result<Vec<u8>, Failure> {
    let failed = |cause: String| Failure::arguments(format!("{}: {cause}", file.display()), remedy);
    let size = fs::metadata(file).map_err(|cause| failed(cause.to_string()))?.len();
    if size > MAX_FILE {
        return Err(failed(format!("got {size} bytes; expected: at most {MAX_FILE}")));
    }
    fs::read(file).map_err(|cause| failed(cause.to_string()))
}

fn csr_of(file: &Path) -> Result<Vec<u8>, Failure> {
    const REMEDY: &str = "give a CSR as PEM or DER, such as openssl req -new writes";
    let body = est_base64::decode_csr(&content(file, REMEDY)?, true, true);
    let failed = |error| Failure::arguments(format!("{}: {error}", file.display()), REMEDY);
    Ok(body.map_err(failed)?.der)
}

fn certificates_of(file: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    const REMEDY: &str = "give certificates as PEM, or one as DER";
    let bytes = content(file, REMEDY)?;
    // The tag of a SEQUENCE, which no PEM begins with.
    if bytes.first() == Some(&0x30) {
        return Ok(vec![bytes]);
    }
    let failed = |error| Failure::arguments(format!("{}: {error}", file.display()), REMEDY);
    pem::decode_certificates(&bytes).map_err(failed)
}

/// Writes an explanation as text.
fn lines(explanation: &Explanation) -> Vec<String> {
    let mut out = Vec::new();
    let mut say = |text: String| out.push(escaped_line(text).to_string());
    let label = match &explanation.label {
        Some(label) => format!("under label {label}"),
        None => "without a label".to_owned(),
    };
    say(format!("{} {label}, at {}", explanation.operation, explanation.at));
    if let Some(record) = &explanation.recorded {
        say(format!("request {} of {}", record.request, record.address));
        let outcome = match (&record.serial, &record.rejection) {
            (Some(serial), _) => format!("certificate {serial}"),
            (None, Some(rejection)) => format!("rejected: {}", rejection.text),
            (None, None) => "unknown".to_owned(),
        };
        say(format!("  answered at {}: {outcome}", record.at));
        let cause = record.rejection.as_ref().and_then(|rejection| rejection.cause.as_ref());
        cause.into_iter().for_each(|cause| say(format!("  cause: {cause}")));
    }
    say(format!("client: {}", explanation.client.as_deref().unwrap_or("not authenticated")));
    explanation.claimed.iter().for_each(|claim| say(format!("claimed: {claim}")));
    explanation.left_out.iter().for_each(|part| say(format!("left out: {part}")));

    say("proofs: one alternative, and all of it".to_owned());
    for proof in &explanation.proofs {
        let holds = if proof.holds { "holds" } else { "does not hold" };
        say(format!("  {} {}: {}: {holds}", proof.list, proof.alternative, proof.proof));
        say(format!("    got      {}", proof.got));
        say(format!("    accepts  {}", proof.accepts));
    }
    say("rules: all of them".to_owned());
    for rule in &explanation.rules {
        match &rule.detail {
            Some(detail) => say(format!("  {}: {}: {detail}", rule.rule, rule.decision)),
            None => say(format!("  {}: {}", rule.rule, rule.decision)),
        }
        if rule.decision == "passed" || rule.decision == "rejected" {
            say(format!("    got      {}", rule.got));
            say(format!("    accepts  {}", rule.accepts));
            say(format!("    because  {}", rule.reason));
        }
    }
    match (&explanation.verdict, &explanation.rejection) {
        (ExplainedVerdict::Issued, _) => say("verdict: a certificate would be issued".to_owned()),
        (ExplainedVerdict::Undecided, _) => say("verdict: undecided".to_owned()),
        (ExplainedVerdict::Rejected, rejection) => {
            say(format!(
                "verdict: rejected: {}",
                rejection.as_ref().map_or("", |rejection| &rejection.text)
            ));
            let cause = rejection.as_ref().and_then(|rejection| rejection.cause.as_ref());
            cause.into_iter().for_each(|cause| say(format!("  cause: {cause}")));
        }
    }
    if let Some(certificate) = &explanation.certificate {
        say("certificate".to_owned());
        say(format!("  subject     {}", certificate.subject));
        say(format!("  san         {}", certificate.san.join(" ")));
        say(format!("  issuer      {}", certificate.issuer));
        say(format!("  key         {}", certificate.key));
        say(format!("  valid from  {}", certificate.not_before));
        say(format!("  valid to    {}", certificate.not_after));
        certificate.extensions.iter().for_each(|one| say(format!("  extension   {one}")));
    }
    match &explanation.csrattrs {
        None => say("csrattrs: not offered".to_owned()),
        Some(asked) if asked.is_empty() => say("csrattrs: nothing in particular".to_owned()),
        Some(asked) => {
            say("csrattrs".to_owned());
            asked.iter().for_each(|one| say(format!("  {one}")));
        }
    }
    out
}
