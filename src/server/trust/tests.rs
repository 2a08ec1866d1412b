use super::{
    Databases,
    made::{NOW, Party, day},
};
use crate::types::{CaName, TrustClass, Verdict};
use rustls::pki_types::CertificateDer;

fn verdict(databases: &Databases, chain: &[CertificateDer<'_>]) -> Verdict {
    databases.judge(chain, NOW).unwrap().verdict
}

#[test]
fn a_verdict_names_the_ca_of_ours_that_ends_the_path() {
    let (first, second): (CaName, CaName) = ("first".parse().unwrap(), "second".parse().unwrap());
    // The same subject with another key is another CA.
    let (one, other) = (Party::new("CN=Issuing"), Party::new("CN=Issuing"));
    let (root, listed, maker) =
        (Party::new("CN=Root"), Party::new("CN=Listed"), Party::new("CN=Maker"));
    let (old, device) = (Party::new("CN=Old issuing"), Party::new("CN=device"));
    let anchors = [&one, &other, &root, &listed, &maker].map(|ca| ca.certify_ca(ca));
    let [of_one, of_other, of_root, of_listed, of_maker] = anchors.each_ref().map(|one| &**one);
    let databases = Databases::new(
        [(&first, of_one), (&second, of_other), (&first, of_root)],
        // Listed once more beside our own: it stays ours.
        [of_listed, of_other],
        [of_maker],
    )
    .unwrap();
    let trusted =
        |class, issuer: Option<&CaName>| Verdict::Trusted { class, issuer: issuer.cloned() };
    let ours = |issuer| trusted(TrustClass::Explicit, Some(issuer));
    assert_eq!(verdict(&databases, &[one.certify_device(&device)]), ours(&first));
    assert_eq!(verdict(&databases, &[other.certify_device(&device)]), ours(&second));
    let of_old = [old.certify_device(&device), root.certify_ca(&old)];
    assert_eq!(verdict(&databases, &of_old), ours(&first), "by a CA under our root");
    let of_listed = [listed.certify_device(&device)];
    assert_eq!(verdict(&databases, &of_listed), trusted(TrustClass::Explicit, None));
    let of_maker = [maker.certify_device(&device)];
    assert_eq!(verdict(&databases, &of_maker), trusted(TrustClass::Implicit, None));

    let expired =
        |ca: &Party| verdict(&databases, &[ca.certify_device_for(&device, day(-2), day(-1))]);
    assert_eq!(expired(&other), Verdict::Expired { issuer: Some(second) });
    assert_eq!(expired(&listed), Verdict::Expired { issuer: None });
    assert!(matches!(expired(&maker), Verdict::Untrusted(_)));
}
