//! Who is signed in at the host, and how.

use crate::types::{Authentication, Subject, Timestamp, shows_something};

/// Who is signed in, and as far as the host knows it: since when, in which way, and what they are called.
///
/// A [`Subject`] alone is enough: `subject.into()`. What the host says besides is checked against what requests ask for (`prompt`,
/// `max_age`, `acr_values`), and stands in the tokens that come of the request (RFC 9068 §2.2.1), where
/// [`max_age`](crate::resource::RequireLayer::max_age) and `acr_values` of a route look for it (RFC 9470).
///
/// ```
/// use tower_oauth::{Decision, SignedIn, types::{Subject, Timestamp}};
///
/// let alice = SignedIn::new(Subject::new("1001")?)
///     .auth_time(Timestamp::from_secs(1_795_348_800))
///     .acr("mfa")
///     .name("Alice Smith");
/// let decision = Decision::Ask(alice);
/// # let _ = decision; Ok::<(), tower_oauth::types::InvalidSubject>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    pub(crate) subject: Subject,
    pub(crate) authentication: Authentication,
    pub(crate) name: Option<String>,
}

impl SignedIn {
    /// This person is signed in.
    #[must_use]
    pub fn new(subject: Subject) -> Self {
        Self {
            subject,
            authentication: Authentication::default(),
            name: None,
        }
    }

    /// When they have last proven who they are: entered a password, say, and not when they last came by (OpenID Connect Core 1.0 §2).
    ///
    /// Without it a request that asks for a recent sign-in is sent to the login once, whoever is signed in, and what comes back is believed:
    /// say it if it has to be certain that somebody has signed in anew.
    #[must_use]
    pub fn auth_time(mut self, auth_time: Timestamp) -> Self {
        self.authentication.auth_time = Some(auth_time);
        self
    }

    /// In which way: a class that hosts, clients and resources have agreed on, such as `mfa` (OpenID Connect Core 1.0 §2).
    #[must_use]
    pub fn acr(mut self, acr: impl Into<String>) -> Self {
        self.authentication.acr = Some(acr.into());
        self
    }

    /// What they are called, for the consent page. Default, and in place of a name that shows nothing: their subject.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into()).filter(|name| shows_something(name));
        self
    }

    /// How the consent page calls them.
    pub(crate) fn shown_name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.subject.as_str())
    }
}

impl From<Subject> for SignedIn {
    fn from(subject: Subject) -> Self {
        Self::new(subject)
    }
}
