//! The whole result, for programs: `docs/result-1.schema.json` describes it.

use std::io::{self, Write};

use crate::report::Report;

/// What the result line begins with.
pub const RESULT_MARK: &str = "[BUILD-MEM RESULT]";

/// Writes the result as it stands in its file.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    out.write_all(b"\n")
}

/// The result on the one line that a script finds in a log.
pub fn result_line(report: &Report) -> io::Result<String> {
    Ok(format!("{RESULT_MARK} {}", serde_json::to_string(report)?))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::export::samples;

    const PUBLISHED: &str = include_str!("../../../docs/result-1.schema.json");

    fn written(report: &Report) -> String {
        let mut bytes = Vec::new();
        write(report, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_result_is_as_the_published_schema_says() {
        let schema: Value = serde_json::from_str(PUBLISHED).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        for (name, report) in samples::all() {
            let result: Value = serde_json::from_str(&written(&report)).unwrap();
            let errors: Vec<String> = validator
                .iter_errors(&result)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert_eq!(errors, [""; 0], "{name}");
        }
    }

    #[test]
    fn the_published_schema_knows_every_field_and_no_other() {
        let schema: Value = serde_json::from_str(PUBLISHED).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let result = serde_json::to_value(samples::monorepo()).unwrap();
        let mut tried = 0;
        for path in objects(&result, String::new()) {
            let mut more = result.clone();
            let object = more.pointer_mut(&path).unwrap().as_object_mut().unwrap();
            let fields: Vec<String> = object.keys().cloned().collect();
            object.insert("unknown".to_owned(), Value::Null);
            assert!(!validator.is_valid(&more), "another field in `{path}`");
            let is_optional = |field: &str| {
                field == "command_lossy" || (field == "bytes" && path.starts_with("/verify/"))
            };
            for field in fields.iter().filter(|field| !is_optional(field)) {
                let mut less = result.clone();
                let object = less.pointer_mut(&path).unwrap().as_object_mut().unwrap();
                object.remove(field);
                assert!(!validator.is_valid(&less), "no `{field}` in `{path}`");
                tried += 1;
            }
        }
        assert!(tried > 100, "only {tried} fields were tried");
    }

    /// The places of all objects in `value`, as JSON pointers.
    fn objects(value: &Value, path: String) -> Vec<String> {
        match value {
            Value::Array(items) => (items.iter().enumerate())
                .flat_map(|(index, item)| objects(item, format!("{path}/{index}")))
                .collect(),
            Value::Object(fields) => {
                let inside: Vec<String> = (fields.iter())
                    .flat_map(|(name, field)| objects(field, format!("{path}/{name}")))
                    .collect();
                inside.into_iter().chain([path]).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        }
    }

    #[test]
    fn a_result_is_read_back_as_it_was() {
        for (name, report) in samples::all() {
            let text = written(&report);
            assert!(text.ends_with("}\n"), "{name}");
            assert_eq!(
                serde_json::from_str::<Report>(&text).unwrap(),
                report,
                "{name}"
            );
        }
    }

    #[test]
    fn the_result_line_is_one_line_whatever_was_run() {
        for (name, report) in samples::all() {
            let line = result_line(&report).unwrap();
            assert!(!line.contains(['\n', '\r', '\x1b']), "{name}");
            let json = line.strip_prefix("[BUILD-MEM RESULT] ").unwrap();
            assert_eq!(
                serde_json::from_str::<Report>(json).unwrap(),
                report,
                "{name}"
            );
        }
    }
}
