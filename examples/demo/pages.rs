//! The pages of the host: the start page and the login. Those of the authorization server are built into it.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::response::{Html, IntoResponse, Response};

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in</title>
<meta name="color-scheme" content="light dark">
<style>body { font: 1rem/1.5 system-ui, sans-serif; max-width: 20rem; margin: 3rem auto; padding: 0 1rem }
label, input, button { display: block; font: inherit; width: 100%; box-sizing: border-box }
input, button { padding: .5rem; margin: .25rem 0 1rem }
[role=alert] { padding: .5rem; border: 2px solid #c33 }</style>
<h1>Sign in</h1>
{% if let Some(problem) = problem %}<p role="alert">{{ problem }}</p>{% endif %}
<form method="post" action="/login">
{% if let Some(id) = interaction %}<input type="hidden" name="interaction" value="{{ id }}">{% endif %}
<label for="username">Username</label>
<input id="username" name="username" autocomplete="username" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button>Sign in</button>
</form>
<p>Try <em>alice</em> with <em>wonderland</em>, or <em>bob</em> with <em>builder</em>.</p>
</html>
"#
)]
pub(crate) struct Login<'a> {
    /// The request that waits for the login.
    pub(crate) interaction: Option<&'a str>,
    pub(crate) problem: Option<&'a str>,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>tower-oauth demo</title>
<meta name="color-scheme" content="light dark">
<style>body { font: 1rem/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere }
pre { white-space: pre-wrap }</style>
<h1>tower-oauth demo</h1>
<p>A notes API that asks for tokens, and the authorization server that issues them.</p>
{% if let Some(username) = username %}<form method="post" action="/logout"><p>You are signed in as <strong>{{ username }}</strong>. <button>Sign out</button></p></form>
{% else %}<p>Nobody is signed in: <a href="/login">sign in</a> as <em>alice</em> (<em>wonderland</em>) or <em>bob</em> (<em>builder</em>).</p>{% endif %}
<h2>What to try</h2>
<pre>{{ lines }}</pre>
<ul>
<li><a href="/device">Connect a device</a> with the code that it was given.</li>
<li>Point an MCP client, or any other OAuth client, at <code>{{ issuer }}/api/whoami</code>: it finds the rest by itself, from the
<a href="/.well-known/oauth-protected-resource">metadata of the API</a> and of the
<a href="/.well-known/oauth-authorization-server">authorization server</a>.</li>
<li>Clients register themselves at <code>{{ issuer }}/auth/register</code>. Two are there already: <code>demo-job</code> with
<code>demo-job-secret</code> (client credentials), and <code>demo-api</code> with <code>demo-api-secret</code> (may introspect every token).</li>
</ul>
</html>
"#
)]
pub(crate) struct Start<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) username: Option<&'a str>,
    /// The `curl` lines that were printed.
    pub(crate) lines: &'a str,
}

/// A page that nobody may frame or keep. Its forms send the browser on to wherever a client is, so there is no `form-action`.
pub(crate) fn respond(status: StatusCode, page: &impl Template) -> Response {
    let headers = [
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "same-origin"),
    ];
    match page.render() {
        Ok(html) => (status, headers, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
