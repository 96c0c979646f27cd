//! The parts of programs that the README shows, as they stand there: what compiles here is what people copy.

use std::error::Error;

use axum::Router;
use axum::routing::get;
use tower_oauth::pages::{Logo, Pages, Text};
use tower_oauth::types::Subject;
use tower_oauth::{AccessToken, AuthorizationServer, Issuer, ResourceServer, SqliteStore};
use tower_sessions::{MemoryStore, SessionManagerLayer};

type Failure = Box<dyn Error>;

/// Who is signed in, as a session layer of the host's puts it into the extensions.
#[derive(Clone)]
struct User {
    id: String,
}

#[rustfmt::skip]
async fn how_it_fits_in(sessions: SessionManagerLayer<MemoryStore>) -> Result<Router, Failure> {
    async fn page() {}
    async fn enter() {}
    // README:
    let oauth = AuthorizationServer::builder("https://notes.example")        // the issuer, configured, never read from Host
        .store(SqliteStore::open("oauth.db").await?)
        .resource("https://notes.example", ["notes:read", "notes:write"])    // an API and its scopes; the first is the default audience
        .login("/login", |parts| parts.extensions.get::<User>().and_then(|user| Subject::new(&user.id).ok())) // your own login
        .build()?;                                                           // no I/O; refuses unsafe settings
    let api = ResourceServer::builder("https://notes.example").issuer(Issuer::in_process(&oauth)).build()?;
    let notes = Router::new()
        .route("/notes", get(list).route_layer(api.require("notes:read")))
        .route_layer(api.layer());                                           // 400, 401, 403, 503 by RFC 6750; fails closed
    let app = Router::new().route("/login", get(page).post(enter)).merge(notes)
        .layer(oauth.layer())                                                // serves its endpoints, passes the rest on
        .layer(sessions);                                                    // your session layer is outermost
    async fn list(token: AccessToken) -> String { token.subject().to_string() }
    // :README
    Ok(app)
}

#[rustfmt::skip]
fn tokens_from_elsewhere(oauth: &AuthorizationServer, secret: &str) -> Result<ResourceServer, Failure> {
    let oauth = oauth.clone();
    // README:
    let api = ResourceServer::builder("https://notes.example")
        .issuer(Issuer::in_process(&oauth))                                   // those of this process
        .issuer(Issuer::jwt("https://login.example"))                         // JWTs: finds, fetches and renews the keys (feature `jwks`)
        .issuer(Issuer::opaque("https://as.example").client("notes", secret)) // asks, and keeps the answer (feature `introspection`)
        .build()?;                                                            // no I/O: starts while they are down, and says 503 until they are up
    // :README
    Ok(api)
}

#[rustfmt::skip]
fn pages(who: impl Fn(&http::request::Parts) -> Option<Subject> + Send + Sync + 'static) -> Result<AuthorizationServer, Failure> {
    const LOGO: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\"/>";
    let french_texts = [(Text::Allow, "Autoriser"), (Text::Deny, "Refuser")];
    // README:
    let oauth = AuthorizationServer::builder("https://notes.example")
        .resource("https://notes.example", ["notes:read"])
        .login("/login", who)
        .describe_scope("notes:read", "Read your notes")
        .connected_apps()                                     // at /connected-apps: who has access, and take it back; also as JSON
        .pages(
            Pages::new()
                .name("Notes")
                .logo(Logo::svg(LOGO))                        // or Logo::png, up to 4 KiB; it is sent within the page
                .accent("#7a1f5c")                            // or .light(Colors::new()…) and .dark(…)
                .text("en", Text::ConsentHeading, "May {client} see your notes?")
                .describe_scope("de", "notes:read", "Ihre Notizen lesen")
                .language("fr", french_texts),                // texts that it lacks are English
        )
        .build()?;                                            // names a color that cannot be read, or a text that leaves the client out
    // :README
    Ok(oauth)
}

#[test]
fn what_the_readme_shows_stands_here_or_is_the_quickstart() {
    let readme = include_str!("../../README.md");
    let marked = include_str!("readme.rs").split("    // README:\n").skip(1);
    let here = marked.filter_map(|rest| Some(rest.split_once("    // :README\n")?.0));
    let unindented = |part: &str| -> String {
        let lines = part.split_inclusive('\n');
        lines
            .map(|line| line.strip_prefix("    ").unwrap_or(line))
            .collect()
    };
    let mut here: Vec<String> = here.map(unindented).collect();
    here.push(include_str!("../../examples/quickstart.rs").to_owned());
    let shown = readme.split("```rust\n").skip(1);
    let shown: Vec<_> = shown
        .map(|rest| rest.split_once("```").unwrap().0)
        .collect();
    assert_eq!(shown.len(), here.len());
    for block in shown {
        assert!(here.iter().any(|part| part == block), "{block}");
    }
}

#[tokio::test]
async fn what_the_readme_shows_can_be_built() {
    let oauth = pages(|_| None).unwrap();
    tokens_from_elsewhere(&oauth, "s3cr3t").unwrap();
    // This one would open a file where the tests are run; it is enough that it compiles.
    drop(how_it_fits_in(SessionManagerLayer::new(
        MemoryStore::default(),
    )));
}
