//! Channel bindings without a connection, for an explanation. A binding, or a password that a client put
//! in its place, is never kept: placeholders of the same length keep what the comparison showed.

use super::linking::{BINDINGS, decoded, kind_of};
use crate::{
    pki::{self, Csr},
    types::{Binding, BindingKind},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The placeholder of a value that no attribute may have.
const REMOVED: &str = "removed";

/// Returns the binding of a connection for which this CSR was signed: that in the CSR itself. Whether such a
/// connection exists is a claim.
#[must_use]
pub fn claimed_binding(csr: &Csr) -> Binding {
    let (mut unique, mut exporter) = (None::<[u8; 12]>, None::<[u8; 32]>);
    for (oid, _) in BINDINGS {
        let Ok(Some(values)) = csr.attribute(oid) else { continue };
        let Some(value) = pki::challenge(values).ok().and_then(|text| decoded(&text)) else {
            continue;
        };
        unique = unique.or_else(|| value.as_slice().try_into().ok());
        exporter = exporter.or_else(|| value.as_slice().try_into().ok());
    }
    let exporter = Zeroizing::new(exporter.unwrap_or_default());
    match unique {
        Some(unique) => Binding::Tls12 { unique: Zeroizing::new(unique), exporter },
        None => Binding::Tls13 { exporter },
    }
}

/// Returns a CSR and the binding of its connection without their secrets. Each value of a binding is
/// replaced by zeros; a value in the CSR that is not the connection's by ones. So the rule of linking
/// decides as it did.
#[must_use]
pub(in crate::ra) fn without_secrets(
    csr: &Arc<Csr>,
    binding: &Binding,
) -> Option<(Arc<Csr>, Binding)> {
    let placeholder = match binding {
        Binding::Tls13 { .. } => Binding::Tls13 { exporter: Zeroizing::default() },
        Binding::Tls12 { .. } => {
            Binding::Tls12 { unique: Zeroizing::default(), exporter: Zeroizing::default() }
        }
        Binding::None(why) => Binding::None(*why),
    };
    if !csr.has_challenges() {
        return Some((Arc::clone(csr), placeholder));
    }
    let replaced = csr.with_challenges(|oid, values| {
        if !BINDINGS.iter().any(|(one, _)| *one == oid) {
            return REMOVED.to_owned();
        }
        match pki::challenge(values).map(|text| decoded(&text)) {
            // Has the wrong form, as the value had.
            Err(_) => String::new(),
            Ok(None) => "?".to_owned(),
            Ok(Some(value)) if value.is_empty() => " ".to_owned(),
            Ok(Some(value)) => STANDARD.encode(match kind_of(&value, binding) {
                Some(BindingKind::TlsUnique) => vec![0; 12],
                Some(BindingKind::TlsExporter) => vec![0; 32],
                None => vec![1; value.len()],
            }),
        }
    });
    Some((Arc::new(replaced.ok()?), placeholder))
}
