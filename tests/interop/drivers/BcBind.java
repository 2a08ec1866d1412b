// Enrolls with tls-unique as Bouncy Castle computes it, many times in one process. TLS 1.2.
// env: those of BcEst, and EST_SUITE (the one suite offered, JSSE's name), EST_COUNT (connections).
import java.security.*;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.net.Socket;
import java.util.*;
import javax.net.ssl.KeyManagerFactory;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.est.*;
import org.bouncycastle.est.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.jsse.BCSSLSocket;
import org.bouncycastle.jsse.provider.BouncyCastleJsseProvider;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequestBuilder;

public class BcBind {
    public static void main(String[] a) throws Exception {
        java.util.logging.Logger.getLogger("org.bouncycastle").setLevel(java.util.logging.Level.SEVERE);
        Provider bc = new BouncyCastleProvider(), jsse = new BouncyCastleJsseProvider(bc);
        Security.addProvider(bc); Security.addProvider(jsse);
        Set<TrustAnchor> anchors = new HashSet<>();
        for (X509Certificate c : BcEst.pem(System.getenv("EST_CA"))) anchors.add(new TrustAnchor(c, null));
        String suite = System.getenv("EST_SUITE"), cert = System.getenv("EST_CERT");
        JsseESTServiceBuilder b = new JsseESTServiceBuilder(
            System.getenv("EST_HOST") + ":" + System.getenv("EST_PORT"), JcaJceUtils.getCertPathTrustManager(anchors, null));
        b.withTimeout(15000).withTLSVersion("TLSv1.2").addCipherSuites(suite).withProvider(jsse);
        b.withHostNameAuthorizer(new JsseDefaultHostnameAuthorizer(Collections.<String>emptySet()));
        b.withLabel(System.getenv("EST_LABEL"));
        if (cert != null) {
            KeyStore ks = KeyStore.getInstance("PKCS12", bc); ks.load(null, null);
            ks.setKeyEntry("client", BcEst.key(System.getenv("EST_KEY")), new char[0], BcEst.pem(cert).toArray(new X509Certificate[0]));
            KeyManagerFactory f = KeyManagerFactory.getInstance("PKIX", jsse); f.init(ks, new char[0]); b.withKeyManagers(f.getKeyManagers());
        }
        int[] asked = {0};
        b.withChannelBindingProvider(new ChannelBindingProvider() {
            public boolean canAccessChannelBinding(Socket s) { return s instanceof BCSSLSocket; }
            public byte[] getChannelBinding(Socket s, String type) {
                String negotiated = ((BCSSLSocket) s).getConnection().getSession().getCipherSuite();
                if (!negotiated.equals(suite)) throw new IllegalStateException(negotiated);
                asked[0]++;
                return ((BCSSLSocket) s).getConnection().getChannelBinding(type);
            }
        });
        ESTService est = b.build();
        KeyPairGenerator g = KeyPairGenerator.getInstance("EC", "BC"); g.initialize(new ECGenParameterSpec("P-256"));
        KeyPair pair = g.generateKeyPair();
        int count = Integer.parseInt(System.getenv("EST_COUNT"));
        for (int i = 0; i < count; i++) {
            JcaPKCS10CertificationRequestBuilder csr = new JcaPKCS10CertificationRequestBuilder(
                new X500Name("CN=" + System.getenv("EST_CN") + "-" + i), pair.getPublic());
            EnrollmentResponse r = est.simpleEnrollPoP(false, csr,
                new JcaContentSignerBuilder("SHA256withECDSA").setProvider("BC").build(pair.getPrivate()), BcEst.auth());
            if (!r.isCompleted()) throw new Exception("not issued");
        }
        if (asked[0] < count) throw new Exception("bindings: " + asked[0]);
        System.out.println(suite + " " + count + " issued");
        System.exit(0);
    }
}
