//! Certificates that a client confirms to have accepted (confirmCertAcceptance, RFC 5272 §6.14).

use super::{identity::Asker, records::asked_by, stop::Stop};
use crate::{
    est::Service,
    pki::{
        Certificate,
        cmc::{BodyPartId, CmcError, FailInfo},
        signed_data::IssuerAndSerial,
    },
    store::State,
};
use der::Encode;

impl Service {
    /// Checks that the certificates a client confirms are its own (RFC 5272 §6.14).
    pub(super) async fn confirmed(
        &self,
        asker: &Asker<'_>,
        confirms: &[(BodyPartId, IssuerAndSerial<'_>)],
    ) -> Result<Vec<BodyPartId>, Stop> {
        let mut out = Vec::new();
        for (part, id) in confirms {
            let unknown =
                || CmcError::part(FailInfo::BadCertId, *part, "no such certificate of yours");
            let record = self.found(id.serial_number.as_bytes()).await?.ok_or_else(unknown)?;
            let certificate = Certificate::parse(&record.certificate);
            let certificate = certificate.map_err(|_| unknown())?;
            let issuer = id.issuer.to_der().unwrap_or_default();
            let theirs = record.state == State::Issued
                && certificate.issuer().der() == issuer
                && (asker.is_ra || asked_by(&record, &asker.identity));
            if !theirs {
                return Err(unknown().into());
            }
            out.push(*part);
        }
        Ok(out)
    }
}
