//! The rules between the modules, which `docs/architecture.md` explains: a module uses its own layer and those
//! below; aya, clap and tokio are named only where they belong; the pure layers touch nothing of the system.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read the sources fails"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules by layer, the lowest first.
const LAYERS: [&[&str]; 7] = [
    &["ids", "problem", "reading", "statistics", "units"],
    &[
        "budgets",
        "command_line",
        "event",
        "recording",
        "stage_rule",
    ],
    &[
        "advise",
        "attribution",
        "automatic_stages",
        "budget_figures",
        "classes",
        "compare",
        "config",
        "diagnosis",
        "fit",
        "growth",
        "handed_over",
        "history",
        "jobs",
        "live",
        "report",
        "sampling",
        "series",
        "stage_peaks",
        "stages",
        "timeline",
        "tree",
    ],
    &["export"],
    &["capability", "container", "launch", "observe", "out_dir"],
    &["recorder", "session"],
    &["cli", "commands", "exit_code", "main"],
];

/// What the pure layers, 0 to 3, must not name.
const OF_THE_SYSTEM: [&str; 8] = [
    "std::fs",
    "std::env",
    "std::process",
    "std::net",
    "rustix::",
    "nix::",
    "tokio::",
    "aya::",
];

/// A source file: its module below `src`, its path there, and its lines without comments and tests.
struct Source {
    module: String,
    path: String,
    lines: Vec<String>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(source(&root, &path));
            }
        }
    }
    found
}

fn source(root: &Path, path: &Path) -> Source {
    let inside = path.strip_prefix(root).unwrap();
    let first = inside
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy();
    let text = fs::read_to_string(path).unwrap();
    // Tests may make files and use what is above.
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    Source {
        module: first.trim_end_matches(".rs").to_owned(),
        path: inside.display().to_string(),
        lines: code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .map(str::to_owned)
            .collect(),
    }
}

fn layers() -> BTreeMap<&'static str, usize> {
    let with_layer = |(layer, modules): (usize, &&'static [&'static str])| {
        modules
            .iter()
            .map(move |module| (*module, layer))
            .collect::<Vec<_>>()
    };
    LAYERS.iter().enumerate().flat_map(with_layer).collect()
}

#[test]
fn a_module_uses_its_own_layer_and_those_below() {
    let layers = layers();
    let mut uses = 0;
    for Source {
        module,
        path,
        lines,
    } in sources()
    {
        if module == "lib" {
            continue;
        }
        let own = layers
            .get(module.as_str())
            .unwrap_or_else(|| panic!("`{path}` is in no layer"));
        for line in lines {
            for part in line.split("crate::").skip(1) {
                let named: String = part
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let layer = layers.get(named.as_str());
                let layer = layer
                    .unwrap_or_else(|| panic!("`{path}` uses `{named}`, which is in no layer"));
                assert!(
                    layer <= own,
                    "`{path}` (layer {own}) uses `{named}` (layer {layer}): {line}"
                );
                uses += 1;
            }
        }
    }
    assert!(
        uses > 100,
        "only {uses} uses were found: this test looks in the wrong place"
    );
}

#[test]
fn the_pure_layers_touch_nothing_of_the_system() {
    let layers = layers();
    for Source {
        module,
        path,
        lines,
    } in sources()
    {
        if layers.get(module.as_str()).is_none_or(|layer| *layer > 3) {
            continue;
        }
        for line in lines {
            for name in OF_THE_SYSTEM {
                assert!(
                    !line.contains(name),
                    "`{path}` is pure, and names `{name}`: {line}"
                );
            }
        }
    }
}

#[test]
fn aya_and_clap_are_named_only_where_they_belong() {
    let layers = layers();
    for Source {
        module,
        path,
        lines,
    } in sources()
    {
        for line in lines {
            let names = |library: &str| {
                line.split(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .any(|word| word == library)
            };
            assert!(
                !names("aya") || path == "observe/bpf/attach.rs",
                "`{path}` names aya: {line}"
            );
            let top = layers.get(module.as_str()) == Some(&6);
            assert!(!names("clap") || top, "`{path}` names clap: {line}");
        }
    }
}
