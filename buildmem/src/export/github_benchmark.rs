//! The figures of a run for github-action-benchmark's `tool: customSmallerIsBetter`: an array of `{name, unit, value, extra?}`.
//! Sizes are MiB, as they stand in its charts and comments. `buildmem/tests/schemas/github-benchmark.schema.json` describes it.

use std::io::{self, Write};

use serde::Serialize;

use super::measures::{MeasureValue, measures};
use crate::report::Report;

/// One figure.
#[derive(Serialize)]
struct Entry {
    name: String,
    unit: &'static str,
    value: f64,
    #[serde(skip_serializing_if = "String::is_empty")]
    extra: String,
}

/// Writes the figures.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let entries: Vec<Entry> = measures(report)
        .into_iter()
        .map(|measure| {
            let (unit, value) = match measure.value {
                MeasureValue::Bytes(bytes) => ("MiB", mib(bytes)),
                MeasureValue::Seconds(seconds) => ("s", hundredths(seconds)),
            };
            Entry {
                name: harmless(&format!("{}: {}", measure.subject, measure.kind.name())),
                unit,
                value,
                extra: measure.remark,
            }
        })
        .collect();
    serde_json::to_writer_pretty(&mut *out, &entries)?;
    out.write_all(b"\n")
}

/// A name for the code spans of the table that the action writes as a comment: what would end either becomes what looks
/// like it.
fn harmless(name: &str) -> String {
    name.replace('`', "'").replace('|', "¦")
}

#[expect(clippy::cast_precision_loss, reason = "hundredths of a MiB are shown")]
fn mib(bytes: u64) -> f64 {
    hundredths(bytes as f64 / (1024.0 * 1024.0))
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::samples;

    fn written(report: &Report) -> String {
        let mut bytes = Vec::new();
        write(report, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_figures_of_the_build_and_of_its_stages() {
        let mut report = samples::monorepo();
        report.stages.truncate(1);
        insta::assert_snapshot!(written(&report), @r#"
        [
          {
            "name": "npm run build: peak memory",
            "unit": "MiB",
            "value": 1516.0,
            "extra": "memory.peak"
          },
          {
            "name": "npm run build: peak memory without page cache",
            "unit": "MiB",
            "value": 1232.0,
            "extra": "highest sample: what a limit has to hold"
          },
          {
            "name": "npm run build: build time",
            "unit": "s",
            "value": 40.62
          },
          {
            "name": "npm run build / assemblyscript: peak PSS",
            "unit": "MiB",
            "value": 354.0,
            "extra": "highest sample"
          },
          {
            "name": "npm run build / assemblyscript: build time",
            "unit": "s",
            "value": 3.75
          }
        ]
        "#);
    }

    #[test]
    fn a_name_ends_neither_a_code_span_nor_a_cell() {
        let mut report = samples::tiny();
        report.command = vec!["a|b".to_owned(), "`c`".to_owned()];
        let text = written(&report);
        assert!(
            text.contains(r#""name": "'a¦b' ''c'': peak memory""#),
            "{text}"
        );
    }
}
