//! Is a sign-in enough for what a request asks for? (OpenID Connect Core 1.0 §3.1.2.1, RFC 9470 §4 and §5)

use std::time::Duration;

use crate::protocol::error::{ErrorCode, OAuthError};
use crate::protocol::form::Form;
use crate::types::{Authentication, AuthenticationRequest, Prompt, Timestamp};

/// The longest of each of these parameters that is kept.
const LONGEST: usize = 255;

/// By how much a host's clock may be ahead of ours.
const AHEAD: Duration = Duration::from_secs(30);

/// Reads the parameters; none if the request has none of them. What only helps (a hint, languages) and is malformed is left out: it
/// is no reason to refuse anybody. What asks for something and is malformed is refused.
pub(crate) fn parse(
    form: &Form<'_>,
    now: Timestamp,
) -> Result<Option<AuthenticationRequest>, OAuthError> {
    let words = |name| -> Result<Vec<&str>, OAuthError> {
        let text = form.one(name)?.unwrap_or_default();
        Ok(text.split(' ').filter(|word| !word.is_empty()).collect())
    };
    let fits = |text: &&str| text.len() <= LONGEST && !text.chars().any(char::is_control);
    let asked = words("prompt")?;
    if asked.len() > 1 && asked.contains(&Prompt::None.as_str()) {
        // OpenID Connect Core 1.0 §3.1.2.1: "an error is returned"
        return Err(OAuthError::invalid_request(
            "prompt none cannot stand with another value",
        ));
    }
    // Values that are not known are ignored, as §3.1.2.1 leaves open.
    let known = Prompt::ALL.into_iter();
    let prompt: Vec<_> = known
        .filter(|known| asked.contains(&known.as_str()))
        .collect();
    let max_age = form.one("max_age")?.map(seconds).transpose()?;
    let acr_values = words("acr_values")?;
    if !form.one("acr_values")?.as_ref().is_none_or(fits) {
        return Err(OAuthError::invalid_request(
            "acr_values is too long or malformed",
        ));
    }
    let login_hint = form.one("login_hint")?.filter(fits);
    let ui_locales = form.one("ui_locales")?.filter(fits).unwrap_or_default();
    let ui_locales: Vec<_> = ui_locales.split_whitespace().collect();
    let says_nothing = prompt.is_empty() && max_age.is_none() && acr_values.is_empty();
    if says_nothing && login_hint.is_none() && ui_locales.is_empty() {
        return Ok(None);
    }
    let owned = |texts: Vec<&str>| texts.into_iter().map(ToOwned::to_owned).collect();
    Ok(Some(AuthenticationRequest {
        asked_at: now,
        prompt,
        max_age,
        acr_values: owned(acr_values),
        login_hint: login_hint.map(ToOwned::to_owned),
        ui_locales: owned(ui_locales),
        was_at_login: false,
    }))
}

/// Whether a request, valid or not, wants no page to be shown.
pub(crate) fn is_silent(form: &Form<'_>) -> bool {
    let prompt = form.one("prompt").ok().flatten().unwrap_or_default();
    prompt.split(' ').any(|word| word == Prompt::None.as_str())
}

fn seconds(text: &str) -> Result<u64, OAuthError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.ok_or(OAuthError::invalid_request(
        "max_age is not a number of seconds",
    ))
}

/// What follows of how somebody has signed in.
#[derive(Debug)]
pub(crate) enum SignIn {
    /// The request goes on.
    Enough,
    /// It takes another sign-in.
    Again,
    /// It was asked for, and this is not what came of it.
    Refused(OAuthError),
}

/// The rule, a line for each demand. The browser is sent to the login once: what is not enough after that never will be.
pub(crate) fn judge(
    asked: &AuthenticationRequest,
    signed_in: &Authentication,
    now: Timestamp,
) -> SignIn {
    let again = |error: OAuthError| match asked.was_at_login {
        true => SignIn::Refused(error),
        false => SignIn::Again,
    };
    if asked.asks_for(Prompt::SelectAccount) && !asked.was_at_login {
        return SignIn::Again;
    }
    match signed_in.auth_time {
        _ if !asks_for_time(asked) => {}
        // Whatever the host does not say is true of a sign-in that the request itself has brought about.
        None if asked.was_at_login => {}
        None => return SignIn::Again,
        Some(auth_time) if is_recent(asked, auth_time, now) => {}
        Some(_) => {
            return again(OAuthError::new(
                ErrorCode::LoginRequired,
                "The person has not signed in anew",
            ));
        }
    }
    match &signed_in.acr {
        _ if asked.acr_values.is_empty() => SignIn::Enough,
        Some(acr) if asked.acr_values.contains(acr) => SignIn::Enough,
        // A host that knows no classes has done what it could; a token without one says so to whoever needs one.
        None if asked.was_at_login => SignIn::Enough,
        _ => again(OAuthError::new(
            ErrorCode::UnmetAuthenticationRequirements,
            "The person has not signed in in the way that was asked for",
        )),
    }
}

fn asks_for_time(asked: &AuthenticationRequest) -> bool {
    asked.asks_for(Prompt::Login) || asked.max_age.is_some()
}

/// A sign-in that the request brought about is recent enough for any age; none that is older is for `prompt=login`.
fn is_recent(asked: &AuthenticationRequest, auth_time: Timestamp, now: Timestamp) -> bool {
    if auth_time > now.saturating_add(AHEAD) {
        return false; // what is yet to come says nothing of what has been
    }
    // Whole seconds are told: a sign-in within that of the request was before it, if the request has not led to it.
    let same = auth_time == asked.asked_at;
    if auth_time > asked.asked_at || same && asked.was_at_login {
        return true;
    }
    let within = |max_age: u64| max_age > 0 && (same || now.since(auth_time).as_secs() <= max_age);
    !asked.asks_for(Prompt::Login) && asked.max_age.is_some_and(within)
}

#[cfg(test)]
mod tests {
    use super::{SignIn, is_silent, judge, parse};
    use crate::protocol::form::Form;
    use crate::types::{Authentication, AuthenticationRequest, Prompt, Timestamp};

    const NOW: u64 = 1_795_348_800;

    fn asked(query: &str) -> AuthenticationRequest {
        let form = Form::parse(query.as_bytes()).unwrap();
        parse(&form, Timestamp::from_secs(NOW)).unwrap().unwrap()
    }

    #[test]
    fn a_request_is_silent_by_one_word_of_its_prompt_be_it_valid_or_not() {
        let silent = |query: &str| is_silent(&Form::parse(query.as_bytes()).unwrap());
        assert!(silent("prompt=none") && silent("scope=a&prompt=none+login"));
        for loud in [
            "",
            "prompt=",
            "prompt=login",
            "prompt=nonesuch",
            "scope=none",
        ] {
            assert!(!silent(loud), "{loud}");
        }
        assert!(!silent("prompt=none&prompt=none"), "which of them counts?");
    }

    /// What comes of a sign-in so many seconds after the request (before, if negative), judged a minute after the request.
    fn verdict(
        query: &str,
        auth_time: Option<i64>,
        acr: Option<&str>,
        was_at_login: bool,
    ) -> String {
        let asked = AuthenticationRequest {
            was_at_login,
            ..asked(query)
        };
        let signed_in = Authentication {
            auth_time: auth_time
                .map(|at| Timestamp::from_secs(NOW.checked_add_signed(at).unwrap())),
            acr: acr.map(ToOwned::to_owned),
        };
        match judge(&asked, &signed_in, Timestamp::from_secs(NOW + 60)) {
            SignIn::Enough => "enough".to_owned(),
            SignIn::Again => "again".to_owned(),
            SignIn::Refused(error) => error.code.as_str().to_owned(),
        }
    }

    #[test]
    fn oidc_core_3_1_2_1_a_sign_in_is_recent_or_is_made_anew_once() {
        for query in ["prompt=login", "max_age=0", "prompt=login&max_age=9999"] {
            for (auth_time, first, after_login) in [
                (Some(0), "again", "enough"),
                (Some(1), "enough", "enough"),
                (Some(30), "enough", "enough"),
                (Some(-1), "again", "login_required"),
                (Some(90), "enough", "enough"),
                (Some(91), "again", "login_required"), // more than 30 seconds ahead of the clock
                (None, "again", "enough"),
            ] {
                let verdict = |was_at_login| verdict(query, auth_time, None, was_at_login);
                assert_eq!(verdict(false), first, "{query} {auth_time:?}");
                assert_eq!(verdict(true), after_login, "{query} {auth_time:?}");
            }
        }
        assert_eq!(verdict("max_age=100", Some(-40), None, false), "enough");
        assert_eq!(verdict("max_age=100", Some(-41), None, false), "again");
        assert_eq!(
            verdict("max_age=100", Some(-41), None, true),
            "login_required"
        );
        assert_eq!(verdict("max_age=1", Some(0), None, false), "enough");
        assert_eq!(verdict("max_age=100", None, None, false), "again");
    }

    #[test]
    fn rfc9470_5_a_class_that_was_not_reached_is_told_after_one_login() {
        let query = "acr_values=mfa+phr";
        for (acr, first, after_login) in [
            (Some("mfa"), "enough", "enough"),
            (Some("phr"), "enough", "enough"),
            (Some("pwd"), "again", "unmet_authentication_requirements"),
            (
                Some("mfa phr"),
                "again",
                "unmet_authentication_requirements",
            ),
            (None, "again", "enough"),
        ] {
            assert_eq!(verdict(query, None, acr, false), first, "{acr:?}");
            assert_eq!(verdict(query, None, acr, true), after_login, "{acr:?}");
        }
    }

    #[test]
    fn oidc_core_3_1_2_1_an_account_is_chosen_at_the_login_once() {
        assert_eq!(
            verdict("prompt=select_account", Some(1), None, false),
            "again"
        );
        assert_eq!(
            verdict("prompt=select_account", Some(-9), None, true),
            "enough"
        );
        assert_eq!(verdict("prompt=consent", None, None, false), "enough");
        assert_eq!(verdict("login_hint=alice", None, None, false), "enough");
    }

    #[test]
    fn oidc_core_3_1_2_1_what_asks_for_something_is_read_or_refused_and_what_helps_is_read_or_left_out()
     {
        let read = asked(
            "prompt=consent+login+dance&max_age=60&acr_values=a++b&login_hint=al&ui_locales=de+en",
        );
        assert_eq!(read.prompt, [Prompt::Login, Prompt::Consent]);
        assert_eq!(asked("prompt=none").prompt, [Prompt::None], "by itself");
        assert_eq!(read.max_age, Some(60));
        assert_eq!(read.acr_values, ["a", "b"]);
        assert_eq!(read.login_hint.as_deref(), Some("al"));
        assert_eq!(read.ui_locales, ["de", "en"]);
        let long = "x".repeat(256);
        let nothing = [
            String::new(),
            "prompt=dance&max_age=&acr_values=+".to_owned(),
            format!("login_hint={long}&ui_locales={long}"),
            "login_hint=a%0Ab".to_owned(),
        ];
        let now = Timestamp::from_secs(NOW);
        for query in nothing {
            let form = Form::parse(query.as_bytes()).unwrap();
            assert!(parse(&form, now).unwrap().is_none(), "{query}");
        }
        let refused = [
            "prompt=none+login".to_owned(),
            "prompt=none+dance".to_owned(),
            "max_age=-1".to_owned(),
            "max_age=1.5".to_owned(),
            "max_age=%2B1".to_owned(),
            "max_age=99999999999999999999".to_owned(),
            "prompt=login&prompt=login".to_owned(),
            "max_age=1&max_age=1".to_owned(),
            format!("acr_values={long}"),
            "acr_values=a%00b".replace("%00", "%01"),
        ];
        for query in refused {
            let form = Form::parse(query.as_bytes()).unwrap();
            assert!(parse(&form, now).is_err(), "{query}");
        }
    }
}
