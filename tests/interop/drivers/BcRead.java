// Reads certificates with Bouncy Castle: parses each, encodes it again as DER, and compares.
// run: java -cp bcpkix.jar:bcprov.jar:bcutil.jar BcRead.java FILE.pem...
import java.io.FileReader;
import java.util.Arrays;
import org.bouncycastle.asn1.ASN1Encoding;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.openssl.PEMParser;

public class BcRead {
    public static void main(String[] files) throws Exception {
        for (String file : files) {
            try (PEMParser pem = new PEMParser(new FileReader(file))) {
                X509CertificateHolder one = (X509CertificateHolder) pem.readObject();
                byte[] again = one.toASN1Structure().getEncoded(ASN1Encoding.DER);
                if (!Arrays.equals(again, one.getEncoded())) throw new Exception(file + ": not DER");
                System.out.println(one.getSubject() + " issued by " + one.getIssuer());
            }
        }
    }
}
