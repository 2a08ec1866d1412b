// Makes a manufacturer's CA and identities of two devices (IEEE 802.1AR) with Bouncy Castle: an empty
// subject, hardwareModuleName (RFC 4108) in a critical subjectAltName, no extendedKeyUsage, no end.
// run: java -cp ... BcIdevid FOLDER; writes ca.pem, one.pem, one.key, two.pem, two.key
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.*;
import java.security.spec.ECGenParameterSpec;
import java.time.Instant;
import java.util.Base64;
import java.util.Date;
import org.bouncycastle.asn1.*;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.*;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

public class BcIdevid {
    static final Date START = Date.from(Instant.parse("2020-01-01T00:00:00Z"));
    static final Date NEVER = Date.from(Instant.parse("9999-12-31T23:59:59Z"));
    static final X500Name CA = new X500Name("O=Maker,CN=Maker IDevID CA");

    static KeyPair key() throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        return generator.generateKeyPair();
    }

    static void write(Path file, String kind, byte[] der) throws Exception {
        String text = Base64.getMimeEncoder(64, "\n".getBytes()).encodeToString(der);
        Files.writeString(file, "-----BEGIN " + kind + "-----\n" + text + "\n-----END " + kind + "-----\n");
    }

    public static void main(String[] a) throws Exception {
        Path folder = Path.of(a[0]);
        KeyPair ca = key();
        ContentSigner signer = new JcaContentSignerBuilder("SHA256withECDSA").build(ca.getPrivate());
        JcaX509v3CertificateBuilder root = new JcaX509v3CertificateBuilder(CA, BigInteger.ONE, START, NEVER, CA, ca.getPublic());
        root.addExtension(Extension.basicConstraints, true, new BasicConstraints(true));
        root.addExtension(Extension.keyUsage, true, new KeyUsage(KeyUsage.keyCertSign));
        write(folder.resolve("ca.pem"), "CERTIFICATE", root.build(signer).getEncoded());
        int number = 1;
        for (String name : new String[] {"one", "two"}) {
            KeyPair device = key();
            ASN1EncodableVector module = new ASN1EncodableVector();
            module.add(new ASN1ObjectIdentifier("1.3.6.1.4.1.99999.7"));
            module.add(new DEROctetString(new byte[] {10, 27, 0, (byte) number}));
            ASN1EncodableVector other = new ASN1EncodableVector();
            other.add(new ASN1ObjectIdentifier("1.3.6.1.5.5.7.8.4"));
            other.add(new DERTaggedObject(true, 0, new DERSequence(module)));
            GeneralNames names = new GeneralNames(new GeneralName(GeneralName.otherName, new DERSequence(other)));
            JcaX509v3CertificateBuilder leaf = new JcaX509v3CertificateBuilder(
                CA, BigInteger.valueOf(++number), START, NEVER, new X500Name(new org.bouncycastle.asn1.x500.RDN[0]), device.getPublic());
            leaf.addExtension(Extension.subjectAlternativeName, true, names);
            leaf.addExtension(Extension.keyUsage, true, new KeyUsage(KeyUsage.digitalSignature));
            write(folder.resolve(name + ".pem"), "CERTIFICATE", leaf.build(signer).getEncoded());
            write(folder.resolve(name + ".key"), "PRIVATE KEY", device.getPrivate().getEncoded());
        }
    }
}
