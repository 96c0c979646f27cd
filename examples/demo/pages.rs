//! The pages of the host: the start page, the login, and where its own app comes back to. Those of the authorization server are built
//! into it.

use std::sync::LazyLock;

use askama::Template;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1e23; --soft: #535a66; --ground: #eff1f4; --paper: #fff; --line: #d5d9e0;
  --edge: #757c89; --accent: #1a56b8; --on-accent: #fff; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaee; --soft: #b3b9c4; --ground: #121417; --paper: #1d2025; --line: #3a3f48;
  --edge: #8b929e; --accent: #8fbaff; --on-accent: #0a1a33; --bad: #ff9d94 } }
* { box-sizing: border-box }
body { margin: 0; padding: 1rem; background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
main { max-width: 54rem; margin: 0 auto }
main.narrow { max-width: 24rem; padding: 1.25rem; background: var(--paper); border: 1px solid var(--line); border-radius: .75rem }
@media (min-width: 40rem) { body { padding: 3rem 1.5rem } main.narrow { padding: 2rem } }
h1 { margin: 0 0 .5rem; font-size: 1.75rem; line-height: 1.25 }
h2 { margin: 0 0 .5rem; font-size: 1.125rem }
p, ul, pre { margin: 0 0 1rem }
ul { padding-left: 1.25rem }
a { color: var(--accent) }
code, pre { font: .875em/1.6 ui-monospace, monospace }
pre { padding: 1rem; white-space: pre-wrap; background: var(--ground); border: 1px solid var(--line); border-radius: .5rem }
.lead { color: var(--soft) }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem; margin: 1.5rem 0 }
section, .who { padding: 1.25rem; background: var(--paper); border: 1px solid var(--line); border-radius: .75rem }
section > :last-child, main.narrow > :last-child { margin-bottom: 0 }
.who, .who form { display: flex; flex-wrap: wrap; gap: .75rem; align-items: center; justify-content: space-between }
.who p { margin: 0 }
label { display: block; font-weight: 600; margin-bottom: .25rem }
input { display: block; width: 100%; min-height: 2.75rem; padding: .5rem .75rem; margin-bottom: 1rem; font: inherit; background: var(--paper);
  color: var(--ink); border: 1px solid var(--edge); border-radius: .5rem }
button, .button { display: inline-block; min-height: 2.75rem; padding: .5rem 1.25rem; font: inherit; font-weight: 600; text-decoration: none;
  background: var(--paper); color: var(--ink); border: 1px solid var(--edge); border-radius: .5rem; cursor: pointer }
.first { background: var(--accent); color: var(--on-accent); border-color: var(--accent) }
[role=alert] { font-weight: 600; color: var(--bad) }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
";

/// The one style is allowed by its hash. Forms send the browser on to wherever a client is, so there is no `form-action`.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// What stands inside of `main`.
pub(crate) trait Page: Template {
    const TITLE: &'static str;
    /// The class of `main`.
    const CLASS: &'static str = "";
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style>{{ style|safe }}</style>
</head>
<body>
<main class="{{ class }}">
{{ body|safe }}
</main>
</body>
</html>
"#
)]
struct Layout<'a> {
    title: &'a str,
    class: &'a str,
    style: &'a str,
    /// A page, rendered.
    body: &'a str,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<h1>Sign in</h1>
{% if let Some(problem) = problem %}<p role="alert">{{ problem }}</p>
{% endif -%}
<form method="post" action="/login">
{% if let Some(id) = interaction %}<input type="hidden" name="interaction" value="{{ id }}">
{% endif -%}
<label for="username">Username</label>
<input id="username" name="username" value="{{ username.unwrap_or_default() }}" autocomplete="username" autocapitalize="none" spellcheck="false" required{% if username.is_none() %} autofocus{% endif %}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required{% if username.is_some() %} autofocus{% endif %}>
<p><button class="first">Sign in</button></p>
</form>
<p class="lead">Try <em>alice</em> with <em>wonderland</em>, or <em>bob</em> with <em>builder</em>.</p>"#
)]
pub(crate) struct Login<'a> {
    /// The request that waits for the login.
    pub(crate) interaction: Option<&'a str>,
    /// What stands in the first field already.
    pub(crate) username: Option<&'a str>,
    pub(crate) problem: Option<&'a str>,
}

impl Page for Login<'_> {
    const TITLE: &'static str = "Sign in";
    const CLASS: &'static str = "narrow";
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<h1>tower-oauth demo</h1>
<p class="lead">A notes API that asks for tokens, and the authorization server that issues them, in one program.</p>
<div class="who">
{% if let Some(username) = username -%}
<p>You are signed in as <strong>{{ username }}</strong>.</p>
<form method="post" action="/logout"><button>Sign out</button></form>
{%- else -%}
<p>Nobody is signed in. There are <em>alice</em> (<em>wonderland</em>) and <em>bob</em> (<em>builder</em>).</p>
<a class="button" href="/login">Sign in</a>
{%- endif %}
</div>
<div class="cards">
<section>
<h2>An app asks for access</h2>
<p>Signs you in, asks whether the app may read your notes, and comes back here with a code.</p>
<p><a class="button first" href="{{ ask }}">Let it ask</a></p>
</section>
<section>
<h2>A device without a keyboard</h2>
<p>Type in the code that it shows, or follow its link.</p>
<p><a class="button" href="/device">Connect a device</a></p>
</section>
<section>
<h2>Connected applications</h2>
<p>See which ones may use your account, and take it back from any of them.</p>
<p><a class="button" href="/connected-apps">See who has access</a></p>
</section>
<section>
<h2>A client of your own</h2>
<p>Point an MCP client, or any other OAuth client, at <code>{{ issuer }}/api/whoami</code>. It registers itself and finds the rest by the
<a href="/.well-known/oauth-protected-resource">metadata of the API</a> and of the
<a href="/.well-known/oauth-authorization-server">authorization server</a>.</p>
</section>
</div>
<section>
<h2>At the command line</h2>
<pre>{{ lines }}</pre>
<p>Two clients are there from the start: <code>demo-job</code> with <code>demo-job-secret</code> gets tokens of its own, and
<code>demo-api</code> with <code>demo-api-secret</code> may ask about every token.</p>
</section>"#
)]
pub(crate) struct Start<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) username: Option<&'a str>,
    /// Where the demo's own app sends people.
    pub(crate) ask: &'a str,
    /// The `curl` lines that were printed.
    pub(crate) lines: &'a str,
}

impl Page for Start<'_> {
    const TITLE: &'static str = "tower-oauth demo";
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{% if let Some(line) = line -%}
<h1>The app has a code</h1>
<section>
<p>It lives for a minute and becomes tokens once:</p>
<pre>{{ line }}</pre>
{%- else -%}
<h1>The app got nothing</h1>
<section>
<p>It was told: <code>{{ error }}</code>.</p>
{%- endif %}
<p><a class="button" href="/">Back to the start</a></p>
</section>"#
)]
pub(crate) struct CameBack<'a> {
    /// How to redeem the code.
    pub(crate) line: Option<&'a str>,
    pub(crate) error: &'a str,
}

impl Page for CameBack<'_> {
    const TITLE: &'static str = "Back from the authorization server";
}

/// A page that nobody may frame or keep.
pub(crate) fn respond<P: Page>(status: StatusCode, page: &P) -> Response {
    let html = page.render().and_then(|body| {
        let layout = Layout {
            title: P::TITLE,
            class: P::CLASS,
            style: STYLE,
            body: &body,
        };
        layout.render()
    });
    let policy = HeaderValue::from_str(&POLICY);
    match (html, policy) {
        (Ok(html), Ok(policy)) => {
            let headers = [
                (CONTENT_SECURITY_POLICY, policy),
                (CACHE_CONTROL, HeaderValue::from_static("no-store")),
                (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
            ];
            (status, headers, Html(html)).into_response()
        }
        (html, policy) => {
            tracing::error!(html = ?html.err(), policy = ?policy.err(), "a page could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
