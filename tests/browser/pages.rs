//! Every page there is, and how a person gets there. A new page is a line in `ALL` and an arm of `go`; the tests of `looks.rs` and
//! `heard.rs` then hold it to what they hold all others to.

use std::collections::BTreeSet;

use crate::app::App;
use crate::person::Person;
use crate::{consent_heading, own};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    Start,
    StartSignedIn,
    CameBack,
    CameBackInVain,
    Login,
    LoginRefused,
    Consent,
    ConsentVouchedFor,
    ConsentToMuch,
    AlreadyAnswered,
    RequestUnknown,
    RequestMalformed,
    RequestRefused,
    RequestsTooMany,
    ClientUnknown,
    AddressUnregistered,
    AnswerForged,
    StoreGone,
    DeviceCode,
    DeviceCodePrefilled,
    DeviceCodeWrong,
    DeviceCodeForged,
    DeviceCodesTooMany,
    DeviceConsent,
    DeviceConnected,
    DeviceDenied,
    ConsentInGerman,
    NoApps,
    Apps,
    AppsRemoval,
    AppsRemoved,
    AppsForged,
    AppsNotSignedIn,
    AppsInGerman,
}

pub(crate) const ALL: [Page; 34] = [
    Page::Start,
    Page::StartSignedIn,
    Page::CameBack,
    Page::CameBackInVain,
    Page::Login,
    Page::LoginRefused,
    Page::Consent,
    Page::ConsentVouchedFor,
    Page::ConsentToMuch,
    Page::AlreadyAnswered,
    Page::RequestUnknown,
    Page::RequestMalformed,
    Page::RequestRefused,
    Page::RequestsTooMany,
    Page::ClientUnknown,
    Page::AddressUnregistered,
    Page::AnswerForged,
    Page::StoreGone,
    Page::DeviceCode,
    Page::DeviceCodePrefilled,
    Page::DeviceCodeWrong,
    Page::DeviceCodeForged,
    Page::DeviceCodesTooMany,
    Page::DeviceConsent,
    Page::DeviceConnected,
    Page::DeviceDenied,
    Page::ConsentInGerman,
    Page::NoApps,
    Page::Apps,
    Page::AppsRemoval,
    Page::AppsRemoved,
    Page::AppsForged,
    Page::AppsNotSignedIn,
    Page::AppsInGerman,
];

impl Page {
    /// What its screenshots are called: `device-code-wrong`.
    pub(crate) fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    /// The page of the crate that it is, by the name of its variant; none for the pages of the demo itself.
    fn shows(self) -> Option<&'static str> {
        Some(match self {
            Self::Start
            | Self::StartSignedIn
            | Self::CameBack
            | Self::CameBackInVain
            | Self::Login
            | Self::LoginRefused => return None,
            Self::Consent
            | Self::ConsentVouchedFor
            | Self::ConsentToMuch
            | Self::ConsentInGerman
            | Self::DeviceConsent => "Page::Consent",
            Self::DeviceCode | Self::DeviceCodePrefilled | Self::DeviceCodeWrong => {
                "Page::DeviceCode"
            }
            Self::NoApps
            | Self::Apps
            | Self::AppsRemoval
            | Self::AppsRemoved
            | Self::AppsInGerman => "Page::ConnectedApps",
            Self::RequestRefused => "Page::Leaving",
            Self::AlreadyAnswered => "Message::Answered",
            Self::RequestUnknown => "Message::Expired",
            Self::RequestMalformed => "Message::Invalid",
            Self::RequestsTooMany | Self::DeviceCodesTooMany => "Message::TooMany",
            Self::ClientUnknown => "Message::UnknownApplication",
            Self::AddressUnregistered => "Message::UnregisteredAddress",
            Self::AnswerForged => "Message::Forged",
            Self::StoreGone => "Message::Unavailable",
            Self::DeviceCodeForged => "Message::ForgedCode",
            Self::DeviceConnected => "Message::DeviceConnected",
            Self::DeviceDenied => "Message::DeviceDenied",
            Self::AppsForged => "Message::ForgedRemoval",
            Self::AppsNotSignedIn => "Message::NotSignedIn",
        })
    }

    /// The way there, of somebody who is not signed in.
    pub(crate) async fn go(self, person: &Person, server: &str, app: &App) {
        let at = |path: &str| format!("{server}{path}");
        person.speaks("en").await;
        match self {
            Self::Start => person.open(&at("/")).await,
            Self::StartSignedIn => {
                person.open(&at("/login")).await;
                alice(person).await;
                person.sees("alice").await;
            }
            Self::ConsentVouchedFor => own_app_asks(person, &at("/")).await,
            Self::ConsentToMuch => {
                let (own, scope) = own::generous().await;
                let app = App::register(&own).await;
                person.open(&app.asks_for("one", &scope)).await;
                person.sees("These are 40 permissions.").await;
            }
            Self::CameBack => {
                own_app_asks(person, &at("/")).await;
                person.press("Allow").await;
                person.sees_heading("The app has a code").await;
            }
            Self::CameBackInVain => {
                person.open(&at("/came-back?error=access_denied")).await;
            }
            Self::Login => person.open(&app.asks("one")).await,
            Self::LoginRefused => {
                person.open(&app.asks("one")).await;
                person.sign_in("alice", "looking-glass").await;
            }
            Self::Consent => consent(person, app).await,
            Self::AlreadyAnswered => {
                consent(person, app).await;
                let here = person.url().await;
                person.press("Deny").await;
                app.is_told(person).await;
                person.open(here.as_str()).await;
            }
            Self::RequestUnknown => {
                person
                    .open(&at("/auth/authorize?interaction=long-ago"))
                    .await;
            }
            Self::RequestMalformed => {
                person.open(&at("/auth/authorize")).await;
                person.sees_heading("This does not work").await;
            }
            Self::RequestRefused => {
                person.open(&app.asks_for("one", "everything")).await;
                person.sees_heading("This request cannot be answered").await;
            }
            Self::RequestsTooMany => {
                let own = own::impatient().await;
                for _ in 0..2 {
                    let app = App::register(&own).await;
                    person.open(&app.asks("one")).await;
                }
                person.sees("There were too many tries. Wait for").await;
            }
            Self::ClientUnknown => {
                let query = "response_type=code&client_id=nobody&code_challenge=x";
                person.open(&at(&format!("/auth/authorize?{query}"))).await;
                person.sees_heading("Unknown application").await;
            }
            Self::AddressUnregistered => {
                let query =
                    "response_type=code&client_id=demo-app&redirect_uri=https://evil.example/";
                person.open(&at(&format!("/auth/authorize?{query}"))).await;
                person.sees_heading("Not sent on").await;
            }
            Self::AnswerForged => {
                consent(person, app).await;
                forge(person).await;
                person.press("Allow").await;
                person
                    .sees("Go back to the application and start again.")
                    .await;
            }
            Self::StoreGone => {
                let own = own::broken().await;
                let query = "response_type=code&client_id=app";
                person.open(&format!("{own}/auth/authorize?{query}")).await;
                person.sees("If you ask for help, name").await;
            }
            Self::DeviceCode => person.open(&at("/device")).await,
            Self::DeviceCodePrefilled => {
                person
                    .open(&app.device().await.verification_uri_complete)
                    .await;
            }
            Self::DeviceCodeWrong => {
                person.open(&at("/device?user_code=BBBB-BBBB")).await;
                person.press("Continue").await;
                person.sees("This code is not valid.").await;
            }
            Self::DeviceCodeForged => {
                let form = format!(
                    "<form method=post action={}><input name=user_code value=BBBB-BBBB><button>Win a prize</button></form>",
                    at("/device")
                );
                person.open(&app.elsewhere("localhost", &form)).await;
                person.press("Win a prize").await;
                person.sees("The code did not come from this page.").await;
            }
            Self::DeviceCodesTooMany => {
                let own = own::impatient().await;
                person.open(&format!("{own}/device")).await;
                for _ in 0..2 {
                    person.fill_in("Code", "BBBB-BBBB").await;
                    person.press("Continue").await;
                }
                person.sees("There were too many tries. Wait for").await;
            }
            Self::DeviceConsent => device_consent(person, app).await,
            Self::DeviceConnected => {
                device_consent(person, app).await;
                person.press("Allow").await;
            }
            Self::DeviceDenied => {
                device_consent(person, app).await;
                person.press("Deny").await;
            }
            Self::ConsentInGerman => {
                person.speaks("de").await;
                person.open(&app.asks("one")).await;
                alice(person).await;
                person.sees("Ihre Notizen lesen").await;
            }
            Self::NoApps => {
                person.open(&at("/connected-apps")).await;
                // Nobody has asked bob yet.
                person.sign_in("bob", "builder").await;
                person
                    .sees("No application has access to your account.")
                    .await;
            }
            Self::Apps => apps(person, server, app).await,
            Self::AppsRemoval => {
                apps(person, server, app).await;
                person.unfold("Remove access").await;
                person.sees("Yes, remove").await;
            }
            Self::AppsRemoved => {
                apps(person, server, app).await;
                remove(person).await;
                person.sees("The access was removed.").await;
            }
            Self::AppsForged => {
                apps(person, server, app).await;
                forge(person).await;
                remove(person).await;
                person.sees("Nothing was removed").await;
            }
            Self::AppsNotSignedIn => {
                // As a login leads back that has signed nobody in.
                person.open(&at("/connected-apps?signed_in=1")).await;
                person.sees_heading("Not signed in").await;
            }
            Self::AppsInGerman => {
                apps(person, server, app).await;
                person.speaks("de").await;
                person.reload().await;
                person.sees_heading("Verbundene Anwendungen").await;
            }
        }
        person.heading().await;
    }
}

async fn alice(person: &Person) {
    person.sign_in("alice", "wonderland").await;
}

async fn consent(person: &Person, app: &App) {
    person.open(&app.asks("one")).await;
    alice(person).await;
    person.sees_heading(&consent_heading()).await;
}

/// The app of the demo itself, by the button on the start page.
async fn own_app_asks(person: &Person, start: &str) {
    person.open(start).await;
    person.follow("Let it ask").await;
    alice(person).await;
    person.sees("Signed in as Alice").await;
}

async fn device_consent(person: &Person, app: &App) {
    person
        .open(&app.device().await.verification_uri_complete)
        .await;
    person.press("Continue").await;
    alice(person).await;
    person.sees_heading(&consent_heading()).await;
}

/// Changes the value that shows where a form comes from.
async fn forge(person: &Person) {
    person
        .run("document.querySelector('[name=csrf]').value = 'made up'")
        .await;
}

/// The list of somebody who has allowed one app.
async fn apps(person: &Person, server: &str, app: &App) {
    app.is_allowed(person).await;
    person.open(&format!("{server}/connected-apps")).await;
    person.sees_heading("Connected applications").await;
}

/// Removes the first app of the list.
pub(crate) async fn remove(person: &Person) {
    person.unfold("Remove access").await;
    person.press("Yes, remove").await;
}

/// The variants of an enumeration of `view.rs`, as `shows` names them.
fn variants(name: &str) -> Vec<String> {
    let source = include_str!("../../src/pages/view.rs");
    let (_, rest) = source
        .split_once(&format!("pub enum {name} {{\n"))
        .expect("it is there");
    let (body, _) = rest.split_once("\n}").unwrap();
    let variant = |line: &str| {
        let line = line.strip_prefix("    ")?;
        let variant = line.split(|c: char| !c.is_ascii_alphanumeric()).next()?;
        (!variant.is_empty()).then(|| format!("{name}::{variant}"))
    };
    body.lines().filter_map(variant).collect()
}

#[test]
fn every_page_of_the_crate_is_looked_at() {
    let mut there: BTreeSet<_> = variants("Page").into_iter().collect();
    assert!(there.remove("Page::Message"), "each message is a page");
    there.extend(variants("Message"));
    assert!(there.len() > 15, "{there:?}");
    let shown: BTreeSet<_> = ALL.iter().filter_map(|page| page.shows()).collect();
    assert!(there.iter().eq(shown.iter()), "{there:?}\n{shown:?}");
}
