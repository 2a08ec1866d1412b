//! Codes of rejections: one table, the source of the reference page and of tests.

use std::{fmt, str::FromStr};

/// Defines [`Code`] by a table: the rule of each code, its text, and what to do.
macro_rules! codes {
    ($($(#[doc = $rule:literal])+ $code:ident = $text:literal => $remedy:literal,)+) => {
        /// The stable code of a rejection: the rule that a request breaks.
        ///
        /// Code compares it as a value. Its text is generated where it is needed: in the answer to
        /// the client, the log and the audit trail.
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

            /// Returns the remedy for a rejection by this rule, for the client or the operator, in
            /// Markdown.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$code => $remedy,)+
                }
            }
        }
    };
}

codes! {
    // Authentication.
    /// HTTP Basic credentials are base64 of user name, colon, password (RFC 7617 section 2).
    AuthBasicForm = "auth.basic-form" =>
        "Send one Authorization field as `curl --user NAME:PASSWORD` does.",
    /// The client certificate leads to a trust anchor and is valid now (RFC 7030 section 3.3.2).
    AuthCertificate = "auth.certificate" =>
        "Show a certificate that this server trusts. Operator: list the anchor of another CA under `[manufacturer.NAME]`.",
    /// Each CA on the path to a manufacturer's anchor has a CRL that is signed by it and not too old (RFC 5280 section 6.3).
    AuthCrl = "auth.crl" =>
        "Try again later with the same certificate. Operator: put the newest CRL of each CA into `crl_files` of `[manufacturer.NAME]`; the log and `estd status` name the file.",
    /// HTTP Digest credentials answer the challenge: qop auth, its algorithm, nc of 8 digits (RFC 7616 section 3.4).
    AuthDigestForm = "auth.digest-form" =>
        "Send one Authorization field as `curl --digest` does.",
    /// The uri of Digest credentials denotes the request target (RFC 7616 section 3.4.6).
    AuthDigestUri = "auth.digest-uri" =>
        "Compute the answer for the target of the request that carries it. A proxy must not rewrite the path.",
    /// Failed logins are rate-limited per account and per address.
    AuthFailures = "auth.failures" =>
        "Try again with the right password after the time in Retry-After. Operator: `[passwords]` has the limits.",
    /// The label requires a password (RFC 7030 section 3.2.3).
    AuthNoPassword = "auth.no-password" =>
        "Send the name and password of an enrollment account. Operator: `estd user add`, or change `accept` of the label.",
    /// A nonce is answered within its lifetime, and each count of it once (RFC 7616 section 3.4).
    AuthNonce = "auth.nonce" =>
        "Answer the new challenge that comes with this rejection.",
    /// Clients must authenticate before enrolling (RFC 7030 section 4.2).
    AuthNone = "auth.none" =>
        "Show a client certificate or send a password, as the label accepts.",
    /// The client certificate is valid already (RFC 5280 section 4.1.2.5).
    AuthNotYetValid = "auth.not-yet-valid" =>
        "Correct the clock of this server or of the client, then try again with the same certificate.",
    /// User name and password are those of an enrollment account.
    AuthPassword = "auth.password" =>
        "Check name and password. Operator: the cause is in the audit event; `estd user list` shows the accounts and their labels.",
    /// The password is for the realm of the challenge (RFC 7616 section 3.4).
    AuthRealm = "auth.realm" =>
        "Use the realm of the challenge. Operator: a changed `realm` needs new Digest accounts.",
    /// No certificate on the path to a manufacturer's anchor is revoked (RFC 5280 section 6.3).
    AuthRevoked = "auth.revoked" =>
        "Replace the device, or ask its manufacturer. Operator: another way to authenticate may remain, such as a password.",
    /// The password is proved by a scheme that the label offers (RFC 7030 section 3.2.3).
    AuthScheme = "auth.scheme" =>
        "Use a scheme of the challenge. Operator: add it to `accept` of the label.",
    /// A one-time token is used once, before its end, under its label, and by its device (RFC 7030 section 6).
    AuthToken = "auth.token" =>
        "Ask the operator for a new token. Operator: `estd token list` shows the end and the use of each; `estd token create` makes another.",
    /// A certificate of this server's CA is on record, unless the CA accepts unknown ones for a time.
    AuthUnknownCertificate = "auth.unknown-certificate" =>
        "Enroll again with a password. Operator: look for a lost record or a misused CA key; `unknown_certificates` of the CA allows renewals for a time.",
    // Bodies.
    /// The body is base64 with padding (RFC 8951 section 3, RFC 4648 section 4).
    BodyBase64 = "body.base64" =>
        "Send standard base64 with padding, such as `base64 request.der` prints.",
    /// The body is not empty (RFC 8951 section 3).
    BodyEmpty = "body.empty" =>
        "Send the request in the body.",
    /// The body is base64 without PEM armor, unless the label accepts PEM (RFC 8951 section 3).
    BodyPem = "body.pem" =>
        "Send base64 without the BEGIN and END lines. Operator: set `pem = true` for the label.",
    // Certificates and CMS that are read.
    /// A certificate is in DER and follows RFC 5280 section 4.1.
    CertificateForm = "certificate.form" =>
        "Issue the certificate again with a CA that follows RFC 5280.",
    /// The answer is a certs-only CMS message (RFC 7030 section 4.1.3).
    CmsCertsOnly = "cms.certs-only" =>
        "Check that the address is that of an EST server; report the answer to its operator.",
    // Contents of a CSR.
    /// The CSR has the attributes that the label demands.
    CsrAttributeDemanded = "csr.attribute-demanded" =>
        "Add the attributes that `/csrattrs` lists. Operator: they are `attributes` under `csrattrs` of the label.",
    /// A CSR has at most one attribute of each type (RFC 2986 section 4.1).
    CsrAttributes = "csr.attributes" =>
        "Write each attribute once.",
    /// Enrollment issues no CA certificates.
    CsrCa = "csr.ca" =>
        "Leave basicConstraints with cA out of the CSR.",
    /// A challenge attribute has one value, a character string of 1 to 255 characters (RFC 2985 section 5.4.1, RFC 7894 section 3).
    CsrChallengeForm = "csr.challenge-form" =>
        "Write one value of 1 to 255 characters into the attribute.",
    /// changeSubjectName has one value with a subject, a subjectAltName, or both (RFC 6402 section 2.8).
    CsrChangeSubjectName = "csr.change-subject-name" =>
        "Write one ChangeSubjectName with the new names.",
    /// extKeyUsage requests nothing that the profile does not allow.
    CsrExtendedKeyUsage = "csr.extended-key-usage" =>
        "Request only usages that the profile lists. Operator: `extended_key_usage` of the profile.",
    /// The CSR requests the extKeyUsage that the profile demands.
    CsrExtendedKeyUsageDemanded = "csr.extended-key-usage-demanded" =>
        "Request the usages that the rejection lists. Operator: `require_extended_key_usage` of the profile.",
    /// The CSR requests extensions once, each of them once and well-formed (RFC 2985 section 5.4.2).
    CsrExtensions = "csr.extensions" =>
        "Put all requested extensions into one extensionRequest attribute, each once.",
    /// The body is one PKCS#10 request in DER (RFC 2986 section 4).
    CsrForm = "csr.form" =>
        "Send a CSR such as `openssl req -new -outform DER` writes, encoded as base64.",
    /// An elliptic-curve key is on a named curve that this server accepts (RFC 5480 section 2.1.1).
    CsrKeyCurve = "csr.key-curve" =>
        "Generate a key on P-256, P-384 or P-521.",
    /// The exponent of an RSA key is odd, at least 65537 and at most 32 bits long.
    CsrKeyExponent = "csr.key-exponent" =>
        "Generate a new RSA key with the exponent 65537.",
    /// The key is a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
    CsrKeyForm = "csr.key-form" =>
        "Generate a new key with a maintained library.",
    /// The key is of a kind that the profile accepts.
    CsrKeyKind = "csr.key-kind" =>
        "Generate a key of a kind that the rejection lists. Operator: `keys` of the profile.",
    /// The parameters of rsaEncryption are NULL (RFC 3279 section 2.3.1).
    CsrKeyParameters = "csr.key-parameters" =>
        "Encode the parameters of rsaEncryption as NULL.",
    /// The key is an uncompressed point on its curve (RFC 5480 section 2.2).
    CsrKeyPoint = "csr.key-point" =>
        "Encode the public key as an uncompressed point.",
    /// An RSA key has a size that this server accepts.
    CsrKeySize = "csr.key-size" =>
        "Generate an RSA key of a size that the rejection lists. Operator: `keys` of the profile.",
    /// keyUsage fits the kind of the key in the certificate of a device (RFC 5280 section 4.2.1.3).
    CsrKeyUsage = "csr.key-usage" =>
        "Request only usages that fit the key, or none.",
    /// The CSR requests the keyUsage that the profile demands.
    CsrKeyUsageDemanded = "csr.key-usage-demanded" =>
        "Request the usage that the rejection lists. Operator: `require_key_usage` of the profile.",
    /// The key is not known to be weak.
    CsrKeyWeak = "csr.key-weak" =>
        "Generate a new key with good randomness and a maintained library; do not use the old one anywhere.",
    /// Subject and subjectAltName together fit in a certificate.
    CsrNamesSize = "csr.names-size" =>
        "Request fewer or shorter names.",
    /// A certificate has a subject or a subjectAltName (RFC 5280 section 4.1.2.6).
    CsrNoName = "csr.no-name" =>
        "Add a subject or a subjectAltName. Operator: `empty_subject` of the profile decides whether a subjectAltName suffices.",
    /// The CSR is signed by the key in it (RFC 2986 section 4.2).
    CsrProofOfPossession = "csr.proof-of-possession" =>
        "Sign the CSR with the private key that belongs to its public key.",
    /// subjectAltName has the entries that the profile demands.
    CsrSanDemanded = "csr.san-demanded" =>
        "Add a name of each kind that the rejection lists. Operator: `require_san` of the profile.",
    /// subjectAltName holds one or more GeneralNames (RFC 5280 section 4.2.1.6).
    CsrSanForm = "csr.san-form" =>
        "Write subjectAltName as one or more GeneralNames, or leave it out.",
    /// Each entry of subjectAltName is of an accepted kind and well-formed (RFC 5280 section 4.2.1.6).
    CsrSanValue = "csr.san-value" =>
        "Correct or remove the entry. Operator: `san` of the profile lists the accepted kinds.",
    /// The signature's algorithm fits the key and uses SHA-256, SHA-384 or SHA-512 (RFC 2986 section 4).
    CsrSignatureAlgorithm = "csr.signature-algorithm" =>
        "Sign the CSR with an algorithm that fits its key, such as ecdsa-with-SHA256.",
    /// The CSR is signed with a hash function that the profile accepts.
    CsrSignatureDigest = "csr.signature-digest" =>
        "Sign the CSR with a hash that the rejection lists. Operator: `digests` of the profile.",
    /// The subject has the attributes that the profile demands.
    CsrSubjectDemanded = "csr.subject-demanded" =>
        "Add the attributes that the rejection lists. Operator: `require_subject` of the profile.",
    /// The subject is a distinguished name (RFC 5280 section 4.1.2.4).
    CsrSubjectForm = "csr.subject-form" =>
        "Write the subject as a distinguished name.",
    /// Values in the subject follow RFC 5280 section 4.1.2.6 and X.520.
    CsrSubjectValue = "csr.subject-value" =>
        "Correct the value that the rejection shows.",
    /// The CSR has no attribute that requests an unsupported function.
    CsrUnsupportedAttribute = "csr.unsupported-attribute" =>
        "Remove the attribute from the CSR.",
    /// Each requested extension is one that the profile supports (RFC 5272 section 3.1).
    CsrUnsupportedExtension = "csr.unsupported-extension" =>
        "Remove the extension from the CSR. Operator: `ignore_extensions` of the profile drops it instead.",
    /// The version of a PKCS#10 request is 0 (RFC 2986 section 4.1).
    CsrVersion = "csr.version" =>
        "Write version 0 (\"v1\") into the CSR.",
    /// CSR attributes are a SEQUENCE of OIDs and attributes, with at most one template (RFC 7030 section 4.5.2, RFC 9908 section 3.4).
    CsrattrsForm = "csrattrs.form" =>
        "Client: report the answer to the server's operator. Operator: correct `attributes` under `csrattrs`.",
    // Devices.
    /// All proofs of a client belong to one device.
    DeviceAmbiguous = "device.ambiguous" =>
        "Use the key, the certificate and the token of one device. Operator: `estd device show` has the identifiers of each; give both to one device.",
    /// A key has certificates of one device only, where the label says so.
    DeviceOwnKey = "device.own-key" =>
        "Generate a new key. Operator: `own_keys` of the label.",
    /// A device enrolls under the labels of its record.
    DeviceLabel = "device.label" =>
        "Use the label that the device is registered for. Operator: `estd device show` has its labels.",
    /// A device has no more valid certificates at once than its quota.
    DeviceQuota = "device.quota" =>
        "Renew a certificate of the device, which takes its place. Operator: revoke one that is not in use, or raise `quota` of the label or the device.",
    /// A device that is blocked or retired neither enrolls nor authenticates.
    DeviceStanding = "device.standing" =>
        "Ask the operator. Operator: `estd device unblock` ends a block.",
    /// Only registered devices enroll, where the label says so.
    DeviceUnregistered = "device.unregistered" =>
        "Ask the operator to register what the rejection shows. Operator: `estd device add`, or `devices` of the label.",
    /// A device enrolls in the time of its record.
    DeviceWindow = "device.window" =>
        "Enroll in the time that the rejection shows. Operator: `estd device show` has the time.",
    // Enrollment and re-enrollment.
    /// A client with a certificate and no password gets the names of that certificate only (RFC 6402 section 2.4).
    EnrollNames = "enroll.names" =>
        "Request the names of the certificate shown, or send a password as well. Operator: `mode` under the label's `names`.",
    /// The CSR's key is not the one that the manufacturer certified (IEEE 802.1AR).
    EnrollIdevidKey = "enroll.idevid-key" =>
        "Generate a new key for the certificate. Operator: `idevid_key` of the label.",
    /// A certificate of this server authenticates under labels of the CA that issued it.
    LabelCa = "label.ca" =>
        "Use the label under which the certificate was issued, or a password.",
    /// The label accepts the client's certificate, as it accepts no other use of it but its renewal.
    LabelCertificate = "label.certificate" =>
        "Renew the certificate, or give another proof. Operator: add `certificate` to `accept` of the label.",
    /// The label accepts certificates of the client's manufacturer.
    LabelManufacturer = "label.manufacturer" =>
        "Use the label that accepts this manufacturer. Operator: add `manufacturer:NAME` to `accept` of the label.",
    /// changeSubjectName is allowed here, to this client, for these names (RFC 6402 section 2.8).
    NamesChange = "names.change" =>
        "Send a CSR without changeSubjectName. Operator: `change_names` of the label.",
    /// The CSR requests the names that the label's rule gives to this client.
    NamesMatch = "names.match" =>
        "Request the names that the rejection lists. Operator: `names` of the label.",
    /// Each proven value that a name is built from is known and fits its place in the name.
    NamesValue = "names.value" =>
        "Prove the value that the rejection names. Operator: change `names` of the label, or the value at its source.",
    /// Re-enrollment renews the certificate shown in TLS, issued by this server (RFC 7030 section 4.2.2).
    ReenrollCertificate = "reenroll.certificate" =>
        "Show the certificate to be renewed in TLS, or use simpleenroll.",
    /// Subject and subjectAltName equal those of the certificate to be renewed (RFC 7030 section 4.2.2).
    ReenrollIdentity = "reenroll.identity" =>
        "Copy subject and subjectAltName of the certificate to be renewed into the CSR; for other names use simpleenroll.",
    /// The label certifies no other key at re-enrollment.
    ReenrollKeyChange = "reenroll.key-change" =>
        "Sign the CSR with the key of the certificate to be renewed. Operator: `key` under the label's `renewal`.",
    /// The label certifies a key once (noKeyReuse, RFC 5272 section 6.1.4).
    ReenrollKeyReuse = "reenroll.key-reuse" =>
        "Generate a new key. Operator: `key` under the label's `renewal`.",
    /// The certificate's renewal window is open.
    RenewalEarly = "renewal.early" =>
        "Send the request again at the time that the rejection names. Operator: `window` under the label's `renewal`.",
    // HTTP.
    /// The body is complete and framed as its header says (RFC 9112 section 6).
    HttpBody = "http.body" =>
        "Send the whole body, as long as Content-Length says.",
    /// The body of a request is bounded.
    HttpBodySize = "http.body-size" =>
        "Send a smaller body. Operator: `max_body` under `[server]`.",
    /// The body arrives in time.
    HttpBodyTime = "http.body-time" =>
        "Send the body without long pauses. Operator: `body_timeout` under `[server]`.",
    /// The body has no content coding.
    HttpContentEncoding = "http.content-encoding" =>
        "Send the body without Content-Encoding.",
    /// The body is of the type that the operation accepts (RFC 7030 section 3.2.4).
    HttpContentType = "http.content-type" =>
        "Send the Content-Type that the rejection names.",
    /// A request has Content-Length or Transfer-Encoding, not both (RFC 9112 section 6.3).
    HttpFraming = "http.framing" =>
        "Send only Content-Length or only Transfer-Encoding. Look for a broken proxy or HTTP library.",
    /// An HTTP/1.1 request has one Host field (RFC 9112 section 3.2).
    HttpHost = "http.host" =>
        "Send exactly one Host field.",
    /// The path accepts the method (RFC 9110 section 15.5.6).
    HttpMethod = "http.method" =>
        "Use a method that the field Allow lists.",
    /// The path names a label and an operation that this server offers (RFC 7030 section 3.2.2).
    HttpPath = "http.path" =>
        "Check label and operation of the URL. Operator: the cause in the audit event names the one that does not exist.",
    /// The body is a Full PKI Request, and says so (RFC 7030 section 4.3.1).
    HttpSmimeType = "http.smime-type" =>
        "Send Content-Type `application/pkcs7-mime; smime-type=CMC-request`.",
    // Keys that the server generates.
    /// SMIMECapabilities lists the algorithms to encrypt with, none weaker than the key (RFC 7030 section 4.4.1).
    KeygenCapabilities = "keygen.capabilities" =>
        "List in SMIMECapabilities an algorithm that the rejection names.",
    /// Under this label a key leaves only encrypted to a key of the client (RFC 7030 section 4.4.1).
    KeygenEncryptionRequired = "keygen.encryption-required" =>
        "Name a key to encrypt to in the CSR. Operator: `serverkeygen = \"on\"` lets keys leave protected by TLS alone.",
    /// A CSR names one key that decrypts, by an OCTET STRING of 1 to 1024 bytes (RFC 7030 section 4.4.1).
    KeygenIdentifier = "keygen.identifier" =>
        "Name exactly one key in the CSR, by an OCTET STRING of 1 to 1024 bytes.",
    /// The algorithm of the CSR's key is one for which this server generates keys.
    KeygenKeyKind = "keygen.key-kind" =>
        "Put a key of a kind that the profile accepts into the CSR: it selects the algorithm.",
    /// The key named in the CSR is of a kind that this server encrypts to.
    KeygenRecipientKind = "keygen.recipient-kind" =>
        "Name an RSA key, or one on a NIST curve, that decrypts.",
    /// The key named in the CSR is for key transport or agreement, or for everything (RFC 7030 section 4.4.1.2).
    KeygenRecipientUsage = "keygen.recipient-usage" =>
        "Name a key whose certificate allows keyEncipherment or keyAgreement.",
    /// The certificate of the key named in the CSR is valid.
    KeygenRecipientValidity = "keygen.recipient-validity" =>
        "Renew the certificate of the key named in the CSR. Operator: replace it in `recipients`.",
    /// The session is no less confidential than the key that is sent over it (RFC 7030 section 4.4).
    KeygenSession = "keygen.session" =>
        "Negotiate a cipher suite with 256-bit keys, or request a weaker kind of key, or have the key encrypted.",
    /// The key named in the CSR is registered here, or that of the certificate shown in TLS (RFC 7030 sections 4.4.1.1, 4.4.1.2).
    KeygenUnknownKey = "keygen.unknown-key" =>
        "Name a registered key. Operator: register it under `[serverkeygen]`.",
    /// The key named in the CSR is no weaker than the requested key (RFC 7030 section 4.4).
    KeygenWeakKey = "keygen.weak-key" =>
        "Name a stronger key to encrypt to, or request a weaker kind of key.",
    // Linking identity and proof-of-possession.
    /// The CSR holds the channel binding of the connection it is sent over (RFC 7030 section 3.5).
    LinkingMismatch = "linking.mismatch" =>
        "Open a new connection and sign a CSR that holds its channel binding.",
    /// A CSR with a channel binding is sent over a connection that has one (RFC 7030 section 3.5).
    LinkingNone = "linking.none" =>
        "Connect with TLS 1.3, or TLS 1.2 with extended_master_secret, over HTTP/1.1.",
    /// Channel bindings are accepted only where they are verified (RFC 7030 section 3.5).
    LinkingOff = "linking.off" =>
        "Send a CSR without challengePassword and estIdentityLinking. Operator: `linking` of the label.",
    /// The CSR holds a channel binding (RFC 7030 section 3.5).
    LinkingRequired = "linking.required" =>
        "Write the channel binding of the connection into challengePassword. Operator: `linking` of the label.",
    /// A connection's channel binding serves one accepted CSR (RFC 9266 section 4.1).
    LinkingSpent = "linking.spent" =>
        "Open a new connection for each CSR with a channel binding.",
    // Names in configuration and on the command line.
    /// A distinguished name is written as in RFC 4514.
    NameForm = "name.form" =>
        "Write the name as in RFC 4514, such as `CN=device-1,O=Example`.",
    // Errors of the server.
    /// The server has capacity for the request.
    ServerBusy = "server.busy" =>
        "Try again after the time in Retry-After.",
    /// The server has no internal error.
    ServerInternal = "server.internal" =>
        "Report the request id to the operator. Operator: find the cause in the audit event with this id.",
    /// The CA can sign.
    ServerSigner = "server.signer" =>
        "Try again later. Operator: check the CA's key and the end of its certificate (`estd ca show`).",
    /// The store can record what is issued.
    ServerStore = "server.store" =>
        "Try again later. Operator: check disk or database; the log names the error.",
}

impl Code {
    /// Returns the rule as a part of a sentence: a rejection has it between code and value.
    pub(super) fn clause(self) -> String {
        let mut clause = self.rule().trim_end_matches('.').to_owned();
        // The first word of "An RSA key", not that of "SMIMECapabilities".
        if clause.chars().nth(1).is_some_and(|second| !second.is_uppercase())
            && let Some(first) = clause.get_mut(..1)
        {
            first.make_ascii_lowercase();
        }
        clause
    }

    /// Whether the rule is about the requested key itself, rather than about its use.
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

/// The error for a text that is not a known code: a newer server may have others.
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

    /// The reference page, generated: `ESTD_BLESS=1 cargo test --lib codes_are_documented` writes it.
    #[test]
    fn codes_are_documented_with_rule_and_remedy() {
        const AREAS: [(&str, &str); 17] = [
            ("auth", "Authentication"),
            ("body", "Bodies"),
            ("certificate", "Certificates that are read"),
            ("cms", "CMS messages that are read"),
            ("csr", "Certificate signing requests"),
            ("csrattrs", "CSR attributes"),
            ("device", "Devices"),
            ("enroll", "Enrollment"),
            ("label", "Labels"),
            ("names", "Rules about names"),
            ("reenroll", "Re-enrollment"),
            ("renewal", "Renewal"),
            ("http", "HTTP"),
            ("keygen", "Keys that the server generates"),
            ("linking", "Channel bindings"),
            ("name", "Names in configuration and on the command line"),
            ("server", "The server"),
        ];
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/rejections.md");
        let mut page = "# Rejections\n\n\
            Each rejection has a stable code: the rule that the request breaks. It begins the answer to the\n\
            client and is the field `rule` of the audit event. `src/types/code.rs` is the source of this page.\n"
            .to_owned();
        let mut area = "";
        for code in Code::ALL {
            let (group, _) = code.as_str().split_once('.').unwrap();
            if group != area {
                let (_, title) = AREAS.iter().find(|(name, _)| *name == group).unwrap();
                page += &format!("\n## {title}\n\n| Code | Rule | What to do |\n|---|---|---|\n");
                area = group;
            }
            assert!(code.remedy().ends_with('.'), "{code}: its remedy is a sentence");
            page += &format!("| `{code}` | {} | {} |\n", code.rule(), code.remedy());
        }
        if std::env::var_os("ESTD_BLESS").is_some() {
            std::fs::write(file, &page).unwrap();
        }
        let found = std::fs::read_to_string(file).unwrap_or_default();
        assert_eq!(found, page, "ESTD_BLESS=1 writes docs/reference/rejections.md");
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
