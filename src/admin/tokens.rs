//! One-time tokens.

use super::{
    error::{Error, invalid},
    registration::find_device,
    service::{Admin, Handle},
    values::{PAGE, any_id, cut, label, limit, parse_digest, parse_end},
};
use crate::{
    api::{self, TokenGrant},
    entropy::Entropy,
    pki::{AltName, DistinguishedName, SubjectAltName},
    ra::{self, TokenText},
    store::{DeviceStanding, Grant, ProofKeys, Store, Token, TokenFilter},
    telemetry::audit::{Event, Name},
    types::{Actor, Label, SanKind, Time, TokenId},
};
use std::{collections::BTreeMap, net::IpAddr, time::Duration};
use zeroize::Zeroizing;

/// Largest number of tokens in a call.
const LARGEST: usize = 500;

/// Longest use of a token: 366 days.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Tokens that a call looks at before it answers with the matches so far.
const LOOKED_AT: usize = 20_000;

/// Least number of digits of the prefix of an id.
const PREFIX: usize = 8;

/// Ids that are named in an event.
const NAMED: usize = 20;

/// A token that is not on record yet.
pub struct FreshToken {
    /// The text for its holder, which must be shown only once.
    pub text: Zeroizing<String>,
    /// The id that its text gives, in hexadecimal.
    pub id: String,
    /// The keys of CMC's identity proof, if requested.
    pub proof_keys: Option<api::TokenProofKeys>,
}

/// Generates a token. With `cmc`, the user name beside it is that of its device, or empty.
///
/// # Errors
/// [`Error::Internal`] if the system has no randomness.
pub fn new_token(
    entropy: &dyn Entropy,
    grant: &TokenGrant,
    cmc: bool,
) -> Result<FreshToken, Error> {
    let token = TokenText::generate(entropy).map_err(|error| Error::Internal(error.to_string()))?;
    let text = Zeroizing::new(token.reveal().to_owned());
    let user = match grant {
        TokenGrant::Device(id) => id.as_str(),
        TokenGrant::Names { .. } | TokenGrant::AnyName => "",
    };
    let proof_keys = cmc.then(|| {
        let keys = ra::proof_keys(&text, user);
        let digits = |key: &[u8; 32]| base16ct::lower::encode_string(key);
        api::TokenProofKeys { alone: digits(&keys.alone), named: digits(&keys.named) }
    });
    Ok(FreshToken { id: token.id().to_string(), text, proof_keys })
}

/// Returns the id of a token by its text; none if the text is no token.
#[must_use]
pub fn token_id_of(text: &str) -> Option<String> {
    TokenText::recognize(text)?.ok().map(|token| token.id().to_string())
}

impl Handle for api::NewTokens {
    /// Adds tokens; with `dry_run` only checks whether they can be added.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the first value that is not acceptable; [`Error::NotFound`] for a device;
    /// [`Error::Store`], after which some may have been added.
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        if !(1..=LARGEST).contains(&self.tokens.len()) {
            let expected = format!("1 to {LARGEST} in a call");
            return Err(invalid("tokens", self.tokens.len(), expected));
        }
        let now = admin.clock.now();
        let label = self.label.as_deref().map(label).transpose()?;
        let expires = end_of_use(&self.expires, now)?;
        let mut tokens = Vec::with_capacity(self.tokens.len());
        // Of 500 tokens of one device, the device is looked for once.
        let mut checked = BTreeMap::new();
        for new in self.tokens {
            let grant = match checked.get(&grant_text(&new.grant)) {
                Some(grant) => Grant::clone(grant),
                None => {
                    let grant = grant_of(&*admin.store, &new.grant, label.as_ref()).await?;
                    checked.insert(grant_text(&new.grant), grant.clone());
                    grant
                }
            };
            let id = match self.dry_run {
                true => TokenId([0; 32]),
                false => TokenId(parse_digest(&new.id)?),
            };
            tokens.push(Token {
                id,
                label: label.clone(),
                grant,
                created: now,
                expires,
                disabled: false,
                consumed_by: None,
                reissued: false,
                proof_keys: new.proof_keys.as_ref().map(proof_keys_of).transpose()?,
            });
        }
        let grants = tokens.iter().map(|token| grant_entry(&token.grant)).collect();
        if !self.dry_run {
            let event =
                created(&tokens, expires, Event::new(now, Name::TokenCreated, actor.clone()));
            admin.store.add_tokens(tokens, event).await?;
        }
        Ok(api::TokensAdded { expires: expires.to_string(), grants })
    }
}

fn created(tokens: &[Token], expires: Time, event: Event) -> Event {
    let first = tokens.first();
    let same_device = first
        .and_then(Token::device)
        .filter(|device| tokens.iter().all(|token| token.device() == Some(device)));
    let ids: Vec<String> = tokens.iter().map(|token| token.id.short()).collect();
    event
        .with("count", tokens.len())
        .with_some("label", first.and_then(|token| token.label.as_ref()))
        .with_some("device", same_device)
        .with("expires", expires)
        .with_some("tokens", Some(ids.join(" ")).filter(|_| ids.len() <= NAMED))
}

impl Handle for api::TokenQuery {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        let now = admin.clock.now();
        let state = self.state.as_deref();
        if let Some(other) =
            state.filter(|state| !["usable", "used", "expired", "disabled"].contains(state))
        {
            return Err(invalid("state", other, "usable, used, expired or disabled"));
        }
        let filter = TokenFilter {
            label: match self.label.as_deref() {
                None => None,
                Some("-") => Some(None),
                Some(text) => Some(Some(label(text)?)),
            },
            device: self.device.as_deref().map(any_id).transpose()?,
            usable: (state == Some("usable")).then_some(now),
        };
        let limit = limit(self.limit, 100)?;
        // The cursor is the beginning of an id: two with the same one do not occur.
        let mut after = self.after.as_deref().map(|text| filled(text, 'f')).transpose()?;
        let (mut found, mut left) = (Vec::new(), LOOKED_AT);
        loop {
            let size = if state.is_some() { PAGE } else { limit + 1 };
            let page = admin.store.tokens(&filter, after.as_ref(), size).await?;
            left = left.saturating_sub(page.len());
            let is_last = page.len() < size;
            for token in page {
                if found.len() == limit {
                    return Ok(api::TokenList { tokens: found, next: after.map(|id| id.short()) });
                }
                after = Some(token.id);
                let entry = token_entry(&token, now);
                if state.is_none_or(|state| state == entry.state) {
                    found.push(entry);
                }
            }
            if is_last || left == 0 {
                let next = after.filter(|_| !is_last).map(|id| id.short());
                return Ok(api::TokenList { tokens: found, next });
            }
        }
    }
}

impl Handle for api::DisableTokens {
    /// Disables tokens. An error about one token is in the answer and does not stop the others.
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        if !(1..=LARGEST).contains(&self.tokens.len()) {
            let expected = format!("1 to {LARGEST} in a call");
            return Err(invalid("tokens", self.tokens.len(), expected));
        }
        let now = admin.clock.now();
        let mut answer = api::TokensDisabled::default();
        for text in &self.tokens {
            let event = Event::new(now, Name::TokenDisabled, actor.clone());
            match disable(&*admin.store, text, event, self.comment.as_deref()).await {
                Ok(token) => answer.disabled.push(token_entry(&token, now)),
                Err(error) => answer.failed.push(api::FailedToken {
                    token: text.chars().take(16).collect(),
                    reason: error.response(),
                }),
            }
        }
        Ok(answer)
    }
}

async fn disable(
    store: &dyn Store,
    text: &str,
    event: Event,
    comment: Option<&str>,
) -> Result<Token, Error> {
    let token = find_token(store, text).await?;
    let event = event
        .with("token", token.id.short())
        .with_some("label", token.label.as_ref())
        .with_some("device", token.device())
        .with_some("certificate", token.consumed_by.as_ref())
        .with_some("comment", comment);
    store.disable_token(&token.id, event).await?;
    Ok(Token { disabled: true, ..token })
}

/// Finds a token by its id or the beginning of it.
async fn find_token(store: &dyn Store, text: &str) -> Result<Token, Error> {
    let least = filled(text, '0')?;
    let digits = text.to_ascii_lowercase();
    let mut found: Vec<Token> = store.token(&least).await?.into_iter().collect();
    if text.len() < 64 {
        found.extend(store.tokens(&TokenFilter::default(), Some(&least), 2).await?);
        found.retain(|token| token.id.to_string().starts_with(&digits));
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(token), None) => Ok(token),
        (None, _) => {
            let shown: String = digits.chars().take(16).collect();
            Err(Error::NotFound(format!("token {shown}")))
        }
        (Some(_), Some(_)) => {
            Err(invalid("token", digits, "the beginning of one id, not of several"))
        }
    }
}

/// Reads an id or the beginning of one, filled up with a digit.
fn filled(text: &str, digit: char) -> Result<TokenId, Error> {
    let is_prefix =
        (PREFIX..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits: String = text.chars().chain(std::iter::repeat(digit)).take(64).collect();
    let id = is_prefix.then(|| parse_digest(&digits).ok()).flatten();
    // Not the text: it may be the token itself, by mistake.
    id.map(TokenId).ok_or_else(|| {
        let got = format!("{} characters", text.chars().count());
        invalid("token", got, format!("{PREFIX} to 64 hexadecimal digits of its id"))
    })
}

/// Reads the end of the use: a duration from now, or a time.
fn end_of_use(text: &str, now: Time) -> Result<Time, Error> {
    let given = parse_end(text, now)?;
    if given > now && given <= now.plus(LONGEST) {
        return Ok(given);
    }
    Err(invalid("expires", cut(text), "a time in the future, at most 366 days from now"))
}

fn proof_keys_of(keys: &api::TokenProofKeys) -> Result<ProofKeys, Error> {
    // Not the digits: they can be used in place of the token.
    let key = |digits: &str| {
        let read = parse_digest(digits).map(Zeroizing::new);
        read.map_err(|_| invalid("proof keys", "another form", "64 hexadecimal digits"))
    };
    Ok(ProofKeys { alone: key(&keys.alone)?, named: key(&keys.named)? })
}

/// Checks a right, and returns it in the form in which requests are compared with it.
async fn grant_of(
    store: &dyn Store,
    grant: &TokenGrant,
    label: Option<&Label>,
) -> Result<Grant, Error> {
    match grant {
        TokenGrant::AnyName => Ok(Grant::AnyName),
        TokenGrant::Names { subject, san } => granted_names(subject, san),
        TokenGrant::Device(id) => {
            let device = find_device(store, id).await?;
            if device.standing == DeviceStanding::Retired {
                return Err(invalid("device", format!("{id}, which is retired"), "one in service"));
            }
            if !device.permits(label) {
                let labels = device.labels.iter().flatten().map(Label::as_str);
                let labels = labels.collect::<Vec<_>>().join(" or ");
                let got = label.map_or_else(|| "no label".to_owned(), ToString::to_string);
                return Err(invalid(&format!("label of device {id}"), got, labels));
            }
            Ok(Grant::Device(device.id))
        }
    }
}

fn granted_names(subject: &str, san: &[String]) -> Result<Grant, Error> {
    if subject.is_empty() && san.is_empty() {
        return Err(invalid("names", "", "a subject, entries of the subjectAltName, or both"));
    }
    let subject = match subject {
        "" => String::new(),
        text => DistinguishedName::from_text(text)
            .map_err(|_| invalid("subject", cut(text), "a name such as CN=device-1,O=Example"))?
            .to_string(),
    };
    let entries = san.iter().map(|text| san_entry(text)).collect::<Result<Vec<_>, _>>()?;
    let san = match &entries[..] {
        [] => Vec::new(),
        entries => {
            let rejected =
                |error: crate::pki::Error| invalid("subjectAltName", san.join(" "), error);
            let names = SubjectAltName::of_entries(entries).map_err(rejected)?;
            names
                .check(&[SanKind::Dns, SanKind::Ip, SanKind::Uri, SanKind::Email])
                .map_err(rejected)?;
            names.texts()
        }
    };
    Ok(Grant::Names { subject, san })
}

fn san_entry(text: &str) -> Result<(SanKind, Vec<u8>), Error> {
    let name: AltName =
        text.parse().map_err(|error| invalid("subjectAltName", cut(text), error))?;
    Ok(match name {
        AltName::Dns(name) => (SanKind::Dns, name.into_bytes()),
        AltName::Uri(uri) => (SanKind::Uri, uri.into_bytes()),
        AltName::Email(address) => (SanKind::Email, address.into_bytes()),
        AltName::Ip(IpAddr::V4(address)) => (SanKind::Ip, address.octets().to_vec()),
        AltName::Ip(IpAddr::V6(address)) => (SanKind::Ip, address.octets().to_vec()),
    })
}

/// Returns a text that differs for different rights.
fn grant_text(grant: &TokenGrant) -> String {
    format!("{grant:?}")
}

fn grant_entry(grant: &Grant) -> TokenGrant {
    match grant {
        Grant::Device(id) => TokenGrant::Device(id.to_string()),
        Grant::Names { subject, san } => {
            TokenGrant::Names { subject: subject.clone(), san: san.clone() }
        }
        Grant::AnyName => TokenGrant::AnyName,
    }
}

/// Returns the entry of a token.
pub(super) fn token_entry(token: &Token, now: Time) -> api::TokenEntry {
    let state = match token {
        Token { consumed_by: Some(_), .. } => "used",
        Token { disabled: true, .. } => "disabled",
        Token { expires, .. } if *expires <= now => "expired",
        _ => "usable",
    };
    api::TokenEntry {
        id: token.id.short(),
        state: state.to_owned(),
        label: token.label.as_ref().map(ToString::to_string),
        grant: grant_entry(&token.grant),
        created: token.created.to_string(),
        expires: token.expires.to_string(),
        certificate: token.consumed_by.as_ref().map(ToString::to_string),
        cmc: token.proof_keys.is_some(),
    }
}
