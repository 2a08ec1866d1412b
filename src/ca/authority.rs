//! Issuance: record the intent, sign, record the certificate, return it.

use super::{
    CaCertificates, Content, Error,
    serial::{self, Sequence},
    signer::Signer,
};
use crate::{
    entropy::Entropy,
    failpoint::failpoint,
    lint::LintedTbs,
    pki::{
        Certificate, algorithm,
        cmc::{SignedAttributes, signed},
        cms,
        extension::Extension,
        sha256, tbs,
        tbs::ToBeSigned,
    },
    store::{self, Begun, Conditions, IdempotencyKey, Intent, Issuance, Store},
    telemetry::audit::{Event, Name},
    types::{
        Actor, CaName, DeviceId, Label, Operation, RenewalPoint, RequestId, Serial, Time, TokenId,
    },
};
use std::{net::IpAddr, sync::Arc, time::Duration};

/// A CA that issues: its certificates, its key, and the store that records its issuances.
pub struct Ca {
    pub(super) name: CaName,
    root: Certificate,
    pub(super) issuing: Certificate,
    pub(super) key_identifier: Vec<u8>,
    signer: Arc<dyn Signer>,
    pub(super) signature_algorithm: &'static [u8],
    pub(super) store: Arc<dyn Store>,
    entropy: Arc<dyn Entropy>,
    sequence: Arc<Sequence>,
}

/// A decision to issue: the certificate's content, its client and the reason.
#[derive(Clone, Debug)]
pub struct Order {
    /// The content of the certificate.
    pub content: Content,
    /// Equal keys make a later order a retry of this one.
    pub idempotency_key: IdempotencyKey,
    /// Time in which a retry returns the certificate of the first order.
    pub retry_window: Duration,
    /// The part of the certificate's lifetime after which its renewal is due (D-39).
    pub due: RenewalPoint,
    /// The label of the request.
    pub label: Option<Label>,
    /// The operation; none if the server issues its own certificate.
    pub operation: Option<Operation>,
    /// The authenticated requester.
    pub actor: Actor,
    /// The certificate that it renews or rekeys.
    pub predecessor: Option<Serial>,
    /// The request.
    pub request_id: RequestId,
    /// The device.
    pub device: OrderedDevice,
    /// The one-time token that it consumes.
    pub token: Option<TokenId>,
    /// The conditions under which it is recorded. A device to register gets the id of the order's device.
    pub conditions: Conditions,
    /// The proofs of identity that held, in the words of the configuration.
    pub proofs: Vec<String>,
    /// The client's address; none if the server issues its own certificate.
    pub address: Option<IpAddr>,
    /// Further facts for the event, such as adaptations to the client.
    pub facts: Vec<(&'static str, String)>,
}

/// The device that a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderedDevice {
    /// None: the server's own certificate.
    Nothing,
    /// This one.
    Known(DeviceId),
    /// One of which nothing is known: its id is derived from the serial number of the certificate.
    New,
}

/// A certificate that is on record.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The record.
    pub issuance: Arc<Issuance>,
    /// Whether it was issued for an earlier, equal order.
    pub repeated: bool,
}

impl Ca {
    /// Creates a CA. `root` issued `issuing`, whose key `signer` holds.
    ///
    /// # Errors
    /// [`Error::Encoding`] if a certificate cannot be written again; [`Error::File`] never.
    pub fn new(
        name: CaName,
        root: Certificate,
        issuing: Certificate,
        signer: Arc<dyn Signer>,
        store: Arc<dyn Store>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Error> {
        Ok(Self {
            key_identifier: issuing.subject_key_identifier().unwrap_or_default().to_vec(),
            signature_algorithm: algorithm::signature_identifier(signer.kind()),
            name,
            root,
            issuing,
            signer,
            store,
            entropy,
            sequence: Arc::default(),
        })
    }

    /// Shares the count of serial numbers with other CAs: they issue in a common order.
    #[must_use]
    pub fn with_sequence(self, sequence: Arc<Sequence>) -> Self {
        Self { sequence, ..self }
    }

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(&self) -> &CaName {
        &self.name
    }

    /// The self-signed root: the trust anchor.
    #[must_use]
    pub const fn root(&self) -> &Certificate {
        &self.root
    }

    /// The certificate of the key that signs.
    #[must_use]
    pub const fn issuing(&self) -> &Certificate {
        &self.issuing
    }

    /// Both certificates, by name.
    #[must_use]
    pub fn certificates(&self) -> CaCertificates {
        CaCertificates {
            name: self.name.clone(),
            root: self.root.clone(),
            issuing: self.issuing.clone(),
        }
    }

    /// Writes root and issuing CA as certs-only CMS, DER: the answer of `/cacerts` (RFC 7030 §4.1.3).
    /// `server_root` is the root that the server's own certificate ends in; it is added unless it is
    /// this CA's (D-38).
    ///
    /// # Errors
    /// [`Error::Encoding`] if a certificate cannot be written again.
    pub fn cacerts(&self, server_root: Option<&Certificate>) -> Result<Vec<u8>, Error> {
        let foreign = server_root.filter(|root| root.der() != self.root.der());
        let own = [self.root.der(), self.issuing.der()];
        Ok(cms::certs_only(own.into_iter().chain(foreign.map(Certificate::der)))?)
    }

    /// Issues a certificate, or returns the certificate issued for an earlier, equal order.
    ///
    /// The TBSCertificate is durable before it is signed, the certificate on return. If the process
    /// dies in between, the record stays open. The next equal order then signs its TBSCertificate
    /// (docs/design/issuance.md).
    ///
    /// Validity is inclusive of its last second (RFC 5280 §4.1.2.5) and ends with the CA's.
    ///
    /// # Errors
    /// - Before signing: [`Error::WeakKey`], [`Error::NotValid`], [`Error::Entropy`], [`Error::Lint`],
    ///   [`Error::Store`].
    /// - [`Error::Signer`], which leaves the record open.
    /// - After signing: [`Error::Store`]. The certificate may be on record but is not returned.
    pub async fn issue(&self, mut order: Order, now: Time) -> Result<Issued, Error> {
        order.content.check_key().await?;
        let (facts, limits) = (order.facts.clone(), Arc::clone(&order.content.limits));
        let conditions = order.conditions.clone();
        let intent = self.intent(order, now)?;
        let conditions = conditions_for(&intent, conditions);
        let (serial, tbs) = (intent.serial.clone(), self.lint(&intent, &limits, now).await?);
        failpoint!("issue: before the record");
        let event = |name, serial: &Serial| self.event(name, &intent, serial, now);
        let begun = self.store.begin(intent.clone(), conditions).await?;
        let (serial, tbs, repeated) = match begun {
            Begun::New => (serial, tbs, false),
            Begun::Open(earlier) if earlier.intent.ca == self.name => {
                let earlier = &earlier.intent;
                match self.lint_record(earlier) {
                    Ok(tbs) => (earlier.serial.clone(), tbs, true),
                    Err(findings) => {
                        let event = event(Name::IssuanceVoided, &earlier.serial);
                        return Err(self.void(&earlier.serial, event, &findings).await?);
                    }
                }
            }
            Begun::Open(earlier) => {
                // The label's CA was changed in between: this CA cannot finish an issuance of the
                // other.
                let event = event(Name::IssuanceVoided, &earlier.intent.serial)
                    .with("reason", "its label has another CA now");
                self.store.void(&earlier.intent.serial, event).await?;
                return Err(Error::Store(store::Error::WrongState {
                    serial: earlier.intent.serial.clone(),
                    state: store::State::Void,
                }));
            }
            Begun::Complete(issuance) => return Ok(Issued { issuance, repeated: true }),
            Begun::Unmet(unmet) => return Err(Error::Unmet(unmet)),
        };
        let event = event(Name::CertificateIssued, &serial).with_all(facts);
        let issuance = self.fulfill(&serial, &tbs, event).await?;
        Ok(Issued { issuance, repeated })
    }

    /// Returns the certificate of an earlier order with this idempotency key, within its retry window. Signs
    /// it if that is still open. None without such an order: issues nothing new.
    ///
    /// # Errors
    /// As [`Ca::issue`].
    pub async fn answer_again(
        &self,
        key: &IdempotencyKey,
        now: Time,
    ) -> Result<Option<Issued>, Error> {
        let Some(mut first) = self.store.first_answer(key, now).await? else { return Ok(None) };
        if first.state == store::State::Open {
            self.finish(&first.intent, now).await?;
            let serial = &first.intent.serial;
            let ended = self.store.find(serial).await?;
            first = ended.ok_or_else(|| store::Error::NoSuchIssuance(serial.clone()))?;
        }
        let issued = first.state == store::State::Issued;
        Ok(issued.then_some(Issued { issuance: first, repeated: true }))
    }

    /// Returns the issuance of an earlier order with this idempotency key, within its retry window.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn first_answer(
        &self,
        key: &IdempotencyKey,
        now: Time,
    ) -> Result<Option<Arc<Issuance>>, Error> {
        Ok(self.store.first_answer(key, now).await?)
    }

    /// Signs a recorded open issuance, and adds the certificate.
    pub(super) async fn fulfill(
        &self,
        serial: &Serial,
        tbs: &LintedTbs,
        event: Event,
    ) -> Result<Arc<Issuance>, Error> {
        failpoint!("issue: recorded");
        let certificate = self.sign(tbs, serial).await?;
        failpoint!("issue: signed");
        let issuance = self.store.complete(serial, certificate, event).await?;
        failpoint!("issue: completed");
        Ok(issuance)
    }

    /// Finishes an open issuance whose request has ended without it: signs the recorded
    /// TBSCertificate, or voids the issuance if the linter finds an error in it. Changes nothing if
    /// another node ended it. Returns its state.
    ///
    /// # Errors
    /// [`Error::NotValid`] if this CA cannot vouch for it any more; [`Error::Signer`], also for
    /// the record of another CA, whose name is in it; [`Error::Store`].
    pub async fn finish(&self, open: &Intent, now: Time) -> Result<store::State, Error> {
        if open.ca != self.name {
            return Err(Error::Signer {
                ca: self.name.clone(),
                reason: format!("got a record of CA {}; expected: its own", open.ca),
                open: Some(open.serial.clone()),
            });
        }
        self.validity_at(now)?;
        let tbs = match self.lint_record(open) {
            Ok(tbs) => tbs,
            Err(findings) => {
                let event = self.event(Name::IssuanceVoided, open, &open.serial, now);
                return match self.void(&open.serial, event, &findings).await {
                    Ok(_) => Ok(store::State::Void),
                    Err(Error::Store(store::Error::WrongState { state, .. })) => Ok(state),
                    Err(error) => Err(error),
                };
            }
        };
        let certificate = self.sign(&tbs, &open.serial).await?;
        failpoint!("finish: signed");
        let event = self
            .event(Name::CertificateIssued, open, &open.serial, now)
            .with("finished", "its request had ended without an answer");
        let completed = self.store.complete(&open.serial, certificate, event).await;
        failpoint!("finish: completed");
        match completed {
            Ok(issued) => Ok(issued.state),
            Err(store::Error::WrongState { state, .. }) => Ok(state),
            Err(error) => Err(error.into()),
        }
    }

    /// Signs a Full PKI Response (RFC 5272 §4.2) with the CA's key: clients that trust the
    /// CA can verify it. The signature fits no certificate ([`SignedAttributes`]). The answer has no signature while the key cannot be used.
    ///
    /// # Errors
    /// [`Error::Encoding`].
    pub async fn answer(
        &self,
        response: &[u8],
        certificates: &[&[u8]],
        now: Time,
    ) -> Result<Vec<u8>, Error> {
        let attributes = SignedAttributes::of_response(response, self.signer.kind(), now)?;
        let Ok(signature) = self.signer.sign_attributes(&attributes).await else {
            return Ok(signed::full_pki_response(response, certificates, None)?);
        };
        let answering = signed::Answering {
            key_identifier: &self.key_identifier,
            kind: self.signer.kind(),
            attributes: &attributes,
            signature: &signature,
        };
        let bag: Vec<&[u8]> = certificates.iter().copied().chain([self.issuing.der()]).collect();
        Ok(signed::full_pki_response(response, &bag, Some(answering))?)
    }

    /// Fills a buffer with random bytes from the source of the serial numbers.
    ///
    /// # Errors
    /// [`Error::Entropy`].
    pub fn fill(&self, bytes: &mut [u8]) -> Result<(), Error> {
        Ok(self.entropy.fill(bytes)?)
    }

    async fn sign(&self, tbs: &LintedTbs, serial: &Serial) -> Result<Vec<u8>, Error> {
        let signature = self.signer.sign(tbs).await.map_err(|error| Error::Signer {
            ca: self.name.clone(),
            reason: error.to_string(),
            open: Some(serial.clone()),
        })?;
        Ok(tbs::assemble(tbs.der(), self.signature_algorithm, &signature)?)
    }

    /// Returns the validity period of the CA's certificate, if it contains `now`.
    fn validity_at(&self, now: Time) -> Result<(Time, Time), Error> {
        let (not_before, not_after) = (self.issuing.not_before(), self.issuing.not_after());
        if now < not_before || now >= not_after {
            return Err(Error::NotValid { ca: self.name.clone(), not_before, not_after });
        }
        Ok((not_before, not_after))
    }

    pub(super) fn event(&self, name: Name, intent: &Intent, serial: &Serial, now: Time) -> Event {
        Event::new(now, name, intent.actor.clone())
            .request(intent.request_id.clone())
            .with("serial", serial)
            .with("subject", &intent.subject)
            .with("ca", &self.name)
            .with("profile", &intent.profile)
            .with_some("label", intent.label.as_ref())
            .with_some("operation", intent.operation)
            .with_some("predecessor", intent.predecessor.as_ref())
            .with_some("device", intent.device.as_ref())
            .with_some("token", intent.token.map(|token| token.short()))
    }

    /// Shows the certificate that [`Ca::issue`] would issue: all but its serial number, which is 1, and its
    /// signature, which is empty. Records and signs nothing, and counts no serial number.
    ///
    /// # Errors
    /// [`Error::WeakKey`], [`Error::NotValid`], [`Error::Encoding`].
    pub async fn preview(&self, mut order: Order, now: Time) -> Result<Vec<u8>, Error> {
        order.content.check_key().await?;
        let validity = self.validity_at(now)?;
        let intent = self.intent_with(Serial::placeholder(), validity, order, now)?;
        Ok(tbs::assemble(&intent.tbs, self.signature_algorithm, &[])?)
    }

    pub(super) fn intent(&self, order: Order, now: Time) -> Result<Intent, Error> {
        let validity = self.validity_at(now)?;
        let serial = serial::make(now, &self.sequence, &*self.entropy)?;
        self.intent_with(serial, validity, order, now)
    }

    fn intent_with(
        &self,
        serial: Serial,
        (begins, ends): (Time, Time),
        order: Order,
        now: Time,
    ) -> Result<Intent, Error> {
        let content = order.content;
        let not_before = now.minus(content.backdate).max(begins);
        let not_after = now.plus(content.validity).minus(Duration::from_secs(1)).min(ends);
        let mut extensions = vec![
            Extension::authority_key_identifier(&self.key_identifier)?,
            Extension::subject_key_identifier(&content.key.identifier())?,
            Extension::key_usage(content.key_usage)?,
        ];
        if !content.extended_key_usage.is_empty() {
            extensions.push(Extension::extended_key_usage(&content.extended_key_usage)?);
        }
        if let Some(san) = &content.san {
            extensions.push(Extension::subject_alt_name(san.der(), content.subject.is_empty())?);
        }
        let tbs = ToBeSigned {
            serial: &serial,
            signature_algorithm: self.signature_algorithm,
            issuer: self.issuing.subject().der(),
            not_before,
            not_after,
            subject: content.subject.der(),
            spki: content.key.spki(),
            extensions,
        }
        .to_der()?;
        let device = match order.device {
            OrderedDevice::Nothing => None,
            OrderedDevice::Known(id) => Some(id),
            OrderedDevice::New => {
                Some(DeviceId::derived(order.label.as_ref(), &sha256(serial.as_bytes())))
            }
        };
        // A renewal that is due is a new request, even if its bytes are those of the last one.
        let due = order.due.due(not_before, not_after);
        Ok(Intent {
            serial,
            idempotency_key: order.idempotency_key,
            retry_until: now.plus(order.retry_window).min(due),
            tbs: tbs.into(),
            ca: self.name.clone(),
            profile: content.profile,
            label: order.label,
            operation: order.operation,
            subject: content.subject.to_string(),
            san: content.san.map(|san| san.texts()).unwrap_or_default(),
            spki_sha256: content.key.spki_sha256(),
            not_before,
            not_after,
            actor: order.actor,
            predecessor: order.predecessor,
            request_id: order.request_id,
            begun: now,
            device,
            token: order.token,
            proofs: order.proofs,
            address: order.address,
            ca_generation: None,
            crl_partition: None,
        })
    }
}

/// The conditions of this intent: a device to register is the intent's.
pub(super) fn conditions_for(intent: &Intent, conditions: Conditions) -> Conditions {
    let register = conditions.register.zip(intent.device.clone());
    let register = register.map(|(device, id)| store::Device { id, ..device });
    Conditions { register, ..conditions }
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ca").field("name", &self.name).finish_non_exhaustive()
    }
}
