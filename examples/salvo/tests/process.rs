//! The example as a process.

example_support::process_tests!(env!("CARGO_BIN_EXE_example-salvo"));
