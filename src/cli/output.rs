//! Standard output of the operator's commands: lines, tables, JSON.

use super::failure::Failure;
use crate::types::{escaped_json, escaped_line};
use std::io::Write;

/// Prints a line.
///
/// # Errors
/// [`Failure::output`]; a closed pipe (`| head`) is reported as success.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{text}").map_err(|cause| Failure::output(&cause))
}

/// Prints a value as one line of JSON.
pub(super) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::new(error, "report it"))?;
    line(&escaped_json(&text))
}

/// Rows in columns of fixed width, which the first page of rows sets.
pub(super) struct TextTable<const N: usize> {
    head: [&'static str; N],
    /// None until the head is printed.
    widths: Option<[usize; N]>,
}

impl<const N: usize> TextTable<N> {
    pub(super) const fn new(head: [&'static str; N]) -> Self {
        Self { head, widths: None }
    }

    /// Prints rows; the first ones set the widths of all columns but the last.
    pub(super) fn rows(&mut self, rows: Vec<[String; N]>) -> Result<(), Failure> {
        self.lines(rows).iter().try_for_each(|text| line(text))
    }

    /// Returns the lines of rows, with the head before the first ones.
    pub(super) fn lines(&mut self, rows: Vec<[String; N]>) -> Vec<String> {
        // Keeps the backslashes of RFC 4514: a subject can be pasted into a filter.
        let rows: Vec<[String; N]> =
            rows.into_iter().map(|row| row.map(|cell| escaped_line(cell).to_string())).collect();
        if rows.is_empty() {
            return Vec::new();
        }
        let mut lines = Vec::with_capacity(rows.len() + 1);
        let widths = self.widths.unwrap_or_else(|| {
            let mut widths = self.head.map(str::len);
            for row in &rows {
                for (width, cell) in widths.iter_mut().zip(row) {
                    *width = (*width).max(cell.chars().count());
                }
            }
            lines.push(Self::padded(widths, &self.head.map(str::to_owned)));
            widths
        });
        self.widths = Some(widths);
        lines.extend(rows.iter().map(|row| Self::padded(widths, row)));
        lines
    }

    fn padded(widths: [usize; N], cells: &[String; N]) -> String {
        let padded: Vec<String> =
            cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    }
}
