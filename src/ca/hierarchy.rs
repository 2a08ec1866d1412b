//! A root and an issuing CA under it, on disk.
//!
//! The folder of a CA appears whole or not at all: it is created under another name and renamed when
//! its contents are durable. The root's key is not needed to issue and may be moved to a safe place.

use super::{Error, keys::KeyFile, keys::write_private, serial, signer::sign_once};
use crate::{
    durable,
    entropy::Entropy,
    lint::{self, CertificateRole, ExpectedCertificate, ExpectedIssuer},
    pki::{
        Certificate, DistinguishedName, PrivateKey, PublicKey,
        extension::{Extension, KeyUsage},
        oid, pem, sha256, tbs,
        tbs::ToBeSigned,
    },
    policy,
    types::{CaName, Time, file_remedy},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Certificates and key of a CA, as read from its folder.
#[derive(Debug)]
pub struct Hierarchy {
    /// The root's certificate.
    pub root: Certificate,
    /// The issuing CA's certificate.
    pub issuing: Certificate,
    /// The issuing CA's key.
    pub key: PrivateKey,
}

/// The certificates of a CA, without its key.
#[derive(Clone, Debug)]
pub struct CaCertificates {
    /// Its name in the configuration.
    pub name: CaName,
    /// The root's certificate.
    pub root: Certificate,
    /// The issuing CA's certificate.
    pub issuing: Certificate,
}

impl CaCertificates {
    /// Reads them from `folder/NAME`.
    ///
    /// # Errors
    /// [`Error::File`] if one cannot be read.
    pub fn read(folder: &Path, name: &CaName) -> Result<Self, Error> {
        let home = folder.join(name.as_str());
        Ok(Self {
            name: name.clone(),
            root: certificate(&home.join(ROOT))?,
            issuing: certificate(&home.join(ISSUING))?,
        })
    }
}

/// Whether a CA was created or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It is new.
    Now,
    /// It existed.
    Before,
}

const ROOT: &str = "root.pem";
const ROOT_KEY: &str = "root.key";
const ISSUING: &str = "issuing.pem";
const ISSUING_KEY: &str = "issuing.key";

impl Hierarchy {
    /// Opens the CA in `folder/NAME`, or creates it if the folder does not exist.
    ///
    /// # Errors
    /// [`Error::File`] if an existing folder is incomplete, if its parts do not fit together, or if
    /// it cannot be written. Existing files are never changed.
    pub fn open_or_make(
        folder: &Path,
        name: &CaName,
        rules: &policy::CaRules,
        passphrase: Option<&str>,
        entropy: &dyn Entropy,
        now: Time,
    ) -> Result<(Self, Made), Error> {
        let home = folder.join(name.as_str());
        if home.try_exists().map_err(|cause| file(&home, cause))? {
            return Ok((Self::open(&home, passphrase)?, Made::Before));
        }
        Self::make(folder, name, rules, passphrase, entropy, now)?;
        Ok((Self::open(&home, passphrase)?, Made::Now))
    }

    /// Opens the CA in this folder.
    ///
    /// # Errors
    /// [`Error::File`] as [`Hierarchy::open_or_make`].
    pub fn open(home: &Path, passphrase: Option<&str>) -> Result<Self, Error> {
        let root = certificate(&home.join(ROOT))?;
        let issuing = certificate(&home.join(ISSUING))?;
        let path = home.join(ISSUING_KEY);
        let key = KeyFile { path: &path, passphrase }.read()?;
        let unfit = |name: &str, error: &str| {
            Err(Error::File {
                path: home.join(name),
                error: error.to_owned(),
                remedy: "restore the folder from your backup".to_owned(),
            })
        };
        if key.public_key_spki_der().map_err(internal)? != issuing.spki() {
            return unfit(ISSUING_KEY, "this key is not the one in issuing.pem");
        }
        if issuing.issuer().der() != root.subject().der()
            || root.issuer().der() != root.subject().der()
        {
            return unfit(ISSUING, "issuing.pem was not issued by the root in root.pem");
        }
        if issuing.subject_key_identifier().is_none() {
            return unfit(
                ISSUING,
                "a CA certificate has a subjectKeyIdentifier (RFC 5280 section 4.2.1.2)",
            );
        }
        if [&root, &issuing].iter().any(|one| one.has_extension(oid::NAME_CONSTRAINTS)) {
            return unfit(ISSUING, "CA certificates with nameConstraints are not supported");
        }
        Ok(Self { root, issuing, key })
    }

    fn make(
        folder: &Path,
        name: &CaName,
        rules: &policy::CaRules,
        passphrase: Option<&str>,
        entropy: &dyn Entropy,
        now: Time,
    ) -> Result<(), Error> {
        let unfinished = folder.join(format!(".{name}.unfinished"));
        // A killed first start may have left it. It had no name yet, so nothing was issued.
        match fs::remove_dir_all(&unfinished) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                return Err(file(&unfinished, cause));
            }
            _ => durable::create_folder(&unfinished).map_err(|cause| file(&unfinished, cause))?,
        }
        let generate = || {
            PrivateKey::generate(rules.key).map_err(|cause| Error::Signer {
                ca: name.clone(),
                reason: cause.to_string(),
                open: None,
            })
        };
        let (root_key, issuing_key) = (generate()?, generate()?);
        let root_name = subject(&rules.root_subject, name)?;
        let root = CaCertificateTemplate {
            subject: &root_name,
            key: &root_key,
            validity: rules.root_validity,
            path_len: None,
        }
        .sign(None, &root_key, entropy, now)?;
        let issuing = CaCertificateTemplate {
            subject: &subject(&rules.issuing_subject, name)?,
            key: &issuing_key,
            validity: rules.issuing_validity.min(rules.root_validity),
            path_len: Some(0),
        }
        .sign(Some(&root), &root_key, entropy, now)?;

        KeyFile { path: &unfinished.join(ROOT_KEY), passphrase }.create(&root_key)?;
        KeyFile { path: &unfinished.join(ISSUING_KEY), passphrase }.create(&issuing_key)?;
        write_private(&unfinished.join(ROOT), root.to_pem().as_bytes())?;
        write_private(&unfinished.join(ISSUING), issuing.to_pem().as_bytes())?;
        let home = folder.join(name.as_str());
        durable::sync(&unfinished).map_err(|cause| file(&unfinished, cause))?;
        durable::rename(&unfinished, &home).map_err(|cause| file(&home, cause))
    }
}

struct CaCertificateTemplate<'a> {
    subject: &'a DistinguishedName,
    key: &'a PrivateKey,
    validity: Duration,
    path_len: Option<u8>,
}

impl CaCertificateTemplate<'_> {
    /// Signs by `issuer`, or by itself.
    fn sign(
        &self,
        issuer: Option<&Certificate>,
        issuer_key: &PrivateKey,
        entropy: &dyn Entropy,
        now: Time,
    ) -> Result<Certificate, Error> {
        let identifier = |spki: &[u8]| PublicKey::parse(spki).map(|key| key.identifier());
        let spki = self.key.public_key_spki_der().map_err(internal)?;
        let own = identifier(&spki).map_err(internal)?;
        let mut extensions = vec![
            Extension::subject_key_identifier(&own)?,
            Extension::key_usage(KeyUsage::KEY_CERT_SIGN.and(KeyUsage::CRL_SIGN))?,
            Extension::ca(self.path_len)?,
        ];
        let above = issuer.and_then(Certificate::subject_key_identifier);
        if let Some(above) = above {
            extensions.push(Extension::authority_key_identifier(above)?);
        }
        let algorithm = issuer_key.signature_algorithm_der();
        let not_before = now.minus(Duration::from_secs(300));
        let not_after = now.plus(self.validity).minus(Duration::from_secs(1));
        let issuer_name = issuer.map_or_else(|| self.subject.der(), |one| one.subject().der());
        let serial = serial::make(now, &serial::Sequence::default(), entropy)?;
        let tbs = ToBeSigned {
            serial: &serial,
            signature_algorithm: algorithm,
            issuer: issuer_name,
            not_before,
            not_after,
            subject: self.subject.der(),
            spki: &spki,
            extensions,
        }
        .to_der()?;
        let expected = ExpectedCertificate {
            issuer: ExpectedIssuer {
                name: issuer_name,
                key_identifier: above.unwrap_or(&own),
                signature_algorithm: algorithm,
                not_before: issuer.map_or(not_before, Certificate::not_before),
                not_after: issuer.map_or(not_after, Certificate::not_after),
            },
            serial: &serial,
            spki_sha256: &sha256(&spki),
            role: CertificateRole::Ca { path_len: self.path_len, self_signed: issuer.is_none() },
        };
        let tbs = lint::certificate(tbs.into(), &expected).map_err(Error::Lint)?;
        let signature = sign_once(issuer_key, &tbs).map_err(internal)?;
        Certificate::parse(&tbs::assemble(tbs.der(), algorithm, &signature)?).map_err(internal)
    }
}

fn subject(text: &str, name: &CaName) -> Result<DistinguishedName, Error> {
    DistinguishedName::from_text(text)
        .and_then(|subject| subject.check_as_subject().map(|()| subject))
        .map_err(|cause| Error::Signer {
            ca: name.clone(),
            reason: format!("its subject: {cause}"),
            open: None,
        })
}

fn certificate(path: &Path) -> Result<Certificate, Error> {
    let bytes = fs::read(path).map_err(|cause| file(path, cause))?;
    let whole = |error: String| Error::File {
        path: path.to_owned(),
        error,
        remedy: "restore it from your backup".to_owned(),
    };
    let certificates =
        pem::decode_certificates(&bytes).map_err(|error| whole(error.to_string()))?;
    let first = certificates.first().map(Vec::as_slice).unwrap_or_default();
    Certificate::parse(first).map_err(|cause| whole(cause.to_string()))
}

fn file(path: &Path, cause: io::Error) -> Error {
    let remedy = if cause.kind() == io::ErrorKind::NotFound {
        "the folder of this CA is not whole: restore it from your backup; if nothing was ever issued by this CA, move the folder away and start again"
    } else {
        file_remedy(&cause)
    };
    Error::File { path: PathBuf::from(path), error: cause.to_string(), remedy: remedy.to_owned() }
}

fn internal(cause: impl std::fmt::Display) -> Error {
    Error::File {
        path: PathBuf::new(),
        error: cause.to_string(),
        remedy: "this is an error of the program: report it".to_owned(),
    }
}
