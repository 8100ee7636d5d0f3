//! What fuzzing has found worth keeping (`fuzz/corpus`), through the same code and laws without a fuzzer.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read its corpus fails"
)]

#[path = "support/fuzzing.rs"]
mod fuzzing;

use std::fs;
use std::path::Path;

#[test]
fn what_was_fuzzed_still_holds() {
    for (target, _) in fuzzing::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/corpus")
            .join(target);
        let mut replayed = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            // The name of the last one is seen where it fails.
            println!("{}", path.display());
            fuzzing::check(target, &fs::read(&path).unwrap());
            replayed += 1;
        }
        assert!(replayed > 10, "{target}: only {replayed} files");
    }
}

#[test]
fn real_recordings_obey_the_same_laws() {
    for name in ["cargo", "lua", "monorepo"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name)
            .join("recording.jsonl");
        fuzzing::check("recording", &fs::read(path).unwrap());
    }
}
