//! Reads sources as tokens, by the lexer of Rust's own macros.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// The tokens of a source with their line numbers, without comments, lifetimes and items that only tests
/// are built with. A literal is one token; so is `::`.
pub(crate) fn code(source: &str) -> Vec<(usize, String)> {
    let stream = TokenStream::from_str(source).unwrap_or_else(|error| panic!("{error}: {source}"));
    let mut out = Vec::new();
    flatten(stream, &mut out);
    without_tests(&out)
}

fn flatten(stream: TokenStream, out: &mut Vec<(usize, String)>) {
    let mut tokens = stream.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let line = token.span().start().line;
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                out.push((line, open.to_owned()));
                flatten(group.stream(), out);
                out.push((group.span_close().start().line, close.to_owned()));
            }
            // A lifetime: the apostrophe and a name.
            TokenTree::Punct(sign) if sign.as_char() == '\'' => drop(tokens.next()),
            TokenTree::Punct(sign) if sign.as_char() == ':' && sign.spacing() == Spacing::Joint => {
                tokens.next();
                out.push((line, "::".to_owned()));
            }
            token => out.push((line, token.to_string())),
        }
    }
}

/// Leaves out each item marked `#[cfg(test)]`.
fn without_tests(tokens: &[(usize, String)]) -> Vec<(usize, String)> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut out, mut i) = (Vec::new(), 0);
    while let Some(token) = tokens.get(i) {
        let rest = tokens.get(i..i + MARK.len()).unwrap_or_default();
        if !rest.iter().map(|(_, word)| word.as_str()).eq(MARK) {
            out.push(token.clone());
            i += 1;
            continue;
        }
        i += MARK.len();
        // To the end of the item: its semicolon, or the bracket that closes its body.
        let mut depth = 0_usize;
        while let Some((_, word)) = tokens.get(i) {
            i += 1;
            match word.as_str() {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" => depth = depth.saturating_sub(1),
                "}" if depth <= 1 => break,
                "}" => depth -= 1,
                ";" if depth == 0 => break,
                _ => {}
            }
        }
    }
    out
}

/// Adds the Rust sources of a folder, and of those inside it.
pub(crate) fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            out.push(path);
        }
    }
}
