//! What was measured, in the forms that people and programs read. Each is a function from a plain value to a
//! writer.

pub mod advice;
pub mod csv;
pub mod doctor;
pub mod json;
mod layout;
pub mod live;
#[cfg(test)]
mod samples;
pub mod text;

pub use layout::visible;

/// The forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The summary for people.
    Text,
    /// The whole result.
    Json,
    /// Memory over time, one row a sample.
    Csv,
}
