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
        $crate::__define_form_of! { $(#[$attribute])* BondifyEvent: $crate::Event }

        impl ::std::fmt::Display for BondifyEvent {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

/// Defines `BondifyUser`, the form in which an adapter hands a verified [`Proof`] to a
/// handler.
///
/// [`Proof`]: crate::Proof
///
/// ```
/// bondify_core::define_bondify_user! {
///     /// The user who is logged in, extracted by this framework.
/// }
/// ```
#[cfg(feature = "proof")]
#[cfg_attr(docsrs, doc(cfg(feature = "proof")))]
#[macro_export]
macro_rules! define_bondify_user {
    ($(#[$attribute:meta])*) => {
        $crate::__define_form_of! { $(#[$attribute])* BondifyUser: $crate::Proof }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __define_form_of {
    ($(#[$attribute:meta])* $form:ident: $content:ty) => {
        $(#[$attribute])*
        #[derive(Clone, Debug)]
        pub struct $form(pub $content);

        impl ::std::ops::Deref for $form {
            type Target = $content;

            fn deref(&self) -> &$content {
                &self.0
            }
        }
    };
}
