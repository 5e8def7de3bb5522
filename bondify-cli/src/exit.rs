/// The exit codes, as documented by `--help` and the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Success = 0,
    Failure = 1,
    Error = 2,
    Interrupted = 130,
    BrokenPipe = 141,
}

impl From<bool> for Exit {
    fn from(yes: bool) -> Self {
        if yes { Self::Success } else { Self::Failure }
    }
}
