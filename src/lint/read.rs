//! Reads DER element by element (X.690 §8, §10, §11). Nothing here knows X.509.

/// Nesting at most, far beyond that of a certificate.
const DEEPEST: usize = 32;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OID: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const PRINTABLE_STRING: u8 = 0x13;
pub(super) const IA5_STRING: u8 = 0x16;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const BMP_STRING: u8 = 0x1e;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// The first byte of a context-specific tag.
pub(super) const fn context(number: u8, constructed: bool) -> u8 {
    0x80 | number | if constructed { 0x20 } else { 0 }
}

/// One element: the first byte of its tag, its content, and all of its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    pub(super) whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// Reads bytes that are one element.
    pub(super) fn only(bytes: &'a [u8]) -> Option<Self> {
        let mut all = Elements(bytes);
        let first = all.take()?;
        all.0.is_empty().then_some(first)
    }

    /// Reads bytes that are one element with this tag.
    pub(super) fn tagged(bytes: &'a [u8], tag: u8) -> Option<Self> {
        Self::only(bytes).filter(|one| one.tag == tag)
    }

    /// The elements inside.
    pub(super) const fn inner(&self) -> Elements<'a> {
        Elements(self.content)
    }

    /// The elements inside, if all of them can be read.
    pub(super) fn all(&self) -> Option<Vec<Self>> {
        let mut inner = self.inner();
        let mut out = Vec::new();
        while !inner.is_empty() {
            out.push(inner.take()?);
        }
        Some(out)
    }
}

/// The elements that are still to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elements<'a>(pub(super) &'a [u8]);

impl<'a> Elements<'a> {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element; none at the end, or if no tag, length and content in DER follow.
    ///
    /// Not by `der`, which the writers use.
    pub(super) fn take(&mut self) -> Option<Element<'a>> {
        let (head, length) = match *self.0 {
            // A tag of several bytes, which nothing here has.
            [tag, ..] if tag & 0x1f == 0x1f => return None,
            [_, short @ 0..=0x7f, ..] => (2, usize::from(short)),
            [_, 0x81, long @ 0x80..=0xff, ..] => (3, usize::from(long)),
            [_, 0x82, high @ 1..=0xff, low, ..] => {
                (4, usize::from(u16::from_be_bytes([high, low])))
            }
            [_, 0x83, a @ 1..=0xff, b, c, ..] => {
                (5, usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?)
            }
            [_, 0x84, a @ 1..=0xff, b, c, d, ..] => {
                (6, usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?)
            }
            _ => return None,
        };
        let (whole, rest) = self.0.split_at_checked(length.checked_add(head)?)?;
        self.0 = rest;
        Some(Element { tag: *whole.first()?, content: whole.get(head..)?, whole })
    }

    /// The next element if it has this tag; otherwise it remains.
    pub(super) fn take_if(&mut self, tag: u8) -> Option<Element<'a>> {
        (self.0.first() == Some(&tag)).then(|| self.take()).flatten()
    }
}

/// A way in which bytes are not DER, whatever they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// No tags, lengths and contents that fit together, in their only form.
    Form,
    Boolean,
    Integer,
    BitString,
    Null,
    Oid,
    Text,
    SetOrder,
}

/// Each break that was found, and the first field that has it.
#[derive(Debug, Default)]
pub(super) struct Breaks(Vec<(Broken, super::FieldName)>);

impl Breaks {
    /// Walks through `bytes`, which are elements; `field` names their place if something is found.
    pub(super) fn walk(&mut self, bytes: &[u8], field: &dyn Fn() -> super::FieldName) {
        self.elements(Elements(bytes), DEEPEST, field);
    }

    pub(super) fn first(&self, kind: Broken) -> Result<(), super::FieldName> {
        let found = self.0.iter().find(|(broken, _)| *broken == kind);
        found.map_or(Ok(()), |(_, field)| Err(field.clone()))
    }

    fn add(&mut self, kind: Broken, field: &dyn Fn() -> super::FieldName) {
        if self.first(kind).is_ok() {
            self.0.push((kind, field()));
        }
    }

    fn elements(
        &mut self,
        mut all: Elements<'_>,
        depth: usize,
        field: &dyn Fn() -> super::FieldName,
    ) {
        while !all.is_empty() {
            match (all.take(), depth.checked_sub(1)) {
                (Some(one), Some(below)) => self.element(one, below, field),
                _ => return self.add(Broken::Form, field),
            }
        }
    }

    fn element(&mut self, one: Element<'_>, depth: usize, field: &dyn Fn() -> super::FieldName) {
        let constructed = one.tag & 0x20 != 0;
        let universal = one.tag & 0xc0 == 0;
        if universal && (constructed != matches!(one.tag, SEQUENCE | SET) || one.tag == 0) {
            return self.add(Broken::Form, field);
        }
        if constructed {
            if one.tag == SET && !is_ascending(one) {
                self.add(Broken::SetOrder, field);
            }
            return self.elements(one.inner(), depth, field);
        }
        if !universal {
            return;
        }
        let content = one.content;
        let (good, kind) = match one.tag {
            BOOLEAN => (matches!(content, [0x00 | 0xff]), Broken::Boolean),
            INTEGER | ENUMERATED => (is_integer(content), Broken::Integer),
            BIT_STRING => (is_bit_string(content), Broken::BitString),
            NULL => (content.is_empty(), Broken::Null),
            OID => (is_oid(content), Broken::Oid),
            UTF8_STRING => (std::str::from_utf8(content).is_ok(), Broken::Text),
            PRINTABLE_STRING => (content.iter().all(is_printable), Broken::Text),
            IA5_STRING => (content.is_ascii(), Broken::Text),
            BMP_STRING => (content.len().is_multiple_of(2), Broken::Text),
            _ => return,
        };
        if !good {
            self.add(kind, field);
        }
    }
}

fn is_ascending(set: Element<'_>) -> bool {
    let mut inner = set.inner();
    let mut before: &[u8] = &[];
    while let Some(one) = inner.take() {
        if one.whole < before {
            return false;
        }
        before = one.whole;
    }
    true
}

/// The shortest form of a two's complement number (X.690 §8.3.2).
pub(super) const fn is_integer(content: &[u8]) -> bool {
    !matches!(content, [] | [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..])
}

/// Unused bits are at most 7, of a last byte, and zero (X.690 §8.6.2, §11.2.1).
const fn is_bit_string(content: &[u8]) -> bool {
    match content {
        [unused] => *unused == 0,
        [unused @ 0..=7, .., last] => last.trailing_zeros() >= *unused as u32,
        _ => false,
    }
}

/// Whole arcs, none of which begins with padding (X.690 §8.19.2).
pub(super) fn is_oid(content: &[u8]) -> bool {
    let mut begins = true;
    for byte in content {
        if begins && *byte == 0x80 {
            return false;
        }
        begins = byte & 0x80 == 0;
    }
    begins && !content.is_empty()
}

/// The alphabet of PrintableString (X.680 §41.4).
const fn is_printable(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b' ' | b'\'' | b'(' | b')' | b'+' | b',' | b'-' | b'.' | b'/' | b':' | b'=' | b'?'
        )
}

/// Text as `1.2.840` of an OBJECT IDENTIFIER, for findings.
pub(super) fn dotted(content: &[u8]) -> String {
    const_oid::ObjectIdentifier::from_bytes(content)
        .map_or_else(|_| "an OID that cannot be read".to_owned(), |oid| oid.to_string())
}
