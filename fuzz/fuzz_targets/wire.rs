#![no_main]

#[path = "../../buildmem/tests/support/fuzzing.rs"]
mod fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::check("wire", bytes));
