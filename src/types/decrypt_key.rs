//! A symmetric key with which a device decrypts the key that the server generated for it.

use std::fmt;
use zeroize::Zeroizing;

/// An identifier and its key (RFC 7030 §4.4.1.1). As text: `IDENTIFIER:KEY` in a line, the key in
/// hexadecimal, the identifier as text or, after `0x`, in hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub struct DecryptKey {
    id: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

/// Prints the identifier only.
impl fmt::Debug for DecryptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecryptKey({})", self.id.escape_ascii())
    }
}

/// A malformed line of a key file. The text does not contain the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct InvalidDecryptKey {
    /// Line number, from 1.
    pub line: usize,
    /// The error in it.
    pub why: &'static str,
}

impl DecryptKey {
    /// Reads a file of keys, one in each line. Empty lines and those that begin with `#` are ignored.
    ///
    /// # Errors
    /// [`InvalidDecryptKey`] for the first line that is malformed or has an identifier of an earlier
    /// line.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, InvalidDecryptKey> {
        let mut keys: Vec<Self> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (line, text) in (1..).zip(text.lines().map(str::trim)) {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let key = Self::parse(text).map_err(|why| InvalidDecryptKey { line, why })?;
            if !seen.insert(key.id.clone()) {
                return Err(InvalidDecryptKey { line, why: "its identifier occurs twice" });
            }
            keys.push(key);
        }
        Ok(keys)
    }

    fn parse(line: &str) -> Result<Self, &'static str> {
        let (id, key) = line.split_once(':').ok_or("no colon between identifier and key")?;
        let id = match id.strip_prefix("0x") {
            Some(digits) => hex(digits).ok_or("0x is not followed by hexadecimal digits")?.to_vec(),
            None if id.bytes().all(|byte| byte.is_ascii_graphic()) => id.as_bytes().to_vec(),
            None => {
                return Err(
                    "the identifier is not printable ASCII without blanks; write it as 0x...",
                );
            }
        };
        if id.is_empty() || id.len() > 1024 {
            return Err("an identifier has 1 to 1024 bytes");
        }
        let key = hex(key).ok_or("the key is not in hexadecimal")?;
        if !matches!(key.len(), 16 | 32) {
            return Err("a key has 32 or 64 hexadecimal digits (AES-128, AES-256)");
        }
        Ok(Self { id, key })
    }

    /// The identifier's bytes.
    #[must_use]
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// The key: 16 or 32 bytes.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

fn hex(digits: &str) -> Option<Zeroizing<Vec<u8>>> {
    base16ct::mixed::decode_vec(digits).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_keys_and_shows_none() {
        let (short, long) = ("00".repeat(16), "Ff".repeat(32));
        let text = format!("# a comment\n\nkey-1:{short}\r\n0x00ff:{long}\n");
        let keys = DecryptKey::parse_all(&text).unwrap();
        assert_eq!(keys.len(), 2);
        assert_eq!((keys[0].id(), keys[0].key()), (&b"key-1"[..], &[0; 16][..]));
        assert_eq!((keys[1].id(), keys[1].key()), (&[0, 0xff][..], &[0xff; 32][..]));
        assert_eq!(format!("{keys:?}"), "[DecryptKey(key-1), DecryptKey(\\x00\\xff)]");
    }

    #[test]
    fn errors_do_not_contain_the_key() {
        let key = "ab".repeat(16);
        for (text, line, why) in [
            (format!("key-1 {key}"), 1, "colon"),
            (format!("\n:{key}"), 2, "1 to 1024"),
            ("a:xyz".to_owned(), 1, "hexadecimal"),
            ("a:+f".to_owned(), 1, "hexadecimal"),
            (format!("a:{key}0"), 1, "hexadecimal"),
            (format!("a:{key}00"), 1, "32 or 64"),
            (format!("a b:{key}"), 1, "0x"),
            (format!("0xg0:{key}"), 1, "0x"),
            (format!("a:{key}\na:{key}"), 2, "twice"),
        ] {
            let rejection = DecryptKey::parse_all(&text).unwrap_err();
            assert_eq!(rejection.line, line, "{text}");
            assert!(
                rejection.why.contains(why) && !rejection.to_string().contains("abab"),
                "{rejection}"
            );
        }
    }
}
