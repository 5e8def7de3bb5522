/// `prefix` and 128 random bits in hexadecimal.
pub(crate) fn id(prefix: &str) -> String {
    format!("{prefix}{:016x}{:016x}", random(), random())
}

/// A number from 0 up to, but not including, 1.
pub(crate) fn fraction() -> f64 {
    (random() >> 11) as f64 / (1u64 << 53) as f64
}

fn random() -> u64 {
    getrandom::u64().expect("the operating system has randomness")
}
