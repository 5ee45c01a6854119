//! The fuzzer of `targets/filters.rs`.
#![no_main]

#[path = "../targets/mod.rs"]
#[allow(dead_code, reason = "each fuzzer runs one of the targets")]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::filters::run(bytes));
