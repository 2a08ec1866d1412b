//! The paths that a chain offers, by the names in it (RFC 5280 §6.1, RFC 4158 §2.4): signatures are
//! not verified here.

use rustls::pki_types::{CertificateDer, TrustAnchor};
use std::collections::VecDeque;
use webpki::EndEntityCert;

/// Paths to one database at most. A real chain has one, or two where CAs have certified each other.
const MAX_PATHS: usize = 8;

/// Steps of the search at most. A chain of eight certificates in order takes eight.
const MAX_STEPS: usize = 64;

/// CA certificates of one name on a path at most: a CA that certified its next key (RFC 4210 §4.4).
const MAX_OF_ONE_NAME: usize = 2;

/// A path from the end-entity certificate to an anchor.
#[derive(Debug)]
pub(super) struct Path<'a> {
    /// From the end-entity certificate's issuer upwards.
    pub(super) intermediates: Vec<CertificateDer<'a>>,
    pub(super) anchor: &'a TrustAnchor<'a>,
}

/// The paths of a chain.
#[derive(Debug, Default)]
pub(super) struct Paths<'a> {
    /// The shortest first, and among equals in the order of the chain.
    pub(super) found: Vec<Path<'a>>,
    /// The error of a certificate that cannot be read, and so is on no path.
    pub(super) unreadable: Option<webpki::Error>,
}

/// Finds the paths from a certificate of this issuer. The search ends early rather than be expensive.
pub(super) fn by_name<'a>(
    issuer: &[u8],
    intermediates: &'a [CertificateDer<'a>],
    anchors: &'a [TrustAnchor<'a>],
) -> Paths<'a> {
    let mut paths = Paths::default();
    let mut readable: Vec<(&'a [u8], EndEntityCert<'a>)> = Vec::new();
    for der in intermediates {
        match EndEntityCert::try_from(der) {
            Ok(certificate) => readable.push((der, certificate)),
            Err(error) => paths.unreadable = Some(error),
        }
    }
    let at = |place: &usize| readable.get(*place);
    let mut begun = VecDeque::from([Vec::<usize>::new()]);
    for _ in 0..MAX_STEPS {
        let Some(steps) = begun.pop_front() else { break };
        let issuer = steps.last().and_then(at).map_or(issuer, |(_, last)| last.issuer());
        for anchor in anchors.iter().filter(|anchor| *anchor.subject == *issuer) {
            let ders = steps.iter().filter_map(at).map(|(der, _)| CertificateDer::from(*der));
            paths.found.push(Path { intermediates: ders.collect(), anchor });
            if paths.found.len() == MAX_PATHS {
                return paths;
            }
        }
        let of_this_name =
            steps.iter().filter_map(at).filter(|(_, step)| step.subject() == issuer).count();
        if of_this_name >= MAX_OF_ONE_NAME {
            continue;
        }
        for (next, (_, ca)) in readable.iter().enumerate() {
            if ca.subject() == issuer && !steps.contains(&next) {
                begun.push_back(steps.iter().copied().chain([next]).collect());
            }
        }
    }
    paths
}
