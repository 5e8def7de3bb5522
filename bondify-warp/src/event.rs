use bondify_core::adapter::define_bondify_event;

define_bondify_event! {
    /// The verified event that a handler is called with.
    ///
    /// No other way leads to one than [`webhook`](crate::webhook) and
    /// [`Hook::run`](crate::Hook::run), so a route without Bondify does not compile.
}
