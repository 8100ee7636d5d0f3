//! What was measured, in the forms that people and programs read. Each is a function from a plain value to a
//! writer.

pub mod advice;
pub mod bmf;
pub mod comparison;
pub mod csv;
pub mod doctor;
pub mod github_benchmark;
pub mod html;
pub mod json;
mod layout;
pub mod markdown;
mod measures;
pub mod openmetrics;
#[cfg(test)]
pub(crate) mod samples;
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
    /// The figures for Prometheus.
    OpenMetrics,
    /// The figures for Bencher.
    Bmf,
    /// The figures for github-action-benchmark.
    GithubBenchmark,
}

impl Format {
    /// Whether it shows each process, of which the report has only the largest.
    pub const fn shows_every_process(self) -> bool {
        matches!(self, Self::Html)
    }

    /// Whether it goes to a service that follows the figures from run to run.
    pub const fn is_for_trackers(self) -> bool {
        match self {
            Self::Bmf | Self::GithubBenchmark => true,
            Self::Text
            | Self::Json
            | Self::Markdown
            | Self::Csv
            | Self::Html
            | Self::OpenMetrics => false,
        }
    }
}
