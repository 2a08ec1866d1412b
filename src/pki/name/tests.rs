use super::*;

fn name(text: &str) -> DistinguishedName {
    DistinguishedName::from_text(text).unwrap()
}

#[test]
fn compares_by_content_and_order_not_by_string_type() {
    // CN=a as PrintableString and as UTF8String.
    let printable = hex("300c310a300806035504030c0161");
    let mut utf8 = printable.clone();
    utf8[11] = 0x13;
    let (a, b) =
        (DistinguishedName::parse(&printable).unwrap(), DistinguishedName::parse(&utf8).unwrap());
    assert!(a.same_as(&b));
    assert_ne!(a, b);
    assert!(!name("CN=a").same_as(&name("CN=A")));
    // BMPStrings that are no text equal nothing but themselves.
    let bmp = |unit: &str| {
        DistinguishedName::parse(&hex(&format!("300d310b300906035504031e02{unit}"))).unwrap()
    };
    assert!(bmp("0061").same_as(&a));
    assert!(!bmp("d800").same_as(&bmp("d801")) && bmp("d800").same_as(&bmp("d800")));
    assert!(!name("CN=a,O=b").same_as(&name("O=b,CN=a")));
    assert!(!name("CN=a").same_as(&name("O=a")));
}

#[test]
fn a_plain_name_reads_as_any_other() {
    for text in [
        "CN=device-1",
        "CN=a.b:c_d,OU=x,O=Example,C=DE",
        "SERIALNUMBER=12-34,CN=a",
        "CN=two words",
        "CN=\\ begins",
        "CN=ends\\ ",
        "CN=\\ ",
        "CN=a+O=b",
        "CN=a\\,b",
        "CN=\u{e4}",
        "DC=com,CN=a",
    ] {
        let name = name(text);
        let general = Name::from_der(name.der()).unwrap().to_string();
        assert_eq!(name.to_string(), general, "{text}");
        // A single value of a common type is plain; all others take the general path.
        assert_eq!(
            plain(name.der()).is_some(),
            !text.contains(['+', '\\', 'ä']) && !text.contains("DC")
        );
    }
    // CN=a as BMPString is shown as bytes.
    let wide = hex("300d310b300906035504031e020061");
    assert!(plain(&wide).is_none());
}

#[test]
fn r_5280_4_1_2_6_b_only_printable_and_utf8_strings() {
    let teletex = hex("300c310a30080603550403140161");
    let rejection = DistinguishedName::parse(&teletex).unwrap().check_as_subject().unwrap_err();
    assert_eq!(rejection.rejection().got, "cn (2.5.4.3) as TeletexString");
    name("CN=device-1,O=Example").check_as_subject().unwrap();
    // The types that need another string say which: a dc and a c, both as UTF8String.
    for (der, expected) in [
        ("30133111300f060a0992268993f22c6401190c0161", "IA5String"),
        ("300d310b300906035504060c024445", "PrintableString"),
    ] {
        let der = hex(der);
        let rejection = DistinguishedName::parse(&der).unwrap().check_as_subject().unwrap_err();
        assert_eq!(rejection.rejection().expected, expected);
    }
}

#[test]
fn an_attribute_type_is_a_name_or_an_oid_and_nothing_more() {
    assert_eq!(DistinguishedName::attribute_type("cn"), Some(oid::COMMON_NAME));
    assert_eq!(DistinguishedName::attribute_type("2.5.4.3"), Some(oid::COMMON_NAME));
    for text in ["", "CN=a,O", "CN+O", "c n"] {
        assert_eq!(DistinguishedName::attribute_type(text), None, "{text}");
    }
}

#[test]
fn rejects_values_that_no_subject_may_have() {
    for bad in
        [format!("CN={}", "x".repeat(65)), "C=Germany".into(), "C=de".into(), "CN=\\00".into()]
    {
        assert!(name(&bad).check_as_subject().is_err(), "{bad}");
    }
    // X.501 section 9.3: two values of one type in one RDN.
    assert!(name("OU=a+OU=b").check_as_subject().is_err());
    name("OU=a+CN=b").check_as_subject().unwrap();
    name("OU=a,OU=b").check_as_subject().unwrap();
}

#[test]
fn unprintable_values_are_shown_as_bytes() {
    // A commonName that is a SEQUENCE.
    let odd = DistinguishedName::parse(&hex("300b3109300706035504033000")).unwrap();
    assert!(!odd.to_string().is_empty());
    // And a value that is malformed for its string type.
    let odd = DistinguishedName::parse(&hex("300c310a300806035504030c01ff")).unwrap();
    assert!(!odd.to_string().is_empty());
    assert!(odd.check_as_subject().is_err());
}

#[test]
fn r_7030_6_a_rejects_other_bytes() {
    for bad in ["", "30", "3000ff", "300231 00", "3003310130"] {
        assert!(DistinguishedName::parse(&hex(bad)).is_err(), "{bad}");
    }
}

#[test]
fn a_name_of_values_has_their_attributes() {
    let value = |kind, text: &str| (kind, text.to_owned());
    let hostile = "x,O=evil+CN=y\\#";
    let built = DistinguishedName::of_rdns(&[
        vec![value(oid::COUNTRY, "DE")],
        vec![value(oid::SERIAL_NUMBER, "1"), value(oid::COMMON_NAME, hostile)],
    ])
    .unwrap();
    let rdns: Vec<_> = built.rdns().collect();
    assert_eq!(rdns[0], [(oid::COUNTRY, Some("DE"))]);
    assert_eq!(rdns[1], [(oid::COMMON_NAME, Some(hostile)), (oid::SERIAL_NUMBER, Some("1"))]);
    assert!(
        name("SERIALNUMBER=1+CN=a,C=DE").same_as(
            &DistinguishedName::of_rdns(&[
                vec![value(oid::COUNTRY, "DE")],
                vec![value(oid::COMMON_NAME, "a"), value(oid::SERIAL_NUMBER, "1")],
            ])
            .unwrap()
        )
    );
    assert!(DistinguishedName::of_rdns(&[]).unwrap().is_empty());
    assert!(DistinguishedName::of_rdns(&[vec![]]).is_err());
    let twice = vec![value(oid::COMMON_NAME, "a"); 2];
    assert!(DistinguishedName::of_rdns(&[twice]).is_err());
    // A value that is no string has no characters.
    let odd = DistinguishedName::parse(&hex("300b3109300706035504033000")).unwrap();
    assert_eq!(odd.rdns().next().unwrap(), [(oid::COMMON_NAME, None)]);
    DistinguishedName::check_value(oid::COMMON_NAME, "a").unwrap();
    DistinguishedName::check_value(oid::SERIAL_NUMBER, "a_b").unwrap_err();
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| *c != ' ').collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
        .collect()
}
