//! The fingerprints of a certificate: that of its own bytes, and those of the other encodings that verify.
//!
//! If (r, s) is a signature by ECDSA, so is (r, n - s), with n the order of the curve. Anybody can write a
//! certificate with the other one. A device that is looked up by its fingerprint would be another device then.

use super::{Certificate, cert::Fingerprint, sha256, tbs::assemble};
use crypto_bigint::BoxedUint;
use der::{
    Decode, Encode, Reader, SliceReader,
    asn1::{AnyRef, BitStringRef, UintRef},
};
use std::sync::LazyLock;

/// Bits of the largest order, that of P-521, in whole words of 64.
const BITS: u32 = 576;

/// The orders of the base points of P-256, P-384 and P-521 (NIST SP 800-186, section 3.2.1). A certificate
/// does not name its issuer's curve.
const ORDERS: [&str; 3] = [
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
];

static NUMBERS: LazyLock<Vec<BoxedUint>> = LazyLock::new(|| {
    let bytes = ORDERS.iter().filter_map(|order| base16ct::lower::decode_vec(order).ok());
    bytes.filter_map(|bytes| BoxedUint::from_be_slice(&bytes, BITS).ok()).collect()
});

#[derive(der::Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

impl Certificate {
    /// Returns its fingerprint, then those of the encodings with another signature that verifies as well.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        let others = NUMBERS.iter().filter_map(|order| with_other(self.der(), order));
        let others = others.map(|der| Fingerprint(sha256(&der)));
        std::iter::once(self.fingerprint()).chain(others).collect()
    }
}

/// Returns a certificate with (r, n - s) in place of (r, s); none if its signature is not by ECDSA.
fn with_other(certificate: &[u8], order: &BoxedUint) -> Option<Vec<u8>> {
    let mut outer = SliceReader::new(certificate).ok()?;
    let inner: AnyRef<'_> = outer.decode().ok()?;
    let mut reader = SliceReader::new(inner.value()).ok()?;
    let signed = [reader.tlv_bytes().ok()?, reader.tlv_bytes().ok()?];
    let signature: BitStringRef<'_> = reader.decode().ok()?;
    let pair = EcdsaSignature::from_der(signature.as_bytes()?).ok()?;
    let s = BoxedUint::from_be_slice(pair.s.as_bytes(), BITS).ok().filter(|s| s < order)?;
    let other = order.wrapping_sub(&s).to_be_bytes_trimmed_vartime();
    let pair = EcdsaSignature { r: pair.r, s: UintRef::new(&other).ok()? }.to_der().ok()?;
    let [tbs, algorithm] = signed;
    assemble(tbs, algorithm, &pair).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        pki::{Csr, CsrBuilder, PrivateKey},
        types::KeyKind,
    };

    /// A CSR has the outer form of a certificate.
    #[test]
    fn the_other_signature_verifies_for_the_order_of_its_curve() {
        for (at, kind) in [KeyKind::P256, KeyKind::P384, KeyKind::P521].into_iter().enumerate() {
            let key = PrivateKey::generate(kind).unwrap();
            for _ in 0..8 {
                let csr = CsrBuilder::new().subject("CN=a").unwrap().build(&key).unwrap();
                let other = with_other(&csr, &NUMBERS[at]).unwrap();
                assert_ne!(other, csr);
                Csr::verify(&other).unwrap();
                assert_eq!(with_other(&other, &NUMBERS[at]).unwrap(), csr);
            }
        }
        let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
        let csr = CsrBuilder::new().subject("CN=a").unwrap().build(&key).unwrap();
        assert!(NUMBERS.iter().all(|order| with_other(&csr, order).is_none()));
    }
}
