//! Tests of rules about names: each form, each error of a rule, each rejection; and values that were
//! chosen to change the form of a name.
//!
//! Longer than 500 lines, because most of them are tables of cases.

use super::*;
use crate::pki::{Certificate, oid, tbs};
use crate::types::{KeyKind, SanKind, Serial, Time};
use const_oid::ObjectIdentifier;
use std::sync::LazyLock;

type Rdns = Vec<Vec<(ObjectIdentifier, String)>>;

/// A certificate with these names. Its signature is not valid.
fn certificate(subject: &Rdns, san: &[(SanKind, Vec<u8>)]) -> Certificate {
    certificate_of(&DistinguishedName::of_rdns(subject).unwrap(), san)
}

fn certificate_of(subject: &DistinguishedName, san: &[(SanKind, Vec<u8>)]) -> Certificate {
    static SPKI: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let key = crate::pki::PrivateKey::generate(KeyKind::P256).unwrap();
        key.public_key_spki_der().unwrap()
    });
    let algorithm = crate::pki::algorithm::signature_identifier(KeyKind::P256);
    let now = Time::from_unix(1_795_262_400);
    let serial = Serial::parse(&[1]).unwrap();
    let extension = |san: SubjectAltName| {
        crate::pki::extension::Extension::subject_alt_name(san.der(), subject.is_empty()).unwrap()
    };
    let issuer = name("CN=CA");
    let signed = tbs::ToBeSigned {
        serial: &serial,
        signature_algorithm: algorithm,
        issuer: issuer.der(),
        not_before: now,
        not_after: now,
        subject: subject.der(),
        spki: &SPKI,
        extensions: SubjectAltName::of_entries(san).into_iter().map(extension).collect(),
    };
    let signed = signed.to_der().unwrap();
    Certificate::parse(&tbs::assemble(&signed, algorithm, &[1; 70]).unwrap()).unwrap()
}

/// An otherName with a hardwareModuleName of type 1.3.6.1.4.1.99999.1.
fn hardware_module(serial: &[u8]) -> (SanKind, Vec<u8>) {
    module_of("1.3.6.1.4.1.99999.1", serial)
}

fn module_of(kind: &str, serial: &[u8]) -> (SanKind, Vec<u8>) {
    use der::{
        Encode, Tag, TagNumber,
        asn1::{Any, OctetString},
    };
    let kind = ObjectIdentifier::new_unwrap(kind).to_der().unwrap();
    let serial = OctetString::new(serial).unwrap().to_der().unwrap();
    let wrap = |tag, content: Vec<u8>| Any::new(tag, content).unwrap().to_der().unwrap();
    let explicit = Tag::ContextSpecific { number: TagNumber(0), constructed: true };
    let name = wrap(explicit, wrap(Tag::Sequence, [kind, serial].concat()));
    (SanKind::Other, [oid::HARDWARE_MODULE_NAME.to_der().unwrap(), name].concat())
}

fn rdns(values: &[(ObjectIdentifier, &str)]) -> Rdns {
    values.iter().map(|(kind, value)| vec![(*kind, (*value).to_owned())]).collect()
}

/// A client that has proven everything.
fn proven() -> Proven {
    let idevid = certificate(
        &rdns(&[(oid::COMMON_NAME, "pump 7"), (oid::SERIAL_NUMBER, "SN-17")]),
        &[hardware_module(&[0xa1, 0xb2])],
    );
    let ours = certificate(
        &rdns(&[(oid::COMMON_NAME, "boot-17"), (oid::SERIAL_NUMBER, "17")]),
        &[(SanKind::Dns, b"d17.boot.example".to_vec()), (SanKind::Ip, vec![192, 0, 2, 1])],
    );
    Proven::new().with_idevid("acme", &idevid).with_certificate(&ours).with_account("fitter")
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn pattern(subject: Option<&str>, san: &[&str], allow_san: &[&str]) -> NamePattern {
    match NameRules::parse(NameMode::Match, subject, &strings(san), &strings(allow_san)) {
        Ok(NameRules::Match(pattern)) => pattern,
        other => panic!("{other:?}"),
    }
}

fn template(subject: Option<&str>, san: &[&str]) -> NameTemplate {
    match NameRules::parse(NameMode::Set, subject, &strings(san), &[]) {
        Ok(NameRules::Set(template)) => template,
        other => panic!("{other:?}"),
    }
}

fn errors(
    mode: NameMode,
    subject: Option<&str>,
    san: &[&str],
    allow_san: &[&str],
) -> Vec<TemplateError> {
    NameRules::parse(mode, subject, &strings(san), &strings(allow_san)).unwrap_err()
}

fn name(text: &str) -> DistinguishedName {
    DistinguishedName::from_text(text).unwrap()
}

/// subjectAltName of texts such as `dns:a.example`.
fn san(texts: &[&str]) -> Option<SubjectAltName> {
    let entry = |text: &&str| {
        let (kind, value) = text.split_once(':').unwrap();
        let kind = match kind {
            "dns" => SanKind::Dns,
            "ip" => {
                let content = match value.parse().unwrap() {
                    std::net::IpAddr::V4(four) => four.octets().to_vec(),
                    std::net::IpAddr::V6(sixteen) => sixteen.octets().to_vec(),
                };
                return (SanKind::Ip, content);
            }
            "uri" => SanKind::Uri,
            "email" => SanKind::Email,
            other => panic!("{other}"),
        };
        (kind, value.as_bytes().to_vec())
    };
    let entries: Vec<_> = texts.iter().map(entry).collect();
    (!entries.is_empty()).then(|| SubjectAltName::of_entries(&entries).unwrap())
}

/// Checks a subject.
fn subject_matches(rule: &str, requested: &DistinguishedName) -> bool {
    match pattern(Some(rule), &[], &[]).check(&proven(), requested, None) {
        Ok(()) => true,
        Err(rejection) => {
            assert_eq!(rejection.code, Code::NamesMatch, "{rule}: {rejection}");
            false
        }
    }
}

/// Checks one entry.
fn entry_matches(rule: &str, requested: &str) -> bool {
    let empty = DistinguishedName::of_rdns(&[]).unwrap();
    match pattern(None, &[rule], &[]).check(&proven(), &empty, san(&[requested]).as_ref()) {
        Ok(()) => true,
        Err(rejection) => {
            assert_eq!(rejection.code, Code::NamesMatch, "{rule}: {rejection}");
            false
        }
    }
}

#[test]
fn proven_values_are_those_of_certificates_and_accounts() {
    let proven = proven();
    let values: Vec<_> = proven.values().map(|(one, value)| format!("{one}={value}")).collect();
    assert_eq!(
        values,
        [
            "{idevid.serial}=SN-17",
            "{idevid.hw_serial}=a1b2",
            "{idevid.hw_type}=1.3.6.1.4.1.99999.1",
            "{idevid.cn}=pump 7",
            "{certificate.cn}=boot-17",
            "{certificate.serial}=17",
            "{certificate.dns}=d17.boot.example",
            "{account}=fitter",
            "{manufacturer}=acme",
        ]
    );
    assert_eq!(Proven::new().values().count(), 0);
}

#[test]
fn a_tag_is_proven_by_its_name_alone() {
    let tags = [("site", "plant-7"), ("Not a name", "x"), ("line", "3")];
    let device = Proven::new().with_device("pump-7", tags.into_iter());
    let names = |san: &str| template(None, &[san]).names(&device).map(|(_, san)| san.unwrap());
    assert_eq!(
        names("dns:{device.id}.{device.tag.site}.example").unwrap().texts(),
        ["dns:pump-7.plant-7.example"]
    );
    assert_eq!(device.values().count(), 3);
    let missing = names("dns:{device.tag.room}.example").unwrap_err();
    assert_eq!((missing.code, &*missing.got), (Code::NamesValue, "no value for {device.tag.room}"));
    let derived = Proven::new().with_device("~plant/00ff", std::iter::empty());
    let unfit = template(None, &["dns:{device.id}.example"]).names(&derived).unwrap_err();
    assert_eq!(unfit.code, Code::NamesValue);
}

#[test]
fn a_certificate_with_two_such_values_gives_none() {
    let subject = rdns(&[
        (oid::COMMON_NAME, "a"),
        (oid::COMMON_NAME, "b"),
        (oid::SERIAL_NUMBER, "1"),
        (oid::SERIAL_NUMBER, "1"),
    ]);
    let dns = |name: &str| (SanKind::Dns, name.as_bytes().to_vec());
    let idevid = certificate(&subject, &[hardware_module(&[1]), hardware_module(&[2])]);
    let ours = certificate(&subject, &[dns("a.example"), dns("b.example")]);
    let proven = Proven::new().with_idevid("acme", &idevid).with_certificate(&ours);
    assert_eq!(proven.values().collect::<Vec<_>>(), [(Variable::Manufacturer, "acme")]);
    let by_both = proven.clone().with_idevid("bolt", &idevid);
    assert_eq!(by_both.value(Variable::Manufacturer), None, "two manufacturers vouch for it");
    for variable in Variable::ALL.into_iter().filter(|one| *one != Variable::Manufacturer) {
        let rejection = template(Some(&format!("CN={variable}")), &[]).names(&proven).unwrap_err();
        assert_eq!(rejection.code, Code::NamesValue);
        let got = match variable {
            Variable::Account | Variable::DeviceId => format!("no value for {variable}"),
            _ => format!("2 values for {variable}"),
        };
        assert_eq!(rejection.got, got);
        assert_eq!(rejection.expected, variable.origin());
    }
}

#[test]
fn a_subject_matches_by_rdn_type_and_value() {
    let rule = "CN={idevid.serial},O=Example";
    assert!(subject_matches(rule, &name("CN=SN-17,O=Example")));
    for other in [
        "CN=SN-18,O=Example",
        "CN=sn-17,O=Example",
        "CN=SN-17,O=example",
        "O=Example,CN=SN-17",
        "CN=SN-17",
        "O=Example",
        "CN=SN-17,O=Example,C=DE",
        "CN=SN-17+O=Example",
        "CN=SN-17+OU=a,O=Example",
        "OU=SN-17,O=Example",
        "CN=SN-17\\,O=Example",
    ] {
        assert!(!subject_matches(rule, &name(other)), "{other}");
    }
    // The string type does not count.
    let mut printable = name("CN=SN-17,O=Example").der().to_vec();
    let at = printable.windows(4).position(|four| four == [0x55, 4, 3, 0x0c]).unwrap();
    printable[at + 3] = 0x13;
    assert!(subject_matches(rule, &DistinguishedName::parse(&printable).unwrap()));
    // Nor do blanks before a type and the case of types in the rule.
    assert!(subject_matches("cn={idevid.serial}, o=Example", &name("CN=SN-17,O=Example")));
}

#[test]
fn a_subject_may_have_attributes_of_every_kind() {
    for (rule, requested) in [
        ("CN=a+serialNumber={certificate.serial},C=DE", "SERIALNUMBER=17+CN=a,C=DE"),
        ("CN=pre-{idevid.hw_serial}-{account}-post", "CN=pre-a1b2-fitter-post"),
        ("CN={idevid.cn}", "CN=pump 7"),
        ("CN=x\\, y\\+z,O={{Example}}", "CN=x\\, y\\+z,O={Example}"),
        ("UID={account},DC={manufacturer},DC=example", "UID=fitter,DC=acme,DC=example"),
        ("emailAddress={account}@example.com", "1.2.840.113549.1.9.1=fitter@example.com"),
        ("CN={certificate.dns}", "CN=d17.boot.example"),
        ("1.3.6.1.4.1.99999.5={idevid.hw_type}", "1.3.6.1.4.1.99999.5=1.3.6.1.4.1.99999.1"),
        ("CN=*.example", "CN=*.example"),
    ] {
        assert!(subject_matches(rule, &name(requested)), "{rule}");
        assert!(!subject_matches(rule, &name("CN=other")), "{rule}");
    }
}

#[test]
fn any_in_a_subject_is_a_part_of_one_value() {
    let rule = "CN=a{*}z,O={*},C={*}";
    for good in ["CN=abz,O=Example,C=DE", "CN=ab bz,O=x.y,C=FR"] {
        assert!(subject_matches(rule, &name(good)), "{good}");
    }
    for bad in [
        "CN=az,O=Example,C=DE",
        "CN=abzz2,O=Example,C=DE",
        "CN=abz,OU=Example,C=DE",
        "CN=abz,O=Example",
        "CN=abz,O=x\\,y,C=DE",
        "CN=a*z,O=Example,C=DE",
        "CN=abz,O=*,C=DE",
        "CN=abz,O=x\u{202e}y,C=DE",
    ] {
        assert!(!subject_matches(rule, &name(bad)), "{bad}");
    }
}

#[test]
fn a_dns_name_matches_by_label() {
    for (rule, good, bad) in [
        (
            "dns:{idevid.serial}.plant7.example",
            &["dns:SN-17.plant7.example", "dns:sn-17.PLANT7.example"][..],
            &[
                "dns:SN-18.plant7.example",
                "dns:x.SN-17.plant7.example",
                "dns:plant7.example",
                "dns:*.plant7.example",
                "dns:SN-17.plant7.example.",
                "uri:SN-17.plant7.example",
                "email:SN-17.plant7.example",
            ][..],
        ),
        (
            "dns:d-{*}.plant7.example",
            &["dns:d-1.plant7.example", "dns:D-a-b.plant7.example"],
            &[
                "dns:d-.plant7.example",
                "dns:d-*.plant7.example",
                "dns:d-a.b.plant7.example",
                "dns:d--.plant7.example",
                "dns:d-1.plant7.example.com",
                "dns:d-\u{e4}.plant7.example",
            ],
        ),
        (
            "dns:{*}.plant7.example",
            &["dns:a.plant7.example"],
            &["dns:*.plant7.example", "dns:.plant7.example", "dns:xn--a.plant7.example"],
        ),
        (
            "dns:*.plant7.example",
            &["dns:*.plant7.example"],
            &["dns:a.plant7.example", "dns:{*}.plant7.example"],
        ),
        (
            "dns:*.{account}.plant7.example",
            &["dns:*.fitter.plant7.example"],
            &["dns:a.fitter.plant7.example", "dns:fitter.plant7.example"],
        ),
        ("dns:{certificate.dns}", &["dns:d17.boot.example"], &["dns:boot.example"]),
        (
            "dns:www.{certificate.dns}.x",
            &["dns:www.d17.boot.example.x"],
            &["dns:www.x", "dns:www.d17.boot.example.y", "dns:www.d17.boot.examplex"],
        ),
    ] {
        good.iter().for_each(|one| assert!(entry_matches(rule, one), "{rule} {one}"));
        bad.iter().for_each(|one| assert!(!entry_matches(rule, one), "{rule} {one}"));
    }
}

#[test]
fn an_address_matches_by_network() {
    for (rule, good, bad) in [
        (
            "ip:10.0.0.0/8",
            &["ip:10.0.0.0", "ip:10.255.255.255"][..],
            &["ip:11.0.0.0", "ip:9.255.255.255", "ip:::ffff:10.0.0.1", "ip:a00::"][..],
        ),
        ("ip:192.0.2.1", &["ip:192.0.2.1"], &["ip:192.0.2.2", "dns:192.0.2.1"]),
        ("ip:192.0.2.4/30", &["ip:192.0.2.7"], &["ip:192.0.2.8", "ip:192.0.2.3"]),
        ("ip:0.0.0.0/0", &["ip:1.2.3.4"], &["ip:::1"]),
        ("ip:::/0", &["ip:::1"], &["ip:1.2.3.4"]),
        ("ip:2001:db8::/33", &["ip:2001:db8:7fff::1"], &["ip:2001:db8:8000::"]),
        ("ip:2001:db8::1", &["ip:2001:db8::1"], &["ip:2001:db8::2"]),
    ] {
        good.iter().for_each(|one| assert!(entry_matches(rule, one), "{rule} {one}"));
        bad.iter().for_each(|one| assert!(!entry_matches(rule, one), "{rule} {one}"));
    }
}

#[test]
fn a_uri_matches_by_part() {
    for (rule, good, bad) in [
        (
            "uri:urn:dev:acme:{idevid.serial}",
            &["uri:urn:dev:acme:SN-17", "uri:URN:dev:acme:SN-17"][..],
            &[
                "uri:urn:dev:acme:sn-17",
                "uri:urn:DEV:acme:SN-17",
                "uri:urn:dev:acme:SN-17:x",
                "uri:urn:dev:acme:SN-17/x",
                "uri:urn:dev:acme:SN%2D17",
                "uri:urn:dev:acme",
            ][..],
        ),
        (
            "uri:https://{account}.example:8443/d/{*}?a={manufacturer}#f",
            &["uri:HTTPS://Fitter.EXAMPLE:8443/d/x.1?a=acme#f"],
            &[
                "uri:https://fitter.example/d/x?a=acme#f",
                "uri:https://fitter.example:8443/d/x/y?a=acme#f",
                "uri:https://fitter.example:8443/d/?a=acme#f",
                "uri:https://fitter.example:8443/d/..?a=acme#f",
                "uri:https://fitter.example:8443/d/%2e?a=acme#f",
                "uri:https://fitter.example:8443/d/x?a=acme&b=c#f",
                "uri:https://fitter.example:8443/d/x?a=acme",
                "uri:https://u@fitter.example:8443/d/x?a=acme#f",
                "uri:https://fitter.example.:8443/d/x?a=acme#f",
                "uri:https:fitter.example:8443/d/x?a=acme#f",
            ],
        ),
        (
            "uri:coaps://{*}.plant7.example",
            &["uri:coaps://a.plant7.example"],
            &[
                "uri:coaps://a.b.plant7.example",
                "uri:coaps://a/b.plant7.example",
                "uri:coaps://u@a.plant7.example",
                "uri:coaps://*.plant7.example",
                "uri:coaps://a.plant7.example/",
            ],
        ),
        (
            "uri:https://[2001:db8::1]/{account}",
            &["uri:https://[2001:db8::1]/fitter"],
            &["uri:https://[2001:db8::2]/fitter"],
        ),
    ] {
        good.iter().for_each(|one| assert!(entry_matches(rule, one), "{rule} {one}"));
        bad.iter().for_each(|one| assert!(!entry_matches(rule, one), "{rule} {one}"));
    }
}

#[test]
fn a_mail_address_matches_by_part() {
    let rule = "email:{account}@{*}.example";
    for good in ["email:fitter@a.example", "email:fitter@A.EXAMPLE"] {
        assert!(entry_matches(rule, good), "{good}");
    }
    for bad in [
        "email:Fitter@a.example",
        "email:fitter@a.b.example",
        "email:fitter@example",
        "email:x@fitter@a.example",
        "email:a.example",
    ] {
        assert!(!entry_matches(rule, bad), "{bad}");
    }
}

#[test]
fn the_csr_has_each_entry_once_and_no_others() {
    let rule = pattern(
        Some("CN={idevid.serial}"),
        &["dns:{idevid.serial}.example", "ip:10.0.0.0/8", "dns:{*}.plant7.example"],
        &["ip:10.1.0.0/16", "dns:b.plant7.example", "uri:urn:x:{*}"],
    );
    let subject = name("CN=SN-17");
    let check = |entries: &[&str]| {
        let mut all = vec!["dns:sn-17.example"];
        all.extend(entries);
        rule.check(&proven(), &subject, san(&all).as_ref())
    };
    for good in [
        &["ip:10.2.3.4", "dns:a.plant7.example"][..],
        &["dns:a.plant7.example", "ip:10.2.3.4"],
        // Further entries that may be there.
        &[
            "ip:10.2.3.4",
            "ip:10.1.3.4",
            "ip:10.1.3.5",
            "dns:b.plant7.example",
            "dns:a.plant7.example",
        ],
        &["ip:10.1.3.4", "dns:b.plant7.example", "uri:urn:x:1", "uri:urn:x:2"],
    ] {
        check(good).unwrap_or_else(|rejection| panic!("{good:?}: {rejection}"));
    }
    for (bad, rule, got, expected) in [
        (
            &["dns:a.plant7.example"][..],
            "subjectAltName has each entry that the label's rule demands",
            "only dns:sn-17.example, dns:a.plant7.example",
            "an entry that matches ip:10.0.0.0/8",
        ),
        (
            &["ip:10.2.3.4", "ip:10.2.3.5", "dns:a.plant7.example"],
            "subjectAltName has each entry of the label's rule once",
            "2 entries: ip:10.2.3.4, ip:10.2.3.5",
            "one entry that matches ip:10.0.0.0/8",
        ),
        (
            &["ip:10.2.3.4", "dns:a.plant7.example", "dns:evil.example"],
            "each entry of subjectAltName matches one of the label's rule",
            "dns:evil.example",
            "entries that match dns:SN-17.example, ip:10.0.0.0/8, dns:{*}.plant7.example, ip:10.1.0.0/16, dns:b.plant7.example, uri:urn:x:{*}",
        ),
        (
            &["ip:10.2.3.4", "dns:a.plant7.example", "dns:SN-17.EXAMPLE"],
            "subjectAltName has each entry of the label's rule once",
            "2 entries: dns:sn-17.example, dns:SN-17.EXAMPLE",
            "one entry that matches dns:SN-17.example",
        ),
    ] {
        let rejection = check(bad).unwrap_err();
        assert_eq!(rejection, Rejection::new(Code::NamesMatch, rule, got, expected));
    }
    let rejection = rule.check(&proven(), &subject, None).unwrap_err();
    assert_eq!(rejection.got, "no subjectAltName");
    let rejection = rule.check(&proven(), &name("CN=x,O=\u{202e}y"), None).unwrap_err();
    assert_eq!(rejection.got, "subject CN=x,O=\\u{202e}y");
    assert_eq!(rejection.expected, "subject CN=SN-17");
    // Kinds that no rule has.
    let odd = SubjectAltName::of_entries(&[hardware_module(&[1])]).unwrap();
    let rejection = rule.check(&proven(), &subject, Some(&odd)).unwrap_err();
    assert!(rejection.got.starts_with("other:"), "{rejection}");
}

#[test]
fn an_absent_subject_is_an_empty_one() {
    let rule = pattern(None, &["dns:{account}.example"], &[]);
    let requested = san(&["dns:fitter.example"]);
    rule.check(&proven(), &DistinguishedName::of_rdns(&[]).unwrap(), requested.as_ref()).unwrap();
    let rejection = rule.check(&proven(), &name("CN=x"), requested.as_ref()).unwrap_err();
    assert_eq!((&*rejection.got, &*rejection.expected), ("subject CN=x", "an empty subject"));
    // And without entries in the rule, none in the CSR.
    let rule = pattern(Some("CN={account}"), &[], &[]);
    rule.check(&proven(), &name("CN=fitter"), None).unwrap();
    let rejection = rule.check(&proven(), &name("CN=fitter"), requested.as_ref()).unwrap_err();
    assert_eq!(&*rejection.expected, "no subjectAltName");
}

#[test]
fn a_rejection_shows_the_values_that_are_proven() {
    let client = Proven::new().with_account("fitter");
    let rule = pattern(Some("CN={account},O={idevid.serial}"), &["dns:{account}.{*}.x"], &[]);
    assert_eq!(
        rule.texts(&client).to_string(),
        "subject CN=fitter,O={idevid.serial}; san dns:fitter.{*}.x"
    );
    let rejection = rule.check(&client, &name("CN=fitter,O=1"), None).unwrap_err();
    assert_eq!(
        rejection,
        Rejection::new(
            Code::NamesValue,
            "each variable of CN={account},O={idevid.serial} is proven and has one value",
            "no value for {idevid.serial}",
            "a manufacturer's certificate with one serialNumber in its subject",
        )
    );
}

#[test]
fn set_gives_the_names_of_the_template() {
    let rule = template(
        Some("CN={idevid.serial}+serialNumber={certificate.serial},O=Example\\, Inc.,C=DE"),
        &[
            "dns:{idevid.hw_serial}.plant7.example",
            "uri:urn:dev:{manufacturer}:{idevid.serial}",
            "ip:192.0.2.7",
            "ip:2001:db8::7",
            "email:{account}@example.com",
            "dns:*.{certificate.dns}",
            "dns:a1b2.plant7.example",
        ],
    );
    let (subject, san) = rule.names(&proven()).unwrap();
    assert!(subject.same_as(&name("CN=SN-17+SERIALNUMBER=17,O=Example\\, Inc.,C=DE")));
    assert_eq!(
        san.unwrap().texts(),
        [
            "dns:a1b2.plant7.example",
            "uri:urn:dev:acme:SN-17",
            "ip:192.0.2.7",
            "ip:2001:db8::7",
            "email:fitter@example.com",
            "dns:*.d17.boot.example",
        ]
    );
    let (subject, san) = template(Some("CN={account}"), &[]).names(&proven()).unwrap();
    assert!(subject.same_as(&name("CN=fitter")) && san.is_none());
    let (subject, san) = template(None, &["dns:{account}.x"]).names(&proven()).unwrap();
    assert!(subject.is_empty() && san.unwrap().texts() == ["dns:fitter.x"]);
}

#[test]
fn what_set_gives_match_accepts() {
    let subject = Some("CN={idevid.cn}+OU={account},O={manufacturer}");
    let entries = ["dns:{idevid.serial}.x", "uri:https://{account}.x/{idevid.hw_type}?{account}"];
    let (name, san) = template(subject, &entries).names(&proven()).unwrap();
    pattern(subject, &entries, &[]).check(&proven(), &name, san.as_ref()).unwrap();
}

#[test]
fn each_value_fits_its_place_or_is_rejected() {
    let long = "x".repeat(64);
    let name_of = |length: usize| format!("dns:{{account}}{}", ".abcdefghi".repeat(length));
    let (fits, too_long) = (name_of(19), name_of(25));
    for (place, value, fits) in [
        ("CN={account}", "a.b:c/d@e (f)", true),
        ("CN={account}", "\u{e4}\u{4e2d}", true),
        ("CN={account}", &long, true),
        ("CN=x{account}", &long, false),
        ("CN={account}", "", false),
        ("CN={account}", " a", false),
        ("CN={account}", "a ", false),
        ("CN={account}", "#0c0161", false),
        ("CN={account}", "a\0", false),
        ("CN={account}", "a\u{7f}", false),
        ("CN={account}", "a\u{202e}b", false),
        ("CN={account}", "\u{301}a", false),
        ("CN={account}", "*", false),
        ("CN={account}", "a,O=evil", false),
        ("CN={account}", "a,b", false),
        ("CN={account}", "a+CN=b", false),
        ("CN={account}", "a/O=evil", false),
        ("CN={account}", "a\\2cO\\3devil", false),
        ("CN={account}", "a;b", false),
        ("CN={account}", "a\"b", false),
        ("CN={account}", "a<b", false),
        ("CN={account}", "a>b", false),
        ("CN={account}", "{idevid.cn}", true),
        ("serialNumber={account}", "A-1", true),
        ("serialNumber={account}", "a_b", false),
        ("serialNumber={account}", "\u{e4}", false),
        ("DC={account}", "a", true),
        ("DC={account}", "a.b", false),
        ("emailAddress={account}@x.example", "a.b", true),
        ("emailAddress={account}@x.example", "a@b", false),
        ("dns:{account}.x", "A-1", true),
        ("dns:{account}.x", "a.b", false),
        ("dns:{account}.x", "*", false),
        ("dns:{account}.x", "", false),
        ("dns:{account}.x", "a_b", false),
        ("dns:{account}.x", "-a", false),
        ("dns:{account}.x", "a-", false),
        ("dns:abc-{account}-b.x", "-", true),
        ("dns:{account}.x", "xn--bcher-kva", false),
        ("dns:{account}.x", "\u{e4}", false),
        ("dns:{account}.x", &long[1..], true),
        ("dns:{account}.x", &long, false),
        ("dns:a{account}.x", &long[1..], false),
        ("dns:10.0.0.{account}", "1", false),
        (&fits, &long[1..], true),
        (&too_long, &long[..3], true),
        (&too_long, &long[..4], false),
        ("uri:urn:x:{account}", "a.b_c~d-e", true),
        ("uri:urn:x:{account}", "a:b", false),
        ("uri:urn:x:{account}", "a/b", false),
        ("uri:urn:x:{account}", "%41", false),
        ("uri:urn:x:{account}", "", false),
        ("uri:urn:x:{account}", "..", false),
        ("uri:https://h.x/a{account}/b", ".", true),
        ("uri:https://h.x/.{account}/b", ".", false),
        ("uri:https://h.x/{account}", "a?b", false),
        ("uri:https://h.x/{account}", "a#b", false),
        ("uri:https://{account}.x/", "a.b", false),
        ("uri:https://{account}.x/", "u@a", false),
        ("uri:https://{account}.x/", "a:1", false),
        ("email:{account}@x.example", "a.b-c_d", true),
        ("email:{account}@x.example", "a..b", false),
        ("email:{account}@x.example", ".a", false),
        ("email:{account}@x.example", "a@b", false),
        ("email:{account}@x.example", "a+b", false),
        ("email:{account}@x.example", &long, true),
        ("email:a{account}@x.example", &long, false),
        ("email:a@{account}.example", "x.y", false),
    ] {
        let client = Proven::new().with_account(value);
        let is_entry = ["dns:", "uri:", "email:"].iter().any(|kind| place.starts_with(kind));
        let (subject, entries) =
            if is_entry { (None, vec![place]) } else { (Some(place), Vec::new()) };
        let set = template(subject, &entries).names(&client);
        assert_eq!(set.is_ok(), fits, "{place} {value}: {set:?}");
        let (requested, requested_san) = match &set {
            Ok((subject, san)) => (subject.clone(), san.clone()),
            Err(_) => (name("CN=a"), san(&["dns:a.x"])),
        };
        let matched =
            pattern(subject, &entries, &[]).check(&client, &requested, requested_san.as_ref());
        assert_eq!(matched.is_ok(), fits, "{place} {value}: {matched:?}");
        if let Err(rejection) = set {
            assert_eq!(rejection.code, Code::NamesValue);
            assert!(rejection.rule.contains(place), "{rejection}");
            assert!(!rejection.got.is_empty() && !rejection.expected.is_empty());
            assert_eq!(matched.unwrap_err(), rejection);
        }
    }
}

#[test]
fn a_dns_name_that_is_none_is_no_value() {
    for bad in ["*.boot.example", "a b.example", "", "a..b", "10.0.0.1"] {
        let ours = certificate(
            &rdns(&[(oid::COMMON_NAME, "a")]),
            &[(SanKind::Dns, bad.as_bytes().to_vec())],
        );
        let client = Proven::new().with_certificate(&ours);
        let rejection = template(None, &["dns:{certificate.dns}"]).names(&client).unwrap_err();
        assert_eq!(
            rejection,
            Rejection::new(
                Code::NamesValue,
                "the value of {certificate.dns} fits its place in dns:{certificate.dns}",
                format!("\"{bad}\""),
                "a DNS name"
            )
        );
    }
}

#[test]
fn each_error_of_a_template_has_value_and_remedy() {
    let both = [NameMode::Match, NameMode::Set];
    for (modes, key, value, text, remedy) in [
        (
            &both[..],
            "subject",
            "CN={idevid.serail}",
            "got the variable {idevid.serail}; expected: {idevid.serial}, {idevid.hw_serial}, {idevid.hw_type}, {idevid.cn}, {certificate.cn}, {certificate.serial}, {certificate.dns}, {account}, {manufacturer}, {device.id}, {device.tag.NAME}, or {*}",
            "did you mean {idevid.serial}?",
        ),
        (&both, "subject", "CN={csr.cn}", "got the variable {csr.cn}", ""),
        (
            &both,
            "subject",
            "CN={whatever it may be}",
            "got the variable {whatever it may be}",
            "use one of them",
        ),
        (&both, "subject", "CN={}", "got the variable {}", "use one of them"),
        (&both, "subject", "CN={account", "got '{' alone", "write {{ for the character {"),
        (&both, "subject", "CN=account}", "got '}' alone", "write }} for the character }"),
        (&both, "subject", "", "got a text that is no subject", "write it as in CN="),
        (&both, "subject", "{account}=x", "got a text that is no subject", ""),
        (&both, "subject", "{account}", "got a text that is no subject", ""),
        (&both, "subject", "CN=a,{account}", "got a text that is no subject", ""),
        (&both, "subject", "CN", "got a text that is no subject", ""),
        (&both, "subject", "nonsense=a", "got a text that is no subject", ""),
        (&both, "subject", "CN=a,", "got a text that is no subject", ""),
        (&both, "subject", "CN=a\\", "got a text that is no subject", ""),
        (&both, "subject", "CN=\\{account}", "got a text that is no subject", ""),
        (&both, "subject", "CN={account}\\ee\\80\\80", "got the hidden character \\u{e000}", ""),
        (
            &both,
            "subject",
            "CN=a\\e2\\80\\ae",
            "got the hidden character \\u{202e}",
            "remove the character",
        ),
        (
            &both,
            "subject",
            "CN=a\u{202e}",
            "got the hidden character \\u{202e}",
            "remove the character",
        ),
        (
            &both,
            "subject",
            "CN=\u{e000}{account}",
            "got the hidden character \\u{e000}",
            "remove the character",
        ),
        (
            &both,
            "subject",
            "CN=#0c0161",
            "got a value in hexadecimal digits",
            "write the value as text",
        ),
        (&both, "subject", "CN=a;O=b", "got ; in a subject", "separate attributes by commas"),
        (&both, "subject", "CN=\"a\"", "got \" in a subject", "separate attributes by commas"),
        (
            &both,
            "subject",
            "CN=a\\\\,O=b",
            "got \\ in a subject",
            "write the subject without a backslash",
        ),
        (&both, "subject", "CN= a", "got a value with a blank", "remove the blank"),
        (&both, "subject", "CN=a ,O=b", "got a value with a blank", "remove the blank"),
        (
            &both,
            "subject",
            "CN=",
            "got the value \"\"",
            "correct the text around the variables, or",
        ),
        (
            &both,
            "subject",
            "C=Germany",
            "got the value \"Germany\"",
            "correct the text around the variables, or",
        ),
        (
            &both,
            "subject",
            "C={account}",
            "got the value \"{account}\"",
            "correct the text around the variables, or",
        ),
        (
            &both,
            "subject",
            "serialNumber=a_{account}",
            "got the value \"a_{account}\"",
            "correct the text around the variables, or",
        ),
        (
            &both,
            "subject",
            "CN=a+CN={account}",
            "got one attribute type twice",
            "separate the attributes by a comma",
        ),
        (
            &both,
            "subject",
            "emailAddress={account}",
            "got the value \"{account}\"",
            "correct the text around the variables, or",
        ),
        (
            &both,
            "subject",
            "DC={certificate.dns}",
            "got {certificate.dns} as a piece of a DNS label",
            "write {certificate.dns} without",
        ),
        (
            &both,
            "san",
            "{account}.example",
            "got \"{account}.example\"; expected: an entry that begins with",
            "write dns:NAME",
        ),
        (&both, "san", "DNS:a.example", "got \"DNS:a.example\"", "write dns:NAME"),
        (&both, "san", "other:1.2.3", "got \"other:1.2.3\"", "write dns:NAME"),
        (
            &both,
            "san",
            "dns:{accuont}.example",
            "got the variable {accuont}",
            "did you mean {account}?",
        ),
        (&both, "san", "dns:", "got \"dns:\"", "correct the text"),
        (&both, "san", "dns:a_b.example", "got \"dns:a_b.example\"", "correct the text"),
        (
            &both,
            "san",
            "dns:{account}..example",
            "got \"dns:{account}..example\"",
            "correct the text",
        ),
        (&both, "san", "dns:*", "got \"dns:*\"", "correct the text"),
        (&both, "san", "dns:a.*.example", "got \"dns:a.*.example\"", "correct the text"),
        (
            &both,
            "san",
            "dns:*{account}.plant.example",
            "got * as a piece of a DNS label",
            "write *.example.com for a wildcard",
        ),
        (
            &both,
            "san",
            "dns:x-{certificate.dns}",
            "got {certificate.dns} as a piece of a DNS label",
            "write {certificate.dns} without",
        ),
        (
            &both,
            "san",
            "dns:xn--{account}.example",
            "got a part that no value completes",
            "change the text around",
        ),
        (
            &both,
            "san",
            "dns:-{account}.example",
            "got a part that no value completes",
            "change the text around",
        ),
        (
            &both,
            "san",
            "ip:10.0.0.300",
            "got \"10.0.0.300\"; expected: an address",
            "write it as ip:192.0.2.1",
        ),
        (
            &both,
            "san",
            "ip:{account}",
            "got \"{account}\"; expected: an address",
            "write the network",
        ),
        (
            &both,
            "san",
            "ip:10.0.0.0/33",
            "got \"10.0.0.0/33\"; expected: a prefix of 0 to 32 bits",
            "write the number of leading bits",
        ),
        (
            &both,
            "san",
            "ip:10.0.0.0/+8",
            "got \"10.0.0.0/+8\"; expected: a prefix of 0 to 32 bits",
            "write the number of leading bits",
        ),
        (
            &both,
            "san",
            "ip:::/",
            "got \"::/\"; expected: a prefix of 0 to 128 bits",
            "write the number of leading bits",
        ),
        (
            &both,
            "san",
            "ip:10.1.2.3/8",
            "got \"10.1.2.3/8\"; expected: a network whose",
            "write ip:10.0.0.0/8 for the network, or ip:10.1.2.3 for the address",
        ),
        (
            &both,
            "san",
            "ip:2001:db8::1/32",
            "got \"2001:db8::1/32\"",
            "write ip:2001:db8::/32 for the network",
        ),
        (
            &both,
            "san",
            "uri:relative/{account}",
            "got \"uri:relative/{account}\"",
            "correct the text",
        ),
        (&both, "san", "uri:urn:x:%{account}", "got \"uri:urn:x:%{account}\"", "correct the text"),
        (
            &both,
            "san",
            "uri:urn:x:%4{account}",
            "got \"uri:urn:x:%4{account}\"",
            "correct the text",
        ),
        (&both, "san", "uri:urn:x:a b", "got \"uri:urn:x:a b\"", "correct the text"),
        (&both, "san", "uri:{account}:x", "got a variable or {*} in scheme", "write scheme"),
        (
            &both,
            "san",
            "uri:https://{account}@h.x/",
            "got a variable or {*} in scheme",
            "write scheme",
        ),
        (
            &both,
            "san",
            "uri:https://h.x:{account}/",
            "got a variable or {*} in scheme",
            "write scheme",
        ),
        (
            &both,
            "san",
            "uri:https://[::{account}]/",
            "got a variable or {*} in scheme",
            "write scheme",
        ),
        (&both, "san", "email:{account}", "got \"email:{account}\"", "correct the text"),
        (&both, "san", "email:{account}@", "got \"email:{account}@\"", "correct the text"),
        (&both[..1], "subject", "CN={*}{*}", "got {*} twice", "write one {*}"),
        (&both[..1], "san", "dns:{*}a{*}.example", "got {*} twice", "write one {*}"),
        (&both[1..], "subject", "CN={*}", "got a pattern with mode = \"set\"", "write one name"),
        (
            &both[1..],
            "san",
            "dns:{*}.example",
            "got a pattern with mode = \"set\"",
            "write one name",
        ),
        (&both[1..], "san", "ip:10.0.0.0/8", "got a pattern with mode = \"set\"", "write one name"),
    ] {
        for mode in modes {
            let found = match key {
                "subject" => errors(*mode, Some(value), &[], &[]),
                _ => errors(*mode, None, &[value], &[]),
            };
            let [error] = found.as_slice() else { panic!("{value}: {found:?}") };
            assert_eq!((error.key, error.value.as_deref()), (key, Some(value)));
            assert!(error.text.starts_with(text), "{value}: {}", error.text);
            assert!(error.text.contains("; expected: "), "{}", error.text);
            assert!(error.remedy.starts_with(remedy), "{value}: {}", error.remedy);
            assert!(!error.remedy.is_empty());
        }
    }
}

#[test]
fn all_errors_are_found_at_once() {
    let found = errors(
        NameMode::Match,
        Some("CN={x}"),
        &["dns:a.example", "dns:b_c", "dns:a.example"],
        &["ip:1", "uri:urn:x:{*}", "nonsense"],
    );
    let places: Vec<_> = found.iter().map(|one| (one.key, one.value.as_deref().unwrap())).collect();
    assert_eq!(
        places,
        [
            ("subject", "CN={x}"),
            ("san", "dns:b_c"),
            ("san", "dns:a.example"),
            ("allow_san", "ip:1"),
            ("allow_san", "nonsense"),
        ]
    );
    assert_eq!(found[2].text, "got \"dns:a.example\" twice; expected: each entry once");
}

#[test]
fn a_mode_has_the_keys_that_it_uses() {
    for mode in [NameMode::Own, NameMode::Any] {
        assert_eq!(NameRules::parse(mode, None, &[], &[]).unwrap().mode(), mode);
        let found = errors(mode, Some("CN=a"), &["dns:a.x", "dns:b.x"], &["dns:c.x"]);
        let keys: Vec<_> = found.iter().map(|one| one.key).collect();
        assert_eq!(keys, ["subject", "san", "allow_san"]);
        assert_eq!(found[1].value.as_deref(), Some("dns:a.x, dns:b.x"));
        assert!(found[0].text.starts_with(&format!("got subject with mode = \"{mode}\"")));
    }
    let found = errors(NameMode::Set, Some("CN=a"), &[], &["dns:c.x"]);
    assert_eq!((found.len(), found[0].key), (1, "allow_san"));
    for mode in [NameMode::Match, NameMode::Set] {
        let found = errors(mode, None, &[], &[]);
        assert_eq!((found.len(), found[0].key, &found[0].value), (1, "subject", &None));
        assert_eq!(NameRules::parse(mode, Some("CN=a"), &[], &[]).unwrap().mode(), mode);
    }
    let found = errors(NameMode::Match, None, &[], &["dns:c.x"]);
    assert_eq!((found.len(), found[0].key), (1, "subject"));
    assert_eq!(NameMode::ALL.map(NameMode::as_str), ["own", "any", "match", "set"]);
}

#[test]
fn a_rule_lists_its_variables() {
    let rules = |mode, allow: &[&str]| {
        NameRules::parse(
            mode,
            Some("CN={idevid.serial}"),
            &strings(&["dns:{account}.x", "uri:urn:{account}:{certificate.dns}"]),
            &strings(allow),
        )
        .unwrap()
    };
    let set = [Variable::IdevidSerial, Variable::CertificateDns, Variable::Account];
    assert_eq!(rules(NameMode::Set, &[]).variables(), set.into());
    let matched = rules(NameMode::Match, &["dns:{manufacturer}.{*}.x"]).variables();
    assert_eq!(matched.len(), 4);
    assert!(matched.contains(&Variable::Manufacturer));
    assert!(NameRules::Own.variables().is_empty() && NameRules::Any.variables().is_empty());
}

#[test]
fn each_variable_has_a_name_of_its_own() {
    for variable in Variable::ALL {
        assert_eq!(Variable::named(variable.as_str()), Some(variable));
    }
    let names: BTreeSet<_> = Variable::ALL.map(Variable::as_str).into();
    assert_eq!(names.len(), Variable::ALL.len());
    for none in ["*", "device.tag.", "device.tag.A", "device.tag.NAME", "device.tag.a.b"] {
        assert_eq!(Variable::named(none), None, "{none}");
    }
    let tag = Variable::named("device.tag.site").unwrap();
    assert_eq!(tag.to_string(), "{device.tag.site}");
    assert_eq!((tag.as_str(), tag.source()), ("device.tag.NAME", VariableSource::Device));
}

/// Pieces of values that were chosen to add an attribute, an RDN, a label or a part of a URI, to hide
/// something, or to be read again.
const HOSTILE: [&str; 96] = [
    "",
    " ",
    "  ",
    ",",
    "+",
    "=",
    ";",
    "<",
    ">",
    "\"",
    "\\",
    "#",
    "/",
    "//",
    "?",
    "&",
    ":",
    "@",
    "!",
    "$",
    "'",
    "(",
    ")",
    "[",
    "]",
    "|",
    "~",
    "_",
    "-",
    "--",
    "%",
    "*",
    "**",
    "{",
    "}",
    "{*}",
    "{{",
    "}}",
    ".",
    "..",
    "...",
    "\0",
    "\t",
    "\n",
    "\r\n",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{ad}",
    "\u{301}",
    "\u{200b}",
    "\u{200d}",
    "\u{202e}",
    "\u{2066}",
    "\u{2028}",
    "\u{feff}",
    "\u{e000}",
    "\u{e001}",
    "\u{f8ff}",
    "\u{e0001}",
    "\u{10ffff}",
    "\u{fffd}",
    "\u{e4}",
    "\u{430}",
    "\u{4e2d}",
    "\u{ff0c}",
    "\u{ff0e}",
    "\u{3002}",
    "\u{ff0f}",
    "\u{212a}",
    "x,O=evil",
    "x+CN=y",
    "\\,O=evil",
    "\\2cO=evil",
    "/O=evil",
    ",dns:evil.example",
    "%2e",
    "%2e%2e%2f",
    "%00",
    "x/../y",
    "../",
    "a.b",
    "*.evil",
    "evil.example",
    "xn--80ak6aa92e",
    "user@",
    ":8443",
    "?q=1",
    "#f",
    "#0c0161",
    "#1303616263",
    "{idevid.cn}",
    "{account}",
    "{certificate.dns}",
    "CN=",
];

/// `number` values that differ, in the same order in each run.
fn hostile(seed: u64, number: usize) -> Vec<String> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move |below: usize| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    let mut add = |value: String| {
        if out.len() < number && seen.insert(value.clone()) {
            out.push(value);
        }
    };
    for piece in HOSTILE {
        add(piece.to_owned());
        add(format!("{piece}x"));
        add(format!("x{piece}"));
        add(format!("x{piece}y"));
        add(piece.repeat(3));
    }
    for length in [31, 32, 62, 63, 64, 65, 128, 252, 253, 254, 255, 256, 1024, 4000] {
        add("x".repeat(length));
        add("1".repeat(length));
        add("x.".repeat(length / 2));
        add("\u{e4}".repeat(length));
        add(format!("{},O=evil", "x".repeat(length)));
    }
    while out.len() < number {
        let mut value = String::new();
        for _ in 0..=next(4) {
            match next(3) {
                0 => value.extend("aZ09bc-1.".chars().cycle().skip(next(9)).take(next(6))),
                1 => value.push(char::from_u32(u32::try_from(next(0x2100)).unwrap()).unwrap()),
                _ => value.push_str(HOSTILE[next(HOSTILE.len())]),
            }
        }
        // Half of them are nearly harmless: they reach the certificate more often.
        if next(2) == 0 {
            value
                .retain(|character| character.is_ascii_alphanumeric() || "-._".contains(character));
        }
        if seen.insert(value.clone()) {
            out.push(value);
        }
    }
    out
}

/// A client that has proven this value, by a certificate where the variable is of one.
fn client(variable: Variable, value: &str) -> Proven {
    let none = DistinguishedName::of_rdns(&[]).unwrap();
    // As UTF8String, which holds every value: a hostile certificate does not care for the type.
    let subject = |kind: ObjectIdentifier| {
        let mut der =
            DistinguishedName::of_rdns(&rdns(&[(oid::COMMON_NAME, value)])).unwrap().der().to_vec();
        let at = der.windows(3).position(|three| three == oid::COMMON_NAME.as_bytes()).unwrap();
        der[at..at + 3].copy_from_slice(kind.as_bytes());
        DistinguishedName::parse(&der).unwrap()
    };
    let idevid = |subject: &DistinguishedName, san: &[(SanKind, Vec<u8>)]| {
        Proven::new().with_idevid("acme", &certificate_of(subject, san))
    };
    let ours = |subject: &DistinguishedName, san: &[(SanKind, Vec<u8>)]| {
        Proven::new().with_certificate(&certificate_of(subject, san))
    };
    match variable {
        Variable::IdevidSerial => idevid(&subject(oid::SERIAL_NUMBER), &[]),
        Variable::IdevidCn => idevid(&subject(oid::COMMON_NAME), &[]),
        Variable::IdevidHwSerial => idevid(&none, &[hardware_module(value.as_bytes())]),
        Variable::IdevidHwType => {
            // The arcs of the type are from the value.
            let sum =
                value.bytes().fold(0_u32, |sum, byte| (sum << 5) ^ (sum >> 22) ^ u32::from(byte));
            let arcs: String =
                value.bytes().take(6).map(|byte| format!(".{}", u32::from(byte) << 7)).collect();
            idevid(&none, &[module_of(&format!("1.3.6.{}{arcs}", sum & 0x0fff_ffff), b"1")])
        }
        Variable::Manufacturer => Proven::new().with_idevid(value, &certificate_of(&none, &[])),
        Variable::CertificateCn => ours(&subject(oid::COMMON_NAME), &[]),
        Variable::CertificateSerial => ours(&subject(oid::SERIAL_NUMBER), &[]),
        Variable::CertificateDns => ours(&none, &[(SanKind::Dns, value.as_bytes().to_vec())]),
        Variable::Account => Proven::new().with_account(value),
        Variable::DeviceId => Proven::new().with_device(value, std::iter::empty()),
        Variable::DeviceTag(tag) => {
            Proven::new().with_device("d", [(tag.as_str(), value)].into_iter())
        }
    }
}

/// The RDNs of a subject in the order of the certificate: types and texts.
type Form = &'static [&'static [(&'static str, &'static str)]];

/// Subjects and entries in which `V` is the place of a variable.
const SUBJECTS: [(&str, Form); 7] = [
    ("CN=V,O=Example", &[&[("2.5.4.10", "Example")], &[("2.5.4.3", "V")]]),
    (
        "CN=pre-V-post+OU=a,O=Example,C=DE",
        &[
            &[("2.5.4.6", "DE")],
            &[("2.5.4.10", "Example")],
            &[("2.5.4.3", "pre-V-post"), ("2.5.4.11", "a")],
        ],
    ),
    ("SERIALNUMBER=V", &[&[("2.5.4.5", "V")]]),
    (
        "DC=V,DC=example",
        &[&[("0.9.2342.19200300.100.1.25", "example")], &[("0.9.2342.19200300.100.1.25", "V")]],
    ),
    ("UID=V,CN=a", &[&[("2.5.4.3", "a")], &[("0.9.2342.19200300.100.1.1", "V")]]),
    ("1.2.840.113549.1.9.1=V@x.example", &[&[("1.2.840.113549.1.9.1", "V@x.example")]]),
    ("O=V,OU=VV,CN=V", &[&[("2.5.4.3", "V")], &[("2.5.4.11", "VV")], &[("2.5.4.10", "V")]]),
];
const ENTRIES: [&str; 9] = [
    "dns:V.plant7.example",
    "dns:a-V-b.x.example",
    "dns:*.V.example",
    "uri:urn:dev:acme:V",
    "uri:urn:dev:V-V:x",
    "uri:https://V.example/a/V/b?c=V&d=V#V",
    "uri:coaps://h.example:8443/V",
    "email:V@x.example",
    "email:a@V.example",
];

/// Reads names by another parser: each attribute of the subject as type and text, and each entry as
/// text with its kind.
fn judged(
    name: &DistinguishedName,
    san: Option<&SubjectAltName>,
) -> (Vec<Vec<(String, String)>>, Vec<String>) {
    use der::{Decode, asn1};
    use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};
    let read = x509_cert::name::Name::from_der(name.der()).unwrap();
    let names = san.map(|san| GeneralNames::from_der(san.der()).unwrap());
    let subject = read.iter_rdn().map(|rdn| {
        let attribute = |one: &x509_cert::attr::AttributeTypeAndValue| {
            let text = if let Ok(text) = one.value.decode_as::<asn1::Utf8StringRef<'_>>() {
                text.as_str().to_owned()
            } else if let Ok(text) = one.value.decode_as::<asn1::PrintableStringRef<'_>>() {
                text.as_str().to_owned()
            } else {
                one.value.decode_as::<asn1::Ia5StringRef<'_>>().unwrap().as_str().to_owned()
            };
            (one.oid.to_string(), text)
        };
        rdn.iter().map(attribute).collect()
    });
    let entries = names.into_iter().flatten().map(|name| match name {
        GeneralName::DnsName(text) => format!("dns:{}", text.as_str()),
        GeneralName::UniformResourceIdentifier(text) => format!("uri:{}", text.as_str()),
        GeneralName::Rfc822Name(text) => format!("email:{}", text.as_str()),
        other => panic!("{other:?}"),
    });
    (subject.collect(), entries.collect())
}

/// The components of a URI by another parser: scheme, authority, path and the rest, each split at every
/// delimiter that it can have.
fn components(uri: &str) -> Vec<Vec<String>> {
    let parsed = fluent_uri::Uri::parse(uri).unwrap();
    let texts = |text: &str, at: &[char]| text.split(at).map(str::to_owned).collect::<Vec<_>>();
    let authority = parsed.authority();
    vec![
        vec![parsed.scheme().as_str().to_owned()],
        authority.map_or(Vec::new(), |one| texts(one.host(), &['.'])),
        authority.map_or(Vec::new(), |one| texts(one.port().map_or("", |port| port.as_str()), &[])),
        authority.and_then(|one| one.userinfo()).map_or(Vec::new(), |one| texts(one.as_str(), &[])),
        texts(parsed.path().as_str(), &['/', ':', '@']),
        parsed.query().map_or(Vec::new(), |one| texts(one.as_str(), &['&', '=', '/', '?'])),
        parsed.fragment().map_or(Vec::new(), |one| texts(one.as_str(), &['/', '?'])),
    ]
}

/// Bar: no certificate has an attribute, RDN, DNS label or URI part that the template does not have,
/// whatever value a client proves.
#[test]
fn no_value_adds_to_a_name() {
    let tag = Variable::named("device.tag.site").unwrap();
    for (position, variable) in Variable::ALL.into_iter().chain([tag]).enumerate() {
        let place = |text: &str| text.replace('V', &variable.to_string());
        let one_name = variable == Variable::CertificateDns;
        // `{certificate.dns}` is alone between dots.
        let alone = |text: &&str| !one_name || !text.starts_with("DC=V") && !text.contains("a-V");
        let subjects: Vec<_> = SUBJECTS.iter().map(|(text, _)| *text).filter(alone).collect();
        let entries: Vec<_> = ENTRIES.into_iter().filter(alone).collect();
        let of_subject = |text: &&'static str| {
            let place = place(text);
            (*text, template(Some(&place), &[]), pattern(Some(&place), &[], &[]))
        };
        let of_entry = |text: &&'static str| {
            let place = place(text);
            (*text, template(None, &[&place]), pattern(None, &[&place], &[]))
        };
        let rules: Vec<_> =
            subjects.iter().map(of_subject).chain(entries.iter().map(of_entry)).collect();
        let (mut issued, mut rejected, mut values) = (0, 0, BTreeSet::new());
        for value in hostile(u64::try_from(position).unwrap() + 1, 2000) {
            let client = client(variable, &value);
            // The value as it is in the certificate.
            let value = client.value(variable).unwrap().to_owned();
            values.insert(value.clone());
            for (text, rule, pattern) in &rules {
                let (name, san) = match rule.names(&client) {
                    Ok(names) => names,
                    Err(rejection) => {
                        assert_eq!(rejection.code, Code::NamesValue, "{text} {value:?}");
                        assert!(!rejection.to_string().chars().any(|c| !(' '..='~').contains(&c)));
                        rejected += 1;
                        continue;
                    }
                };
                issued += 1;
                let (subject, entries) = judged(&name, san.as_ref());
                if let Some((kind, form)) = text.split_once(':') {
                    assert!(subject.is_empty());
                    assert_eq!(entries, [format!("{kind}:{}", form.replace('V', &value))]);
                    let [entry] = entries.as_slice() else { panic!() };
                    judge_entry(form, entry.split_once(':').unwrap(), &value, one_name);
                } else {
                    assert!(entries.is_empty());
                    judge_subject(text, &subject, &value);
                }
                let shows = |c| crate::types::hidden_character(&format!("x{c}")).is_none();
                assert!(value.chars().all(shows), "{value:?}");
                // And match accepts what set gives.
                pattern.check(&client, &name, san.as_ref()).unwrap();
            }
        }
        assert!(values.len() >= 1900, "{variable}: {} values", values.len());
        assert!(issued >= 100, "{variable}: {issued} names");
        let harmless = matches!(variable, Variable::IdevidHwSerial);
        assert!(rejected >= if harmless { 1 } else { 1000 }, "{variable}: {rejected} rejections");
    }
}

fn judge_subject(text: &str, subject: &[Vec<(String, String)>], value: &str) {
    let (_, form) = SUBJECTS.iter().find(|(one, _)| *one == text).unwrap();
    assert_eq!(subject.len(), form.len());
    for (rdn, form) in subject.iter().zip(*form) {
        // An RDN is a set: its order is that of the encodings.
        let found: BTreeSet<_> = rdn.iter().cloned().collect();
        let wanted = form
            .iter()
            .map(|(kind, text)| ((*kind).to_owned(), text.replace('V', value)))
            .collect();
        assert_eq!((rdn.len(), found), (form.len(), wanted));
    }
    // Nor does the name have more for a reader that splits its text without care.
    assert!(!value.contains([',', '+', '=', ';', '"', '<', '>', '\\', '*']), "{value:?}");
}

fn judge_entry(form: &str, (kind, text): (&str, &str), value: &str, one_name: bool) {
    let labels = |text: &str, wanted: &str| {
        let more =
            if one_name { wanted.matches('V').count() * value.matches('.').count() } else { 0 };
        assert_eq!(text.split('.').count(), wanted.split('.').count() + more, "{text}");
        for (position, label) in text.split('.').enumerate() {
            let wildcard = position == 0 && wanted.starts_with("*.");
            let plain = label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
            assert!(plain && (1..=63).contains(&label.len()) || wildcard && label == "*", "{text}");
            assert!(one_name || !label.starts_with("xn--"), "{text}");
        }
        assert!(text.len() <= 253);
    };
    match kind {
        "dns" => labels(text, form),
        "email" => {
            assert_eq!(text.matches('@').count(), 1);
            let (local, domain) = text.split_once('@').unwrap();
            let (wanted_local, wanted) = form.split_once('@').unwrap();
            assert_eq!(local, wanted_local.replace('V', value));
            labels(domain, wanted);
        }
        "uri" => {
            let (found, wanted) = (components(text), components(form));
            for (component, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                if component == 1 && one_name {
                    continue;
                }
                let filled: Vec<_> = wanted.iter().map(|one| one.replace('V', value)).collect();
                assert_eq!(*found, filled, "{text}");
            }
            // Nothing changes when it is resolved (RFC 3986 section 6.2.2).
            let normal = fluent_uri::Uri::parse(text).unwrap().normalize();
            assert!(normal.as_str().eq_ignore_ascii_case(text), "{normal} {text}");
        }
        other => panic!("{other}"),
    }
}

/// Bar: the same for what a CSR says where the rule has `{*}`.
#[test]
fn no_csr_adds_to_a_pattern() {
    let place = |text: &str| text.replace('V', "{*}");
    let subjects = SUBJECTS
        .into_iter()
        .filter(|(text, _)| !text.contains("VV"))
        .map(|(text, form)| (text, form, pattern(Some(&place(text)), &[], &[])));
    let entries = ENTRIES
        .into_iter()
        .filter(|text| !text.contains("V-V"))
        .map(|text| (text, &[][..], pattern(None, &[&place(text)], &[])));
    let rules: Vec<(_, Form, _)> = subjects.chain(entries).collect();
    let empty = DistinguishedName::of_rdns(&[]).unwrap();
    let (mut accepted, mut rejected) = (0, 0);
    for value in hostile(99, 2000) {
        for (text, form, rule) in &rules {
            let filled = |text: &str| text.replace('V', &value);
            let Some((kind, entry_form)) = text.split_once(':') else {
                let attribute = |(kind, text): &(&str, &str)| {
                    (ObjectIdentifier::new_unwrap(kind), filled(text))
                };
                let rdns: Rdns =
                    form.iter().map(|rdn| rdn.iter().map(attribute).collect()).collect();
                let requested = DistinguishedName::of_rdns(&rdns).unwrap();
                match rule.check(&Proven::new(), &requested, None) {
                    Ok(()) if requested.check_as_subject().is_err() => rejected += 1,
                    Ok(()) => {
                        accepted += 1;
                        judge_subject(text, &judged(&requested, None).0, &value);
                    }
                    Err(_) => rejected += 1,
                }
                continue;
            };
            let requested = format!("{kind}:{}", filled(entry_form));
            let requested = san(&[&requested]);
            match rule.check(&Proven::new(), &empty, requested.as_ref()) {
                Ok(()) => {
                    accepted += 1;
                    let (_, entries) = judged(&empty, requested.as_ref());
                    let [entry] = entries.as_slice() else { panic!() };
                    judge_entry(entry_form, entry.split_once(':').unwrap(), &value, false);
                }
                Err(_) => rejected += 1,
            }
        }
    }
    assert!(accepted >= 1000 && rejected >= 10_000, "{accepted} {rejected}");
}
