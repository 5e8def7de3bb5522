//! The machine and the time of a run.

use std::{fmt, fs, process::Command, thread};

use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Machine {
    date: String,
    processor: String,
    cores: usize,
    sha_instructions: bool,
    memory: String,
    system: String,
    compiler: String,
}

impl Machine {
    pub(crate) fn describe() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            date: output_of("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            processor: field("/proc/cpuinfo", "model name"),
            cores,
            sha_instructions: has_sha_instructions(),
            memory: field("/proc/meminfo", "MemTotal"),
            system: output_of("uname", &["-sr"]),
            compiler: output_of("rustc", &["--version"]),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, processor, cores, memory, system, compiler, .. } = self;
        let sha = if self.sha_instructions { "with" } else { "without" };
        write!(
            f,
            "{date}: {processor}, {cores} cores, {sha} SHA instructions, {memory} of memory; \
             {system}; {compiler}"
        )
    }
}

/// Whether the processor has SHA instructions, with which `sha2` needs a tenth of the time.
fn has_sha_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("sha");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("sha2");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// The first value of `name` in a file of Linux's `name: value` lines.
fn field(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
    value.map_or_else(unknown, |(_, value)| value.trim().to_owned())
}

fn output_of(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).output();
    output.map_or_else(
        |_| unknown(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

fn unknown() -> String {
    "unknown".to_owned()
}
