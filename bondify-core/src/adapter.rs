/// Defines `BondifyEvent`, the form in which an adapter hands a verified [`Event`] to a
/// handler: a newtype, since frameworks' traits can only be implemented for a type of
/// the adapter's own.
///
/// [`Event`]: crate::Event
///
/// ```
/// bondify_core::define_bondify_event! {
///     /// The verified event, extracted by this framework.
/// }
/// ```
#[macro_export]
macro_rules! define_bondify_event {
    ($(#[$attribute:meta])*) => {
        $(#[$attribute])*
        #[derive(Clone, Debug)]
        pub struct BondifyEvent(pub $crate::Event);

        impl ::std::ops::Deref for BondifyEvent {
            type Target = $crate::Event;

            fn deref(&self) -> &$crate::Event {
                &self.0
            }
        }

        impl ::std::fmt::Display for BondifyEvent {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }
    };
}
