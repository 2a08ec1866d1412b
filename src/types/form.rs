//! The form in which a value is stored or sent: numbers and bytes in a binary one, words in a text.
//!
//! serde's formats say which of the two they are. So one description of a record gives both: its stored
//! bytes, and its line in an export.

use serde::{
    Deserializer, Serializer,
    de::{Error, Visitor},
};
use std::{
    fmt::{self, Display},
    marker::PhantomData,
    str::FromStr,
};

/// Reads text without copying it first.
struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err: Display>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Reads bytes without copying them first.
struct Bytes<F>(F);

impl<T, F: FnOnce(&[u8]) -> Result<T, String>> Visitor<'_> for Bytes<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<T, E> {
        (self.0)(bytes).map_err(E::custom)
    }
}

/// Reads text and decodes it.
struct Decoded<F>(F);

impl<T, F: FnOnce(&str) -> Result<T, String>> Visitor<'_> for Decoded<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

/// Reads a value from its text, in either form.
///
/// # Errors
/// Why the text is none.
pub(crate) fn read_text<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    from: D,
) -> Result<T, D::Error> {
    from.deserialize_str(Text(PhantomData))
}

/// Reads text and decodes it, in either form.
///
/// # Errors
/// Why the text is none.
pub(crate) fn decode_text<'de, D: Deserializer<'de>, T>(
    from: D,
    decode: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    from.deserialize_str(Decoded(decode))
}

/// Reads bytes in a binary form.
///
/// # Errors
/// Why the bytes are none.
pub(crate) fn read_bytes<'de, D: Deserializer<'de>, T>(
    from: D,
    parse: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<T, D::Error> {
    from.deserialize_bytes(Bytes(parse))
}

/// Bytes: base64 in a text. For `#[serde(with = …)]`.
#[cfg(feature = "server")]
pub(crate) mod bytes {
    use super::{Deserializer, Serializer, decode_text, read_bytes};
    use base64::{Engine, engine::general_purpose::STANDARD};

    /// Writes them.
    ///
    /// # Errors
    /// Those of the format.
    pub(crate) fn serialize<S: Serializer>(
        bytes: &impl AsRef<[u8]>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let bytes = bytes.as_ref();
        if to.is_human_readable() {
            return to.serialize_str(&STANDARD.encode(bytes));
        }
        // In one copy: serde's own form of a slice writes each byte alone.
        to.serialize_bytes(bytes)
    }

    /// Reads them.
    ///
    /// # Errors
    /// Text that is no base64; those of the format.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T>(from: D) -> Result<T, D::Error>
    where
        T: From<Vec<u8>> + for<'a> From<&'a [u8]>,
    {
        if from.is_human_readable() {
            return decode_text(from, |text| {
                let bytes = STANDARD.decode(text).map_err(|error| format!("base64: {error}"))?;
                Ok(bytes.into())
            });
        }
        read_bytes(from, |bytes| Ok(bytes.into()))
    }
}

/// 32 bytes: hexadecimal in a text. For `#[serde(with = …)]`.
pub(crate) mod digest {
    use super::{Deserializer, Serializer, decode_text, read_bytes};

    /// Writes them.
    ///
    /// # Errors
    /// Those of the format.
    pub(crate) fn serialize<S: Serializer>(digest: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            return to.serialize_str(&base16ct::lower::encode_string(digest));
        }
        to.serialize_bytes(digest)
    }

    /// Reads them.
    ///
    /// # Errors
    /// Another number of bytes; those of the format.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        if from.is_human_readable() {
            return decode_text(from, |text| {
                let bytes = base16ct::mixed::decode_vec(text).ok();
                bytes
                    .and_then(|bytes| bytes.try_into().ok())
                    .ok_or_else(|| format!("{text:?} is not 64 hexadecimal digits"))
            });
        }
        read_bytes(from, |bytes| {
            bytes.try_into().map_err(|_| format!("got {} bytes; expected: 32", bytes.len()))
        })
    }
}

/// A type whose text, by `as_str` and [`FromStr`], is its form in a text and in bytes.
macro_rules! stored_as_text {
    ($type:ty) => {
        impl ::serde::Serialize for $type {
            fn serialize<S: ::serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::types::form::read_text(from)
            }
        }
    };
}
pub(crate) use stored_as_text;

/// A type without data: a number in a binary form, the word of `as_str` in a text.
///
/// serde would store the position of a variant, which changes when another is inserted. A number is
/// never reused; a new variant fails to compile until it has one.
macro_rules! stored_as_number {
    ($type:ident, $($number:literal = $($variant:ident)::+ $(($inner:path))?),+ $(,)?) => {
        impl $type {
            /// The number of the stored form.
            const fn number(self) -> u8 {
                match self { $($($variant)::+ $(($inner))? => $number),+ }
            }

            /// Returns the value with this number.
            pub(crate) fn of_number(number: u8) -> Result<Self, String> {
                match number {
                    $($number => Ok($($variant)::+ $(($inner))?),)+
                    other => Err(format!(concat!("unknown ", stringify!($type), " {}"), other)),
                }
            }
        }

        impl ::serde::Serialize for $type {
            fn serialize<S: ::serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                if to.is_human_readable() {
                    to.serialize_str(self.as_str())
                } else {
                    to.serialize_u8(self.number())
                }
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                if from.is_human_readable() {
                    return $crate::types::form::decode_text(from, |text| {
                        [$($($variant)::+ $(($inner))?),+]
                            .into_iter()
                            .find(|value| value.as_str() == text)
                            .ok_or_else(|| format!("unknown: {text:?}"))
                    });
                }
                let number = <u8 as ::serde::Deserialize>::deserialize(from)?;
                Self::of_number(number).map_err(::serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use stored_as_number;
