// The judge of /fullcmc: Full PKI Requests, right and wrong, each with the answer that RFC 5272 and RFC 6402 want.
// run: java -cp CP BcCmcCases cases|hostile FOLDER     (FOLDER holds what the test's head says)
// env: EST_HOST EST_PORT EST_CA, EST_USER EST_PASS, EST_RA_USER EST_RA_PASS, EST_SECRET_USER EST_SECRET
// prints: a line for each case: verdict, name, requirement, wanted, seen, milliseconds, what else is wrong; separated by tabs.
//         Then "issued" with the serial of each certificate that came.
import java.math.BigInteger;
import java.nio.file.*;
import java.security.Security;
import java.util.*;
import org.bouncycastle.asn1.*;
import org.bouncycastle.asn1.cmc.*;
import org.bouncycastle.asn1.cmp.PKIBody;
import org.bouncycastle.asn1.cmp.PKIMessage;
import org.bouncycastle.asn1.cms.IssuerAndSerialNumber;
import org.bouncycastle.asn1.crmf.*;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.oiw.OIWObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.CertificationRequest;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.*;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequestBuilder;

public class BcCmcCases {
    // HTTP, kind, CMC status, failInfo, bodyList, certificates. "a|b": one of them; "*": any; 4xx: a class.
    static final String ISSUED = "200 full success - * 1", SIMPLE = "200 simple - - - 1", DONE = "200 full success - * 0";

    static String failed(String info, Object list) {
        return "4xx full failed " + info + " " + (list.equals("*") ? "*" : "[" + list + "]") + " 0";
    }

    interface Work {
        BcCmcMessage make() throws Exception;
    }

    interface Raw {
        byte[] make(BcCmcMessage message) throws Exception;
    }

    static String env(String name) {
        String value = System.getenv(name);
        if (value == null) throw new IllegalStateException(name + " is not set");
        return value;
    }

    final BcCmcJudge judge;
    final Path folder;
    final BcCmcJudge.Via basic = BcCmcJudge.Via.basic(env("EST_USER"), env("EST_PASS"));
    final BcCmcJudge.Via anonymous = new BcCmcJudge.Via();
    BcCmcMessage.Entity device, ra, rsa, p384, other, foreignRa, strangerRa;
    int count;

    BcCmcCases(Path folder) throws Exception {
        this.folder = folder;
        judge = new BcCmcJudge("https://" + env("EST_HOST") + ":" + env("EST_PORT") + "/.well-known/est/", env("EST_CA"));
        judge.cacerts();
        device = judge.enroll(basic, BcCmcMessage.Entity.ec(), "CN=cmc-device,O=Interop");
        other = judge.enroll(basic, BcCmcMessage.Entity.ec(), "CN=cmc-other,O=Interop");
        ra = judge.enroll(BcCmcJudge.Via.basic(env("EST_RA_USER"), env("EST_RA_PASS")).label("ra"), BcCmcMessage.Entity.ec(), "CN=cmc-ra,O=Interop",
            new Extension(Extension.extendedKeyUsage, false,
                new ExtendedKeyUsage(new KeyPurposeId[] {KeyPurposeId.id_kp_clientAuth, KeyPurposeId.getInstance(CMCObjectIdentifiers.id_kp_cmcRA)}).getEncoded()));
    }

    public static void main(String[] arguments) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        BcCmcCases cases = new BcCmcCases(Paths.get(arguments[1]));
        if (arguments[0].equals("hostile")) cases.hostile();
        else if (arguments[0].equals("mutations")) cases.mutations();
        else cases.all();
        for (String serial : cases.judge.issued) System.out.println("issued\t" + serial);
    }

    static BcCmcMessage.Entity ec() throws Exception {
        return BcCmcMessage.Entity.ec();
    }

    static BcCmcMessage message() {
        return new BcCmcMessage();
    }

    BcCmcJudge.Seen test(String name, String rule, String want, BcCmcJudge.Via via, Work work) {
        return test(name, rule, want, via, work, BcCmcMessage::build);
    }

    /** One case; what it throws is its own failure. */
    BcCmcJudge.Seen test(String name, String rule, String want, BcCmcJudge.Via via, Work work, Raw raw) {
        BcCmcJudge.Seen seen = new BcCmcJudge.Seen();
        count++;
        try {
            BcCmcMessage message = work.make();
            seen = judge.ask(via, message, raw.make(message));
        } catch (Throwable e) {
            seen.errors.add("the case itself: " + e);
            if (System.getenv("EST_VERBOSE") != null) e.printStackTrace();
        }
        boolean good = matches(want, seen.toString()) && seen.errors.isEmpty();
        List<String> notes = new ArrayList<>(seen.errors);
        for (String text : seen.texts) notes.add("(" + text + ")");
        System.out.println(String.join("\t", good ? "ok" : "WRONG", name, rule, want, seen.toString(), seen.milliseconds + " ms",
            String.join("; ", notes).replaceAll("\\s+", " ")));
        System.out.flush();
        return seen;
    }

    static boolean matches(String want, String seen) {
        String[] wanted = want.split(" "), got = seen.split(" ");
        if (wanted.length != got.length) return false;
        for (int i = 0; i < wanted.length; i++) {
            boolean any = false;
            for (String one : wanted[i].split("\\|"))
                any |= one.equals("*") || one.equals(got[i]) || one.endsWith("xx") && got[i].length() == 3 && one.charAt(0) == got[i].charAt(0);
            if (!any) return false;
        }
        return true;
    }

    /** A new key, its PKCS#10 request as body part 1 with the SKI asked for, signed by itself. */
    BcCmcMessage self(String name) throws Exception {
        return self(name, new ArrayList<>());
    }

    BcCmcMessage self(String name, List<BcCmcMessage.Entity> key) throws Exception {
        BcCmcMessage.Entity e = ec();
        key.add(e);
        return message().request(1, BcCmcMessage.csr(e, "CN=" + name + ",O=Interop", BcCmcMessage.ski(e.ski()))).signedBy(e).wants(e);
    }

    /** A new key for the names of a device or anything else, signed by somebody with a certificate. */
    BcCmcMessage by(BcCmcMessage.Entity signer, String name) throws Exception {
        BcCmcMessage.Entity e = ec();
        return message().request(1, BcCmcMessage.csr(e, name)).certifiedBy(signer).wants(e);
    }

    BcCmcMessage byRa(String name) throws Exception {
        return by(ra, "CN=" + name + ",O=Interop");
    }

    BcCmcJudge.Via viaRa() {
        return BcCmcJudge.Via.tls(ra);
    }

    BcCmcJudge.Via viaDevice() {
        return BcCmcJudge.Via.tls(device);
    }

    static final String DEVICE = "CN=cmc-device,O=Interop";

    void all() throws Exception {
        rsa = judge.enroll(basic, BcCmcMessage.Entity.make("RSA2048"), "CN=cmc-rsa,O=Interop");
        p384 = judge.enroll(basic, BcCmcMessage.Entity.make("P-384"), "CN=cmc-p384,O=Interop");
        foreignRa = BcCmcJudge.entity(folder.resolve("foreign.pem").toString(), folder.resolve("foreign.key").toString());
        strangerRa = BcCmcJudge.entity(folder.resolve("stranger.pem").toString(), folder.resolve("stranger.key").toString());
        transport();
        signatures();
        structure();
        pkcs10();
        crmf();
        echoes();
        secrets();
        registration();
        batches();
        names();
        revocation();
        later();
    }

    void transport() throws Exception {
        String rule = "R-7030-4.3.1-a";
        for (String type : List.of("application/pkcs7-mime; smime-type=CMC-request", "application/pkcs7-mime; smime-type=CMC-Request",
            "Application/PKCS7-MIME;SMIME-Type=\"cmc-request\""))
            test("type." + type.replace(' ', '_'), rule, SIMPLE, basic.type(type), () -> self("type"));
        for (String type : List.of("application/pkcs7-mime; smime-type=certs-only", "application/pkcs7-mime; smime-type=CMC-response", "application/pkcs10",
            "text/plain"))
            test("type." + type.replace(' ', '_'), rule, "415 text - - - 0", basic.type(type), () -> self("type"));
        test("off", "R-7030-3.2.2-c", "404 text - - - 0", basic.label(""), () -> self("off"));
        test("nobody", "R-7030-4.3.1-b", "401|403 text - - - 0", anonymous, () -> self("nobody"));
        rule = "R-7030-4.3.1-b";
        String rejected = "4xx text|full -|failed -|badRequest * 0";
        test("body.pkcs10", rule, rejected, basic, () -> self("x"), m -> BcCmcMessage.csr(ec(), "CN=x").getEncoded());
        test("body.certs-only", rule, rejected, basic, () -> self("x"), m -> {
            CMSSignedDataGenerator g = new CMSSignedDataGenerator();
            g.addCertificate(device.cert);
            return g.generate(new CMSAbsentContent()).getEncoded("DER");
        });
        test("body.empty", rule, rejected, basic, () -> self("x"), m -> new byte[0]);
        test("body.cut", rule, rejected, basic, () -> self("x"), m -> Arrays.copyOf(m.build(), 300));
        test("body.trailing", rule, rejected, basic, () -> self("x"), m -> org.bouncycastle.util.Arrays.append(m.build(), (byte) 0));
        test("body.certificate", rule, rejected, basic, () -> self("x"), m -> device.cert.getEncoded());
        test("body.random", rule, rejected, basic, () -> self("x"), m -> BcCmcMessage.random(700));
    }

    void signatures() throws Exception {
        test("self.simple", "R-5272-3.2-a", SIMPLE, basic, () -> self("self"));
        judgeIsAwake(test("self.full", "R-5272-3.2-a", ISSUED, basic, () -> self("self-full").tracked()));
        test("self.no-ski-asked", "R-5272-3.2-c", ISSUED, basic, () -> {
            BcCmcMessage.Entity e = ec();
            return message().request(1, BcCmcMessage.csr(e, "CN=no-ski,O=Interop")).tracked().signedBy(e).wants(e);
        });
        test("self.own-ski", "R-5272-3.2-c", "200|4xx full success|failed -|badRequest|unsupportedExt * 0|1", basic, () -> {
            BcCmcMessage.Entity e = ec();
            byte[] id = BcCmcMessage.random(20);
            return message().request(1, BcCmcMessage.csr(e, "CN=own-ski,O=Interop", BcCmcMessage.ski(id))).tracked().signedBy(e, e.alg, id).wants(e);
        });
        String rule = "R-5272-3.2-c", rejected = "4xx full failed badRequest|badMessageCheck|badIdentity * 0";
        test("self.other-ski", rule, rejected, basic, () -> {
            BcCmcMessage.Entity e = ec();
            return message().request(1, BcCmcMessage.csr(e, "CN=x", BcCmcMessage.ski(e.ski()))).signedBy(e, e.alg, BcCmcMessage.random(20)).wants(e);
        });
        test("self.key-id-for-another-ski-asked", rule, rejected, basic, () -> {
            BcCmcMessage.Entity e = ec();
            return message().request(1, BcCmcMessage.csr(e, "CN=x", BcCmcMessage.ski(BcCmcMessage.random(20)))).signedBy(e).wants(e);
        });
        test("self.issuer-and-serial", rule, rejected, basic, () -> {
            BcCmcMessage.Entity e = ec();
            e.cert = e.selfSigned("CN=x");
            return message().request(1, BcCmcMessage.csr(e, "CN=x", BcCmcMessage.ski(e.ski()))).certifiedBy(e).wants(e);
        });
        test("self.issuer-and-serial-without-certificate", rule, rejected, basic, () -> {
            BcCmcMessage.Entity e = ec();
            e.cert = e.selfSigned("CN=x");
            BcCmcMessage m = message().request(1, BcCmcMessage.csr(e, "CN=x", BcCmcMessage.ski(e.ski()))).certifiedBy(e).wants(e);
            m.bag.clear();
            return m;
        });
        test("self.two-signers", rule, rejected, basic, () -> {
            List<BcCmcMessage.Entity> key = new ArrayList<>();
            BcCmcMessage m = self("x", key);
            return m.signedBy(key.get(0));
        });
        test("self.and-device", rule, rejected, basic, () -> self("x").certifiedBy(device));
        rule = "R-5272-3.2.1.3.4-a";
        String broken = failed("badMessageCheck", 0);
        test("signature.flipped", rule, broken, basic, () -> self("x").tracked(), m -> BcCmcMessage.flipped(m.build()));
        test("signature.flipped-device", rule, broken, viaDevice(), () -> by(device, DEVICE), m -> BcCmcMessage.flipped(m.build()));
        test("signature.flipped-ra", rule, broken, viaRa(), () -> byRa("x"), m -> BcCmcMessage.flipped(m.build()));
        test("signature.other-content", rule, broken, basic, () -> self("x"), m -> {
            byte[] der = m.build();
            m.control(77, CMCObjectIdentifiers.id_cmc_dataReturn, new DEROctetString(new byte[1]));
            return BcCmcMessage.withContent(der, m.type, m.pkiData());
        });
        test("signature.other-key", rule, broken, basic, () -> {
            BcCmcMessage.Entity e = ec();
            return message().request(1, BcCmcMessage.csr(e, "CN=x", BcCmcMessage.ski(e.ski()))).signedBy(ec(), "SHA256withECDSA", e.ski()).wants(e);
        });
        test("signature.other-key-than-the-certificate's", rule, broken, viaDevice(), () -> {
            BcCmcMessage.Entity thief = ec();
            thief.cert = device.cert;
            return by(thief, DEVICE);
        });
        test("signature.none", rule, rejected, basic, () -> {
            BcCmcMessage m = self("x");
            m.signers.clear();
            return m;
        });
        test("signature.one-of-two-wrong", rule, "4xx full failed badMessageCheck|badRequest * 0", viaRa(), () -> {
            BcCmcMessage.Entity thief = ec();
            thief.cert = other.cert;
            return byRa("x").certifiedBy(thief);
        });
        test("signature.without-attributes", "R-5272-3.2-b", rejected, basic, () -> {
            BcCmcMessage m = self("x");
            m.signers.clear();
            BcCmcMessage.Entity e = m.wanted.get(0);
            m.signers.add(new SignerInfoGeneratorBuilder(BcCmcMessage.digests()).setDirectSignature(true).build(e.signer(e.alg), e.ski()));
            return m;
        });
        rule = "R-5272-3.2-b";
        for (String[] type : new String[][] {{"id-data", "1.2.840.113549.1.7.1"}, {"PKIResponse", "1.3.6.1.5.5.7.12.3"}, {"unknown", "1.3.6.1.4.1.55555.9"}})
            test("content." + type[0], rule, failed("badRequest", 0), basic, () -> {
                BcCmcMessage m = self("x");
                m.type = new ASN1ObjectIdentifier(type[1]);
                m.unreadable = true;
                return m;
            });
        test("content.type-attribute-differs", rule, rejected, basic, () -> self("x"),
            m -> {
                m.type = new ASN1ObjectIdentifier("1.2.840.113549.1.7.1");
                return BcCmcMessage.withContent(m.build(), CMCObjectIdentifiers.id_cct_PKIData, m.pkiData());
            });
        test("content.absent", rule, failed("badRequest|badMessageCheck", 0), basic, () -> self("x"), m -> {
            CMSSignedDataGenerator g = new CMSSignedDataGenerator();
            g.addSignerInfoGenerator(m.signers.get(0));
            return g.generate(new CMSProcessableByteArray(m.type, m.pkiData()), false).getEncoded("DER");
        });
        test("wrapper.enveloped", rule, "4xx full failed badRequest|badMessageCheck [0] 0", basic, () -> self("x"), m -> {
            CMSEnvelopedDataGenerator g = new CMSEnvelopedDataGenerator();
            g.addRecipientInfoGenerator(new JceKEKRecipientInfoGenerator(BcCmcMessage.utf8("key"), new javax.crypto.spec.SecretKeySpec(new byte[16], "AES")).setProvider("BC"));
            return g.generate(new CMSProcessableByteArray(PKCSObjectIdentifiers.signedData, m.build()), new JceCMSContentEncryptorBuilder(CMSAlgorithm.AES128_CBC).setProvider("BC").build())
                .toASN1Structure().getEncoded("DER");
        });
        test("wrapper.authenticated", rule, "4xx full failed badRequest|badMessageCheck|badAlg [0] 0", basic, () -> self("x"), m -> {
            CMSAuthenticatedDataGenerator g = new CMSAuthenticatedDataGenerator();
            g.addRecipientInfoGenerator(new JceKEKRecipientInfoGenerator(BcCmcMessage.utf8("shared"), new javax.crypto.spec.SecretKeySpec(new byte[16], "AES")).setProvider("BC"));
            return g.generate(new CMSProcessableByteArray(m.type, m.pkiData()), new JceCMSMacCalculatorBuilder(PKCSObjectIdentifiers.id_hmacWithSHA256).setProvider("BC").build())
                .toASN1Structure().getEncoded("DER");
        });
        // As Bouncy Castle encodes unless it is reported otherwise: indefinite lengths. RFC 5652 allows BER; a server that reads DER only says so, as for a CSR.
        test("wrapper.ber", rule, "200|400 simple|full -|failed -|badRequest -|[0] 0|1", basic, () -> self("ber"), m -> {
            CMSSignedDataGenerator g = new CMSSignedDataGenerator();
            g.addSignerInfoGenerator(m.signers.get(0));
            return g.generate(new CMSProcessableByteArray(m.type, m.pkiData()), true).getEncoded();
        });
        test("sha1.self", "R-5274-4.1-a", failed("badAlg", "*"), basic, () -> {
            BcCmcMessage.Entity e = ec();
            return message().request(1, BcCmcMessage.csr(e, "CN=x", BcCmcMessage.ski(e.ski()))).signedBy(e, "SHA1withECDSA", e.ski()).wants(e);
        });
        test("sha1.rsa-device", "R-5274-4.1-a", failed("badAlg", "*"), BcCmcJudge.Via.tls(rsa), () -> {
            BcCmcMessage.Entity e = ec();
            return message().request(1, BcCmcMessage.csr(e, "CN=cmc-rsa,O=Interop")).certifiedBy(rsa, "SHA1withRSA").wants(e);
        });
        test("sha1.md5-rsa-device", "R-5274-4.1-a", failed("badAlg", "*"), BcCmcJudge.Via.tls(rsa), () -> {
            BcCmcMessage.Entity e = ec();
            return message().request(1, BcCmcMessage.csr(e, "CN=cmc-rsa,O=Interop")).certifiedBy(rsa, "MD5withRSA").wants(e);
        });

        rule = "R-6402-2.3-a";
        test("device.same-names", rule, SIMPLE, viaDevice(), () -> by(device, DEVICE));
        test("device.rsa", rule, SIMPLE, BcCmcJudge.Via.tls(rsa), () -> by(rsa, "CN=cmc-rsa,O=Interop"));
        test("device.rsa-sha512", rule, SIMPLE, BcCmcJudge.Via.tls(rsa), () -> {
            BcCmcMessage.Entity e = ec();
            return message().request(1, BcCmcMessage.csr(e, "CN=cmc-rsa,O=Interop")).certifiedBy(rsa, "SHA512withRSA").wants(e);
        });
        test("device.p-384", rule, SIMPLE, BcCmcJudge.Via.tls(p384), () -> by(p384, "CN=cmc-p384,O=Interop"));
        test("device.other-subject", rule, failed("badIdentity|popFailed", "*"), viaDevice(), () -> by(device, "CN=somebody-else,O=Interop"));
        test("device.other-san", rule, failed("badIdentity|popFailed", "*"), viaDevice(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().request(1, BcCmcMessage.csr(e, DEVICE, BcCmcMessage.san("bank.example"))).certifiedBy(device).wants(e);
        });
        test("device.tls-shows-another", rule, failed("badIdentity", "*"), BcCmcJudge.Via.tls(other), () -> by(device, DEVICE));
        test("device.its-key-as-self", rule, "200|4xx simple|full -|failed -|badRequest|badMessageCheck|badIdentity * 0|1", viaDevice(), () -> {
            // A renewal: the key that is certified again signs, as sid its identifier.
            return message().request(1, BcCmcMessage.csr(device, DEVICE, BcCmcMessage.ski(device.ski()))).signedBy(device).wants(device);
        });
        rule = "R-5272/6402-8-a";
        test("ra.any-name", rule, SIMPLE, viaRa(), () -> byRa("of-the-ra"));
        test("ra.foreign", rule, failed("badIdentity|badMessageCheck|badRequest", "*"), BcCmcJudge.Via.tls(foreignRa), () -> by(foreignRa, "CN=x,O=Interop"));
        test("ra.foreign-by-password", rule, failed("badIdentity|badMessageCheck|badRequest", "*"), basic, () -> by(foreignRa, "CN=x,O=Interop"));
        test("ra.stranger", rule, "4xx full|text -|failed -|badIdentity|badMessageCheck|badRequest * 0", BcCmcJudge.Via.tls(strangerRa), () -> by(strangerRa, "CN=x,O=Interop"));
        test("ra.stranger-by-password", rule, failed("badIdentity|badMessageCheck|badRequest", "*"), basic, () -> by(strangerRa, "CN=x,O=Interop"));
        test("ra.over-the-tls-of-a-device", rule, "200|4xx simple|full -|failed -|badIdentity * 0|1", viaDevice(), () -> byRa("of-the-ra-by-a-device"));
        test("ra.self-made-issuer-of-ours", rule, failed("badIdentity|badMessageCheck|badRequest", "*"), basic, () -> {
            // A certificate that claims our CA as issuer, signed by its own key.
            BcCmcMessage.Entity liar = ec();
            liar.cert = new org.bouncycastle.cert.X509v3CertificateBuilder(ra.cert.getIssuer(), ra.cert.getSerialNumber(), ra.cert.getNotBefore(), ra.cert.getNotAfter(),
                ra.cert.getSubject(), liar.spki()).addExtension(ra.cert.getExtension(Extension.extendedKeyUsage)).build(liar.signer(liar.alg));
            return by(liar, "CN=x,O=Interop");
        });
    }

    /** The judge has to see what is wrong with an answer that was good. */
    void judgeIsAwake(BcCmcJudge.Seen good) {
        try {
            byte[] der = Base64.getMimeDecoder().decode(good.answer.body);
            byte[] content = (byte[]) new CMSSignedData(der).getSignedContent().getContent();
            BcCmcMessage byDevice = message().certifiedBy(device);
            byDevice.type = CMCObjectIdentifiers.id_cct_PKIResponse;
            byDevice.content = content;
            BcCmcMessage byStranger = message().certifiedBy(strangerRa);
            byStranger.type = CMCObjectIdentifiers.id_cct_PKIResponse;
            byStranger.content = content;
            Map<String, byte[]> bad = new LinkedHashMap<>();
            bad.put("a-flipped-signature", BcCmcMessage.flipped(der));
            bad.put("another-content", BcCmcMessage.withContent(der, CMCObjectIdentifiers.id_cct_PKIResponse, new DERSequence(new ASN1Encodable[] {new DERSequence(), new DERSequence(), new DERSequence()}).getEncoded()));
            bad.put("a-device-as-signer", byDevice.build());
            bad.put("a-stranger-as-signer", byStranger.build());
            for (Map.Entry<String, byte[]> one : bad.entrySet()) {
                BcCmcJudge.Answer answer = new BcCmcJudge.Answer();
                answer.status = 200;
                answer.type = good.answer.type;
                answer.body = BcCmcJudge.base64(one.getValue());
                List<String> errors = judge.read(answer).errors;
                System.out.println(String.join("\t", errors.isEmpty() ? "WRONG" : "ok", "judge.sees-" + one.getKey(), "R-5272-3.2-a", "a error", errors.isEmpty() ? "none" : "a error", "0 ms", ""));
            }
        } catch (Exception e) {
            System.out.println(String.join("\t", "WRONG", "judge", "R-5272-3.2-a", "errors", e.toString(), "0 ms", ""));
        }
    }

    void structure() throws Exception {
        String rule = "R-5272-3.2.2-a", bad = failed("badRequest", "*");
        Work twins = () -> unreadable(self("x").control(7, CMCObjectIdentifiers.id_cmc_dataReturn, new DEROctetString(new byte[1])).control(7,
            CMCObjectIdentifiers.id_cmc_senderNonce, new DEROctetString(new byte[16])));
        test("ids.two-controls", rule, bad, basic, twins);
        test("ids.control-and-request", rule, bad, basic, () -> unreadable(self("x").control(1, CMCObjectIdentifiers.id_cmc_dataReturn, new DEROctetString(new byte[1]))));
        test("ids.two-requests", rule, bad, viaRa(), () -> byRa("x").request(1, BcCmcMessage.csr(ec(), "CN=y,O=Interop")));
        test("ids.crmf-and-control", rule, bad, viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            return unreadable(message().request(BcCmcMessage.crmf(e, 9, "CN=x,O=Interop")).control(9, CMCObjectIdentifiers.id_cmc_dataReturn, new DEROctetString(new byte[1])).certifiedBy(ra));
        });
        test("ids.cms-and-control", rule, bad, viaRa(), () -> unreadable(byRa("x").nested(9, self("y").build()).control(9, CMCObjectIdentifiers.id_cmc_dataReturn, new DEROctetString(new byte[1]))));
        test("ids.zero-control", rule, bad, basic, () -> unreadable(self("x").control(0, CMCObjectIdentifiers.id_cmc_dataReturn, new DEROctetString(new byte[1]))));
        test("ids.zero-request", rule, bad, viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().request(0, BcCmcMessage.csr(e, "CN=x,O=Interop")).certifiedBy(ra);
        });
        test("ids.zero-crmf", rule, bad, viaRa(), () -> message().request(BcCmcMessage.crmf(ec(), 0, "CN=x,O=Interop")).certifiedBy(ra));
        test("ids.largest", rule, ISSUED, basic, () -> self("largest").control(4294967295L, CMCObjectIdentifiers.id_cmc_dataReturn, new DEROctetString(new byte[1])));
        test("ids.too-large", rule, bad, basic, () -> unreadable(self("x").control(4294967296L, CMCObjectIdentifiers.id_cmc_dataReturn, new DEROctetString(new byte[1]))));
        test("ids.negative", rule, bad, basic, () -> unreadable(self("x").control(-1L, CMCObjectIdentifiers.id_cmc_dataReturn, new DEROctetString(new byte[1]))));
        rule = "R-5272-3.2.1.1-a";
        test("unknown.alone", rule, failed("badRequest", 7), basic, () -> self("x").tracked().control(7, BcCmcMessage.UNKNOWN, new ASN1Integer(1)));
        test("unknown.two", rule, "4xx full failed badRequest [7,8]|[8,7]|[7];[8] 0", basic, () -> self("x").control(7, BcCmcMessage.UNKNOWN, new ASN1Integer(1)).control(8, BcCmcMessage.UNKNOWN.branch("4"), DERNull.INSTANCE));
        test("unknown.ra", rule, failed("badRequest", 7), viaRa(), () -> byRa("x").tracked().control(7, BcCmcMessage.UNKNOWN, new ASN1Integer(1)));
        test("unknown.response-body", rule, failed("badRequest", 7), basic, () -> self("x").tracked().control(7, BcCmcMessage.RESPONSE_BODY, new BodyPartPath(new BodyPartID(1))));
        rule = "R-5272-3.2.1-a";
        test("orm.alone", rule, "4xx|501 full noSupport - [5] 0", viaRa(), () -> message().tracked().other(5, BcCmcMessage.UNKNOWN, new ASN1Integer(1)).certifiedBy(ra));
        test("orm.beside-a-good-request", rule, "4xx|501 full noSupport - [5] 0", viaRa(), () -> byRa("x").tracked().other(5, BcCmcMessage.UNKNOWN, new ASN1Integer(1)));
        test("orm.beside-a-revocation", rule, "4xx|501 full noSupport - [5] 0", viaRa(), () -> byRa("x").tracked().control(8, CMCObjectIdentifiers.id_cmc_revokeRequest, revoke(other, 1, null))
            .other(5, BcCmcMessage.UNKNOWN, new ASN1Integer(1)));
        test("structure.unreferenced-parts-are-ignored", "R-5272-3.2-a", ISSUED, basic, () -> {
            BcCmcMessage m = self("unreferenced").tracked().nested(50, self("never").build());
            m.others.add(new DERSequence(new ASN1Encodable[] {new ASN1Integer(51), BcCmcMessage.UNKNOWN, DERNull.INSTANCE}));
            return m;
        });
        String malformed = "4xx full failed badRequest [0] 0";
        test("structure.trailing", "R-5272-3.2-b", malformed, basic, () -> {
            BcCmcMessage m = self("x");
            m.content = org.bouncycastle.util.Arrays.append(m.pkiData(), (byte) 0);
            return unreadable(m);
        });
        test("structure.three-parts", "R-5272-3.2-b", malformed, basic, () -> {
            BcCmcMessage m = self("x");
            m.content = new DERSequence(new ASN1Encodable[] {new DERSequence(), new DERSequence(m.requests.get(0)), new DERSequence()}).getEncoded();
            return unreadable(m);
        });
        test("structure.no-pki-data", "R-5272-3.2-b", malformed, basic, () -> {
            BcCmcMessage m = self("x");
            m.content = BcCmcMessage.random(40);
            return unreadable(m);
        });
        test("structure.nothing-to-do", "R-5272-3.2-a", "200|4xx full success|failed -|badRequest * 0", viaRa(), () -> message().tracked().certifiedBy(ra));
        test("several.two-by-ra", "R-5272-3.2-a", "200 full success - * 2", viaRa(), () -> {
            BcCmcMessage.Entity a = ec(), b = ec();
            return message().tracked().request(1, BcCmcMessage.csr(a, "CN=several-a,O=Interop")).request(BcCmcMessage.crmf(b, 2, "CN=several-b,O=Interop")).certifiedBy(ra).wants(a, b);
        });
        test("several.one-bad", "R-5272-3.2-a", "4xx full failed popFailed [2] 0", viaRa(), () -> {
            BcCmcMessage.Entity a = ec(), b = ec();
            return message().tracked().request(1, BcCmcMessage.csr(a, "CN=several-c,O=Interop")).request(2, BcCmcMessage.brokenCsr(b, "CN=several-d,O=Interop")).certifiedBy(ra).wants(a, b);
        });
    }

    /** Which of two controls comes back is nobody's concern. */
    static BcCmcMessage ambiguous(BcCmcMessage m) {
        m.ambiguous = true;
        return m;
    }

    static BcCmcMessage unreadable(BcCmcMessage m) {
        m.unreadable = true;
        return m;
    }

    void pkcs10() throws Exception {
        test("pkcs10.pop-broken", "R-7030-4.3.2-b", "400 full failed popFailed [1] 0", viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().tracked().request(1, BcCmcMessage.brokenCsr(e, "CN=x,O=Interop")).certifiedBy(ra).wants(e);
        });
        test("pkcs10.ed25519", "R-5272-3.2-a", SIMPLE, viaRa(), () -> {
            BcCmcMessage.Entity e = BcCmcMessage.Entity.make("ED25519");
            return message().request(1, BcCmcMessage.csr(e, "CN=p10-ed25519,O=Interop")).certifiedBy(ra).wants(e);
        });
        test("pkcs10.ed25519-self", "R-5272-3.2-a", SIMPLE, basic, () -> {
            BcCmcMessage.Entity e = BcCmcMessage.Entity.make("ED25519");
            return message().request(1, BcCmcMessage.csr(e, "CN=p10-ed25519-self,O=Interop", BcCmcMessage.ski(e.ski()))).signedBy(e).wants(e);
        });
        test("pkcs10.rsa-self", "R-5272-3.2-a", SIMPLE, basic, () -> {
            BcCmcMessage.Entity e = BcCmcMessage.Entity.make("RSA2048");
            return message().request(1, BcCmcMessage.csr(e, "CN=p10-rsa-self,O=Interop", BcCmcMessage.ski(e.ski()))).signedBy(e).wants(e);
        });
        test("pkcs10.san", "R-5272-3.2-a", SIMPLE, viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().request(1, BcCmcMessage.csr(e, "CN=p10-san,O=Interop", BcCmcMessage.san("p10.example.com"))).certifiedBy(ra).wants(e);
        });
        test("pkcs10.nameless", "R-5272-3.1-a", failed("badRequest", 1), viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().tracked().request(1, BcCmcMessage.csr(e, "")).certifiedBy(ra).wants(e);
        });
        test("pkcs10.unsupported-extension", "R-5272-3.2.1.2.2-a", failed("unsupportedExt", 1), viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().tracked().request(1, BcCmcMessage.csr(e, "CN=x,O=Interop", new Extension(BcCmcMessage.UNKNOWN, true, new byte[] {5, 0}))).certifiedBy(ra).wants(e);
        });
        test("pkcs10.weak-rsa", "R-5274-4.1-a", failed("badAlg|badRequest", 1), viaRa(), () -> {
            BcCmcMessage.Entity e = BcCmcMessage.Entity.make("RSA1024");
            return message().tracked().request(1, BcCmcMessage.csr(e, "CN=x,O=Interop")).certifiedBy(ra).wants(e);
        });
        test("pkcs10.sha1", "R-5274-4.1-a", failed("badAlg", 1), viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            CertificationRequest csr = CertificationRequest.getInstance(BcCmcMessage.csrBuilder(e, "CN=x,O=Interop").build(e.signer("SHA1withECDSA")).toASN1Structure());
            return message().tracked().request(1, csr).certifiedBy(ra).wants(e);
        });
        String rule = "R-5272-6.7/App.C-a", unproven = "4xx full failed|popRequired -|popRequired [1] 0";
        test("no-signature.device", rule, unproven, viaDevice(), () -> {
            BcCmcMessage.Entity e = BcCmcMessage.Entity.make("RSA2048");
            return message().tracked().request(1, BcCmcMessage.unsignedCsr(e, DEVICE, DERNull.INSTANCE)).certifiedBy(device).wants(e);
        });
        test("no-signature.password", rule, "4xx full failed|popRequired -|popRequired|badRequest|badMessageCheck * 0", basic, () -> {
            BcCmcMessage.Entity e = BcCmcMessage.Entity.make("RSA2048");
            return message().request(1, BcCmcMessage.unsignedCsr(e, "CN=x,O=Interop", DERNull.INSTANCE)).wants(e);
        });
        test("no-signature.ra", rule, unproven, viaRa(), () -> {
            BcCmcMessage.Entity e = BcCmcMessage.Entity.make("RSA2048");
            return message().tracked().request(1, BcCmcMessage.unsignedCsr(e, "CN=x,O=Interop", DERNull.INSTANCE)).certifiedBy(ra).wants(e);
        });
        test("no-signature.outer-signature-none-either", rule, "4xx full failed popRequired|badAlg|badMessageCheck|badRequest * 0", basic, () -> {
            BcCmcMessage.Entity e = ec();
            return message().request(1, BcCmcMessage.unsignedCsr(e, "CN=x,O=Interop", DERNull.INSTANCE)).signedBy(e).wants(e);
        });
    }

    void crmf() throws Exception {
        String rule = "R-5272-3.2.1.2.2-a";
        test("crmf.ec", rule, SIMPLE, viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().request(BcCmcMessage.crmf(e, 1, "CN=crmf-ec,O=Interop")).certifiedBy(ra).wants(e);
        });
        test("crmf.rsa", rule, SIMPLE, viaRa(), () -> {
            BcCmcMessage.Entity e = BcCmcMessage.Entity.make("RSA2048");
            return message().request(BcCmcMessage.crmf(e, 1, "CN=crmf-rsa,O=Interop")).certifiedBy(ra).wants(e);
        });
        test("crmf.extensions", rule, ISSUED, viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            Extension usage = new Extension(Extension.keyUsage, true, new KeyUsage(KeyUsage.digitalSignature).getEncoded());
            return message().tracked().request(BcCmcMessage.crmf(e, 1, "CN=crmf-ext,O=Interop", BcCmcMessage.san("crmf.example.com"), usage)).certifiedBy(ra).wants(e);
        });
        test("crmf.device", rule, SIMPLE, viaDevice(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().request(BcCmcMessage.crmf(e, 1, DEVICE)).certifiedBy(device).wants(e);
        });
        test("crmf.self", rule, SIMPLE, basic, () -> {
            BcCmcMessage.Entity e = ec();
            return message().request(BcCmcMessage.crmf(e, 1, "CN=crmf-self,O=Interop", BcCmcMessage.ski(e.ski()))).signedBy(e).wants(e);
        });
        test("crmf.device-other-name", "R-6402-2.3-a", failed("badIdentity|popFailed", 1), viaDevice(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().tracked().request(BcCmcMessage.crmf(e, 1, "CN=somebody-else")).certifiedBy(device).wants(e);
        });
        CertReqMsg openssl = openssl();
        BcCmcMessage.Entity sslKey = BcCmcJudge.entity(null, folder.resolve("ir.key").toString());
        test("crmf.openssl-as-it-is", "R-5272-3.2.2-a", failed("badRequest", "*"), viaRa(), () -> message().request(openssl).certifiedBy(ra).wants(sslKey));
        test("crmf.openssl-numbered", rule, SIMPLE, viaRa(), () -> {
            // openssl numbers its one request 0, which CMC forbids: with another number and its signature made again.
            CertRequest numbered = new CertRequest(new ASN1Integer(6), openssl.getCertReq().getCertTemplate(), openssl.getCertReq().getControls());
            return message().request(BcCmcMessage.crmf(sslKey, numbered, null)).certifiedBy(ra).wants(sslKey);
        });
        String bad = failed("badRequest", 1);
        test("crmf.no-subject", rule, bad, viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().tracked().request(BcCmcMessage.crmf(e, BcCmcMessage.template(e, 1, null, null), null)).certifiedBy(ra).wants(e);
        });
        test("crmf.no-key", rule, bad, viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().tracked().request(BcCmcMessage.crmf(e, BcCmcMessage.template(null, 1, "CN=x,O=Interop", null), null)).certifiedBy(ra).wants(e);
        });
        test("crmf.nameless", rule, bad, viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().tracked().request(BcCmcMessage.crmf(e, BcCmcMessage.template(e, 1, "", null), null)).certifiedBy(ra).wants(e);
        });
        test("crmf.reg-info", rule, bad, viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().tracked().request(BcCmcMessage.crmf(e, BcCmcMessage.template(e, 1, "CN=x,O=Interop", null), null, new DERUTF8String("who?y%"))).certifiedBy(ra).wants(e);
        });
        String unproven = "4xx full failed|popRequired -|popRequired|popFailed|badRequest [1] 0";
        test("crmf.signing-key-input", rule, failed("badRequest|popFailed", 1), viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            POPOSigningKeyInput input = new POPOSigningKeyInput(new GeneralName(new X500Name("CN=x,O=Interop")), e.spki());
            return message().tracked().request(BcCmcMessage.crmf(e, BcCmcMessage.template(e, 1, "CN=x,O=Interop", null), input)).certifiedBy(ra).wants(e);
        });
        for (int form : new int[] {0, 1})
            test(form == 0 ? "crmf.indirect-pop" : "crmf.challenge-pop", rule, unproven, viaRa(), () -> {
                BcCmcMessage.Entity e = BcCmcMessage.Entity.make("RSA2048");
                ProofOfPossession pop = new ProofOfPossession(ProofOfPossession.TYPE_KEY_ENCIPHERMENT, new POPOPrivKey(form == 0 ? SubsequentMessage.encrCert : SubsequentMessage.challengeResp));
                return message().tracked().request(new CertReqMsg(BcCmcMessage.template(e, 1, "CN=x,O=Interop", null), pop, null)).certifiedBy(ra).wants(e);
            });
        test("crmf.no-pop", rule, unproven, viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().tracked().request(new CertReqMsg(BcCmcMessage.template(e, 1, "CN=x,O=Interop", null), null, null)).certifiedBy(ra).wants(e);
        });
        test("crmf.pop-of-another-key", rule, failed("popFailed", 1), viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().tracked().request(BcCmcMessage.crmf(ec(), BcCmcMessage.template(e, 1, "CN=x,O=Interop", null), null)).certifiedBy(ra).wants(e);
        });
        test("crmf.pop-of-another-request", rule, failed("popFailed", 1), viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            CertReqMsg good = BcCmcMessage.crmf(e, 1, "CN=x,O=Interop");
            return message().tracked().request(new CertReqMsg(BcCmcMessage.template(e, 1, "CN=y,O=Interop", null), good.getPopo(), null)).certifiedBy(ra).wants(e);
        });
        test("crmf.ra-verified-by-device", "R-5272-6.8-a", unproven, viaDevice(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().tracked().request(new CertReqMsg(BcCmcMessage.template(e, 1, DEVICE, null), new ProofOfPossession(), null)).certifiedBy(device).wants(e);
        });
        test("crmf.ra-verified-by-password", "R-5272-6.8-a", "4xx full failed|popRequired -|popRequired|popFailed|badRequest|badMessageCheck * 0", basic, () -> {
            BcCmcMessage.Entity e = ec();
            return message().request(new CertReqMsg(BcCmcMessage.template(e, 1, "CN=x,O=Interop", null), new ProofOfPossession(), null)).signedBy(e).wants(e);
        });
        test("crmf.ra-verified-by-foreign-ra", "R-5272-6.8-a", failed("popRequired|popFailed|badIdentity|badMessageCheck|badRequest", "*"), basic, () -> {
            BcCmcMessage.Entity e = ec();
            return message().tracked().request(new CertReqMsg(BcCmcMessage.template(e, 1, "CN=x,O=Interop", null), new ProofOfPossession(), null)).certifiedBy(foreignRa).wants(e);
        });
    }

    CertReqMsg openssl() throws Exception {
        PKIMessage message = PKIMessage.getInstance(Files.readAllBytes(folder.resolve("ir.der")));
        if (message.getBody().getType() != PKIBody.TYPE_INIT_REQ) throw new Exception("no ir");
        return CertReqMessages.getInstance(message.getBody().getContent()).toCertReqMsgArray()[0];
    }

    void echoes() throws Exception {
        String rule = "R-5272-6.6-a";
        ASN1ObjectIdentifier transaction = CMCObjectIdentifiers.id_cmc_transactionId, nonce = CMCObjectIdentifiers.id_cmc_senderNonce;
        ASN1ObjectIdentifier data = CMCObjectIdentifiers.id_cmc_dataReturn;
        test("transaction-id.good", rule, ISSUED, basic, () -> self("tid").control(7, transaction, new ASN1Integer(4711)));
        test("transaction-id.negative", rule, ISSUED, basic, () -> self("tid-negative").control(7, transaction, new ASN1Integer(-4711)));
        test("transaction-id.hundred-bytes", rule, "200|4xx full success|failed -|badRequest * 0|1", basic, () -> self("tid-long").control(7, transaction, new ASN1Integer(new BigInteger(800, BcCmcMessage.RANDOM))));
        test("transaction-id.in-a-failure", rule, failed("popFailed", 1), viaRa(), () -> message().tracked().control(7, data, new DEROctetString(BcCmcMessage.random(9)))
            .request(1, BcCmcMessage.brokenCsr(ec(), "CN=x,O=Interop")).certifiedBy(ra));
        test("sender-nonce.good", rule, ISSUED, basic, () -> self("nonce").control(7, nonce, new DEROctetString(BcCmcMessage.random(32))));
        test("sender-nonce.short", rule, ISSUED, basic, () -> self("nonce-short").control(7, nonce, new DEROctetString(BcCmcMessage.random(1))));
        test("recipient-nonce.never-issued", rule, "200|4xx full|simple success|failed|- -|badRequest|badMessageCheck * 0|1", basic,
            () -> self("rnonce").control(7, CMCObjectIdentifiers.id_cmc_recipientNonce, new DEROctetString(BcCmcMessage.random(16))));
        test("data-return.good", "R-5272-6.4-a", ISSUED, basic, () -> self("data").control(7, data, new DEROctetString(BcCmcMessage.random(100))));
        test("data-return.empty", "R-5272-6.4-a", ISSUED, basic, () -> self("data-empty").control(7, data, new DEROctetString(new byte[0])));
        test("data-return.two", "R-5272-6.4-a", ISSUED, basic, () -> self("data-two").control(7, data, new DEROctetString(new byte[] {1})).control(8, data, new DEROctetString(new byte[] {2})));
        test("data-return.20-kB", "R-5272-6.4-a", ISSUED, basic, () -> self("data-large").control(7, data, new DEROctetString(BcCmcMessage.random(20000))));
        // The wrong type, no value, two values.
        ASN1Encodable text = new DERUTF8String("x"), number = new ASN1Integer(5);
        Object[][] wrong = {{"transaction-id", transaction, text}, {"sender-nonce", nonce, number}, {"recipient-nonce", CMCObjectIdentifiers.id_cmc_recipientNonce, number},
            {"data-return", data, text}};
        for (Object[] one : wrong) {
            String requirement = one[0].equals("data-return") ? "R-5272-6.4-a" : rule;
            ASN1ObjectIdentifier oid = (ASN1ObjectIdentifier) one[1];
            test(one[0] + ".malformed", requirement, failed("badRequest", 7), basic, () -> self("x").control(7, oid, (ASN1Encodable) one[2]));
            test(one[0] + ".no-value", requirement, failed("badRequest", 7), basic, () -> self("x").control(7, oid));
            ASN1Encodable[] two = oid.equals(transaction) ? new ASN1Encodable[] {new ASN1Integer(1), new ASN1Integer(2)}
                : new ASN1Encodable[] {new DEROctetString(new byte[16]), new DEROctetString(new byte[17])};
            test(one[0] + ".two-values", requirement, failed("badRequest", 7), basic, () -> self("x").control(7, oid, two));
        }
        test("transaction-id.twice", rule, failed("badRequest", "*"), basic, () -> ambiguous(self("x").control(7, transaction, new ASN1Integer(1)).control(8, transaction, new ASN1Integer(2))));
        test("sender-nonce.twice", rule, failed("badRequest", "*"), basic, () -> ambiguous(self("x").control(7, nonce, new DEROctetString(new byte[16])).control(8, nonce, new DEROctetString(new byte[17]))));
    }

    void secrets() throws Exception {
        String name = env("EST_SECRET_USER"), secret = env("EST_SECRET"), rule = "R-6402-4.1-a";
        ASN1ObjectIdentifier identification = CMCObjectIdentifiers.id_cmc_identification, proof = CMCObjectIdentifiers.id_cmc_identityProofV2;
        BcCmcJudge.Via account = BcCmcJudge.Via.basic(name, secret);
        test("identity-proof.good", rule, ISSUED, account, () -> self("proven").tracked().proven(name, secret));
        test("identity-proof.crmf", rule, ISSUED, account, () -> {
            BcCmcMessage.Entity e = ec();
            return message().tracked().request(BcCmcMessage.crmf(e, 1, "CN=proven-crmf,O=Interop", BcCmcMessage.ski(e.ski()))).proven(name, secret).signedBy(e).wants(e);
        });
        String rejected = failed("badIdentity", "*");
        test("identity-proof.other-secret", rule, rejected, account, () -> self("x").tracked().proven(name, secret + "x"));
        test("identity-proof.nobody", rule, rejected, account, () -> self("x").tracked().proven("nobody", secret));
        test("identity-proof.account-without-secret", rule, rejected, account, () -> self("x").tracked().proven(env("EST_USER"), env("EST_PASS")));
        test("identity-proof.of-another-request", rule, rejected, account, () -> {
            BcCmcMessage first = self("y").proven(name, secret), m = self("x").tracked();
            m.controls.addAll(first.controls);
            m.ids.putAll(first.ids);
            return m;
        });
        test("identity-proof.without-name-in-the-key", rule, rejected, account, () -> {
            // RFC 5272 6.2.3: beside an identification the hash is over the secret and the identification.
            BcCmcMessage m = self("x").tracked();
            byte[] mac = BcCmcMessage.hmac("HmacSHA256", BcCmcMessage.hash("SHA-256", BcCmcMessage.utf8(secret)), m.reqSequence());
            return m.control(201, identification, new DERUTF8String(name)).control(202, proof, new IdentityProofV2(BcCmcMessage.SHA256, BcCmcMessage.HMAC_SHA256, mac));
        });
        test("identity-proof.short-witness", rule, rejected, account, () -> {
            BcCmcMessage m = self("x").tracked();
            return m.control(201, identification, new DERUTF8String(name)).control(202, proof, new IdentityProofV2(BcCmcMessage.SHA256, BcCmcMessage.HMAC_SHA256, new byte[0]));
        });
        AlgorithmIdentifier sha1 = new AlgorithmIdentifier(OIWObjectIdentifiers.idSHA1), hmacSha1 = new AlgorithmIdentifier(PKCSObjectIdentifiers.id_hmacWithSHA1);
        test("identity-proof.sha1", "R-5274-4.1-a", failed("badAlg|badIdentity", "*"), account, () -> {
            BcCmcMessage m = self("x").tracked();
            byte[] mac = BcCmcMessage.hmac("HmacSHA1", BcCmcMessage.hash("SHA-1", BcCmcMessage.utf8(secret), BcCmcMessage.utf8(name)), m.reqSequence());
            return m.control(201, identification, new DERUTF8String(name)).control(202, proof, new IdentityProofV2(sha1, hmacSha1, mac));
        });
        test("identity-proof.v1", "R-5274-4.1-a", failed("badAlg|badIdentity|badRequest", "*"), account, () -> {
            BcCmcMessage m = self("x").tracked();
            byte[] mac = BcCmcMessage.hmac("HmacSHA1", BcCmcMessage.hash("SHA-1", BcCmcMessage.utf8(secret), BcCmcMessage.utf8(name)), m.reqSequence());
            return m.control(201, identification, new DERUTF8String(name)).control(202, CMCObjectIdentifiers.id_cmc_identityProof, new DEROctetString(mac));
        });
        test("identity-proof.malformed", rule, failed("badRequest", 202), account, () -> self("x").tracked().control(201, identification, new DERUTF8String(name)).control(202, proof, new DEROctetString(new byte[32])));
        test("identification.malformed", rule, failed("badRequest", 201), account, () -> self("x").tracked().control(201, identification, new ASN1Integer(3)));
        test("identification.alone", rule, "200|4xx full success|failed -|badIdentity|badRequest * 0|1", account, () -> self("identified").tracked().control(201, identification, new DERUTF8String(name)));

        rule = "R-6402-2.3-a";
        ASN1ObjectIdentifier random = CMCObjectIdentifiers.id_cmc_popLinkRandom, witness = CMCObjectIdentifiers.id_cmc_popLinkWitnessV2;
        byte[] r = BcCmcMessage.random(64);
        test("pop-link.good", rule, ISSUED, account, () -> linked("linked", secret, r).control(203, random, new DEROctetString(r)).proven(name, secret));
        test("pop-link.crmf", rule, ISSUED, account, () -> {
            BcCmcMessage.Entity e = ec();
            CertReqMsg built = BcCmcMessage.crmf(e, 1, "CN=linked-crmf,O=Interop", BcCmcMessage.ski(e.ski()));
            Controls controls = new Controls(new AttributeTypeAndValue(witness, BcCmcMessage.witness(secret, r)));
            CertRequest request = new CertRequest(built.getCertReq().getCertReqId(), built.getCertReq().getCertTemplate(), controls);
            return message().tracked().request(BcCmcMessage.crmf(e, request, null)).control(203, random, new DEROctetString(r)).proven(name, secret).signedBy(e).wants(e);
        });
        String unlinked = failed("popFailed|badIdentity", "*");
        test("pop-link.other-secret", rule, unlinked, account, () -> linked("x", secret + "x", r).control(203, random, new DEROctetString(r)).proven(name, secret));
        test("pop-link.other-random", rule, unlinked, account, () -> linked("x", secret, r).control(203, random, new DEROctetString(BcCmcMessage.random(64))).proven(name, secret));
        test("pop-link.witness-missing", rule, unlinked, account, () -> self("x").tracked().control(203, random, new DEROctetString(r)).proven(name, secret));
        test("pop-link.random-missing", rule, failed("popFailed|badIdentity|badRequest", "*"), account, () -> linked("x", secret, r).proven(name, secret));
        test("pop-link.malformed-random", rule, failed("badRequest", 203), account, () -> linked("x", secret, r).control(203, random, new ASN1Integer(1)).proven(name, secret));
        test("pop-link.malformed-witness", rule, failed("badRequest|popFailed", "*"), account, () -> linkedWith("x", witness, new DEROctetString(new byte[32])).control(203, random, new DEROctetString(r)).proven(name, secret));
        test("pop-link.v1", rule, failed("badAlg|popFailed|badIdentity", "*"), account, () -> linkedWith("x", CMCObjectIdentifiers.id_cmc_popLinkWitness,
            new DEROctetString(BcCmcMessage.hmac("HmacSHA1", BcCmcMessage.hash("SHA-1", BcCmcMessage.utf8(secret)), r))).control(203, random, new DEROctetString(r)).proven(name, secret));
        test("pop-link.sha1", rule, failed("badAlg|popFailed|badIdentity", "*"), account, () -> linkedWith("x", witness,
            new PopLinkWitnessV2(sha1, hmacSha1, BcCmcMessage.hmac("HmacSHA1", BcCmcMessage.hash("SHA-1", BcCmcMessage.utf8(secret)), r))).control(203, random, new DEROctetString(r)).proven(name, secret));
        test("pop-link.one-of-two-requests", rule, unlinked, account, () -> {
            BcCmcMessage.Entity e = ec();
            BcCmcMessage m = linked("x", secret, r);
            return m.request(2, BcCmcMessage.csr(e, "CN=y,O=Interop")).control(203, random, new DEROctetString(r)).proven(name, secret);
        });
    }

    BcCmcMessage linked(String name, String secret, byte[] r) throws Exception {
        return linkedWith(name, CMCObjectIdentifiers.id_cmc_popLinkWitnessV2, BcCmcMessage.witness(secret, r));
    }

    BcCmcMessage linkedWith(String name, ASN1ObjectIdentifier attribute, ASN1Encodable value) throws Exception {
        BcCmcMessage.Entity e = ec();
        JcaPKCS10CertificationRequestBuilder b = BcCmcMessage.csrBuilder(e, "CN=" + name + ",O=Interop", BcCmcMessage.ski(e.ski()));
        b.addAttribute(attribute, value);
        return message().tracked().request(1, BcCmcMessage.signed(e, b)).signedBy(e).wants(e);
    }

    void registration() throws Exception {
        String rule = "R-5272-6.8-a";
        ASN1ObjectIdentifier pop = CMCObjectIdentifiers.id_cmc_lraPOPWitness;
        ASN1Encodable mine = new LraPopWitness(new BodyPartID(0), new DERSequence(new ASN1Integer(1)));
        Work unsigned = () -> {
            BcCmcMessage.Entity e = BcCmcMessage.Entity.make("RSA2048");
            return message().tracked().request(1, BcCmcMessage.unsignedCsr(e, "CN=witnessed,O=Interop", DERNull.INSTANCE)).control(7, pop, mine).certifiedBy(ra).wants(e);
        };
        test("lra-pop-witness.no-signature", rule, ISSUED, viaRa(), unsigned);
        test("lra-pop-witness.ra-verified", rule, ISSUED, viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().tracked().request(new CertReqMsg(BcCmcMessage.template(e, 1, "CN=ra-verified,O=Interop", null), new ProofOfPossession(), null)).control(7, pop, mine).certifiedBy(ra).wants(e);
        });
        test("lra-pop-witness.beside-a-proof", rule, ISSUED, viaRa(), () -> byRa("witnessed-too").tracked().control(7, pop, mine));
        test("lra-pop-witness.device", rule, failed("popFailed", "*"), viaDevice(), () -> {
            BcCmcMessage.Entity e = BcCmcMessage.Entity.make("RSA2048");
            return message().tracked().request(1, BcCmcMessage.unsignedCsr(e, DEVICE, DERNull.INSTANCE)).control(7, pop, mine).certifiedBy(device).wants(e);
        });
        test("lra-pop-witness.self", rule, failed("popFailed", "*"), basic, () -> self("x").tracked().control(7, pop, mine));
        test("lra-pop-witness.foreign-ra", rule, failed("popFailed|badIdentity|badMessageCheck|badRequest", "*"), basic, () -> {
            BcCmcMessage m = unsigned.make();
            m.signers.clear();
            return m.certifiedBy(foreignRa);
        });
        test("lra-pop-witness.no-such-part", rule, failed("badRequest|popFailed", "*"), viaRa(), () -> byRa("x").tracked().control(7, pop, new LraPopWitness(new BodyPartID(0), new DERSequence(new ASN1Integer(99)))));
        test("lra-pop-witness.for-another-request", rule, "4xx full failed|popRequired -|popRequired [1] 0", viaRa(), () -> {
            BcCmcMessage.Entity e = BcCmcMessage.Entity.make("RSA2048"), f = ec();
            return message().tracked().request(1, BcCmcMessage.unsignedCsr(e, "CN=x,O=Interop", DERNull.INSTANCE)).request(2, BcCmcMessage.csr(f, "CN=y,O=Interop"))
                .control(7, pop, new LraPopWitness(new BodyPartID(0), new DERSequence(new ASN1Integer(2)))).certifiedBy(ra).wants(e, f);
        });
        test("lra-pop-witness.malformed", rule, failed("badRequest", 7), viaRa(), () -> byRa("x").tracked().control(7, pop, new DEROctetString(new byte[3])));
        // It vouches for a present and wrong proof: an RA that is trusted to do POP may; ours is asked either way.
        test("lra-pop-witness.over-a-broken-proof", rule, "200|4xx full success|failed -|popFailed * 0|1", viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().tracked().request(1, BcCmcMessage.brokenCsr(e, "CN=witnessed-broken,O=Interop")).control(7, pop, mine).certifiedBy(ra).wants(e);
        });

        rule = "R-6402-4.1-a";
        ASN1ObjectIdentifier mod = CMCObjectIdentifiers.id_cmc_modCertTemplate;
        BcCmcJudge.Seen seen = test("mod-cert-template.subject", rule, ISSUED, viaRa(), () -> byRa("before").tracked().control(7, mod, modify(1, true, new CertTemplateBuilder().setSubject(new X500Name("CN=after,O=Interop")))));
        says("mod-cert-template.subject-in-the-certificate", rule, seen, cert -> cert.getSubject().equals(new X500Name("CN=after,O=Interop")));
        seen = test("mod-cert-template.san", rule, ISSUED, viaRa(), () -> byRa("mod-san").tracked().control(7, mod, modify(1, true, new CertTemplateBuilder().setExtensions(new Extensions(BcCmcMessage.san("mod.example.com"))))));
        says("mod-cert-template.san-in-the-certificate", rule, seen, cert -> GeneralNames.fromExtensions(cert.getExtensions(), Extension.subjectAlternativeName)
            .equals(GeneralNames.getInstance(BcCmcMessage.san("mod.example.com").getParsedValue())));
        seen = test("mod-cert-template.remove-san", rule, ISSUED, viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            return message().tracked().request(1, BcCmcMessage.csr(e, "CN=mod-remove,O=Interop", BcCmcMessage.san("gone.example.com")))
                .control(7, mod, modify(1, false, new CertTemplateBuilder().setExtensions(new Extensions(BcCmcMessage.san("gone.example.com"))))).certifiedBy(ra).wants(e);
        });
        says("mod-cert-template.san-is-gone", rule, seen, cert -> cert.getExtension(Extension.subjectAlternativeName) == null);
        test("mod-cert-template.no-such-request", rule, failed("badRequest", 7), viaRa(), () -> byRa("x").tracked().control(7, mod, modify(99, true, new CertTemplateBuilder().setSubject(new X500Name("CN=y")))));
        test("mod-cert-template.unsupported-extension", rule, failed("unsupportedExt", "*"), viaRa(), () -> byRa("x").tracked().control(7, mod,
            modify(1, true, new CertTemplateBuilder().setExtensions(new Extensions(new Extension(BcCmcMessage.UNKNOWN, true, new byte[] {5, 0}))))));
        test("mod-cert-template.ca-certificate", rule, failed("unsupportedExt|badRequest|badIdentity", "*"), viaRa(), () -> byRa("x").tracked().control(7, mod,
            modify(1, true, new CertTemplateBuilder().setExtensions(new Extensions(new Extension(Extension.basicConstraints, true, new BasicConstraints(true).getEncoded()))))));
        test("mod-cert-template.another-key", rule, failed("popFailed|badRequest|popRequired", "*"), viaRa(), () -> byRa("x").tracked().control(7, mod, modify(1, true, new CertTemplateBuilder().setPublicKey(ec().spki()))));
        test("mod-cert-template.device", "R-5272/6402-8-a", failed("badIdentity|badRequest", "*"), viaDevice(), () -> by(device, DEVICE).tracked().control(7, mod, modify(1, true, new CertTemplateBuilder().setSubject(new X500Name("CN=bank,O=Interop")))));
        test("mod-cert-template.self", "R-5272/6402-8-a", failed("badIdentity|badRequest", "*"), basic, () -> self("x").tracked().control(7, mod, modify(1, true, new CertTemplateBuilder().setSubject(new X500Name("CN=bank,O=Interop")))));
        test("mod-cert-template.malformed", rule, failed("badRequest", 7), viaRa(), () -> byRa("x").tracked().control(7, mod, new DERSequence(new ASN1Integer(1))));

        ASN1ObjectIdentifier processed = CMCObjectIdentifiers.id_cmc_controlProcessed;
        test("control-processed.ra", rule, ISSUED, viaRa(), () -> byRa("processed").tracked().control(7, BcCmcMessage.UNKNOWN, new ASN1Integer(1)).control(8, processed, new ControlsProcessed(new BodyPartReference(new BodyPartID(7)))));
        test("control-processed.path", rule, ISSUED, viaRa(), () -> byRa("processed-path").tracked().control(7, BcCmcMessage.UNKNOWN, new ASN1Integer(1)).control(8, processed, new ControlsProcessed(new BodyPartReference(new BodyPartPath(new BodyPartID(7))))));
        test("control-processed.other-control", "R-5272-3.2.1.1-a", failed("badRequest", "*"), viaRa(), () -> byRa("x").tracked().control(7, BcCmcMessage.UNKNOWN, new ASN1Integer(1)).control(8, processed, new ControlsProcessed(new BodyPartReference(new BodyPartID(101)))));
        test("control-processed.device", "R-5272/6402-8-a", failed("badRequest|badIdentity", "*"), viaDevice(), () -> by(device, DEVICE).tracked().control(7, BcCmcMessage.UNKNOWN, new ASN1Integer(1)).control(8, processed, new ControlsProcessed(new BodyPartReference(new BodyPartID(7)))));
        test("control-processed.self", "R-5272/6402-8-a", failed("badRequest|badIdentity", "*"), basic, () -> self("x").tracked().control(7, BcCmcMessage.UNKNOWN, new ASN1Integer(1)).control(8, processed, new ControlsProcessed(new BodyPartReference(new BodyPartID(7)))));
        test("control-processed.malformed", rule, failed("badRequest", 8), viaRa(), () -> byRa("x").tracked().control(8, processed, DERNull.INSTANCE));

        ASN1ObjectIdentifier witness = BcCmcMessage.RA_IDENTITY_WITNESS;
        test("ra-identity-witness.ra", rule, ISSUED, viaRa(), () -> byRa("identity-witnessed").tracked().control(7, witness, new BodyPartPath(new BodyPartID(1))));
        test("ra-identity-witness.of-a-proof", rule, ISSUED, viaRa(), () -> {
            // The RA knows the secret, the server does not.
            BcCmcMessage m = byRa("identity-proven-to-the-ra").tracked();
            return m.proven("known-to-the-ra", "secret of the RA").control(7, witness, new BodyPartPath(new BodyPartID(202)));
        });
        test("ra-identity-witness.no-such-part", rule, failed("badRequest", "*"), viaRa(), () -> byRa("x").tracked().control(7, witness, new BodyPartPath(new BodyPartID(99))));
        test("ra-identity-witness.device", "R-5272/6402-8-a", failed("badIdentity|badRequest", "*"), viaDevice(), () -> by(device, DEVICE).tracked().control(7, witness, new BodyPartPath(new BodyPartID(1))));
        test("ra-identity-witness.self", "R-5272/6402-8-a", failed("badIdentity|badRequest", "*"), basic, () -> self("x").tracked().control(7, witness, new BodyPartPath(new BodyPartID(1))));
        test("ra-identity-witness.malformed", rule, failed("badRequest", 7), viaRa(), () -> byRa("x").tracked().control(7, witness, new ASN1Integer(1)));
    }

    static ModCertTemplate modify(long request, boolean replace, CertTemplateBuilder template) {
        return new ModCertTemplate(new BodyPartPath(new BodyPartID(0)), new BodyPartList(new BodyPartID(request)), replace, template.build());
    }

    interface Says {
        boolean of(org.bouncycastle.cert.X509CertificateHolder cert) throws Exception;
    }

    /** A further line: what the certificates of an answer say. */
    void says(String name, String rule, BcCmcJudge.Seen seen, Says reader) {
        String verdict = "no certificate";
        try {
            for (org.bouncycastle.cert.X509CertificateHolder cert : seen.certs)
                if (!judge.cas.contains(cert)) verdict = reader.of(cert) ? "yes" : "no: " + cert.getSubject();
        } catch (Exception e) {
            verdict = e.toString();
        }
        line(name, rule, "yes", verdict);
    }

    /** A line that is no case of its own. */
    static void line(String name, String rule, String want, String seen) {
        System.out.println(String.join("\t", want.equals(seen) ? "ok" : "WRONG", name, rule, want, seen, "0 ms", ""));
    }

    void batches() throws Exception {
        String rule = "R-6402-4.1-a";
        ASN1ObjectIdentifier batch = CMCObjectIdentifiers.id_cmc_batchRequests;
        BcCmcJudge.Seen seen = test("batch.two", rule, "200 full success - * 2", viaRa(), () -> {
            BcCmcMessage a = self("batch-a").tracked(), b = self("batch-b").tracked();
            return message().tracked().nested(11, a.build()).nested(12, b.build()).control(7, batch, new BodyPartList(new BodyPartID[] {new BodyPartID(11), new BodyPartID(12)}))
                .certifiedBy(ra).wants(a.wanted.get(0), b.wanted.get(0));
        });
        line("batch.answers-inside", rule, "[success] [success]", seen.nested.stream().map(inner -> inner.statuses.toString()).collect(java.util.stream.Collectors.joining(" ")));
        seen = test("batch.one-bad", rule, "200 full success - * 1", viaRa(), () -> {
            BcCmcMessage a = self("batch-c").tracked(), b = self("batch-d").tracked();
            return message().tracked().nested(11, a.build()).nested(12, BcCmcMessage.flipped(b.build())).control(7, batch, new BodyPartList(new BodyPartID[] {new BodyPartID(11), new BodyPartID(12)}))
                .certifiedBy(ra).wants(a.wanted.get(0), b.wanted.get(0));
        });
        line("batch.one-bad-inside", rule, "[success] [] [failed] [badMessageCheck]",
            seen.nested.stream().map(inner -> inner.statuses + " " + inner.fails).collect(java.util.stream.Collectors.joining(" ")));
        test("batch.no-such-part", rule, failed("badRequest", 7), viaRa(), () -> message().tracked().control(7, batch, new BodyPartList(new BodyPartID(99))).certifiedBy(ra));
        test("batch.not-a-message", rule, "200|4xx full success|failed -|badRequest * 0", viaRa(), () -> {
            BcCmcMessage m = message().tracked().control(7, batch, new BodyPartList(new BodyPartID(11))).certifiedBy(ra);
            CMSSignedDataGenerator g = new CMSSignedDataGenerator();
            g.addCertificate(device.cert);
            return m.nested(11, g.generate(new CMSAbsentContent()).getEncoded("DER"));
        });
        test("batch.device", "R-5272/6402-8-a", "4xx full failed badIdentity|badRequest * 0", viaDevice(), () -> {
            BcCmcMessage a = self("x");
            return message().tracked().nested(11, a.build()).control(7, batch, new BodyPartList(new BodyPartID(11))).certifiedBy(device).wants(a.wanted.get(0));
        });
        test("batch.malformed", rule, failed("badRequest", 7), viaRa(), () -> message().tracked().control(7, batch, new ASN1Integer(11)).certifiedBy(ra));
        test("batch.empty", rule, failed("badRequest", 7), viaRa(), () -> message().tracked().control(7, batch, new DERSequence()).certifiedBy(ra));
    }

    void names() throws Exception {
        String rule = "R-6402-2.8-a";
        ASN1ObjectIdentifier change = BcCmcMessage.CHANGE_SUBJECT_NAME;
        ASN1Encodable wish = new DERSequence(new X500Name("CN=renamed,O=Interop"));
        Work pkcs10 = () -> {
            BcCmcMessage.Entity e = ec();
            JcaPKCS10CertificationRequestBuilder b = BcCmcMessage.csrBuilder(e, "CN=to-be-renamed,O=Interop");
            b.addAttribute(change, wish);
            return message().tracked().request(1, BcCmcMessage.signed(e, b)).wants(e);
        };
        BcCmcJudge.Seen seen = test("change-subject-name.ra", rule, ISSUED, viaRa(), () -> pkcs10.make().certifiedBy(ra));
        says("change-subject-name.in-the-certificate", rule, seen, cert -> cert.getSubject().equals(new X500Name("CN=renamed,O=Interop")));
        seen = test("change-subject-name.crmf", rule, ISSUED, viaRa(), () -> {
            BcCmcMessage.Entity e = ec();
            Controls controls = new Controls(new AttributeTypeAndValue(change, wish));
            return message().tracked().request(BcCmcMessage.crmf(e, BcCmcMessage.template(e, 1, "CN=to-be-renamed,O=Interop", controls), null)).certifiedBy(ra).wants(e);
        });
        says("change-subject-name.crmf-in-the-certificate", rule, seen, cert -> cert.getSubject().equals(new X500Name("CN=renamed,O=Interop")));
        test("change-subject-name.device", rule, failed("badIdentity|badRequest", 1), viaDevice(), () -> {
            BcCmcMessage.Entity e = ec();
            JcaPKCS10CertificationRequestBuilder b = BcCmcMessage.csrBuilder(e, DEVICE);
            b.addAttribute(change, wish);
            return message().tracked().request(1, BcCmcMessage.signed(e, b)).certifiedBy(device).wants(e);
        });
        test("change-subject-name.empty", "R-6402-2.8-b", failed("badRequest", 1), viaRa(), () -> changed(new DERSequence()));
        test("change-subject-name.malformed", "R-6402-2.8-b", failed("badRequest", "*"), viaRa(), () -> changed(new ASN1Integer(1)));
        test("change-subject-name.as-a-control", "R-5272-3.2.1.1-a", failed("badRequest", 7), viaRa(), () -> byRa("x").tracked().control(7, change, wish));
    }

    BcCmcMessage changed(ASN1Encodable value) throws Exception {
        BcCmcMessage.Entity e = ec();
        JcaPKCS10CertificationRequestBuilder b = BcCmcMessage.csrBuilder(e, "CN=x,O=Interop");
        b.addAttribute(BcCmcMessage.CHANGE_SUBJECT_NAME, value);
        return message().tracked().request(1, BcCmcMessage.signed(e, b)).certifiedBy(ra).wants(e);
    }

    static RevokeRequest revoke(BcCmcMessage.Entity of, int reason, String secret) {
        return new RevokeRequest(of.cert.getIssuer(), new ASN1Integer(of.cert.getSerialNumber()), CRLReason.lookup(reason), null,
            secret == null ? null : new DEROctetString(BcCmcMessage.utf8(secret)), null);
    }

    void revocation() throws Exception {
        String rule = "R-5272-6.11-a";
        ASN1ObjectIdentifier oid = CMCObjectIdentifiers.id_cmc_revokeRequest;
        BcCmcMessage.Entity first = judge.enroll(basic, ec(), "CN=revoke-1,O=Interop"), second = judge.enroll(basic, ec(), "CN=revoke-2,O=Interop");
        String rejected = failed("badIdentity|badRequest|badCertId|authDataFail", "*");
        test("revoke.another", rule, rejected, viaDevice(), () -> message().tracked().control(7, oid, revoke(first, 1, null)).certifiedBy(device));
        test("revoke.by-foreign-ra", rule, failed("badIdentity|badRequest|badMessageCheck", "*"), basic, () -> message().tracked().control(7, oid, revoke(first, 1, null)).certifiedBy(foreignRa));
        test("revoke.unsigned-without-secret", rule, failed("badIdentity|badRequest|badMessageCheck", "*"), basic, () -> message().tracked().control(7, oid, revoke(first, 1, null)));
        test("revoke.unsigned-wrong-secret", rule, failed("badIdentity|badRequest|badMessageCheck|authDataFail", "*"), basic, () -> message().tracked().control(7, oid, revoke(first, 1, "wrong")));
        test("revoke.no-such-certificate", rule, failed("badCertId", 7), viaRa(), () -> message().tracked().control(7, oid,
            new RevokeRequest(device.cert.getIssuer(), new ASN1Integer(4711), CRLReason.lookup(1), null, null, null)).certifiedBy(ra));
        test("revoke.another-issuer", rule, failed("badCertId", 7), viaRa(), () -> message().tracked().control(7, oid,
            new RevokeRequest(new X500Name("CN=x"), new ASN1Integer(first.cert.getSerialNumber()), CRLReason.lookup(1), null, null, null)).certifiedBy(ra));
        test("revoke.malformed", rule, failed("badRequest", 7), viaRa(), () -> message().tracked().control(7, oid, new DERSequence(new ASN1Integer(1))).certifiedBy(ra));
        test("revoke.reason-7", rule, failed("badRequest", 7), viaRa(), () -> message().tracked().control(7, oid, new DERSequence(new ASN1Encodable[] {
            first.cert.getIssuer(), new ASN1Integer(first.cert.getSerialNumber()), new ASN1Enumerated(7)})).certifiedBy(ra));
        test("revoke.beside-a-bad-request", rule, "4xx full failed popFailed * 0", viaRa(), () -> message().tracked().control(7, oid, revoke(first, 1, null))
            .request(1, BcCmcMessage.brokenCsr(ec(), "CN=x,O=Interop")).certifiedBy(ra));
        // Nothing of that revoked it.
        test("revoke.still-good", rule, SIMPLE, BcCmcJudge.Via.tls(first), () -> by(first, "CN=revoke-1,O=Interop"));
        test("revoke.own", rule, DONE, BcCmcJudge.Via.tls(first), () -> message().tracked().control(7, oid, revoke(first, 1, null)).certifiedBy(first));
        test("revoke.own-untracked-is-full", rule, DONE, BcCmcJudge.Via.tls(second), () -> message().control(7, oid, revoke(second, 4, null)).certifiedBy(second));
        test("revoke.signer-is-revoked", "R-6402-2.3-a", failed("badIdentity|badMessageCheck|badRequest|badCertId", "*"), basic, () -> by(first, "CN=revoke-1,O=Interop").tracked());
        test("revoke.again", rule, "200|4xx full success|failed -|badRequest|badCertId * 0", viaRa(), () -> message().tracked().control(7, oid, revoke(first, 1, null)).certifiedBy(ra));
        BcCmcMessage.Entity third = judge.enroll(basic, ec(), "CN=revoke-3,O=Interop");
        test("revoke.by-ra", rule, DONE, viaRa(), () -> message().tracked().control(7, oid, revoke(third, 5, null)).certifiedBy(ra));
        // By the secret of the account that enrolled it; nobody signs (RFC 5272 6.11).
        String name = env("EST_SECRET_USER"), secret = env("EST_SECRET");
        BcCmcJudge.Via account = BcCmcJudge.Via.basic(name, secret);
        BcCmcMessage.Entity fourth = judge.enroll(account, ec(), "CN=revoke-4,O=Interop");
        test("revoke.shared-secret-of-another", rule, failed("badIdentity|badRequest|badMessageCheck|authDataFail", "*"), account, () -> message().tracked().control(7, oid, revoke(other, 1, secret)));
        test("revoke.shared-secret", rule, DONE, account, () -> message().tracked().control(7, oid, revoke(fourth, 1, secret)));
        for (Object[] one : new Object[][] {{first, "keyCompromise"}, {second, "superseded"}, {third, "cessationOfOperation"}, {fourth, "keyCompromise"}})
            System.out.println("revoked\t" + ((BcCmcMessage.Entity) one[0]).cert.getSerialNumber().toString(16) + "\t" + one[1]);
    }

    void later() throws Exception {
        String rule = "R-5272-6.13-a";
        ASN1ObjectIdentifier query = CMCObjectIdentifiers.id_cmc_queryPending;
        test("query-pending.unknown-token", rule, failed("badRequest|badCertId|badIdentity", 7), viaRa(), () -> message().tracked().control(7, query, new DEROctetString(BcCmcMessage.random(16))).certifiedBy(ra));
        test("query-pending.empty-token", rule, failed("badRequest|badCertId|badIdentity", 7), viaRa(), () -> message().tracked().control(7, query, new DEROctetString(new byte[0])).certifiedBy(ra));
        test("query-pending.malformed", rule, failed("badRequest", 7), viaRa(), () -> message().tracked().control(7, query, new ASN1Integer(1)).certifiedBy(ra));
        rule = "R-6402-4.1-a";
        ASN1ObjectIdentifier confirm = CMCObjectIdentifiers.id_cmc_confirmCertAcceptance;
        test("confirm.good", rule, DONE, viaDevice(), () -> message().tracked().control(7, confirm, new IssuerAndSerialNumber(device.cert.toASN1Structure())).certifiedBy(device));
        test("confirm.untracked-is-full", rule, DONE, viaDevice(), () -> message().control(7, confirm, new IssuerAndSerialNumber(device.cert.toASN1Structure())).certifiedBy(device));
        test("confirm.with-status", rule, DONE, viaDevice(), () -> message().tracked().control(7, confirm, new IssuerAndSerialNumber(device.cert.toASN1Structure()))
            .control(8, CMCObjectIdentifiers.id_cmc_statusInfoV2, new CMCStatusInfoV2Builder(CMCStatus.success, new BodyPartID(1)).build()).certifiedBy(device));
        test("confirm.no-such-certificate", rule, failed("badCertId", 7), viaDevice(), () -> message().tracked().control(7, confirm, new IssuerAndSerialNumber(device.cert.getIssuer(), BigInteger.valueOf(4711))).certifiedBy(device));
        test("confirm.another", rule, failed("badCertId|badIdentity|badRequest", "*"), viaDevice(), () -> message().tracked().control(7, confirm, new IssuerAndSerialNumber(other.cert.toASN1Structure())).certifiedBy(device));
        test("confirm.malformed", rule, failed("badRequest", 7), viaDevice(), () -> message().tracked().control(7, confirm, new ASN1Integer(1)).certifiedBy(device));
        test("status-info.malformed", rule, failed("badRequest", 8), viaDevice(), () -> by(device, DEVICE).tracked().control(8, CMCObjectIdentifiers.id_cmc_statusInfoV2, new ASN1Integer(1)));
        // Optional ones: done or rejected, never half.
        for (Object[] one : new Object[][] {
            {"get-cert", CMCObjectIdentifiers.id_cmc_getCert, new DERSequence(new ASN1Encodable[] {new GeneralName(device.cert.getIssuer()), new ASN1Integer(device.cert.getSerialNumber())})},
            {"get-crl", CMCObjectIdentifiers.id_cmc_getCRL, new DERSequence(device.cert.getIssuer())},
            {"reg-info", CMCObjectIdentifiers.id_cmc_regInfo, new DEROctetString(new byte[3])},
            {"auth-data", CMCObjectIdentifiers.id_cmc_authData, new ASN1Integer(1)},
            {"decrypted-pop", CMCObjectIdentifiers.id_cmc_decryptedPOP, new DecryptedPOP(new BodyPartID(1), BcCmcMessage.HMAC_SHA256, new byte[32])}})
            test("optional." + one[0], "R-5272-3.2.1.1-a", "200|4xx|501 full success|failed|noSupport * * 0|1", viaDevice(), () -> by(device, DEVICE).tracked().control(7, (ASN1ObjectIdentifier) one[1], (ASN1Encodable) one[2]));
    }

    /** What is made to hurt: each has an answer in bounded time, and afterwards all is well. */
    void hostile() throws Exception {
        // Whatever it is answered with, it is an answer of this protocol, and nothing is issued.
        String rejected = "4xx full|text failed|- badRequest|badMessageCheck|badIdentity|- * 0", any = "200|4xx full|simple|text * * * *";
        String rule = "R-7030-4.3.1-b";
        byte[][] deep = {deep(0x30, 10000), deep(0x31, 10000), deep(0xa0, 10000), deep(0x24, 10000)};
        for (byte[] one : deep)
            test("depth.control-" + Integer.toHexString(one[0] & 0xff), rule, rejected, basic, () -> rawControl(BcCmcMessage.UNKNOWN, one));
        test("depth.in-a-control-that-is-known", rule, rejected, viaRa(), () -> {
            BcCmcMessage m = rawControl(CMCObjectIdentifiers.id_cmc_modCertTemplate, deep[0]);
            m.signers.clear();
            return m.certifiedBy(ra);
        });
        test("depth.message", rule, rejected, basic, BcCmcCases::message, m -> deep[0]);
        test("depth.indefinite", rule, rejected, basic, BcCmcCases::message, m -> {
            byte[] out = new byte[200000];
            for (int i = 0; i < out.length; i += 2) {
                out[i] = 0x30;
                out[i + 1] = (byte) 0x80;
            }
            return out;
        });
        test("depth.length-beyond-the-end", rule, rejected, basic, BcCmcCases::message, m -> new byte[] {0x30, (byte) 0x84, 0x7f, (byte) 0xff, (byte) 0xff, (byte) 0xff, 6, 9});
        test("integer.transaction-id", rule, any, basic, () -> unreadable(self("huge").control(7, CMCObjectIdentifiers.id_cmc_transactionId, new ASN1Integer(new BigInteger(4000000, BcCmcMessage.RANDOM)))));
        test("integer.body-part", rule, rejected, basic, () -> unreadable(self("x").control(new BigInteger(4000000, BcCmcMessage.RANDOM), CMCObjectIdentifiers.id_cmc_dataReturn, new DEROctetString(new byte[1]))));
        test("integer.serial-to-revoke", rule, "4xx full failed badCertId|badRequest [7] 0", viaRa(), () -> message().tracked().control(7, CMCObjectIdentifiers.id_cmc_revokeRequest,
            new RevokeRequest(device.cert.getIssuer(), new ASN1Integer(new BigInteger(4000000, BcCmcMessage.RANDOM)), CRLReason.lookup(1), null, null, null)).certifiedBy(ra));
        test("integer.modulus", rule, "4xx full failed badAlg|badRequest|popFailed * 0", viaRa(), () -> {
            // 500,000 bits: who verifies this signature has a problem.
            SubjectPublicKeyInfo key = new SubjectPublicKeyInfo(new AlgorithmIdentifier(PKCSObjectIdentifiers.rsaEncryption, DERNull.INSTANCE),
                new org.bouncycastle.asn1.pkcs.RSAPublicKey(new BigInteger(500000, BcCmcMessage.RANDOM).setBit(0).setBit(499999), new BigInteger(4000, BcCmcMessage.RANDOM).setBit(0)));
            org.bouncycastle.asn1.pkcs.CertificationRequestInfo info = new org.bouncycastle.asn1.pkcs.CertificationRequestInfo(new X500Name("CN=x"), key, new DERSet());
            return message().tracked().request(1, new CertificationRequest(info, new AlgorithmIdentifier(PKCSObjectIdentifiers.sha256WithRSAEncryption, DERNull.INSTANCE), new DERBitString(new byte[62500]))).certifiedBy(ra);
        });
        test("size.data-return", rule, any, basic, () -> self("large").control(7, CMCObjectIdentifiers.id_cmc_dataReturn, new DEROctetString(BcCmcMessage.random(700000))));
        test("size.beyond-the-limit", "R-9110-15.5.14-a", "413 text - - - 0", basic, () -> self("x").control(7, CMCObjectIdentifiers.id_cmc_dataReturn, new DEROctetString(BcCmcMessage.random(1200000))));
        test("size.oid", rule, rejected, basic, () -> {
            byte[] oid = new byte[300000];
            Arrays.fill(oid, (byte) 0x81);
            oid[oid.length - 1] = 1;
            BcCmcMessage m = self("x");
            m.content = tlv(0x30, tlv(0x30, tlv(0x30, new byte[] {2, 1, 7}, tlv(6, oid), tlv(0x31, new byte[] {5, 0}))), m.reqSequence(), tlv(0x30), tlv(0x30));
            return unreadable(m);
        });
        test("size.identification", rule, rejected, basic, () -> self("x").tracked().proven("x".repeat(300000), "secret"));
        test("size.subject", rule, "4xx full failed badRequest|badIdentity [1] 0", viaRa(), () -> {
            StringBuilder name = new StringBuilder("CN=x");
            for (int i = 0; i < 10000; i++) name.append(",OU=").append(i);
            return byRaWith(name.toString());
        });
        test("size.san", rule, "200|4xx full success|failed -|badRequest|unsupportedExt * 0|1", viaRa(), () -> {
            String[] names = new String[10000];
            for (int i = 0; i < names.length; i++) names[i] = "n" + i + ".example.com";
            BcCmcMessage.Entity e = ec();
            return message().tracked().request(1, BcCmcMessage.csr(e, "CN=many-names,O=Interop", BcCmcMessage.san(names))).certifiedBy(ra).wants(e);
        });
        // Many of everything.
        BcCmcMessage.Entity many = ec();
        CertificationRequest one = BcCmcMessage.csr(many, "CN=many,O=Interop");
        test("many.requests", rule, any, viaRa(), () -> {
            BcCmcMessage m = message().tracked().certifiedBy(ra);
            for (int i = 1000; i < 1100; i++) {
                BcCmcMessage.Entity e = ec();
                m.request(i, BcCmcMessage.csr(e, "CN=many-" + i + ",O=Interop")).wants(e);
            }
            return m;
        });
        test("many.requests-thousands", rule, "200|4xx full success|failed -|badRequest|badIdentity|popFailed * *", viaRa(), () -> {
            BcCmcMessage m = message().certifiedBy(ra);
            for (int i = 1; i <= 2500; i++) m.request(i, one);
            return m.wants(many);
        });
        test("many.controls", rule, any, basic, () -> {
            BcCmcMessage m = self("many-controls");
            for (int i = 10; i < 20000; i++) m.control(i, CMCObjectIdentifiers.id_cmc_dataReturn, new DEROctetString(new byte[1]));
            return m;
        });
        test("many.unknown-controls", rule, "4xx full failed badRequest * 0", basic, () -> {
            BcCmcMessage m = self("x");
            for (int i = 10; i < 15000; i++) m.control(i, BcCmcMessage.UNKNOWN, DERNull.INSTANCE);
            return m;
        });
        test("many.modifications", rule, any, viaRa(), () -> {
            BcCmcMessage m = byRa("many-modifications");
            for (int i = 10; i < 8000; i++) m.control(i, CMCObjectIdentifiers.id_cmc_modCertTemplate, modify(1, true, new CertTemplateBuilder().setSubject(new X500Name("CN=m" + i + ",O=Interop"))));
            return m;
        });
        test("many.processed", rule, any, viaRa(), () -> {
            BodyPartReference[] list = new BodyPartReference[100000];
            for (int i = 0; i < list.length; i++) list[i] = new BodyPartReference(new BodyPartID(i + 1));
            BcCmcMessage m = byRa("many-processed");
            for (int i = 10; i < 5000; i++) m.control(i, BcCmcMessage.UNKNOWN, DERNull.INSTANCE);
            return m.control(9, CMCObjectIdentifiers.id_cmc_controlProcessed, new ControlsProcessed(list));
        });
        test("many.pop-witnesses", rule, any, viaRa(), () -> {
            ASN1Encodable[] list = new ASN1Encodable[100000];
            Arrays.fill(list, new ASN1Integer(1));
            return byRa("many-witnesses").control(9, CMCObjectIdentifiers.id_cmc_lraPOPWitness, new LraPopWitness(new BodyPartID(0), new DERSequence(list)));
        });
        test("many.signatures", rule, any, viaRa(), () -> {
            BcCmcMessage m = byRa("many-signatures");
            for (int i = 0; i < 800; i++) m.certifiedBy(ra);
            m.bag.subList(1, m.bag.size()).clear();
            return m;
        });
        test("many.certificates", rule, any, viaRa(), () -> {
            BcCmcMessage m = byRa("many-certificates");
            BcCmcMessage.Entity e = ec();
            for (int i = 0; i < 500; i++) m.bag.add(e.selfSigned("CN=bag " + i));
            return m;
        });
        test("many.paths", rule, rejected, basic, () -> {
            // Every one of them may have issued every other.
            BcCmcMessage.Entity e = ec(), signer = ec();
            BcCmcMessage m = message();
            for (int i = 0; i < 400; i++) {
                m.bag.add(new org.bouncycastle.cert.X509v3CertificateBuilder(new X500Name("CN=loop"), BigInteger.valueOf(i + 1), device.cert.getNotBefore(), device.cert.getNotAfter(),
                    new X500Name("CN=loop"), e.spki()).addExtension(Extension.basicConstraints, true, new BasicConstraints(true)).build(signer.signer(signer.alg)));
            }
            signer.cert = m.bag.get(200);
            return m.request(1, BcCmcMessage.csr(e, "CN=x")).certifiedBy(signer);
        });
        test("many.wrong-proofs", rule, rejected, basic, () -> {
            BcCmcMessage m = self("x");
            for (int i = 0; i < 3000; i++) m.control(1000 + i, CMCObjectIdentifiers.id_cmc_identityProofV2, new IdentityProofV2(BcCmcMessage.SHA256, BcCmcMessage.HMAC_SHA256, new byte[32]));
            return unreadable(m.control(999, CMCObjectIdentifiers.id_cmc_identification, new DERUTF8String(env("EST_SECRET_USER"))));
        });
        // Batches: into the depth, the same again and again, many.
        ASN1ObjectIdentifier batch = CMCObjectIdentifiers.id_cmc_batchRequests;
        for (int depth : new int[] {3, 100})
            test("batch.depth-" + depth, rule, "200|4xx full success|failed -|badRequest|badIdentity * 0|1", viaRa(), () -> {
                BcCmcMessage m = byRa("nested-" + depth);
                BcCmcMessage.Entity key = m.wanted.get(0);
                for (int i = 0; i < depth; i++) m = message().nested(11, m.build()).control(7, batch, new BodyPartList(new BodyPartID(11))).certifiedBy(ra).wants(key);
                return m;
            });
        test("batch.the-same-again", rule, "200|4xx full success|failed -|badRequest * 0|1", viaRa(), () -> {
            BcCmcMessage inner = self("again");
            BodyPartID[] list = new BodyPartID[20000];
            Arrays.fill(list, new BodyPartID(11));
            return message().nested(11, inner.build()).control(7, batch, new BodyPartList(list)).certifiedBy(ra).wants(inner.wanted.get(0));
        });
        test("batch.by-many-controls", rule, "200|4xx full success|failed -|badRequest * 0|1", viaRa(), () -> {
            BcCmcMessage inner = self("again-2"), m = message().nested(11, inner.build()).certifiedBy(ra).wants(inner.wanted.get(0));
            for (int i = 20; i < 5000; i++) m.control(i, batch, new BodyPartList(new BodyPartID(11)));
            return m;
        });
        test("batch.itself", rule, "4xx full failed badRequest * 0", viaRa(), () -> message().control(7, batch, new BodyPartList(new BodyPartID(7))).certifiedBy(ra));
        test("batch.hundreds", rule, any, viaRa(), () -> {
            BcCmcMessage m = message();
            List<BodyPartID> list = new ArrayList<>();
            for (int i = 100; i < 300; i++) {
                BcCmcMessage inner = self("hundreds-" + i);
                m.nested(i, inner.build()).wants(inner.wanted.get(0));
                list.add(new BodyPartID(i));
            }
            return m.control(7, batch, new BodyPartList(list.toArray(new BodyPartID[0]))).certifiedBy(ra);
        });
        // The same message twice: the same certificate or none, never a second.
        for (String kind : List.of("untracked", "tracked")) {
            BcCmcMessage m = self("replayed-" + kind);
            if (kind.equals("tracked")) m.tracked();
            byte[] der = m.build();
            BcCmcJudge.Seen first = test("replay." + kind, "R-5272-6.6-a", "200 full|simple * - * 1", basic, () -> m, x -> der);
            BcCmcJudge.Seen second = test("replay." + kind + "-again", "R-5272-6.6-a", "200|4xx full|simple -|success|failed * * 0|1", basic, () -> m, x -> der);
            test("replay." + kind + "-by-another", "R-5272-6.6-a", "200|4xx full|simple -|success|failed * * 0|1", viaDevice(), () -> m, x -> der);
            if (second.got == 1) says("replay." + kind + "-gives-the-same", "R-5272-6.6-a", second, cert -> first.certs.contains(cert));
        }
        BcCmcMessage.Entity gone = judge.enroll(basic, ec(), "CN=replayed-revocation,O=Interop");
        BcCmcMessage revocation = message().tracked().control(7, CMCObjectIdentifiers.id_cmc_revokeRequest, revoke(gone, 1, null)).certifiedBy(ra);
        byte[] der = revocation.build();
        test("replay.revocation", "R-5272-6.11-a", DONE, viaRa(), () -> revocation, x -> der);
        test("replay.revocation-again", "R-5272-6.11-a", "200|4xx full success|failed -|badRequest|badCertId * 0", viaRa(), () -> revocation, x -> der);
        mutations();
        test("afterwards", "R-5272-3.2-a", ISSUED, basic, () -> self("afterwards").tracked());
    }

    /** Single bits of good messages changed: no 5xx, and whatever a signature covers is no longer accepted. */
    void mutations() throws Exception {
        List<BcCmcMessage> good = List.of(self("mutated-1").tracked(), byRa("mutated-2").tracked().control(7, CMCObjectIdentifiers.id_cmc_modCertTemplate,
            modify(1, true, new CertTemplateBuilder().setSubject(new X500Name("CN=mutated-3,O=Interop")))),
            message().tracked().nested(11, self("mutated-4").build()).control(7, CMCObjectIdentifiers.id_cmc_batchRequests, new BodyPartList(new BodyPartID(11))).certifiedBy(ra));
        Random random = new Random(4711);
        int number = 0;
        for (BcCmcMessage m : good) {
            byte[] der = m.build(), content = m.pkiData();
            // Versions, digestAlgorithms and the bag are not signed; of a SignerInfo all from its sid on counts.
            ASN1Set infos = org.bouncycastle.asn1.cms.SignedData.getInstance(org.bouncycastle.asn1.cms.ContentInfo.getInstance(der).getContent()).getSignerInfos();
            byte[] sid = org.bouncycastle.asn1.cms.SignerInfo.getInstance(infos.getObjectAt(0)).getSID().getEncoded(ASN1Encoding.DER);
            int from = find(der, content, 0), signers = find(der, sid, find(der, infos.getEncoded(ASN1Encoding.DER), 0)), bad = 0, accepted = 0;
            String first = "";
            for (int i = 0; i < 100; i++) {
                byte[] changed = der.clone();
                int at = random.nextInt(changed.length);
                changed[at] ^= 1 << random.nextInt(8);
                BcCmcJudge.Answer answer = judge.post(number == 0 ? basic : viaRa(), "fullcmc", BcCmcJudge.base64(changed));
                BcCmcJudge.Seen seen = judge.read(answer);
                boolean covered = at >= from && at < from + content.length || at >= signers;
                if (answer.status == 200 && covered) accepted++;
                for (org.bouncycastle.cert.X509CertificateHolder cert : seen.all()) if (!judge.cas.contains(cert)) judge.issued.add(cert.getSerialNumber().toString(16));
                if (answer.status >= 500 || !seen.errors.isEmpty() || answer.status == 200 && covered) {
                    bad++;
                    first = answer.status + " at " + at + " " + seen + " " + seen.errors + " " + Base64.getEncoder().encodeToString(changed);
                }
            }
            line("mutations-" + number++, "R-5272-3.2.1.3.4-a", "0 bad, 0 accepted", bad + " bad, " + accepted + " accepted");
            if (bad > 0) System.err.println(first);
        }
    }

    static int find(byte[] all, byte[] part, int from) {
        for (int i = from; i + part.length <= all.length; i++)
            if (Arrays.equals(all, i, i + part.length, part, 0, part.length)) return i;
        throw new IllegalStateException("not there");
    }

    BcCmcMessage byRaWith(String name) throws Exception {
        BcCmcMessage.Entity e = ec();
        return message().tracked().request(1, BcCmcMessage.csr(e, name)).certifiedBy(ra).wants(e);
    }

    static byte[] tlv(int tag, byte[]... parts) {
        java.io.ByteArrayOutputStream out = new java.io.ByteArrayOutputStream();
        int length = Arrays.stream(parts).mapToInt(p -> p.length).sum();
        out.write(tag);
        if (length < 0x80) {
            out.write(length);
        } else {
            int bytes = length < 0x100 ? 1 : length < 0x10000 ? 2 : 3;
            out.write(0x80 | bytes);
            for (int i = bytes - 1; i >= 0; i--) out.write(length >> 8 * i);
        }
        for (byte[] part : parts) out.writeBytes(part);
        return out.toByteArray();
    }

    static byte[] deep(int tag, int levels) {
        byte[] out = {};
        for (int i = 0; i < levels; i++) out = tlv(tag, out);
        return out;
    }

    /** A request with a control (7) of this value, encoded as it is. */
    BcCmcMessage rawControl(ASN1ObjectIdentifier oid, byte[] value) throws Exception {
        BcCmcMessage m = self("x");
        m.content = tlv(0x30, tlv(0x30, tlv(0x30, new byte[] {2, 1, 7}, oid.getEncoded(), tlv(0x31, value))), m.reqSequence(), tlv(0x30), tlv(0x30));
        m.ids.put(BigInteger.valueOf(7), true);
        return unreadable(m);
    }
}
