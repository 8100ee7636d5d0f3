//! The fenced blocks of `docs/ci.md`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The blocks of a language below a heading of the page, in their order.
pub fn blocks(heading: &str, language: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/ci.md")).unwrap();
    let (_, section) = page
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("docs/ci.md has no heading `{heading}`"));
    let mut blocks: Vec<String> = Vec::new();
    let mut inside = false;
    // A comment of a block begins with one `#`.
    for line in section.lines().take_while(|line| !line.starts_with("##")) {
        match (inside, line.strip_prefix("```")) {
            (false, Some(of)) => {
                inside = of == language;
                if inside {
                    blocks.push(String::new());
                }
            }
            (true, Some(_)) => inside = false,
            (true, None) => {
                let block = blocks.last_mut().unwrap();
                block.push_str(line);
                block.push('\n');
            }
            (false, None) => {}
        }
    }
    blocks
}

/// The only block of YAML below a heading.
pub fn yaml(heading: &str) -> Value {
    let blocks = blocks(heading, "yaml");
    let [block] = blocks.as_slice() else {
        panic!("{} blocks of YAML below `{heading}`", blocks.len());
    };
    serde_saphyr::from_str(block).unwrap()
}

/// What is executed in a step, be it one script or a list of them.
pub fn scripts(value: &Value) -> Vec<String> {
    match value {
        Value::String(script) => vec![script.clone()],
        Value::Array(scripts) => scripts.iter().flat_map(self::scripts).collect(),
        _ => Vec::new(),
    }
}

/// The variables of a mapping, in their order in the page or by their names.
pub fn variables(value: &Value) -> Vec<(String, String)> {
    let mapping = value.as_object().into_iter().flatten();
    mapping
        .map(|(name, value)| {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (name.clone(), value)
        })
        .collect()
}
