//! How values are laid out: one octet with the version of the format, then postcard.
//!
//! A version that has landed stays readable: testdata/store holds a small folder of each, which a
//! test opens. A change of a record is a new version with a decoder that lifts the old one.

use super::super::Error;
use serde::{Serialize, de::DeserializeOwned};

/// The version that is written.
pub(super) const VERSION: u8 = 1;

/// Encodes a value.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    postcard::to_extend(value, vec![VERSION])
        .map_err(|fault| Error::Corrupt(format!("cannot encode: {fault}")))
}

/// Decodes a value of any version that has landed.
pub(super) fn decode<T: DeserializeOwned>(octets: &[u8]) -> Result<T, Error> {
    match octets.split_first() {
        Some((&VERSION, rest)) => match postcard::take_from_bytes(rest) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(Error::Corrupt("octets behind the end of a value".to_owned())),
            Err(fault) => Err(Error::Corrupt(format!("a value cannot be decoded: {fault}"))),
        },
        Some((version, _)) => Err(Error::Corrupt(format!(
            "a value of format {version}; this estd reads {VERSION}: use a newer one"
        ))),
        None => Err(Error::Corrupt("an empty value".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_another_version_and_what_is_not_whole() {
        let good = encode(&"text".to_owned()).unwrap();
        assert_eq!(decode::<String>(&good).unwrap(), "text");
        let mut newer = good.clone();
        newer[0] = 2;
        assert!(decode::<String>(&newer).unwrap_err().to_string().contains("format 2"));
        let mut longer = good.clone();
        longer.push(0);
        for bad in [&[][..], &good[..2], &longer] {
            assert!(decode::<String>(bad).is_err(), "{bad:?}");
        }
    }
}
