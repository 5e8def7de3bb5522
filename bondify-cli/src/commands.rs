pub(crate) mod completions;
pub(crate) mod listen;
pub(crate) mod man;
pub(crate) mod sign;
pub(crate) mod trigger;
pub(crate) mod verify;
