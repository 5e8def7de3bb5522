#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bondify_fuzz::emulator_state(data));
