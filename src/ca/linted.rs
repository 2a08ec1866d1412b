//! The linter before each signature (docs/design/lint.md): once before the record is written, and once
//! more before the key signs a record of an earlier request.

use super::{Ca, Error};
use crate::{
    lint::{
        self, CertificateRole, ExpectedCertificate, ExpectedIssuer, LintFindings, LintedTbs,
        ProfileLimits,
    },
    store::{self, Intent},
    telemetry::audit::{Event, Name},
    types::{Serial, Time},
};
use std::sync::Arc;

impl Ca {
    /// Checks what will be recorded.
    ///
    /// # Errors
    /// [`Error::Lint`], after an event that names rules and fields; [`Error::Store`] if that cannot be
    /// recorded.
    pub(super) async fn lint(
        &self,
        intent: &Intent,
        limits: &ProfileLimits,
        now: Time,
    ) -> Result<LintedTbs, Error> {
        match self.checked(intent, Some(limits)) {
            Ok(tbs) => Ok(tbs),
            Err(findings) => {
                let event = self.event(Name::IssuanceStopped, intent, &intent.serial, now);
                self.store.append(with_findings(event, &findings)).await?;
                Err(Error::Lint(findings))
            }
        }
    }

    /// Checks what was recorded for an earlier request. Its profile may have changed, so only what the
    /// CA and the record say counts.
    ///
    /// # Errors
    /// The findings.
    pub(super) fn lint_record(&self, earlier: &Intent) -> Result<LintedTbs, LintFindings> {
        self.checked(earlier, None)
    }

    fn checked(
        &self,
        intent: &Intent,
        limits: Option<&ProfileLimits>,
    ) -> Result<LintedTbs, LintFindings> {
        let expected = ExpectedCertificate {
            issuer: ExpectedIssuer {
                name: self.issuing.subject().der(),
                key_identifier: &self.key_identifier,
                signature_algorithm: self.signature_algorithm,
                not_before: self.issuing.not_before(),
                not_after: self.issuing.not_after(),
            },
            serial: &intent.serial,
            spki_sha256: &intent.spki_sha256,
            role: CertificateRole::EndEntity(limits),
        };
        lint::certificate(Arc::clone(&intent.tbs), &expected)
    }

    /// Voids a recorded issuance whose bytes have findings. Returns the error for its request: a retry
    /// is a new issuance.
    ///
    /// # Errors
    /// [`Error::Store`], also if another node ended it.
    pub(super) async fn void(
        &self,
        serial: &Serial,
        event: Event,
        findings: &LintFindings,
    ) -> Result<Error, Error> {
        let reason = "its recorded bytes break rules of the linter";
        let event = with_findings(event.with("reason", reason), findings);
        self.store.void(serial, event).await?;
        let state = store::State::Void;
        Ok(Error::Store(store::Error::WrongState { serial: serial.clone(), state }))
    }
}

/// Names the rules and the fields: the first rule at the first field, and so on.
fn with_findings(event: Event, findings: &LintFindings) -> Event {
    event.with("lint_rules", findings.rules()).with("lint_fields", findings.fields())
}
