//! What was measured, in the forms that people and programs read. Each is a function from a plain value to a
//! writer.

pub mod advice;
pub mod bmf;
pub mod budget;
pub mod comparison;
pub mod csv;
pub mod doctor;
pub mod fit;
pub mod github_benchmark;
pub mod html;
pub mod json;
mod layout;
pub mod live;
pub mod markdown;
mod measures;
pub mod openmetrics;
pub mod perfetto;
pub mod processes_csv;
#[cfg(test)]
pub(crate) mod samples;
pub mod series;
pub mod text;

pub use layout::visible;
pub use measures::is_worth_following;

/// The forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The summary for people.
    Text,
    /// The whole result.
    Json,
    /// For a pull request or a job's summary.
    Markdown,
    /// Memory over time, one row a sample.
    Csv,
    /// One page to look at, which needs nothing but a browser.
    Html,
    /// Every process, one row each.
    ProcessesCsv,
    /// A trace for Perfetto.
    Perfetto,
    /// The figures for Prometheus.
    OpenMetrics,
    /// The figures for Bencher.
    Bmf,
    /// The figures for github-action-benchmark.
    GithubBenchmark,
}
