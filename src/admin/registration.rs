//! Reads a device to register, and finds registered ones. An import reads each line in this way before
//! anything is stored.

use super::{
    error::{Error, invalid},
    values::{any_id, cut, label, parse_time, registered_id},
};
use crate::{
    api,
    store::{Device, DeviceStanding, Identifier, InvalidIdentifier, Store},
    types::{Label, TagName, Time, hidden_character},
};
use std::collections::{BTreeMap, BTreeSet};

/// Maximum number of identifiers of a device.
const IDENTIFIERS: usize = 16;

/// Maximum number of labels of a device.
const LABELS: usize = 32;

/// Maximum number of tags of a device.
const TAGS: usize = 32;

/// Largest quota, as in the configuration of a label.
const QUOTA: u32 = 10_000;

/// Maximum length of a tag's value, in bytes.
const LONGEST: usize = 256;

/// Returns all errors in a device to register; none if it is acceptable by itself.
#[must_use]
pub fn check_new_device(new: &api::NewDevice) -> Vec<Error> {
    // The time of registration does not matter here.
    read_device(new, Time::from_unix(0)).err().unwrap_or_default()
}

/// Returns the device, or the first error.
pub(super) fn device_of(new: &api::NewDevice, now: Time) -> Result<Device, Error> {
    let first = |errors: Vec<Error>| {
        let internal = || Error::Internal("a device without an error".to_owned());
        errors.into_iter().next().unwrap_or_else(internal)
    };
    read_device(new, now).map_err(first)
}

/// Finds a registered device.
pub(super) async fn find_device(store: &dyn Store, text: &str) -> Result<Device, Error> {
    let id = any_id(text)?;
    store.device(&id).await?.ok_or_else(|| Error::NotFound(format!("device {id}")))
}

/// Reads the name of a tag.
pub(super) fn tag_name(text: &str) -> Result<String, Error> {
    match text.parse::<TagName>() {
        Ok(name) => Ok(name.as_str().to_owned()),
        Err(_) => Err(invalid("tag", cut(text), "a name of 1 to 32 characters of a-z 0-9 _ -")),
    }
}

/// Reads a tag.
pub(super) fn tag(name: &str, value: &str) -> Result<(String, String), Error> {
    let name = tag_name(name)?;
    if !(1..=LONGEST).contains(&value.len()) || hidden_character(value).is_some() {
        let expected = format!("a value of 1 to {LONGEST} bytes without hidden characters");
        return Err(invalid(&format!("tag {name}"), cut(value), expected));
    }
    Ok((name, value.to_owned()))
}

/// Checks the number of a device's tags.
pub(super) fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), Error> {
    match tags.len() {
        0..=TAGS => Ok(()),
        count => Err(invalid("tags", count, format!("at most {TAGS}"))),
    }
}

fn read_device(new: &api::NewDevice, registered: Time) -> Result<Device, Vec<Error>> {
    let mut errors = Vec::new();
    let mut note = |error: Error| errors.push(error);
    let id = registered_id(&new.id).map_err(&mut note).ok();
    let identifiers = identifiers(&new.identifiers, &mut note);
    let labels = new.labels.as_ref().map(|texts| labels(texts, &mut note));
    if let Some(quota) = new.quota.filter(|quota| !(1..=QUOTA).contains(quota)) {
        let expected = format!("1 to {QUOTA}; to keep a device from enrolling, block it");
        note(invalid("quota", quota, expected));
    }
    let mut time = |name: &str, text: &Option<String>| {
        let read = text.as_deref().map(parse_time).transpose();
        read.unwrap_or_else(|error| {
            note(match error {
                Error::Invalid { got, expected, .. } => invalid(name, got, expected),
                other => other,
            });
            None
        })
    };
    let (from, until) = (time("from", &new.from), time("until", &new.until));
    if let (Some(from), Some(until)) = (from, until)
        && from >= until
    {
        note(invalid("until", until, format!("a time after from, which is {from}")));
    }
    let mut tags = BTreeMap::new();
    for (name, value) in &new.tags {
        match tag(name, value) {
            Ok((name, value)) => _ = tags.insert(name, value),
            Err(error) => note(error),
        }
    }
    if let Err(error) = check_tags(&new.tags) {
        note(error);
    }
    let quota = new.quota;
    match (id, errors.is_empty()) {
        (Some(id), true) => Ok(Device {
            id,
            identifiers,
            labels,
            quota,
            from,
            until,
            tags,
            standing: DeviceStanding::Enabled,
            registered,
        }),
        _ => Err(errors),
    }
}

fn identifiers(texts: &[String], note: &mut impl FnMut(Error)) -> Vec<Identifier> {
    let mut seen = BTreeSet::new();
    for text in texts {
        match text.parse::<Identifier>() {
            Ok(identifier) => {
                if let Some(twice) = seen.replace(identifier) {
                    note(invalid("identifier", twice, "each identifier once"));
                }
            }
            Err(error) => {
                note(invalid("identifier", cut(text), InvalidIdentifier::expected(&error)));
            }
        }
    }
    if texts.len() > IDENTIFIERS {
        note(invalid("identifiers", texts.len(), format!("at most {IDENTIFIERS}")));
    }
    seen.into_iter().collect()
}

fn labels(texts: &[String], note: &mut impl FnMut(Error)) -> Vec<Label> {
    if !(1..=LABELS).contains(&texts.len()) {
        note(invalid("labels", texts.len(), format!("1 to {LABELS}; or none, for all labels")));
    }
    let mut labels = BTreeSet::new();
    for text in texts {
        match label(text) {
            Ok(label) => _ = labels.insert(label),
            Err(error) => note(error),
        }
    }
    labels.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> api::NewDevice {
        api::NewDevice {
            id: "gw-1".to_owned(),
            identifiers: vec!["serial:acme:SN1".to_owned()],
            labels: Some(vec!["factory".to_owned(), "field".to_owned()]),
            quota: Some(1),
            from: Some("2026-01-01".to_owned()),
            until: Some("2026-12-31T12:00:00Z".to_owned()),
            tags: [("site".to_owned(), "plant 7".to_owned())].into(),
        }
    }

    #[test]
    fn a_device_is_read_with_all_that_it_has() {
        let now = Time::from_unix(9);
        let device = device_of(&new(), now).unwrap();
        assert_eq!(device.id.as_str(), "gw-1");
        assert_eq!(device.identifiers, ["serial:acme:SN1".parse().unwrap()]);
        assert_eq!(device.labels.unwrap().len(), 2);
        assert_eq!(device.until.unwrap().to_string(), "2026-12-31T12:00:00Z");
        assert_eq!((device.standing, device.registered), (DeviceStanding::Enabled, now));
        let least = api::NewDevice { id: "a".to_owned(), ..api::NewDevice::default() };
        assert_eq!(check_new_device(&least).len(), 0);
    }

    #[test]
    fn all_errors_are_found_at_once() {
        let bad = api::NewDevice {
            id: "~factory/00".to_owned(),
            identifiers: vec!["mac:1".to_owned(), "spki:00".to_owned()],
            labels: Some(vec!["a b".to_owned()]),
            quota: Some(0),
            from: Some("soon".to_owned()),
            until: Some("later".to_owned()),
            tags: [("Site".to_owned(), "x".to_owned()), ("a".to_owned(), String::new())].into(),
        };
        let errors: Vec<String> = check_new_device(&bad).iter().map(ToString::to_string).collect();
        let expected = [
            "device id: got ~factory/00; expected: 1 to 128",
            "identifier: got mac:1; expected: serial:MANUFACTURER:VALUE",
            "identifier: got spki:00; expected: spki:HEX",
            "label: got a b; expected: ",
            "quota: got 0; expected: 1 to 10000",
            "from: got soon; expected: 2026-12-31 or",
            "until: got later; expected: ",
            "tag: got Site; expected: a name",
            "tag a: got nothing; expected: a value",
        ];
        assert_eq!(errors.len(), expected.len(), "{errors:#?}");
        for text in expected {
            assert!(errors.iter().any(|error| error.starts_with(text)), "{text}: {errors:#?}");
        }
    }

    #[test]
    fn limits_and_the_order_of_times_are_checked() {
        type Change = fn(&mut api::NewDevice);
        let cases: [(Change, &str); 7] = [
            (|new| new.quota = Some(10_001), "quota: got 10001; expected: 1 to 10000"),
            (|new| new.until = new.from.clone(), "until: got 2026-01-01T00:00:00Z"),
            (|new| new.labels = Some(Vec::new()), "labels: got 0"),
            (|new| new.identifiers = (0..17).map(|n| format!("serial:a:{n}")).collect(), "got 17"),
            (|new| new.identifiers = vec!["serial:a:1".to_owned(); 2], "each identifier once"),
            (|new| new.tags = (0..33).map(|n| (n.to_string(), "x".to_owned())).collect(), "got 33"),
            (|new| new.tags = [("a".to_owned(), "\u{202e}".to_owned())].into(), "tag a: got"),
        ];
        for (change, text) in cases {
            let mut new = new();
            change(&mut new);
            let errors = check_new_device(&new);
            assert_eq!(errors.len(), 1, "{text}: {errors:?}");
            assert!(errors[0].to_string().contains(text), "{errors:?}");
        }
    }
}
