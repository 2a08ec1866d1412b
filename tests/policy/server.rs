//! The registration authority and its CAs, without a transport. Each request meets a store of its own with
//! the same records.

use crate::{
    generate::{ACCOUNTS, CERTIFICATES, ISSUED, shown},
    words::*,
};
use argon2::{Argon2, PasswordHasher, password_hash::phc::PasswordHash};
use estd::{
    ca::{
        Ca, Hierarchy, Order, OrderedDevice, Profile,
        signer::{Signer, SoftSigner},
    },
    clock::SetClock,
    config,
    digest::{Algorithm, Challenge, DigestResponse, Target},
    entropy::SystemEntropy,
    pki::{
        Certificate, Csr, CsrBuilder, DistinguishedName, PrivateKey,
        extension::{Extension, KeyUsage},
        tbs::{self, ToBeSigned},
    },
    policy::{LabelRules, Passwords, Scheme},
    ra::{
        self, Authenticator, Authority, Cause, Claim, ClientCertificate, ClientChain, Credentials,
        Door, Error, Inquiry, JudgedChain, Peer, Policy, RevocationStatus, Verdict,
    },
    store::{
        Account, Conditions, Filter, IdempotencyKey, Item, MemoryStore, Password as Stored,
        Revocation, Store,
    },
    telemetry::audit::{Event, Name, NoTrail},
    types::{
        Actor, Binding, KeyKind, Operation, RenewalPoint, RequestId, RevocationReason, Serial,
        Time, Unbound,
    },
};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use zeroize::Zeroizing;

const PASSWORD: &str = "s3cret";
/// When the CAs were generated.
const BEGIN: Time = Time::from_unix(ISSUED - 400 * DAY);

/// A CA and the key that it signs with.
struct IssuingCa {
    root: Certificate,
    issuing: Certificate,
    signer: Arc<dyn Signer>,
}

/// The server's own state, before any request.
pub(crate) struct Server {
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
    cas: BTreeMap<&'static str, IssuingCa>,
    certificates: Vec<Arc<Certificate>>,
    keys: Vec<PrivateKey>,
    new_key: PrivateKey,
    items: Vec<Item>,
}

/// The rules of label `here`, as the server reads them.
pub(crate) struct Label {
    rules: LabelRules,
    profile: Arc<Profile>,
    passwords: Passwords,
}

/// The server's answer.
pub(crate) struct Answer {
    /// The certificate; or status and code of the rejection.
    pub outcome: Result<Certificate, (u16, String)>,
    /// Whether the client is asked for a password.
    pub challenged: bool,
    /// The certificates that it added to the store.
    pub records: usize,
    /// The same by `explain`, which issues nothing.
    pub explained: Result<Certificate, (u16, String)>,
}

/// A protocol that has nothing to say about a request.
struct Silent;

impl Door for Silent {
    fn facts(&self, _: Cause<'_>) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

fn settings(text: &str, folder: &Path) -> config::Settings {
    config::parse(text, &folder.join("est.toml"), &|_| None)
        .unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn event(name: Name) -> Event {
    Event::new(Time::from_unix(ISSUED), name, Actor::server())
}

/// A DER element of at most 255 bytes.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    let header = if length < 128 { vec![tag, length] } else { vec![tag, 0x81, length] };
    [header, content.to_vec()].concat()
}

/// GeneralNames.
pub(crate) fn san_der(entries: &[String]) -> Vec<u8> {
    let entry = |one: &String| {
        let (kind, value) = one.split_once(':').unwrap();
        match kind {
            "email" => tlv(0x81, value.as_bytes()),
            "dns" => tlv(0x82, value.as_bytes()),
            "uri" => tlv(0x86, value.as_bytes()),
            _ => tlv(0x87, &value.parse::<std::net::Ipv4Addr>().unwrap().to_bits().to_be_bytes()),
        }
    };
    tlv(0x30, &entries.iter().flat_map(entry).collect::<Vec<_>>())
}

/// A Name. RFC 4514 begins with the last attribute.
pub(crate) fn subject_der(attributes: &[String]) -> Vec<u8> {
    let attribute = |one: &String| {
        let (kind, value) = one.split_once(':').unwrap();
        // UTF8String; serialNumber is a PrintableString.
        let (last, tag) = match kind {
            "CN" => (3, 12),
            "serialNumber" => (5, 19),
            "O" => (10, 12),
            "OU" => (11, 12),
            other => panic!("{other}"),
        };
        let pair = [tlv(6, &[0x55, 4, last]), tlv(tag, value.as_bytes())].concat();
        tlv(0x31, &tlv(0x30, &pair))
    };
    tlv(0x30, &attributes.iter().rev().flat_map(attribute).collect::<Vec<_>>())
}

fn csr(names: &Names, key: &PrivateKey) -> Vec<u8> {
    // Byte for byte, also names that no text is parsed to.
    let like = certify(("CN=anybody", key), names, (0, 1), key, 0);
    CsrBuilder::new().like_certificate(&like).unwrap().build(key).unwrap()
}

/// A certificate by somebody else, DER. `validity`: from, to.
fn certify(
    issuer: (&str, &PrivateKey),
    names: &Names,
    validity: (u64, u64),
    key: &PrivateKey,
    serial: u8,
) -> Vec<u8> {
    let usage = Extension::key_usage(KeyUsage::DIGITAL_SIGNATURE).unwrap();
    let empty = names.subject.is_empty();
    let san = (!names.san.is_empty())
        .then(|| Extension::subject_alt_name(&san_der(&names.san), empty).unwrap());
    let algorithm = issuer.1.signature_algorithm_der();
    let tbs = ToBeSigned {
        serial: &Serial::parse(&[serial + 1]).unwrap(),
        signature_algorithm: algorithm,
        issuer: DistinguishedName::from_text(issuer.0).unwrap().der(),
        not_before: Time::from_unix(validity.0),
        not_after: Time::from_unix(validity.1),
        subject: &subject_der(&names.subject),
        spki: &key.public_key_spki_der().unwrap(),
        extensions: std::iter::once(usage).chain(san).collect(),
    }
    .to_der()
    .unwrap();
    let (signature, _) = issuer.1.sign(&tbs).unwrap();
    tbs::assemble(&tbs, algorithm, &signature).unwrap()
}

impl IssuingCa {
    fn over(&self, name: &str, store: &Arc<dyn Store>) -> Arc<Ca> {
        let ca = Ca::new(
            name.parse().unwrap(),
            self.root.clone(),
            self.issuing.clone(),
            Arc::clone(&self.signer),
            Arc::clone(store),
            Arc::new(SystemEntropy::new()),
        );
        Arc::new(ca.unwrap())
    }
}

impl Server {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let maker = PrivateKey::generate(KeyKind::P256).unwrap();
        let text = "version = 1\n[store]\nbackend = \"memory\"\n[ca.default]\n\
            [ca.other]\nroot_subject = \"CN=other root\"\nissuing_subject = \"CN=other CA\"\n\
            [profile.ra]\nextended_key_usage = [\"clientAuth\", \"cmcRA\"]\n";
        let settings = settings(text, folder.path());
        let mut cas = BTreeMap::new();
        for name in ["default", "other"] {
            let ca = name.parse().unwrap();
            let rules = &settings.boot.cas[&ca];
            let entropy = SystemEntropy::new();
            let made = Hierarchy::open_or_make(folder.path(), &ca, rules, None, &entropy, BEGIN);
            let Hierarchy { root, issuing, key } = made.unwrap().0;
            cas.insert(name, IssuingCa { root, issuing, signer: Arc::new(SoftSigner::new(key)) });
        }
        for file in ["acme.pem", "bolt.pem"] {
            std::fs::write(folder.path().join(file), cas["other"].root.to_pem()).unwrap();
        }
        let keys: Vec<_> =
            CERTIFICATES.iter().map(|_| PrivateKey::generate(KeyKind::P256).unwrap()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let [kept, lost] =
            [(); 2].map(|()| Arc::new(MemoryStore::new(Arc::new(NoTrail))) as Arc<dyn Store>);
        let mut certificates = Vec::new();
        for (place, key) in keys.iter().enumerate() {
            let shown = shown(place);
            let Issuer::Ours { ca, label, record, ra } = shown.by else {
                let serial = u8::try_from(place).unwrap();
                let validity = (shown.not_before, shown.not_after);
                let der = certify(("CN=Maker", &maker), &shown.names, validity, key, serial);
                certificates.push(Arc::new(Certificate::parse(&der).unwrap()));
                continue;
            };
            let name = if ra == 0 { "device" } else { "ra" }.parse().unwrap();
            let profile = settings.live.policies.profiles[&name].clone();
            let profile = Profile::new(name, profile, &[]);
            let content = profile.content(&Csr::verify(&csr(&shown.names, key)).unwrap()).unwrap();
            let store = if record == Record::Missing { &lost } else { &kept };
            let order = Order {
                content,
                idempotency_key: IdempotencyKey([u8::try_from(place).unwrap(); 32]),
                retry_window: Duration::ZERO,
                due: RenewalPoint::DEFAULT,
                label: Some(label.parse().unwrap()),
                operation: Some(Operation::SimpleEnroll),
                actor: Actor::server(),
                predecessor: None,
                request_id: RequestId::new([0; 8]),
                device: OrderedDevice::Nothing,
                token: None,
                conditions: Conditions::default(),
                proofs: Vec::new(),
                address: None,
                facts: Vec::new(),
            };
            let now = Time::from_unix(ISSUED);
            let issued = runtime.block_on(cas[ca].over(ca, store).issue(order, now)).unwrap();
            let serial = &issued.issuance.intent.serial;
            if record == Record::Revoked {
                let revocation = Revocation { at: now, reason: RevocationReason::KeyCompromise };
                let revoked = store.revoke(serial, revocation, event(Name::CertificateRevoked));
                runtime.block_on(revoked).unwrap();
            }
            let certificate = Certificate::parse(&issued.issuance.certificate).unwrap();
            assert_eq!(
                (shown.not_before, shown.not_after),
                (certificate.not_before().unix(), certificate.not_after().unix())
            );
            certificates.push(Arc::new(certificate));
        }
        let records = runtime.block_on(kept.list(&Filter::default(), None, 100)).unwrap();
        let items = records.into_iter().map(Item::Issuance).chain(ACCOUNTS.map(account)).collect();
        let new_key = PrivateKey::generate(KeyKind::P256).unwrap();
        Self { folder, runtime, cas, certificates, keys, new_key, items }
    }

    /// Reads the configuration with these rules.
    pub(crate) fn label(&self, rules: &Rules) -> Label {
        let first_ra =
            CERTIFICATES.iter().position(|one| matches!(one.0, Issuer::Ours { ra: 1, .. }));
        let spki = self.keys[first_ra.unwrap()].public_key_spki_der().unwrap();
        let pin = base16ct::lower::encode_string(&estd::pki::sha256(&spki));
        let text = rules.toml(&pin, |time| Time::from_unix(time).to_string());
        let settings = settings(&text, self.folder.path());
        let rules = settings.live.policies.labels[&"here".parse().unwrap()].clone();
        let profile = settings.live.policies.profiles[&rules.profile].clone();
        let profile = Arc::new(Profile::new(rules.profile.clone(), profile, &[]));
        Label { rules, profile, passwords: settings.boot.passwords }
    }

    /// The content of a certificate by CA `default`, but serial number, times and key identifier: issuer,
    /// and the extension authorityKeyIdentifier.
    pub(crate) fn issuer(&self) -> &Certificate {
        &self.cas["default"].issuing
    }

    /// The SubjectPublicKeyInfo of a request.
    pub(crate) fn spki(&self, request: &Request) -> Vec<u8> {
        self.key(request).public_key_spki_der().unwrap()
    }

    fn key(&self, request: &Request) -> &PrivateKey {
        let shown = request.shown.as_ref().filter(|_| request.same_key);
        shown.map_or(&self.new_key, |shown| &self.keys[shown.place])
    }

    /// Sends a request.
    pub(crate) fn send(&self, label: &Label, request: &Request) -> Answer {
        self.runtime.block_on(self.answer(label, request))
    }

    async fn answer(&self, label: &Label, request: &Request) -> Answer {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(NoTrail)));
        store.import(self.items.clone()).await.unwrap();
        let now = Time::from_unix(request.at);
        let entropy = Arc::new(SystemEntropy::new());
        let authenticator = Authenticator::new(Arc::clone(&store), entropy, &label.passwords, now);
        let credentials = match request.password {
            Some(password) => Some(credentials(&authenticator, password, now).await),
            None => None,
        };
        let authority = Authority::new(
            Arc::new(authenticator),
            Arc::new(NoTrail),
            Arc::new(SetClock::new(now)),
        );
        let policy = Policy {
            label: Some("here".parse().unwrap()),
            ca: self.cas["default"].over("default", &store),
            rules: label.rules.clone(),
            profile: Arc::clone(&label.profile),
        };
        let chain = request.shown.as_ref().map(|shown| {
            let certificate = &self.certificates[shown.place];
            let certificates = vec![certificate.der().to_vec()];
            let (certificate, verdict) = (Some(Arc::clone(certificate)), path(shown, request.at));
            let outcome = Arc::new(ClientCertificate { certificate, verdict });
            Arc::new(JudgedChain { certificates, outcome }) as Arc<dyn ClientChain>
        });
        let peer = Peer {
            address: ([127, 0, 0, 1], 1).into(),
            cipher_bits: 256,
            chain,
            binding: Binding::None(Unbound::NotWanted),
            spent: Arc::default(),
        };
        let operation =
            if request.reenroll { Operation::SimpleReenroll } else { Operation::SimpleEnroll };
        let (id, der) = (RequestId::new([1; 8]), csr(&request.names, self.key(request)));
        let before = store.list(&Filter::default(), None, 100).await.unwrap().len();
        let mut call = authority.call(&peer, &id, &Silent, credentials.is_some());
        call.is_for(operation, &policy);
        let parsed = Csr::verify(&der).map_err(Error::from);
        let claim = request.password.map(|password| Claim {
            user: password.account.to_owned(),
            scheme: Some(scheme(password.scheme)),
            is_wrong: !password.right,
            token: None,
        });
        let inquiry = Inquiry {
            policy: &policy,
            operation,
            peer: &peer,
            claim: claim.as_ref(),
            csr: Some(parsed.as_ref()),
            now,
        };
        let explained = authority.authenticator().explain_request(inquiry).await;
        let explained = match explained.rejection() {
            Some(error) => Err((status(error), error.code().to_string())),
            None => Ok(explained.certificate.unwrap().unwrap()),
        };
        let issued = match call.authenticate(credentials.as_ref()).await {
            Ok(client) => client.enroll(&der, &[]).await,
            Err(rejected) => Err(rejected),
        };
        let records = store.list(&Filter::default(), None, 100).await.unwrap().len() - before;
        let mut challenged = false;
        let outcome = match issued {
            Ok(issued) => Ok(Certificate::parse(&issued.issuance.certificate).unwrap()),
            Err(rejected) => {
                challenged = !rejected.challenges.is_empty();
                Err((status(&rejected.error), rejected.error.code().to_string()))
            }
        };
        Answer { outcome, challenged, records, explained }
    }
}

/// The outcome of path validation, which the server does with the handshake.
fn path(shown: &Shown, at: u64) -> Verdict {
    let status = |record| match record {
        Record::Good => RevocationStatus::Unchecked,
        Record::Revoked => RevocationStatus::Revoked {
            subject: "CN=Maker".to_owned(),
            since: Time::from_unix(ISSUED),
            reason: None,
        },
        Record::Missing => RevocationStatus::NoCrl { issuer: "CN=Maker".to_owned() },
    };
    match shown.by {
        Issuer::Stranger => Verdict::Untrusted("one of an unknown issuer".to_owned()),
        _ if at < shown.not_before => Verdict::NotYet(Time::from_unix(shown.not_before)),
        Issuer::Ours { ca, .. } if at > shown.not_after => Verdict::Expired(ca.parse().unwrap()),
        Issuer::Ours { ca, .. } => Verdict::Ours(ca.parse().unwrap()),
        Issuer::Makers(_) if at > shown.not_after => {
            Verdict::Untrusted("one that expired".to_owned())
        }
        Issuer::Makers(all) => Verdict::Manufacturers(
            all.iter().map(|(name, record)| (name.parse().unwrap(), status(*record))).collect(),
        ),
    }
}

/// An account. Its hash takes little memory and time: the request checks one.
fn account((name, schemes, bound): (&str, &[&str], Option<&str>)) -> Item {
    let password = if schemes.contains(&"password") {
        let params = argon2::Params::new(8, 1, 1, None).unwrap();
        let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let hash: PasswordHash =
            argon2.hash_password_with_salt(PASSWORD.as_bytes(), b"some salt").unwrap();
        Stored::Hash(hash.to_string())
    } else {
        let kinds = ra::Recomputed { md5: true, identity_proof: false };
        Stored::Recomputable(Box::new(ra::recomputable(name, "estd", PASSWORD, kinds).unwrap()))
    };
    Item::Account(Account {
        name: name.to_owned(),
        password,
        added: Time::from_unix(ISSUED),
        expires: None,
        labels: bound.map(|label| vec![label.parse().unwrap()]),
    })
}

fn scheme(proof: &str) -> Scheme {
    match proof {
        "password:digest" => Scheme::Digest,
        "password:digest-md5" => Scheme::DigestMd5,
        _ => Scheme::Basic,
    }
}

async fn credentials(authenticator: &Authenticator, password: Password, now: Time) -> Credentials {
    let user = password.account.to_owned();
    let sent = if password.right { PASSWORD } else { "wrong" };
    let algorithm = match scheme(password.scheme) {
        Scheme::Digest => Algorithm::Sha256,
        Scheme::DigestMd5 => Algorithm::Md5,
        Scheme::Basic | Scheme::Token => {
            return Credentials::Basic { user, password: Zeroizing::new(sent.to_owned()) };
        }
    };
    let fields = authenticator.challenges(&[Scheme::DigestMd5, Scheme::Digest], false, now);
    let fields = fields.await.unwrap();
    let mut challenges = fields.iter().flat_map(|field| Challenge::parse(field));
    let challenge = challenges.find(|one| one.algorithm == algorithm).unwrap();
    let target = Target { method: "POST", uri: "/.well-known/est/here/simpleenroll" };
    let field = challenge.answer(&user, sent, target, 1, "0a4f113b");
    let answer = DigestResponse::parse(&field).unwrap();
    Credentials::Digest { answer: Box::new(answer), method: "POST".to_owned() }
}

/// The status of a rejection over HTTP.
fn status(error: &Error) -> u16 {
    match error {
        Error::Unauthenticated(_) => 401,
        Error::CertificateNeeded(_)
        | Error::Forbidden(_)
        | Error::IdentityChanged(_)
        | Error::TooEarly(..) => 403,
        Error::Unacceptable(_) | Error::Malformed(_) => 400,
        Error::NotYetValid(_) => 503,
        error => panic!("{error}"),
    }
}
