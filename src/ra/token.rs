//! The text of one-time tokens (RFC 7030 §6): `est_`, 32 characters of base32 for 160 random bits, and 8 for
//! a checksum. A token is recognized by its form, before an account is looked up or a password hashed.

use crate::{
    entropy::{Entropy, NoEntropy},
    pki::sha256,
    types::TokenId,
};
use base32ct::{Base32Unpadded, Encoding};
use std::fmt;
use zeroize::Zeroizing;

const PREFIX: &str = "est_";
/// The bytes before the text in the hash of a token.
const DOMAIN: &[u8] = b"estd token\0";
/// Random bytes of a token: 160 bits.
const RANDOM: usize = 20;
/// Bytes of the checksum: the first ones of SHA-256 over the random bytes.
const CHECKSUM: usize = 5;
/// Characters behind the prefix: 8 for each 5 bytes.
const CHARACTERS: usize = (RANDOM + CHECKSUM) / 5 * 8;

/// The text of a one-time token, which is as good as a password: never shown by accident.
pub struct TokenText(Zeroizing<String>);

/// A text in the form of a token whose checksum is wrong: mistyped, or guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongChecksum;

impl TokenText {
    /// Generates a token.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        let mut random = Zeroizing::new([0; RANDOM]);
        entropy.fill(&mut *random)?;
        let bytes = Zeroizing::new([&random[..], &checksum(&*random)].concat());
        let digits = Zeroizing::new(Base32Unpadded::encode_string(&bytes));
        // With room for both: a text that grows leaves its beginning in memory.
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + CHARACTERS));
        text.push_str(PREFIX);
        text.push_str(&digits);
        Ok(Self(text))
    }

    /// Recognizes a token by its form; `None` for any other password. The work is the same for each text
    /// of the form.
    #[must_use]
    pub fn recognize(password: &str) -> Option<Result<Self, WrongChecksum>> {
        let digits = password.strip_prefix(PREFIX).filter(|rest| rest.len() == CHARACTERS)?;
        let mut bytes = Zeroizing::new([0; RANDOM + CHECKSUM]);
        Base32Unpadded::decode(digits, &mut *bytes).ok()?;
        let (random, end) = bytes.split_at_checked(RANDOM)?;
        Some(match end == checksum(random) {
            true => Ok(Self(Zeroizing::new(password.to_owned()))),
            false => Err(WrongChecksum),
        })
    }

    /// Returns the id under which it is on record: SHA-256 of `DOMAIN` and the text. Without the first,
    /// it would be a key of CMC's proofs by a shared secret, and so a secret itself (RFC 5272 §6.2.1).
    #[must_use]
    pub fn id(&self) -> TokenId {
        let text = Zeroizing::new([DOMAIN, self.0.as_bytes()].concat());
        TokenId(sha256(&text))
    }

    /// Returns the text, for its one holder.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

fn checksum(random: &[u8]) -> [u8; CHECKSUM] {
    let hash = sha256(random);
    std::array::from_fn(|at| hash.get(at).copied().unwrap_or_default())
}

/// Does not print the text.
impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(u8);

    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
            bytes.iter_mut().zip(self.0..).for_each(|(byte, number)| *byte = number);
            Ok(())
        }
    }

    #[test]
    fn a_token_is_recognized_by_its_form() {
        let token = TokenText::generate(&Counting(0)).unwrap();
        // base32 and SHA-256 of coreutils: 00 01 .. 13, then e7aebf577f.
        assert_eq!(token.reveal(), "est_aaaqeayeaudaocajbifqydiob4ibceqt46xl6v37");
        assert_eq!(token.reveal().len(), 44);
        let again = TokenText::recognize(token.reveal()).unwrap().unwrap();
        assert_eq!((again.reveal(), again.id()), (token.reveal(), token.id()));
        assert_ne!(token.id(), TokenId(sha256(token.reveal().as_bytes())), "a key of CMC's proofs");
        assert_ne!(TokenText::generate(&Counting(1)).unwrap().id(), token.id());
        assert!(!format!("{token:?}").contains("aaaqeaye"));
    }

    #[test]
    fn one_other_character_is_found() {
        let token = TokenText::generate(&Counting(7)).unwrap();
        let text = token.reveal();
        for at in PREFIX.len()..text.len() {
            for other in ["a", "7"] {
                let mut wrong = text.to_owned();
                wrong.replace_range(at..=at, other);
                let found = TokenText::recognize(&wrong).unwrap();
                assert_eq!(found.err(), (wrong != text).then_some(WrongChecksum), "{wrong}");
            }
        }
    }

    #[test]
    fn another_form_is_no_token() {
        let token = TokenText::generate(&Counting(7)).unwrap();
        let text = token.reveal();
        let upper = text.to_uppercase();
        let other = text.replace("est_", "esl_");
        let one = text.replacen(&text[5..6], "1", 1);
        for none in ["", "est_", "s3cret", &text[..43], &format!("{text}a"), &upper, &other, &one] {
            assert!(TokenText::recognize(none).is_none(), "{none}");
        }
        assert!(TokenText::recognize(&format!("est_{}", "é".repeat(20))).is_none());
    }
}
