//! The annotated example, as a template of a new configuration file.

use std::net::IpAddr;

/// est.toml of the source: every key, with its default.
const EXAMPLE: &str = include_str!("../../est.toml");

/// The values of a new configuration that differ from the defaults. Empty or none: the default.
#[derive(Clone, Debug, Default)]
pub struct Example {
    /// Host names under which devices reach the server.
    pub names: Vec<String>,
    /// Addresses under which devices reach the server.
    pub addresses: Vec<IpAddr>,
    /// The data folder.
    pub data: Option<String>,
}

impl Example {
    /// Returns the text of the file. [`super::parse`] checks it like any other file.
    #[must_use]
    pub fn text(&self) -> String {
        let list = |of: Vec<String>| toml::Value::from(of).to_string();
        let addresses = self.addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
        let changes = [
            ("data", self.data.as_ref().map(|data| toml::Value::from(data.as_str()).to_string())),
            ("names", (!self.names.is_empty()).then(|| list(self.names.clone()))),
            ("addresses", (!addresses.is_empty()).then(|| list(addresses))),
        ];
        let mut text = String::with_capacity(EXAMPLE.len() + 256);
        for line in EXAMPLE.lines() {
            let change = changes.iter().find_map(|(key, value)| {
                let is_for = line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" = "));
                value.as_ref().filter(|_| is_for).map(|value| (key, value))
            });
            match change {
                Some((key, value)) => {
                    // The comment stays; none of the three defaults holds a number sign.
                    let comment = line.split_once('#').map_or("", |(_, comment)| comment);
                    text.push_str(&format!("{key} = {value}  #{comment}\n"));
                }
                None => {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use std::path::Path;

    #[test]
    fn without_changes_it_is_the_example() {
        assert_eq!(Example::default().text(), EXAMPLE);
    }

    #[test]
    fn names_addresses_and_data_are_those_that_were_given() {
        let example = Example {
            names: vec!["est.example.com".to_owned(), "est".to_owned()],
            addresses: vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
            data: Some("/var/lib/with \"quotes\" # and a sign".to_owned()),
        };
        let settings = parse(&example.text(), Path::new("/etc/estd/est.toml"), &|_| None).unwrap();
        let certificate = &settings.boot.server_certificate;
        assert_eq!(certificate.names, example.names);
        assert_eq!(certificate.addresses, example.addresses);
        assert_eq!(settings.boot.data, Path::new("/var/lib/with \"quotes\" # and a sign"));
        // Three lines changed, and their comments are still there.
        let text = example.text();
        let changed: Vec<_> =
            text.lines().zip(EXAMPLE.lines()).filter(|(new, old)| new != old).collect();
        assert_eq!(changed.len(), 3);
        assert!(changed.iter().all(|(new, old)| {
            new.rsplit_once("  #").unwrap().1 == old.split_once('#').unwrap().1
        }));
    }

    #[test]
    fn a_name_that_is_none_is_found_by_the_check() {
        let example = Example { names: vec!["not a name".to_owned()], ..Example::default() };
        let errors = parse(&example.text(), Path::new("est.toml"), &|_| None).unwrap_err();
        assert!(
            errors.to_string().contains("got \"not a name\"; expected: a host name"),
            "{errors}"
        );
    }
}
