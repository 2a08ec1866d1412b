// Posts a message to /fullcmc and judges the answer with nothing but Bouncy Castle and the JDK. Part of BcCmcCases.
import java.io.*;
import java.math.BigInteger;
import java.net.URL;
import java.nio.file.*;
import java.security.*;
import java.security.cert.*;
import java.util.*;
import javax.net.ssl.*;
import org.bouncycastle.asn1.*;
import org.bouncycastle.asn1.cmc.*;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.openssl.*;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;
import org.bouncycastle.util.Store;

/** A server, and what its answers have to fulfill whatever was asked. */
class BcCmcJudge {
    static final String[] STATUS = {"success", "1", "failed", "pending", "noSupport", "confirmRequired", "popRequired", "partial"};
    static final String[] FAIL = {"badAlg", "badMessageCheck", "badRequest", "badTime", "badCertId", "unsupportedExt", "mustArchiveKeys",
        "badIdentity", "popRequired", "popFailed", "noKeyReuse", "internalCAError", "tryLater", "authDataFail"};

    /** Bytes of an answer, and milliseconds until it arrives, at most. */
    static final int MOST = 4000000, LONGEST = 30000;

    final String base;
    final X509CertificateHolder root;
    final List<X509CertificateHolder> cas = new ArrayList<>();
    /** Serials of all certificates of devices that came from this server. */
    final Set<String> issued = new TreeSet<>();
    private final Set<String> nonces = new HashSet<>();

    /** How a message comes: as whom in TLS and HTTP, with which media type. */
    static class Via {
        String label = "cmc", basic, type = "application/pkcs7-mime; smime-type=CMC-request";
        BcCmcMessage.Entity tls;

        static Via basic(String user, String password) {
            Via via = new Via();
            via.basic = user + ":" + password;
            return via;
        }

        static Via tls(BcCmcMessage.Entity who) {
            Via via = new Via();
            via.tls = who;
            return via;
        }

        Via label(String label) {
            Via via = copy();
            via.label = label;
            return via;
        }

        Via type(String type) {
            Via via = copy();
            via.type = type;
            return via;
        }

        private Via copy() {
            Via via = new Via();
            via.label = label;
            via.basic = basic;
            via.type = type;
            via.tls = tls;
            return via;
        }
    }

    /** An answer as it came. */
    static class Answer {
        int status;
        String type = "", retryAfter;
        byte[] body = {};
        long milliseconds;
    }

    /** An answer as it is understood. */
    static class Seen {
        int http;
        String kind = "text";
        final List<String> statuses = new ArrayList<>(), fails = new ArrayList<>(), lists = new ArrayList<>(), texts = new ArrayList<>();
        final Map<String, List<ASN1Encodable>> controls = new LinkedHashMap<>();
        final List<X509CertificateHolder> certs = new ArrayList<>();
        final List<Seen> nested = new ArrayList<>();
        final List<String> errors = new ArrayList<>();
        PendInfo pending;
        int got;
        Answer answer;
        long milliseconds;

        /** HTTP status, kind, CMC status, what failed, about which body parts, certificates for the keys asked for. */
        @Override
        public String toString() {
            return http + " " + kind + " " + joined(statuses) + " " + joined(fails) + " " + joined(lists) + " " + got;
        }

        List<X509CertificateHolder> all() {
            List<X509CertificateHolder> out = new ArrayList<>(certs);
            for (Seen inner : nested) out.addAll(inner.all());
            return out;
        }

        static String joined(Collection<String> of) {
            return of.isEmpty() ? "-" : String.join(";", new LinkedHashSet<>(of));
        }
    }

    BcCmcJudge(String base, String anchor) throws Exception {
        this.base = base;
        root = (X509CertificateHolder) pem(anchor);
    }

    static Object pem(String file) throws IOException {
        try (PEMParser p = new PEMParser(new FileReader(file))) {
            return p.readObject();
        }
    }

    static BcCmcMessage.Entity entity(String cert, String key) throws Exception {
        Object read = pem(key);
        JcaPEMKeyConverter converter = new JcaPEMKeyConverter().setProvider("BC");
        X509CertificateHolder holder = cert == null ? null : (X509CertificateHolder) pem(cert);
        PrivateKey secret = read instanceof PEMKeyPair ? converter.getPrivateKey(((PEMKeyPair) read).getPrivateKeyInfo())
            : converter.getPrivateKey((org.bouncycastle.asn1.pkcs.PrivateKeyInfo) read);
        PublicKey open;
        if (holder != null) {
            open = converter.getPublicKey(holder.getSubjectPublicKeyInfo());
        } else {
            org.bouncycastle.jce.interfaces.ECPrivateKey ec = (org.bouncycastle.jce.interfaces.ECPrivateKey) secret;
            open = KeyFactory.getInstance("EC", "BC").generatePublic(
                new org.bouncycastle.jce.spec.ECPublicKeySpec(ec.getParameters().getG().multiply(ec.getD()), ec.getParameters()));
        }
        BcCmcMessage.Entity out = new BcCmcMessage.Entity(new KeyPair(open, secret), "SHA256withECDSA");
        out.cert = holder;
        return out;
    }

    private final Map<BcCmcMessage.Entity, SSLSocketFactory> factories = new IdentityHashMap<>();
    private SSLSocketFactory anonymous;

    private SSLSocketFactory factory(BcCmcMessage.Entity who) throws Exception {
        SSLSocketFactory known = who == null ? anonymous : factories.get(who);
        if (known != null) return known;
        JcaX509CertificateConverter x = new JcaX509CertificateConverter();
        KeyStore trust = KeyStore.getInstance("PKCS12");
        trust.load(null, null);
        trust.setCertificateEntry("root", x.getCertificate(root));
        TrustManagerFactory trusts = TrustManagerFactory.getInstance("PKIX");
        trusts.init(trust);
        KeyManager[] keys = null;
        if (who != null) {
            KeyStore own = KeyStore.getInstance("PKCS12");
            own.load(null, null);
            own.setKeyEntry("own", who.keys.getPrivate(), new char[0], new java.security.cert.Certificate[] {x.getCertificate(who.cert)});
            // The one whose aliases are those of the key store.
            KeyManagerFactory factory = KeyManagerFactory.getInstance("SunX509");
            factory.init(own, new char[0]);
            X509ExtendedKeyManager inner = (X509ExtendedKeyManager) factory.getKeyManagers()[0];
            // It is shown whatever issuers the server names.
            keys = new KeyManager[] {new X509ExtendedKeyManager() {
                public String[] getClientAliases(String type, Principal[] issuers) { return new String[] {"own"}; }
                public String chooseClientAlias(String[] types, Principal[] issuers, java.net.Socket socket) { return "own"; }
                public String[] getServerAliases(String type, Principal[] issuers) { return null; }
                public String chooseServerAlias(String type, Principal[] issuers, java.net.Socket socket) { return null; }
                public java.security.cert.X509Certificate[] getCertificateChain(String alias) { return inner.getCertificateChain(alias); }
                public PrivateKey getPrivateKey(String alias) { return inner.getPrivateKey(alias); }
            }};
        }
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys, trusts.getTrustManagers(), null);
        if (who == null) anonymous = context.getSocketFactory();
        else factories.put(who, context.getSocketFactory());
        return context.getSocketFactory();
    }

    Answer post(Via via, String operation, byte[] body) throws Exception {
        HttpsURLConnection c = (HttpsURLConnection) new URL(base + (via.label.isEmpty() ? "" : via.label + "/") + operation).openConnection();
        c.setSSLSocketFactory(factory(via.tls));
        c.setConnectTimeout(30000);
        c.setReadTimeout(120000);
        if (via.basic != null) c.setRequestProperty("Authorization", "Basic " + Base64.getEncoder().encodeToString(BcCmcMessage.utf8(via.basic)));
        long begun = System.nanoTime();
        if (body != null) {
            c.setDoOutput(true);
            c.setRequestProperty("Content-Type", operation.equals("fullcmc") ? via.type : "application/pkcs10");
            c.setFixedLengthStreamingMode(body.length);
            try (OutputStream out = c.getOutputStream()) {
                out.write(body);
            } catch (IOException e) {
                // It may have answered before it had read all of it.
            }
        }
        Answer answer = new Answer();
        answer.status = c.getResponseCode();
        answer.type = Objects.toString(c.getContentType(), "");
        answer.retryAfter = c.getHeaderField("Retry-After");
        try (InputStream in = answer.status >= 400 ? c.getErrorStream() : c.getInputStream()) {
            if (in != null) answer.body = in.readNBytes(MOST);
        }
        answer.milliseconds = (System.nanoTime() - begun) / 1000000;
        return answer;
    }

    static byte[] base64(byte[] der) {
        return Base64.getMimeEncoder(64, new byte[] {'\n'}).encode(der);
    }

    /** All CA certificates, once. */
    void cacerts() throws Exception {
        Via via = new Via().label("");
        cas.addAll(new CMSSignedData(Base64.getMimeDecoder().decode(post(via, "cacerts", null).body)).getCertificates().getMatches(null));
    }

    /** A certificate by /simpleenroll. */
    BcCmcMessage.Entity enroll(Via via, BcCmcMessage.Entity key, String name, org.bouncycastle.asn1.x509.Extension... extensions) throws Exception {
        Answer answer = post(via, "simpleenroll", base64(BcCmcMessage.csr(key, name, extensions).getEncoded()));
        if (answer.status != 200) throw new Exception("enrolling " + name + ": " + answer.status + " " + new String(answer.body));
        key.cert = new CMSSignedData(Base64.getMimeDecoder().decode(answer.body)).getCertificates().getMatches(null).iterator().next();
        issued.add(key.cert.getSerialNumber().toString(16));
        return key;
    }

    /** Posts a message, and returns the answer and its own errors. */
    Seen ask(Via via, BcCmcMessage message, byte[] der) throws Exception {
        Answer answer = post(via, "fullcmc", base64(der));
        Seen seen = answer.body.length < MOST ? read(answer) : new Seen();
        if (answer.body.length >= MOST) seen.errors.add("an answer of more than " + MOST + " bytes");
        if (answer.milliseconds > LONGEST) seen.errors.add("it took " + answer.milliseconds + " ms");
        seen.milliseconds = answer.milliseconds;
        seen.answer = answer;
        hold(seen, answer, message);
        return seen;
    }

    Seen read(Answer answer) {
        Seen seen = new Seen();
        seen.http = answer.status;
        String type = answer.type.toLowerCase(Locale.ROOT).replace(" ", "");
        if (!type.startsWith("application/pkcs7-mime")) return seen;
        try {
            byte[] der = Base64.getMimeDecoder().decode(answer.body);
            read(seen, der);
            if (!type.equals("application/pkcs7-mime;smime-type=" + (seen.kind.equals("simple") ? "certs-only" : "cmc-response")))
                seen.errors.add("Content-Type is " + answer.type);
            if (!Arrays.equals(ASN1Primitive.fromByteArray(der).getEncoded(ASN1Encoding.DER), der)) seen.errors.add("not DER");
        } catch (Exception e) {
            seen.kind = "unreadable";
            seen.errors.add(e.toString());
        }
        return seen;
    }

    private void read(Seen seen, byte[] der) throws Exception {
        CMSSignedData sd = new CMSSignedData(der);
        seen.certs.addAll(sd.getCertificates().getMatches(null));
        if (sd.getSignedContent() == null) {
            seen.kind = "simple";
            if (!sd.getSignerInfos().getSigners().isEmpty()) seen.errors.add("a Simple PKI Response with a signature");
            if (seen.certs.isEmpty()) seen.errors.add("nothing in it");
            return;
        }
        seen.kind = "full";
        if (!sd.getSignedContentTypeOID().equals(CMCObjectIdentifiers.id_cct_PKIResponse.getId())) throw new Exception("content is " + sd.getSignedContentTypeOID());
        if (sd.getVersion() != 3) seen.errors.add("SignedData version " + sd.getVersion());
        verify(seen, sd);
        byte[] content = (byte[]) sd.getSignedContent().getContent();
        PKIResponse response = PKIResponse.getInstance(ASN1Primitive.fromByteArray(content));
        if (!Arrays.equals(response.getEncoded(ASN1Encoding.DER), content)) seen.errors.add("PKIResponse is not DER");
        Set<Long> ids = new HashSet<>();
        for (ASN1Encodable one : response.getControlSequence()) {
            TaggedAttribute control = TaggedAttribute.getInstance(one);
            unique(seen, ids, control.getBodyPartID());
            for (ASN1Encodable value : control.getAttrValues())
                seen.controls.computeIfAbsent(control.getAttrType().getId(), any -> new ArrayList<>()).add(value);
            if (control.getAttrValues().size() != 1) seen.errors.add("a control with " + control.getAttrValues().size() + " values");
        }
        for (ASN1Encodable one : response.getCmsSequence()) {
            TaggedContentInfo nested = TaggedContentInfo.getInstance(one);
            unique(seen, ids, nested.getBodyPartID());
            Seen inner = new Seen();
            read(inner, nested.getContentInfo().getEncoded(ASN1Encoding.DER));
            seen.errors.addAll(inner.errors);
            seen.nested.add(inner);
        }
        status(seen);
    }

    private static void unique(Seen seen, Set<Long> ids, BodyPartID id) {
        if (id.getID() == 0 || !ids.add(id.getID())) seen.errors.add("bodyPartID " + id.getID() + " in the answer");
    }

    private void status(Seen seen) throws Exception {
        List<ASN1Encodable> all = seen.controls.getOrDefault(CMCObjectIdentifiers.id_cmc_statusInfoV2.getId(), List.of());
        for (ASN1Encodable value : all) {
            CMCStatusInfoV2 info = CMCStatusInfoV2.getInstance(value);
            // Of its parts Bouncy Castle shows only some: the rest is read from the sequence.
            ASN1Sequence parts = ASN1Sequence.getInstance(value);
            String status = STATUS[ASN1Integer.getInstance(parts.getObjectAt(0)).intValueExact()];
            seen.statuses.add(status);
            List<String> list = new ArrayList<>();
            for (ASN1Encodable ref : ASN1Sequence.getInstance(parts.getObjectAt(1))) {
                if (ref instanceof ASN1Sequence) {
                    List<String> path = new ArrayList<>();
                    for (ASN1Encodable step : (ASN1Sequence) ref) path.add(step.toString());
                    list.add(String.join(".", path));
                } else {
                    list.add(ref.toString());
                }
            }
            if (list.isEmpty()) seen.errors.add("an empty bodyList");
            seen.lists.add("[" + String.join(",", list) + "]");
            if (info.getStatusStringUTF8() != null) seen.texts.add(info.getStatusStringUTF8().getString());
            String fail = null;
            if (info.hasOtherInfo()) {
                OtherStatusInfo other = info.getOtherStatusInfo();
                if (other.isExtendedFailInfo()) seen.errors.add("extendedFailInfo");
                else if (other.isPendingInfo()) seen.pending = PendInfo.getInstance(other.toASN1Primitive());
                else fail = FAIL[ASN1Integer.getInstance(other.toASN1Primitive()).intValueExact()];
            }
            if (fail != null) seen.fails.add(fail);
            if ((fail != null) != status.equals("failed")) seen.errors.add("failInfo " + fail + " with status " + status);
            if (seen.pending != null && !status.equals("pending") && !status.equals("partial")) seen.errors.add("pendInfo with status " + status);
        }
        if (all.isEmpty()) {
            if (seen.controls.containsKey(CMCObjectIdentifiers.id_cmc_statusInfo.getId())) seen.errors.add("only the old status control");
            else if (seen.certs.isEmpty() && seen.nested.isEmpty()) seen.errors.add("no status and no certificate");
            seen.statuses.add("success");
        }
    }

    /** Every signature, by a certificate that leads to the anchor. */
    private void verify(Seen seen, CMSSignedData sd) throws Exception {
        if (sd.getSignerInfos().size() == 0) seen.errors.add("an answer without a signature");
        List<X509CertificateHolder> known = new ArrayList<>(seen.certs);
        known.addAll(cas);
        for (SignerInformation signer : sd.getSignerInfos()) {
            boolean good = false;
            for (X509CertificateHolder cert : known)
                if (signer.getSID().match(cert) && signer.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(cert))) {
                    good = true;
                    trusted(cert, known);
                    org.bouncycastle.asn1.x509.ExtendedKeyUsage usage = org.bouncycastle.asn1.x509.ExtendedKeyUsage.fromExtensions(cert.getExtensions());
                    boolean cmcCa = usage != null
                        && usage.hasKeyPurposeId(org.bouncycastle.asn1.x509.KeyPurposeId.getInstance(CMCObjectIdentifiers.id_kp_cmcCA));
                    if (!cas.contains(cert) && !cmcCa) seen.errors.add("an answer signed by " + cert.getSubject());
                    break;
                }
            if (!good) seen.errors.add("the answer's signature");
            if (signer.getSignedAttributes() == null) seen.errors.add("no signed attributes (RFC 5652 5.3)");
        }
    }

    /** Whether a path leads from a certificate to the anchor. */
    private void trusted(X509CertificateHolder cert, List<X509CertificateHolder> known) throws Exception {
        JcaX509CertificateConverter x = new JcaX509CertificateConverter().setProvider("BC");
        List<java.security.cert.X509Certificate> all = new ArrayList<>();
        for (X509CertificateHolder one : known) all.add(x.getCertificate(one));
        X509CertSelector target = new X509CertSelector();
        target.setCertificate(x.getCertificate(cert));
        PKIXBuilderParameters parameters = new PKIXBuilderParameters(Set.of(new TrustAnchor(x.getCertificate(root), null)), target);
        parameters.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(all)));
        parameters.setRevocationEnabled(false);
        if (!cert.equals(root)) CertPathBuilder.getInstance("PKIX", "BC").build(parameters);
    }

    /** What holds for every answer to a request. */
    private void hold(Seen seen, Answer answer, BcCmcMessage message) throws Exception {
        List<X509CertificateHolder> certs = seen.all();
        Set<X509CertificateHolder> mine = new LinkedHashSet<>();
        for (X509CertificateHolder cert : certs) {
            if (cas.contains(cert)) continue;
            issued.add(cert.getSerialNumber().toString(16));
            boolean asked = message.wanted.stream().anyMatch(key -> key.spki().equals(cert.getSubjectPublicKeyInfo()));
            if (!asked) seen.errors.add("a certificate that was not asked for: " + cert.getSubject());
            trusted(cert, join(certs, cas));
            mine.add(cert);
        }
        seen.got = mine.size();
        boolean good = seen.statuses.stream().allMatch(s -> s.equals("success"));
        if (seen.kind.equals("simple") && seen.http != 200) seen.errors.add("Simple PKI Response with " + seen.http);
        if (!seen.kind.equals("full")) return;
        boolean waits = seen.statuses.contains("pending");
        if (good && seen.http != 200) seen.errors.add("success with " + seen.http);
        if (!good && !waits && (seen.http < 400 || seen.http > 599)) seen.errors.add("failure with " + seen.http);
        if (waits && (seen.http != 202 || answer.retryAfter == null || seen.pending == null)) seen.errors.add("pending without 202, Retry-After or pendInfo");
        if (!good && seen.got > 0 && seen.nested.isEmpty()) seen.errors.add("a certificate beside a failure");
        for (String list : seen.lists)
            for (String ref : list.substring(1, list.length() - 1).split(","))
                if (!ref.equals("0") && !ref.contains(".") && !message.ids.containsKey(new BigInteger(ref))) seen.errors.add("no body part " + ref);
        echoes(seen, message);
    }

    private void echoes(Seen seen, BcCmcMessage message) {
        // What is not understood or not authentic need not come back; what comes back has to be right.
        if (message.ambiguous) return;
        boolean must = !message.unreadable && !seen.fails.contains("badMessageCheck") && !seen.lists.contains("[0]");
        List<ASN1Encodable> returned = seen.controls.getOrDefault(CMCObjectIdentifiers.id_cmc_dataReturn.getId(), List.of());
        if (must && !returned.equals(message.dataReturn) || !message.dataReturn.containsAll(returned)) seen.errors.add("dataReturn " + returned);
        List<ASN1Encodable> transaction = seen.controls.getOrDefault(CMCObjectIdentifiers.id_cmc_transactionId.getId(), List.of());
        List<ASN1Encodable> sent = message.transaction == null ? List.of() : List.of(message.transaction);
        if (must && !transaction.equals(sent) || !sent.containsAll(transaction)) seen.errors.add("transactionId " + transaction);
        List<ASN1Encodable> mine = seen.controls.getOrDefault(CMCObjectIdentifiers.id_cmc_recipientNonce.getId(), List.of());
        List<ASN1Encodable> nonce = message.nonce == null ? List.of() : List.of(new DEROctetString(message.nonce));
        if (must && !mine.equals(nonce) || !nonce.containsAll(mine)) seen.errors.add("recipientNonce " + mine);
        List<ASN1Encodable> fresh = seen.controls.getOrDefault(CMCObjectIdentifiers.id_cmc_senderNonce.getId(), List.of());
        if (must && message.nonce != null && fresh.size() != 1) seen.errors.add("senderNonce " + fresh);
        for (ASN1Encodable one : fresh)
            if (ASN1OctetString.getInstance(one).getOctets().length < 16 || !nonces.add(one.toString())) seen.errors.add("senderNonce is not fresh");
    }

    private static <T> List<T> join(List<T> a, List<T> b) {
        List<T> out = new ArrayList<>(a);
        out.addAll(b);
        return out;
    }
}
