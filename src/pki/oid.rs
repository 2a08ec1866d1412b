//! Object identifiers that this program names.

use const_oid::ObjectIdentifier;

macro_rules! oids {
    ($($(#[$doc:meta])* $name:ident = $dotted:literal;)*) => {
        $($(#[$doc])* pub const $name: ObjectIdentifier = ObjectIdentifier::new_unwrap($dotted);)*
    };
}

oids! {
    /// id-ecPublicKey (RFC 5480 §2.1.1).
    EC_PUBLIC_KEY = "1.2.840.10045.2.1";
    /// secp256r1.
    P256 = "1.2.840.10045.3.1.7";
    /// secp384r1.
    P384 = "1.3.132.0.34";
    /// secp521r1.
    P521 = "1.3.132.0.35";
    /// id-Ed25519 (RFC 8410 §3).
    ED25519 = "1.3.101.112";
    /// rsaEncryption (RFC 8017 App. A.1).
    RSA = "1.2.840.113549.1.1.1";
    /// sha256WithRSAEncryption.
    RSA_SHA256 = "1.2.840.113549.1.1.11";
    /// sha384WithRSAEncryption.
    RSA_SHA384 = "1.2.840.113549.1.1.12";
    /// sha512WithRSAEncryption.
    RSA_SHA512 = "1.2.840.113549.1.1.13";
    /// id-RSASSA-PSS.
    RSA_PSS = "1.2.840.113549.1.1.10";
    /// id-mgf1.
    MGF1 = "1.2.840.113549.1.1.8";
    /// id-sha256.
    SHA256 = "2.16.840.1.101.3.4.2.1";
    /// id-sha384.
    SHA384 = "2.16.840.1.101.3.4.2.2";
    /// id-sha512.
    SHA512 = "2.16.840.1.101.3.4.2.3";
    /// ecdsa-with-SHA256 (RFC 5758 §3.2).
    ECDSA_SHA256 = "1.2.840.10045.4.3.2";
    /// ecdsa-with-SHA384.
    ECDSA_SHA384 = "1.2.840.10045.4.3.3";
    /// ecdsa-with-SHA512.
    ECDSA_SHA512 = "1.2.840.10045.4.3.4";

    /// extensionRequest (RFC 2985 §5.4.2).
    EXTENSION_REQUEST = "1.2.840.113549.1.9.14";
    /// challengePassword (RFC 2985 §5.4.1).
    CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7";
    /// id-aa-otpChallenge (RFC 7894 §3.1).
    OTP_CHALLENGE = "1.2.840.113549.1.9.16.2.56";
    /// id-aa-revocationChallenge (RFC 7894 §3.2).
    REVOCATION_CHALLENGE = "1.2.840.113549.1.9.16.2.57";
    /// id-aa-estIdentityLinking (RFC 7894 §3.3).
    EST_IDENTITY_LINKING = "1.2.840.113549.1.9.16.2.58";
    /// id-aa-certificationRequestInfoTemplate (RFC 9908 §3.4).
    REQUEST_TEMPLATE = "1.2.840.113549.1.9.16.2.61";
    /// id-aa-extensionReqTemplate (RFC 9908 §3.4).
    EXTENSION_REQUEST_TEMPLATE = "1.2.840.113549.1.9.16.2.62";
    /// id-cmc-changeSubjectName (RFC 6402 §2.8).
    CHANGE_SUBJECT_NAME = "1.3.6.1.5.5.7.7.36";

    /// subjectKeyIdentifier.
    SUBJECT_KEY_IDENTIFIER = "2.5.29.14";
    /// keyUsage.
    KEY_USAGE = "2.5.29.15";
    /// subjectAltName.
    SUBJECT_ALT_NAME = "2.5.29.17";
    /// basicConstraints.
    BASIC_CONSTRAINTS = "2.5.29.19";
    /// cRLNumber (RFC 5280 §5.2.3).
    CRL_NUMBER = "2.5.29.20";
    /// reasonCode (RFC 5280 §5.3.1).
    REASON_CODE = "2.5.29.21";
    /// invalidityDate (RFC 5280 §5.3.2).
    INVALIDITY_DATE = "2.5.29.24";
    /// deltaCRLIndicator (RFC 5280 §5.2.4).
    DELTA_CRL_INDICATOR = "2.5.29.27";
    /// issuingDistributionPoint (RFC 5280 §5.2.5).
    ISSUING_DISTRIBUTION_POINT = "2.5.29.28";
    /// certificateIssuer (RFC 5280 §5.3.3).
    CERTIFICATE_ISSUER = "2.5.29.29";
    /// nameConstraints.
    NAME_CONSTRAINTS = "2.5.29.30";
    /// cRLDistributionPoints.
    CRL_DISTRIBUTION_POINTS = "2.5.29.31";
    /// certificatePolicies.
    CERTIFICATE_POLICIES = "2.5.29.32";
    /// authorityInfoAccess (RFC 5280 §4.2.2.1).
    AUTHORITY_INFO_ACCESS = "1.3.6.1.5.5.7.1.1";
    /// authorityKeyIdentifier.
    AUTHORITY_KEY_IDENTIFIER = "2.5.29.35";
    /// extKeyUsage.
    EXTENDED_KEY_USAGE = "2.5.29.37";

    /// User principal name, an otherName (szOID_NT_PRINCIPAL_NAME of Microsoft).
    UPN = "1.3.6.1.4.1.311.20.2.3";
    /// id-on-hardwareModuleName (RFC 4108 §5).
    HARDWARE_MODULE_NAME = "1.3.6.1.5.5.7.8.4";
    /// id-on-xmppAddr (RFC 6120 §13.7.1.4).
    XMPP_ADDRESS = "1.3.6.1.5.5.7.8.5";
    /// id-on-dnsSRV (RFC 4985 §2).
    DNS_SRV = "1.3.6.1.5.5.7.8.7";
    /// id-on-naiRealm (RFC 7585 §2.2).
    NAI_REALM = "1.3.6.1.5.5.7.8.8";
    /// id-on-SmtpUTF8Mailbox (RFC 9598 §3).
    SMTP_UTF8_MAILBOX = "1.3.6.1.5.5.7.8.9";

    /// id-kp-serverAuth.
    SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
    /// id-kp-clientAuth.
    CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
    /// id-kp-cmcRA (RFC 6402 §2.10).
    CMC_RA = "1.3.6.1.5.5.7.3.28";

    /// id-data (RFC 5652 §4).
    DATA = "1.2.840.113549.1.7.1";
    /// id-signedData (RFC 5652 §5.1).
    SIGNED_DATA = "1.2.840.113549.1.7.2";

    /// id-envelopedData (RFC 5652 §6.1).
    ENVELOPED_DATA = "1.2.840.113549.1.7.3";
    /// id-contentType (RFC 5652 §11.1).
    CONTENT_TYPE = "1.2.840.113549.1.9.3";
    /// id-messageDigest (RFC 5652 §11.2).
    MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
    /// id-ct-KP-aKeyPackage (RFC 5958 §2).
    KEY_PACKAGE = "2.16.840.1.101.2.1.2.78.5";
    /// id-aa-decryptKeyID (RFC 4108 §2.2.5).
    DECRYPT_KEY_IDENTIFIER = "1.2.840.113549.1.9.16.2.37";
    /// id-aa-asymmDecryptKeyID (RFC 7030 §4.4.1.2).
    ASYMMETRIC_DECRYPT_KEY_IDENTIFIER = "1.2.840.113549.1.9.16.2.54";
    /// smimeCapabilities (RFC 8551 §2.5.2).
    SMIME_CAPABILITIES = "1.2.840.113549.1.9.15";
    /// id-aes128-CBC (RFC 3565 §4.1).
    AES_128_CBC = "2.16.840.1.101.3.4.1.2";
    /// id-aes256-CBC.
    AES_256_CBC = "2.16.840.1.101.3.4.1.42";
    /// id-aes128-wrap (RFC 3565 §2.3.2).
    AES_128_WRAP = "2.16.840.1.101.3.4.1.5";
    /// id-aes256-wrap.
    AES_256_WRAP = "2.16.840.1.101.3.4.1.45";
    /// id-RSAES-OAEP (RFC 4055 §4.1).
    RSAES_OAEP = "1.2.840.113549.1.1.7";
    /// id-pSpecified (RFC 4055 §4.1).
    P_SPECIFIED = "1.2.840.113549.1.1.9";
    /// id-sha1: in RSAES-OAEP only.
    SHA1 = "1.3.14.3.2.26";
    /// dhSinglePass-stdDH-sha256kdf-scheme (RFC 5753 §7.1.4).
    ECDH_SHA256_KDF = "1.3.132.1.11.1";
    /// dhSinglePass-stdDH-sha384kdf-scheme.
    ECDH_SHA384_KDF = "1.3.132.1.11.2";
    /// dhSinglePass-stdDH-sha512kdf-scheme.
    ECDH_SHA512_KDF = "1.3.132.1.11.3";
    /// id-cct-PKIData (RFC 5272 §3.2.1).
    CCT_PKI_DATA = "1.3.6.1.5.5.7.12.2";
    /// id-cct-PKIResponse (RFC 5272 §4.2).
    CCT_PKI_RESPONSE = "1.3.6.1.5.5.7.12.3";
    /// id-cmc-statusInfo (RFC 5272 §6, RFC 6402 §2).
    CMC_STATUS_INFO = "1.3.6.1.5.5.7.7.1";
    /// id-cmc-identification (RFC 5272 §6, RFC 6402 §2).
    CMC_IDENTIFICATION = "1.3.6.1.5.5.7.7.2";
    /// id-cmc-identityProof (RFC 5272 §6, RFC 6402 §2).
    CMC_IDENTITY_PROOF = "1.3.6.1.5.5.7.7.3";
    /// id-cmc-dataReturn (RFC 5272 §6, RFC 6402 §2).
    CMC_DATA_RETURN = "1.3.6.1.5.5.7.7.4";
    /// id-cmc-transactionId (RFC 5272 §6, RFC 6402 §2).
    CMC_TRANSACTION_ID = "1.3.6.1.5.5.7.7.5";
    /// id-cmc-senderNonce (RFC 5272 §6, RFC 6402 §2).
    CMC_SENDER_NONCE = "1.3.6.1.5.5.7.7.6";
    /// id-cmc-recipientNonce (RFC 5272 §6, RFC 6402 §2).
    CMC_RECIPIENT_NONCE = "1.3.6.1.5.5.7.7.7";
    /// id-cmc-encryptedPOP (RFC 5272 §6, RFC 6402 §2).
    CMC_ENCRYPTED_POP = "1.3.6.1.5.5.7.7.9";
    /// id-cmc-decryptedPOP (RFC 5272 §6, RFC 6402 §2).
    CMC_DECRYPTED_POP = "1.3.6.1.5.5.7.7.10";
    /// id-cmc-lraPOPWitness (RFC 5272 §6, RFC 6402 §2).
    CMC_LRA_POP_WITNESS = "1.3.6.1.5.5.7.7.11";
    /// id-cmc-revokeRequest (RFC 5272 §6, RFC 6402 §2).
    CMC_REVOKE_REQUEST = "1.3.6.1.5.5.7.7.17";
    /// id-cmc-queryPending (RFC 5272 §6, RFC 6402 §2).
    CMC_QUERY_PENDING = "1.3.6.1.5.5.7.7.21";
    /// id-cmc-popLinkRandom (RFC 5272 §6, RFC 6402 §2).
    CMC_POP_LINK_RANDOM = "1.3.6.1.5.5.7.7.22";
    /// id-cmc-popLinkWitness (RFC 5272 §6, RFC 6402 §2).
    CMC_POP_LINK_WITNESS = "1.3.6.1.5.5.7.7.23";
    /// id-cmc-confirmCertAcceptance (RFC 5272 §6, RFC 6402 §2).
    CMC_CONFIRM_CERT_ACCEPTANCE = "1.3.6.1.5.5.7.7.24";
    /// id-cmc-statusInfoV2 (RFC 5272 §6, RFC 6402 §2).
    CMC_STATUS_INFO_V2 = "1.3.6.1.5.5.7.7.25";
    /// id-cmc-batchRequests (RFC 5272 §6, RFC 6402 §2).
    CMC_BATCH_REQUESTS = "1.3.6.1.5.5.7.7.28";
    /// id-cmc-batchResponses (RFC 5272 §6, RFC 6402 §2).
    CMC_BATCH_RESPONSES = "1.3.6.1.5.5.7.7.29";
    /// id-cmc-modCertTemplate (RFC 5272 §6, RFC 6402 §2).
    CMC_MOD_CERT_TEMPLATE = "1.3.6.1.5.5.7.7.31";
    /// id-cmc-controlProcessed (RFC 5272 §6, RFC 6402 §2).
    CMC_CONTROL_PROCESSED = "1.3.6.1.5.5.7.7.32";
    /// id-cmc-popLinkWitnessV2 (RFC 5272 §6, RFC 6402 §2).
    CMC_POP_LINK_WITNESS_V2 = "1.3.6.1.5.5.7.7.33";
    /// id-cmc-identityProofV2 (RFC 5272 §6, RFC 6402 §2).
    CMC_IDENTITY_PROOF_V2 = "1.3.6.1.5.5.7.7.34";
    /// id-cmc-raIdentityWitness (RFC 5272 §6, RFC 6402 §2).
    CMC_RA_IDENTITY_WITNESS = "1.3.6.1.5.5.7.7.35";
    /// id-cmc-responseBody (RFC 5272 §6, RFC 6402 §2).
    CMC_RESPONSE_BODY = "1.3.6.1.5.5.7.7.37";
    /// id-alg-noSignature (RFC 5272 App. C).
    NO_SIGNATURE = "1.3.6.1.5.5.7.6.2";
    /// hmacWithSHA256 (RFC 8018 App. B.1.2).
    HMAC_SHA256 = "1.2.840.113549.2.9";
    /// signingTime (RFC 5652 §11.3).
    SIGNING_TIME = "1.2.840.113549.1.9.5";

    /// id-at-commonName.
    COMMON_NAME = "2.5.4.3";
    /// id-at-serialNumber.
    SERIAL_NUMBER = "2.5.4.5";
    /// id-at-countryName.
    COUNTRY = "2.5.4.6";
    /// organizationName.
    ORGANIZATION = "2.5.4.10";
    /// organizationalUnitName.
    ORGANIZATIONAL_UNIT = "2.5.4.11";
    /// id-at-dnQualifier.
    DN_QUALIFIER = "2.5.4.46";
    /// id-domainComponent.
    DOMAIN_COMPONENT = "0.9.2342.19200300.100.1.25";
    /// id-userid (RFC 4519 §2.39).
    USER_ID = "0.9.2342.19200300.100.1.1";
    /// emailAddress.
    EMAIL_ADDRESS = "1.2.840.113549.1.9.1";
}
