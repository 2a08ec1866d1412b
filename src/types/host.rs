//! Host names.

/// Whether `text` is a dNSName in preferred name syntax (RFC 1034 §3.5, RFC 1123 §2.1). A wildcard
/// may only be the whole left-most label of three or more (RFC 9525 §6.3). Names that are not ASCII
/// must be A-labels (`xn--`), which are not decoded here.
#[must_use]
pub fn is_dns_name(text: &str) -> bool {
    let rest = match text.strip_prefix("*.") {
        Some(rest) if rest.contains('.') => rest,
        Some(_) => return false,
        None => text,
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // All digits in the last label would be an address to most readers (RFC 1123 §2.1).
    let digits = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 253 && rest.split('.').all(label) && !rest.rsplit('.').next().is_some_and(digits)
}
