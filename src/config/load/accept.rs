//! `accept`: the proofs that a label demands.

use crate::{
    config::section::Section,
    policy::{Accept, Proof, Scheme},
};
use toml::Value;

const EXAMPLE: &str = "[\"certificate\", [\"manufacturer:acme\", \"password\"]]: any of these; an inner list: all of it";

/// Reads a list of alternatives. `default`: without the key.
pub(super) fn read_accept(section: &Section<'_>, default: Vec<Vec<Proof>>) -> Accept {
    let Some(value) = section.value("accept") else { return Accept::new(default) };
    let Some(list) = value.as_array().filter(|list| !list.is_empty()) else {
        section.error("accept", "got no list of proofs; expected: at least one", EXAMPLE);
        return Accept::new(default);
    };
    let alternatives: Vec<Vec<Proof>> =
        list.iter().map(|value| alternative(section, value)).collect();
    let all: Vec<_> = alternatives.iter().collect();
    if all.iter().enumerate().any(|(at, one)| all.iter().take(at).any(|other| other == one)) {
        section.error("accept", "got one alternative twice; expected: each once", EXAMPLE);
    }
    let accept = Accept::new(alternatives);
    check_schemes(section, &accept);
    accept
}

/// Reads a proof, or a list of proofs that are demanded together.
fn alternative(section: &Section<'_>, value: &Value) -> Vec<Proof> {
    let one = std::slice::from_ref(value);
    let words: &[Value] = value.as_array().map_or(one, Vec::as_slice);
    let mut proofs = Vec::new();
    for word in words {
        match word.as_str().map(str::parse::<Proof>) {
            Some(Ok(proof)) if proofs.contains(&proof) => section.error(
                "accept",
                format!("got {proof} twice in one list; expected: each proof once"),
                EXAMPLE,
            ),
            Some(Ok(proof)) => proofs.push(proof),
            Some(Err(error)) => section.error("accept", error, EXAMPLE),
            None => {
                section.error("accept", "got a value that is no string; expected: proofs", EXAMPLE)
            }
        }
    }
    let is_password = |proof: &&Proof| proof.scheme().is_some();
    if words.is_empty() {
        section.error(
            "accept",
            "got an empty list, which anybody fulfills; expected: proofs",
            EXAMPLE,
        );
    }
    if proofs.iter().filter(is_password).count() > 1 {
        section.error(
            "accept",
            "got several schemes of passwords in one list; expected: one, because a request has one password",
            "write an alternative for each scheme",
        );
    }
    if proofs.iter().filter(|proof| !is_password(proof)).count() > 1 {
        section.error(
            "accept",
            "got several certificates in one list; expected: one, because a connection has one certificate",
            "write an alternative for each certificate",
        );
    }
    proofs
}

fn check_schemes(section: &Section<'_>, accept: &Accept) {
    let at = |wanted: Scheme| accept.schemes().position(|scheme| scheme == wanted);
    if let (Some(sha256), Some(md5)) = (at(Scheme::Digest), at(Scheme::DigestMd5))
        && sha256 < md5
    {
        section.error(
            "accept",
            "got password:digest before password:digest-md5; libest reads only the first challenge of Digest, and knows only MD5",
            "write password:digest-md5 before password:digest: other clients choose the better one",
        );
    }
}
