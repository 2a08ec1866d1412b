//! Escapes text that a client chose before a person or a log reads it.
//!
//! A name may hold characters that control a terminal, end a line, reverse the following text
//! (U+202E) or are invisible. [`escaped`] shows each of them as `\u{202e}` and a backslash as `\\`.
//! So hidden characters never make two values look the same, and the value can be recovered. Letters
//! of all scripts stay readable. Look-alikes of different scripts are not distinguished.

use std::{
    borrow::Cow,
    fmt::{self, Display, Write},
};
use unicode_properties::{GeneralCategory as Category, UnicodeGeneralCategory};

/// Shows a value on one line, hidden characters and backslashes escaped. Writes without allocating.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<T> {
    value: T,
    rules: EscapeRules,
}

#[derive(Debug, Clone, Copy)]
struct EscapeRules {
    /// Escapes the backslash. Without it, text that is escaped already is unchanged.
    backslash: bool,
    /// Escapes the double quote.
    quote: bool,
    /// Escapes everything outside ASCII.
    ascii: bool,
    /// Characters written at most, then `...`.
    longest: usize,
}

/// A number and the noun that it counts: `1 label`, `2 labels`.
pub fn counted<N: Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let ending = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// Escapes one value: a name, a subject, a path.
pub const fn escaped<T>(value: T) -> Escaped<T> {
    let rules = EscapeRules { backslash: true, quote: false, ascii: false, longest: usize::MAX };
    Escaped { value, rules }
}

/// Escapes the hidden characters of a complete line whose values may be escaped already:
/// backslashes stay. The last net before a terminal or a log.
pub const fn escaped_line<T>(line: T) -> Escaped<T> {
    let rules = EscapeRules { backslash: false, quote: false, ascii: false, longest: usize::MAX };
    Escaped { value: line, rules }
}

impl<T> Escaped<T> {
    /// Escapes the double quote too, for a value between quotes.
    #[must_use]
    pub const fn quote(mut self) -> Self {
        self.rules.quote = true;
        self
    }

    /// Escapes everything outside ASCII too, for header fields of HTTP.
    #[must_use]
    pub const fn ascii(mut self) -> Self {
        self.rules.ascii = true;
        self
    }

    /// Writes at most this many characters, never a part of an escape, and `...` for the rest.
    #[must_use]
    pub const fn at_most(mut self, characters: usize) -> Self {
        self.rules.longest = characters;
        self
    }
}

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Escaping { out: f, rules: self.rules, written: 0, first: true, full: false };
        write!(out, "{}", self.value)
    }
}

/// Escapes the text that is written to it.
struct Escaping<'a, 'b> {
    out: &'a mut fmt::Formatter<'b>,
    rules: EscapeRules,
    written: usize,
    /// Nothing was written yet.
    first: bool,
    /// The dots were written.
    full: bool,
}

impl Escaping<'_, '_> {
    fn escape(&self, character: char) -> Option<Escape> {
        let EscapeRules { backslash, quote, ascii, .. } = self.rules;
        match character {
            '\\' if !backslash => None,
            '\\' => Some(Escape::Short('\\')),
            '"' if quote => Some(Escape::Short('"')),
            '\n' => Some(Escape::Short('n')),
            '\r' => Some(Escape::Short('r')),
            '\t' => Some(Escape::Short('t')),
            ' '..='~' => None,
            _ if ascii || is_hidden(character) => Some(Escape::Number),
            // It would join the character before the value.
            _ if self.first && is_mark(character) => Some(Escape::Number),
            _ => None,
        }
    }
}

enum Escape {
    Short(char),
    Number,
}

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.full {
            return Ok(());
        }
        // Runs of characters that stay are written in one piece.
        let mut start = 0;
        for (at, character) in text.char_indices() {
            let escape = self.escape(character);
            self.first = false;
            let width = match &escape {
                None => 1,
                Some(Escape::Short(_)) => 2,
                Some(Escape::Number) => character.escape_unicode().len(),
            };
            let written = self.written.saturating_add(width);
            if written > self.rules.longest {
                self.out.write_str(text.get(start..at).unwrap_or_default())?;
                self.full = true;
                return self.out.write_str("...");
            }
            self.written = written;
            if let Some(escape) = escape {
                self.out.write_str(text.get(start..at).unwrap_or_default())?;
                match escape {
                    Escape::Short(letter) => write!(self.out, "\\{letter}")?,
                    Escape::Number => write!(self.out, "{}", character.escape_unicode())?,
                }
                start = at + character.len_utf8();
            }
        }
        self.out.write_str(text.get(start..).unwrap_or_default())
    }
}

/// Escapes hidden characters in JSON text as `\uXXXX`. The JSON keeps its meaning: such characters
/// occur only inside its strings.
#[must_use]
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    if json.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        // Line breaks are white space between JSON values: inside a string they are escaped.
        if character == '\n' || !is_hidden(character) {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    Cow::Owned(out)
}

/// Returns the first character of a value that [`escaped`] writes as a number: it is invisible, changes
/// how others are shown, or joins the text before the value.
#[must_use]
pub fn hidden_character(text: &str) -> Option<char> {
    let joins = text.chars().next().filter(|first| is_mark(*first));
    joins.or_else(|| text.chars().find(|character| is_hidden(*character)))
}

/// Whether the character is invisible or changes how others are shown. These are control and format
/// characters, line and paragraph separators, all spaces but U+0020, and unassigned or private code
/// points.
fn is_hidden(character: char) -> bool {
    match character {
        ' '..='~' => false,
        '\u{0}'..='\u{ff}' => {
            matches!(character, '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{a0}' | '\u{ad}')
        }
        // Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties.txt) of other categories than
        // those below, and two that show nothing: braille blank, object replacement.
        '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{ffa0}'
        | '\u{fffc}'
        | '\u{e0000}'..='\u{e0fff}' => true,
        _ => matches!(
            character.general_category(),
            Category::Control
                | Category::Format
                | Category::LineSeparator
                | Category::ParagraphSeparator
                | Category::SpaceSeparator
                | Category::Surrogate
                | Category::PrivateUse
                | Category::Unassigned
        ),
    }
}

/// Whether the character is drawn onto the one before it.
fn is_mark(character: char) -> bool {
    matches!(
        character.general_category(),
        Category::NonspacingMark | Category::EnclosingMark | Category::SpacingMark
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A character of each kind that a reader cannot see.
    pub(crate) const HIDDEN: [char; 26] = [
        '\u{0}',
        '\u{7}',
        '\u{8}',
        '\u{1b}',
        '\u{7f}',
        '\u{85}',
        '\u{9b}',
        '\u{a0}',
        '\u{ad}',
        '\u{61c}',
        '\u{115f}',
        '\u{180e}',
        '\u{200b}',
        '\u{200d}',
        '\u{200e}',
        '\u{200f}',
        '\u{2028}',
        '\u{2029}',
        '\u{202a}',
        '\u{202e}',
        '\u{2066}',
        '\u{2069}',
        '\u{3164}',
        '\u{feff}',
        '\u{e0041}',
        '\u{e000}',
    ];

    /// The inverse of [`escaped`].
    fn unescaped(text: &str) -> String {
        let (mut out, mut rest) = (String::new(), text.chars());
        while let Some(character) = rest.next() {
            if character != '\\' {
                out.push(character);
                continue;
            }
            out.push(match rest.next().unwrap() {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    assert_eq!(rest.next(), Some('{'));
                    let digits: String = rest.by_ref().take_while(|c| *c != '}').collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
                }
                other => other,
            });
        }
        out
    }

    #[test]
    fn hidden_characters_are_escaped_and_the_value_can_be_recovered() {
        for hidden in HIDDEN {
            let value = format!("CN=a{hidden}b");
            let shown = escaped(&value).to_string();
            assert_eq!(shown, format!("CN=a\\u{{{:x}}}b", u32::from(hidden)));
            assert_eq!(unescaped(&shown), value);
            let line = escaped_line(&value).to_string();
            assert_eq!(line, shown, "the net catches the same");
        }
        let value = "a\\u{202e}b\r\n\t\"";
        assert_eq!(escaped(value).to_string(), "a\\\\u{202e}b\\r\\n\\t\"");
        assert_eq!(unescaped(&escaped(value).quote().to_string()), value);
        assert_eq!(escaped("\"").quote().to_string(), "\\\"");
    }

    #[test]
    fn letters_of_all_scripts_stay_readable() {
        for text in ["Zürich 7", "Ελλάδα", "Москва", "東京", "नमस्ते", "e\u{301}", "🦀", "µ-7 °C"]
        {
            assert_eq!(escaped(text).to_string(), text);
        }
        // A mark at the beginning would join the quote before it.
        assert_eq!(escaped("\u{301}e").to_string(), "\\u{301}e");
    }

    #[test]
    fn every_code_point_of_the_ranges_that_hide_something_is_escaped() {
        let ranges = [
            '\u{0}'..='\u{1f}',
            '\u{7f}'..='\u{a0}',
            '\u{600}'..='\u{605}',
            '\u{2000}'..='\u{200f}',
            '\u{2028}'..='\u{202f}',
            '\u{205f}'..='\u{206f}',
            '\u{3000}'..='\u{3000}',
            '\u{e000}'..='\u{f8ff}',
            '\u{fff0}'..='\u{fffc}',
            '\u{fdd0}'..='\u{fdef}',
            '\u{1d173}'..='\u{1d17a}',
            '\u{e0000}'..=char::MAX,
        ];
        for character in ranges.into_iter().flatten() {
            let shown = escaped(character).to_string();
            assert!(shown.starts_with('\\') && shown.is_ascii(), "U+{:04x}", u32::from(character));
        }
    }

    #[test]
    fn a_finished_line_keeps_its_escapes_and_gets_those_that_are_missing() {
        let line = format!("by {} from\u{202e}x", escaped("a\u{202e}\\"));
        assert_eq!(escaped_line(&line).to_string(), "by a\\u{202e}\\\\ from\\u{202e}x");
    }

    #[test]
    fn long_text_is_cut_between_characters_and_marked() {
        let cut = |text: &str, most| escaped(text).ascii().at_most(most).to_string();
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "abc...");
        assert_eq!(cut("ab\u{202e}", 9), "ab...");
        assert_eq!(cut("ab\u{202e}", 10), "ab\\u{202e}");
        assert_eq!(cut("ab\u{202e}c", 10), "ab\\u{202e}...");
        assert_eq!(cut("ü", 6), "\\u{fc}");
        // Nor does a short piece follow the dots.
        let pieces = escaped(format_args!("{}{}{}", "ab", "\u{202e}", "c")).at_most(3).to_string();
        assert_eq!(pieces, "ab...");
        let pieces = escaped(format_args!("{}{}{}", "ab", "cd", "e")).at_most(3).to_string();
        assert_eq!(pieces, "abc...");
    }

    #[test]
    fn json_means_the_same_and_shows_nothing_hidden() {
        for hidden in HIDDEN {
            let value = serde_json::json!({ "subject": format!("CN=\"a{hidden}ü") });
            let text = serde_json::to_string_pretty(&value).unwrap();
            let shown = escaped_json(&text);
            assert!(!shown.contains(hidden), "{shown}");
            assert!(shown.contains('ü'));
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
        assert!(matches!(escaped_json("{\"a\":1}"), Cow::Borrowed(_)));
    }
}
