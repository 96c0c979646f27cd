//! Every page there is, and how a person gets there. A new page is a line in `ALL` and an arm of `go`; the tests of `looks.rs` then
//! hold it to what they hold all others to.

use crate::app::App;
use crate::consent_heading;
use crate::person::Person;

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
    AlreadyAnswered,
    RequestUnknown,
    RequestRefused,
    ClientUnknown,
    DeviceCode,
    DeviceCodePrefilled,
    DeviceCodeWrong,
    DeviceConsent,
    DeviceConnected,
    DeviceDenied,
    ConsentInGerman,
    NoApps,
    Apps,
    AppsRemoval,
    AppsRemoved,
    AppsForged,
    AppsInGerman,
}

pub(crate) const ALL: [Page; 25] = [
    Page::Start,
    Page::StartSignedIn,
    Page::CameBack,
    Page::CameBackInVain,
    Page::Login,
    Page::LoginRefused,
    Page::Consent,
    Page::ConsentVouchedFor,
    Page::AlreadyAnswered,
    Page::RequestUnknown,
    Page::RequestRefused,
    Page::ClientUnknown,
    Page::DeviceCode,
    Page::DeviceCodePrefilled,
    Page::DeviceCodeWrong,
    Page::DeviceConsent,
    Page::DeviceConnected,
    Page::DeviceDenied,
    Page::ConsentInGerman,
    Page::NoApps,
    Page::Apps,
    Page::AppsRemoval,
    Page::AppsRemoved,
    Page::AppsForged,
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
            Self::RequestRefused => {
                person.open(&app.asks_for("one", "everything")).await;
            }
            Self::ClientUnknown => {
                let query = "response_type=code&client_id=nobody&code_challenge=x";
                person.open(&at(&format!("/auth/authorize?{query}"))).await;
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
                person
                    .run("document.querySelector('[name=csrf]').value = 'made up'")
                    .await;
                remove(person).await;
                person.sees_heading("Not accepted").await;
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
