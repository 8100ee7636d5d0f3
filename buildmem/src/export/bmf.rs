//! The figures of a run in Bencher's format (BMF): an object of benchmarks, each an object of measures, each with a value.
//! Sizes are bytes, times seconds. `buildmem/tests/schemas/bmf.schema.json` describes it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::measures::{MeasureValue, measures};
use crate::report::Report;

/// One figure.
#[derive(Serialize)]
struct Metric {
    value: serde_json::Number,
}

/// Writes the figures.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut benchmarks: BTreeMap<String, BTreeMap<&str, Metric>> = BTreeMap::new();
    for measure in measures(report) {
        let value = match measure.value {
            MeasureValue::Bytes(bytes) => Some(bytes.into()),
            MeasureValue::Seconds(seconds) => serde_json::Number::from_f64(seconds),
        };
        let figures = benchmarks.entry(measure.subject).or_default();
        figures.extend(value.map(|value| (measure.kind.slug(), Metric { value })));
    }
    serde_json::to_writer_pretty(&mut *out, &benchmarks)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::samples;

    #[test]
    fn the_figures_of_the_build_and_of_its_stages() {
        let mut report = samples::monorepo();
        report.stages.truncate(1);
        let mut bytes = Vec::new();
        write(&report, &mut bytes).unwrap();
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap(), @r#"
        {
          "npm run build": {
            "build-time": {
              "value": 40.617
            },
            "peak-memory": {
              "value": 1589641216
            },
            "peak-memory-without-cache": {
              "value": 1291845632
            }
          },
          "npm run build / assemblyscript": {
            "build-time": {
              "value": 3.752
            },
            "peak-pss": {
              "value": 371195904
            }
          }
        }
        "#);
    }
}
