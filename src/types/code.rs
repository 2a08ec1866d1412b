//! Codes of rejections: one table, from which documents and tests are made.

use std::{fmt, str::FromStr};

/// Makes [`Code`] from a table: each code with the rule that it stands for.
macro_rules! codes {
    ($($(#[doc = $rule:literal])+ $code:ident = $text:literal,)+) => {
        /// The stable code of a rejection: the rule that a request breaks.
        ///
        /// Code compares it as a value. Its text is made at the edge: in the answer to the client, the
        /// log and the audit trail.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $rule])+ $code,)+
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// Returns the text of the code, such as `csr.key-size`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $text,)+
                }
            }

            /// Returns the rule in one sentence, for documents.
            #[must_use]
            pub const fn rule(self) -> &'static str {
                match self {
                    $(Self::$code => concat!($($rule),+).trim_ascii(),)+
                }
            }
        }
    };
}

codes! {
    // Authentication.
    /// Basic credentials are base64 of user name, colon, password (RFC 7617 section 2).
    AuthBasicForm = "auth.basic-form",
    /// The client certificate leads to a trust anchor and is valid now (RFC 7030 section 3.3.2).
    AuthCertificate = "auth.certificate",
    /// Digest credentials answer the challenge in its own terms (RFC 7616 section 3.4).
    AuthDigestForm = "auth.digest-form",
    /// The uri of Digest credentials denotes the request target (RFC 7616 section 3.4.6).
    AuthDigestUri = "auth.digest-uri",
    /// Failed logins are rate-limited per account and per address.
    AuthFailures = "auth.failures",
    /// The label requires a password (RFC 7030 section 3.2.3).
    AuthNoPassword = "auth.no-password",
    /// A nonce is answered in time, and each count of it once (RFC 7616 section 3.4).
    AuthNonce = "auth.nonce",
    /// Clients must authenticate before enrolling (RFC 7030 section 4.2).
    AuthNone = "auth.none",
    /// The client certificate is valid now: it becomes valid later (RFC 5280 section 4.1.2.5).
    AuthNotYetValid = "auth.not-yet-valid",
    /// User name and password are those of an enrollment account.
    AuthPassword = "auth.password",
    /// The password is for the realm of the challenge (RFC 7616 section 3.4).
    AuthRealm = "auth.realm",
    /// The password is proved by a scheme that the label offers (RFC 7030 section 3.2.3).
    AuthScheme = "auth.scheme",
    /// A certificate that one of our CAs signed is on record here, unless the CA may accept it for a time.
    AuthUnknownCertificate = "auth.unknown-certificate",
    // Bodies.
    /// The body is base64 with padding (RFC 8951 section 3, RFC 4648 section 4).
    BodyBase64 = "body.base64",
    /// The body is not empty (RFC 8951 section 3).
    BodyEmpty = "body.empty",
    /// The body is base64 without PEM armor, unless the label accepts PEM (RFC 8951 section 3).
    BodyPem = "body.pem",
    // Certificates and CMS that are read.
    /// A certificate is in DER and follows RFC 5280 section 4.1.
    CertificateForm = "certificate.form",
    /// The answer is a certs-only CMS message (RFC 7030 section 4.1.3).
    CmsCertsOnly = "cms.certs-only",
    // What a CSR says.
    /// The CSR has the attributes that the label demands.
    CsrAttributeDemanded = "csr.attribute-demanded",
    /// A CSR has at most one attribute of each type (RFC 2986 section 4.1).
    CsrAttributes = "csr.attributes",
    /// Enrollment issues no CA certificates.
    CsrCa = "csr.ca",
    /// A challenge attribute has one value of 1 to 255 characters (RFC 2985 section 5.4.1, RFC 7894 section 3).
    CsrChallengeForm = "csr.challenge-form",
    /// changeSubjectName has one value with a subject, a subjectAltName, or both (RFC 6402 section 2.8).
    CsrChangeSubjectName = "csr.change-subject-name",
    /// extKeyUsage requests nothing that the profile does not allow.
    CsrExtendedKeyUsage = "csr.extended-key-usage",
    /// The CSR requests the extKeyUsage that the profile demands.
    CsrExtendedKeyUsageDemanded = "csr.extended-key-usage-demanded",
    /// The CSR requests extensions once, each of them once and well-formed (RFC 2985 section 5.4.2).
    CsrExtensions = "csr.extensions",
    /// The body is one PKCS#10 request in DER (RFC 2986 section 4).
    CsrForm = "csr.form",
    /// An elliptic-curve key is on a named curve that this server accepts (RFC 5480 section 2.1.1).
    CsrKeyCurve = "csr.key-curve",
    /// The exponent of an RSA key is odd, at least 65537 and at most 32 bits long.
    CsrKeyExponent = "csr.key-exponent",
    /// The key is a well-formed SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
    CsrKeyForm = "csr.key-form",
    /// The key is of a kind that the profile accepts.
    CsrKeyKind = "csr.key-kind",
    /// The parameters of rsaEncryption are NULL (RFC 3279 section 2.3.1).
    CsrKeyParameters = "csr.key-parameters",
    /// An elliptic-curve key is an uncompressed point on its curve (RFC 5480 section 2.2).
    CsrKeyPoint = "csr.key-point",
    /// An RSA key has a size that this server accepts.
    CsrKeySize = "csr.key-size",
    /// keyUsage fits the kind of the key in the certificate of a device (RFC 5280 section 4.2.1.3).
    CsrKeyUsage = "csr.key-usage",
    /// The CSR requests the keyUsage that the profile demands.
    CsrKeyUsageDemanded = "csr.key-usage-demanded",
    /// The key is not known to be weak.
    CsrKeyWeak = "csr.key-weak",
    /// Subject and subjectAltName together fit in a certificate.
    CsrNamesSize = "csr.names-size",
    /// A certificate has a subject or a subjectAltName (RFC 5280 section 4.1.2.6).
    CsrNoName = "csr.no-name",
    /// The CSR is signed by the key in it (RFC 2986 section 4.2).
    CsrProofOfPossession = "csr.proof-of-possession",
    /// subjectAltName has the entries that the profile demands.
    CsrSanDemanded = "csr.san-demanded",
    /// subjectAltName holds one or more GeneralNames (RFC 5280 section 4.2.1.6).
    CsrSanForm = "csr.san-form",
    /// Each entry of subjectAltName is of an accepted kind and well-formed (RFC 5280 section 4.2.1.6).
    CsrSanValue = "csr.san-value",
    /// The signature's algorithm fits the key and uses an accepted hash (RFC 2986 section 4).
    CsrSignatureAlgorithm = "csr.signature-algorithm",
    /// The CSR is signed with a hash function that the profile accepts.
    CsrSignatureDigest = "csr.signature-digest",
    /// The subject has the attributes that the profile demands.
    CsrSubjectDemanded = "csr.subject-demanded",
    /// The subject is a distinguished name (RFC 5280 section 4.1.2.4).
    CsrSubjectForm = "csr.subject-form",
    /// Values in the subject follow RFC 5280 section 4.1.2.6 and X.520.
    CsrSubjectValue = "csr.subject-value",
    /// The CSR has no attribute that asks for something this server does not do.
    CsrUnsupportedAttribute = "csr.unsupported-attribute",
    /// Each requested extension is one that the profile supports (RFC 5272 section 3.1).
    CsrUnsupportedExtension = "csr.unsupported-extension",
    /// The version of a PKCS#10 request is 0 (RFC 2986 section 4.1).
    CsrVersion = "csr.version",
    /// CSR attributes are a SEQUENCE of OIDs and attributes, with at most one template (RFC 7030 section 4.5.2, RFC 9908 section 3.4).
    CsrattrsForm = "csrattrs.form",
    // Enrollment and re-enrollment.
    /// A client with a certificate and no password gets the names of that certificate only (RFC 6402 section 2.4).
    EnrollNames = "enroll.names",
    /// A certificate of this server authenticates under labels of the CA that issued it.
    LabelCa = "label.ca",
    /// changeSubjectName is allowed here, to this client, for these names (RFC 6402 section 2.8).
    NamesChange = "names.change",
    /// Re-enrollment renews the certificate of this server's CA that is shown in TLS (RFC 7030 section 4.2.2).
    ReenrollCertificate = "reenroll.certificate",
    /// Subject and subjectAltName equal those of the certificate to be renewed (RFC 7030 section 4.2.2).
    ReenrollIdentity = "reenroll.identity",
    /// The label certifies no other key at re-enrollment.
    ReenrollKeyChange = "reenroll.key-change",
    /// The label certifies a key once (noKeyReuse, RFC 5272 section 6.1.4).
    ReenrollKeyReuse = "reenroll.key-reuse",
    // HTTP.
    /// The body is complete and framed as its header says (RFC 9112 section 6).
    HttpBody = "http.body",
    /// The body of a request is bounded.
    HttpBodySize = "http.body-size",
    /// The body arrives in time.
    HttpBodyTime = "http.body-time",
    /// The body has no content coding.
    HttpContentEncoding = "http.content-encoding",
    /// The body is of the type that the operation accepts (RFC 7030 section 3.2.4).
    HttpContentType = "http.content-type",
    /// A request has Content-Length or Transfer-Encoding, not both (RFC 9112 section 6.3).
    HttpFraming = "http.framing",
    /// An HTTP/1.1 request has one Host field (RFC 9112 section 3.2).
    HttpHost = "http.host",
    /// The path accepts the method (RFC 9110 section 15.5.6).
    HttpMethod = "http.method",
    /// The path names a label and an operation that this server offers (RFC 7030 section 3.2.2).
    HttpPath = "http.path",
    /// The body is a Full PKI Request, and says so (RFC 7030 section 4.3.1).
    HttpSmimeType = "http.smime-type",
    // Keys that the server generates.
    /// SMIMECapabilities lists the algorithms to encrypt with, none weaker than the key (RFC 7030 section 4.4.1).
    KeygenCapabilities = "keygen.capabilities",
    /// A key leaves only encrypted to a key of the client (RFC 7030 section 4.4.1).
    KeygenEncryptionRequired = "keygen.encryption-required",
    /// A CSR names one key that decrypts, by an OCTET STRING of 1 to 1024 bytes (RFC 7030 section 4.4.1).
    KeygenIdentifier = "keygen.identifier",
    /// The algorithm of the CSR's key is one for which this server generates keys.
    KeygenKeyKind = "keygen.key-kind",
    /// The key named in the CSR is of a kind that this server encrypts to.
    KeygenRecipientKind = "keygen.recipient-kind",
    /// The key named in the CSR is for key transport or agreement, or for everything (RFC 7030 section 4.4.1.2).
    KeygenRecipientUsage = "keygen.recipient-usage",
    /// The certificate of the key named in the CSR is valid.
    KeygenRecipientValidity = "keygen.recipient-validity",
    /// The session is no less confidential than the key that is sent over it (RFC 7030 section 4.4).
    KeygenSession = "keygen.session",
    /// The key named in the CSR is registered here, or that of the TLS client certificate (RFC 7030 sections 4.4.1.1, 4.4.1.2).
    KeygenUnknownKey = "keygen.unknown-key",
    /// The key named in the CSR is no weaker than the requested key (RFC 7030 section 4.4).
    KeygenWeakKey = "keygen.weak-key",
    // Linking identity and proof-of-possession.
    /// The CSR holds the channel binding of the connection it is sent over (RFC 7030 section 3.5).
    LinkingMismatch = "linking.mismatch",
    /// A CSR with a channel binding is sent over a connection that has one (RFC 7030 section 3.5).
    LinkingNone = "linking.none",
    /// Channel bindings are accepted only where they are verified (RFC 7030 section 3.5).
    LinkingOff = "linking.off",
    /// The CSR holds a channel binding (RFC 7030 section 3.5).
    LinkingRequired = "linking.required",
    /// A connection's channel binding serves one accepted CSR (RFC 9266 section 4.1).
    LinkingSpent = "linking.spent",
    // Names in configuration and on the command line.
    /// A distinguished name is written as in RFC 4514.
    NameForm = "name.form",
    // Not the client's doing.
    /// The server has capacity for the request.
    ServerBusy = "server.busy",
    /// The server has no internal error.
    ServerInternal = "server.internal",
    /// The CA can sign.
    ServerSigner = "server.signer",
    /// The store can record what is issued.
    ServerStore = "server.store",
}

impl Code {
    /// Whether the rule is about the requested key itself, rather than about what it may be used for.
    #[must_use]
    pub const fn is_about_the_key(self) -> bool {
        matches!(
            self,
            Self::CsrKeyCurve
                | Self::CsrKeyExponent
                | Self::CsrKeyForm
                | Self::CsrKeyKind
                | Self::CsrKeyParameters
                | Self::CsrKeyPoint
                | Self::CsrKeySize
                | Self::CsrKeyWeak
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Not the text of a code: a newer server may have others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an unknown code")]
pub struct UnknownCode;

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(UnknownCode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_read_back() {
        let texts: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(code.as_str().parse(), Ok(*code));
            let (group, name) = code.as_str().split_once('.').unwrap();
            let plain =
                |text: &str| text.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'));
            assert!(plain(group) && plain(name), "{code}");
            assert!(code.rule().ends_with('.'), "{code}: its rule is a sentence");
        }
        assert_eq!("csr.key-".parse::<Code>(), Err(UnknownCode));
    }

    #[test]
    fn every_code_about_a_key_is_known_as_one() {
        for code in Code::ALL {
            let text = code.as_str();
            let usage = text.starts_with("csr.key-usage");
            assert_eq!(code.is_about_the_key(), text.starts_with("csr.key-") && !usage, "{code}");
        }
    }
}
