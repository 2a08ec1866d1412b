// Makes Full PKI Requests (RFC 5272) with Bouncy Castle, right ones and wrong ones. Part of BcCmcCases.
import java.io.ByteArrayOutputStream;
import java.math.BigInteger;
import java.security.*;
import java.security.spec.ECGenParameterSpec;
import java.util.*;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.asn1.*;
import org.bouncycastle.asn1.cmc.*;
import org.bouncycastle.asn1.cms.AttributeTable;
import org.bouncycastle.asn1.cms.ContentInfo;
import org.bouncycastle.asn1.cms.SignedData;
import org.bouncycastle.asn1.crmf.*;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.CertificationRequest;
import org.bouncycastle.asn1.pkcs.CertificationRequestInfo;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.*;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.cert.crmf.jcajce.JcaCertificateRequestMessageBuilder;
import org.bouncycastle.cms.*;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.DigestCalculatorProvider;
import org.bouncycastle.operator.jcajce.*;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequestBuilder;
import org.bouncycastle.util.CollectionStore;

/** A Full PKI Request as it is put together. */
class BcCmcMessage {
    static final ASN1ObjectIdentifier ID_CMC = new ASN1ObjectIdentifier("1.3.6.1.5.5.7.7");
    static final ASN1ObjectIdentifier RA_IDENTITY_WITNESS = ID_CMC.branch("35");
    static final ASN1ObjectIdentifier CHANGE_SUBJECT_NAME = ID_CMC.branch("36");
    static final ASN1ObjectIdentifier RESPONSE_BODY = ID_CMC.branch("37");
    static final ASN1ObjectIdentifier UNKNOWN = new ASN1ObjectIdentifier("1.3.6.1.4.1.55555.1.2.3");
    static final ASN1ObjectIdentifier NO_SIGNATURE = new ASN1ObjectIdentifier("1.3.6.1.5.5.7.6.2");
    static final SecureRandom RANDOM = new SecureRandom();

    /** A key, and its certificate if it has one. */
    static class Entity {
        final KeyPair keys;
        final String alg;
        X509CertificateHolder cert;

        Entity(KeyPair keys, String alg) {
            this.keys = keys;
            this.alg = alg;
        }

        static Entity make(String kind) throws Exception {
            if (kind.startsWith("RSA")) {
                KeyPairGenerator g = KeyPairGenerator.getInstance("RSA", "BC");
                g.initialize(Integer.parseInt(kind.substring(3)));
                return new Entity(g.generateKeyPair(), "SHA256withRSA");
            }
            if (kind.equals("ED25519"))
                return new Entity(KeyPairGenerator.getInstance("ED25519", "BC").generateKeyPair(), "Ed25519");
            KeyPairGenerator g = KeyPairGenerator.getInstance("EC", "BC");
            g.initialize(new ECGenParameterSpec(kind));
            return new Entity(g.generateKeyPair(), kind.equals("P-384") ? "SHA384withECDSA" : "SHA256withECDSA");
        }

        static Entity ec() throws Exception {
            return make("P-256");
        }

        SubjectPublicKeyInfo spki() {
            return SubjectPublicKeyInfo.getInstance(keys.getPublic().getEncoded());
        }

        /** The SHA-1 of the public key's bits (RFC 5280 4.2.1.2, method 1). */
        byte[] ski() throws Exception {
            return MessageDigest.getInstance("SHA-1").digest(spki().getPublicKeyData().getBytes());
        }

        ContentSigner signer(String algorithm) throws Exception {
            return new JcaContentSignerBuilder(algorithm).setProvider("BC").build(keys.getPrivate());
        }

        /** A certificate that this key signs of itself. */
        X509CertificateHolder selfSigned(String name) throws Exception {
            long now = System.currentTimeMillis();
            return new X509v3CertificateBuilder(new X500Name(name), BigInteger.valueOf(77), new Date(now - 3600000),
                new Date(now + 86400000), new X500Name(name), spki()).build(signer(alg));
        }
    }

    final List<ASN1Encodable> controls = new ArrayList<>(), requests = new ArrayList<>(), cms = new ArrayList<>(), others = new ArrayList<>();
    /** Encoded as they are in place of what was put together. */
    byte[] content;
    ASN1ObjectIdentifier type = CMCObjectIdentifiers.id_cct_PKIData;
    final List<SignerInfoGenerator> signers = new ArrayList<>();
    final List<X509CertificateHolder> bag = new ArrayList<>();

    /** Keys that are to be certified. */
    final List<Entity> wanted = new ArrayList<>();

    // What the answer is held against.
    final Map<BigInteger, Boolean> ids = new LinkedHashMap<>();
    final List<ASN1Encodable> dataReturn = new ArrayList<>();
    ASN1Encodable transaction;
    byte[] nonce;
    /** The answer need not give back what came. */
    boolean unreadable, ambiguous;

    BcCmcMessage wants(Entity... keys) {
        wanted.addAll(Arrays.asList(keys));
        return this;
    }

    static byte[] random(int length) {
        byte[] out = new byte[length];
        RANDOM.nextBytes(out);
        return out;
    }

    BcCmcMessage control(long id, ASN1ObjectIdentifier oid, ASN1Encodable... values) {
        return control(BigInteger.valueOf(id), oid, values);
    }

    /** Any id, also one that Bouncy Castle's own class does not let through. */
    BcCmcMessage control(BigInteger id, ASN1ObjectIdentifier oid, ASN1Encodable... values) {
        boolean fits = id.signum() >= 0 && id.bitLength() <= 32;
        controls.add(fits ? new TaggedAttribute(new BodyPartID(id.longValue()), oid, new DERSet(values))
            : new DERSequence(new ASN1Encodable[] {new ASN1Integer(id), oid, new DERSet(values)}));
        ids.put(id, true);
        if (values.length == 1) {
            if (oid.equals(CMCObjectIdentifiers.id_cmc_dataReturn) && values[0] instanceof ASN1OctetString) dataReturn.add(values[0]);
            if (oid.equals(CMCObjectIdentifiers.id_cmc_transactionId) && values[0] instanceof ASN1Integer) transaction = values[0];
            if (oid.equals(CMCObjectIdentifiers.id_cmc_senderNonce) && values[0] instanceof ASN1OctetString)
                nonce = ((ASN1OctetString) values[0]).getOctets();
        }
        return this;
    }

    /** A transaction identifier (bodyPartID 101) and a nonce (102). */
    BcCmcMessage tracked() {
        return control(101, CMCObjectIdentifiers.id_cmc_transactionId, new ASN1Integer(new BigInteger(64, RANDOM)))
            .control(102, CMCObjectIdentifiers.id_cmc_senderNonce, new DEROctetString(random(16)));
    }

    BcCmcMessage request(long id, CertificationRequest csr) {
        requests.add(new TaggedRequest(new TaggedCertificationRequest(new BodyPartID(id), org.bouncycastle.asn1.cmc.CertificationRequest.getInstance(csr.toASN1Primitive()))));
        ids.put(BigInteger.valueOf(id), true);
        return this;
    }

    BcCmcMessage request(CertReqMsg crmf) {
        requests.add(new TaggedRequest(crmf));
        ids.put(crmf.getCertReq().getCertReqId().getValue(), true);
        return this;
    }

    BcCmcMessage other(long id, ASN1ObjectIdentifier type, ASN1Encodable value) {
        ASN1Encodable[] fields = {new ASN1Integer(id), type, value};
        requests.add(new DERTaggedObject(false, 2, new DERSequence(fields)));
        ids.put(BigInteger.valueOf(id), true);
        return this;
    }

    BcCmcMessage nested(long id, byte[] message) {
        cms.add(new TaggedContentInfo(new BodyPartID(id), ContentInfo.getInstance(message)));
        ids.put(BigInteger.valueOf(id), true);
        return this;
    }

    static DigestCalculatorProvider digests() throws Exception {
        return new JcaDigestCalculatorProviderBuilder().setProvider("BC").build();
    }

    /** Signed by a key that has no certificate yet. */
    BcCmcMessage signedBy(Entity key) throws Exception {
        return signedBy(key, key.alg, key.ski());
    }

    BcCmcMessage signedBy(Entity key, String algorithm, byte[] ski) throws Exception {
        signers.add(new SignerInfoGeneratorBuilder(digests()).build(key.signer(algorithm), ski));
        return this;
    }

    /** Signed by a key with its certificate, which goes along. */
    BcCmcMessage certifiedBy(Entity owner) throws Exception {
        return certifiedBy(owner, owner.alg);
    }

    BcCmcMessage certifiedBy(Entity owner, String algorithm) throws Exception {
        signers.add(new SignerInfoGeneratorBuilder(digests()).build(owner.signer(algorithm), owner.cert));
        bag.add(owner.cert);
        return this;
    }

    byte[] pkiData() throws Exception {
        if (content != null) return content;
        List<ASN1Encodable> parts = new ArrayList<>();
        for (List<ASN1Encodable> part : List.of(controls, requests, cms, others))
            parts.add(new DERSequence(part.toArray(new ASN1Encodable[0])));
        return new DERSequence(parts.toArray(new ASN1Encodable[0])).getEncoded(ASN1Encoding.DER);
    }

    byte[] reqSequence() throws Exception {
        return new DERSequence(requests.toArray(new ASN1Encodable[0])).getEncoded(ASN1Encoding.DER);
    }

    byte[] build() throws Exception {
        CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
        for (SignerInfoGenerator one : signers) generator.addSignerInfoGenerator(one);
        generator.addCertificates(new CollectionStore<>(bag));
        return generator.generate(new CMSProcessableByteArray(type, pkiData()), true).getEncoded(ASN1Encoding.DER);
    }

    /** The same signatures over another content. */
    static byte[] withContent(byte[] message, ASN1ObjectIdentifier type, byte[] content) throws Exception {
        SignedData sd = SignedData.getInstance(ContentInfo.getInstance(message).getContent());
        SignedData other = new SignedData(sd.getDigestAlgorithms(), new ContentInfo(type, new DEROctetString(content)), sd.getCertificates(),
            sd.getCRLs(), sd.getSignerInfos());
        return new ContentInfo(PKCSObjectIdentifiers.signedData, other).getEncoded(ASN1Encoding.DER);
    }

    /** With the last byte changed, which is one of the last signature. */
    static byte[] flipped(byte[] message) {
        byte[] out = message.clone();
        out[out.length - 1] ^= 1;
        return out;
    }

    // PKCS#10

    static Extension ski(byte[] id) throws Exception {
        return new Extension(Extension.subjectKeyIdentifier, false, new SubjectKeyIdentifier(id).getEncoded());
    }

    static Extension san(String... dns) throws Exception {
        GeneralName[] names = Arrays.stream(dns).map(n -> new GeneralName(GeneralName.dNSName, n)).toArray(GeneralName[]::new);
        return new Extension(Extension.subjectAlternativeName, false, new GeneralNames(names).getEncoded());
    }

    static X500Name name(String text) {
        return text.isEmpty() ? X500Name.getInstance(new DERSequence()) : new X500Name(text);
    }

    static JcaPKCS10CertificationRequestBuilder csrBuilder(Entity key, String name, Extension... extensions) {
        JcaPKCS10CertificationRequestBuilder b = new JcaPKCS10CertificationRequestBuilder(name(name), key.keys.getPublic());
        if (extensions.length > 0) b.addAttribute(PKCSObjectIdentifiers.pkcs_9_at_extensionRequest, new Extensions(extensions));
        return b;
    }

    static CertificationRequest csr(Entity key, String name, Extension... extensions) throws Exception {
        return signed(key, csrBuilder(key, name, extensions));
    }

    static CertificationRequest signed(Entity key, JcaPKCS10CertificationRequestBuilder b) throws Exception {
        return CertificationRequest.getInstance(b.build(key.signer(key.alg)).toASN1Structure());
    }

    /** As for a key that cannot sign: the hash stands where the signature belongs (RFC 5272 appendix C.1). */
    static CertificationRequest unsignedCsr(Entity key, String name, ASN1Encodable parameters) throws Exception {
        CertificationRequestInfo info = csr(key, name).getCertificationRequestInfo();
        byte[] hash = MessageDigest.getInstance("SHA-1").digest(info.getEncoded(ASN1Encoding.DER));
        return new CertificationRequest(info, new AlgorithmIdentifier(NO_SIGNATURE, parameters), new DERBitString(hash));
    }

    static CertificationRequest brokenCsr(Entity key, String name) throws Exception {
        CertificationRequest good = csr(key, name);
        byte[] signature = csr(key, name + "x").getSignature().getBytes();
        return new CertificationRequest(good.getCertificationRequestInfo(), good.getSignatureAlgorithm(), new DERBitString(signature));
    }

    // CRMF

    /** By Bouncy Castle's own builder, signed. */
    static CertReqMsg crmf(Entity key, long id, String name, Extension... extensions) throws Exception {
        JcaCertificateRequestMessageBuilder b = new JcaCertificateRequestMessageBuilder(BigInteger.valueOf(id));
        b.setPublicKey(key.keys.getPublic()).setSubject(new X500Name(name));
        for (Extension one : extensions) b.addExtension(one.getExtnId(), one.isCritical(), one.getParsedValue());
        b.setProofOfPossessionSigningKeySigner(key.signer(key.alg));
        return b.build().toASN1Structure();
    }

    static CertRequest template(Entity key, long id, String name, Controls controls) {
        CertTemplateBuilder b = new CertTemplateBuilder();
        if (name != null) b.setSubject(name(name));
        if (key != null) b.setPublicKey(key.spki());
        return new CertRequest(new ASN1Integer(id), b.build(), controls);
    }

    /** By hand: what the builder would not make. */
    static CertReqMsg crmf(Entity signer, CertRequest request, POPOSigningKeyInput input, ASN1Encodable... regInfo) throws Exception {
        ContentSigner s = signer.signer(signer.alg);
        s.getOutputStream().write((input == null ? request : input).toASN1Primitive().getEncoded(ASN1Encoding.DER));
        s.getOutputStream().close();
        POPOSigningKey key = new POPOSigningKey(input, s.getAlgorithmIdentifier(), new DERBitString(s.getSignature()));
        AttributeTypeAndValue[] info = new AttributeTypeAndValue[regInfo.length];
        for (int i = 0; i < info.length; i++) info[i] = new AttributeTypeAndValue(new ASN1ObjectIdentifier("1.3.6.1.5.5.7.5.2.1"), regInfo[i]);
        return new CertReqMsg(request, new ProofOfPossession(key), info.length == 0 ? null : info);
    }

    // Shared secrets

    static byte[] hmac(String algorithm, byte[] key, byte[] message) throws Exception {
        Mac mac = Mac.getInstance(algorithm, "BC");
        mac.init(new SecretKeySpec(key, algorithm));
        return mac.doFinal(message);
    }

    static byte[] hash(String algorithm, byte[]... parts) throws Exception {
        MessageDigest digest = MessageDigest.getInstance(algorithm);
        for (byte[] part : parts) digest.update(part);
        return digest.digest();
    }

    static final AlgorithmIdentifier SHA256 = new AlgorithmIdentifier(NISTObjectIdentifiers.id_sha256);
    static final AlgorithmIdentifier HMAC_SHA256 = new AlgorithmIdentifier(PKCSObjectIdentifiers.id_hmacWithSHA256, DERNull.INSTANCE);

    static byte[] utf8(String text) {
        return text.getBytes(java.nio.charset.StandardCharsets.UTF_8);
    }

    /** identification (201) and identityProofV2 (202) over the present requests (RFC 5272 6.2.1, 6.2.3). */
    BcCmcMessage proven(String name, String secret) throws Exception {
        byte[] key = hash("SHA-256", utf8(secret), utf8(name));
        return control(201, CMCObjectIdentifiers.id_cmc_identification, new DERUTF8String(name))
            .control(202, CMCObjectIdentifiers.id_cmc_identityProofV2, new IdentityProofV2(SHA256, HMAC_SHA256, hmac("HmacSHA256", key, reqSequence())));
    }

    /** What goes into a request to link it with the secret (RFC 5272 6.3.1.1). */
    static PopLinkWitnessV2 witness(String secret, byte[] r) throws Exception {
        return new PopLinkWitnessV2(SHA256, HMAC_SHA256, hmac("HmacSHA256", hash("SHA-256", utf8(secret)), r));
    }
}
