// The way of an MCP client, on the OAuth code of the published SDK: a 401, both metadata documents, dynamic registration, a code with
// PKCE, a token, a call, a refresh and another call. This file plays the person at the browser.
//
// usage: node client.mjs BASE_URL [USERNAME PASSWORD]
// prints one line of JSON: what GET BASE_URL/api/whoami answered, before and after the refresh.

import { auth, extractWWWAuthenticateParams } from '@modelcontextprotocol/sdk/client/auth.js';

const [base, username = 'alice', password = 'wonderland'] = process.argv.slice(2);
// Nobody listens there: the person's browser is stopped before it goes.
const REDIRECT_URI = 'http://127.0.0.1:47813/callback';
const MOST_PAGES = 12;

class Failure extends Error {}

function check(holds, message) {
  if (!holds) throw new Failure(message);
}

/** Keeps in memory what a client would keep on disk. */
class Provider {
  discovered; client; held; verifier; destination; expectedState;
  redirectUrl = REDIRECT_URI;
  clientMetadata = {
    client_name: 'MCP client test',
    redirect_uris: [REDIRECT_URI],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  };
  state() { return (this.expectedState = crypto.randomUUID()); }
  discoveryState() { return this.discovered; }
  saveDiscoveryState(state) { this.discovered = state; }
  clientInformation() { return this.client; }
  saveClientInformation(client) { this.client = client; }
  tokens() { return this.held; }
  saveTokens(tokens) { this.held = tokens; }
  codeVerifier() { return this.verifier; }
  saveCodeVerifier(verifier) { this.verifier = verifier; }
  redirectToAuthorization(url) { this.destination = url; }
  // The SDK would throw its credentials away and begin again; here that would hide what went wrong.
  invalidateCredentials(what) { throw new Failure(`the server no longer accepts ${what}`); }
}

/** Makes every request of this file and of the SDK, so that a failure can tell all of them; none waits for ever. */
const trace = [];
async function request(url, init = {}) {
  const { method = 'GET' } = init;
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(20_000) });
  const reason = response.ok ? '' : (await response.clone().text()).slice(0, 300);
  trace.push(`${method} ${new URL(url).pathname} ${response.status} ${reason}`);
  return response;
}

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
function unescapeHtml(text) {
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) =>
    hex ? String.fromCodePoint(parseInt(hex, 16)) : decimal ? String.fromCodePoint(+decimal) : (ENTITIES[name] ?? whole));
}

function attributes(tag) {
  const found = {};
  for (const [, name, double, single, bare] of tag.matchAll(/([\w-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?/g)) {
    found[name.toLowerCase()] = unescapeHtml(double ?? single ?? bare ?? '');
  }
  return found;
}

/** The forms of a page with their fields and buttons, as far as this test needs them. */
function forms(html) {
  return [...html.matchAll(/<form\b([^>]*)>(.*?)<\/form>/gis)].map(([, tag, inside]) => {
    const { action = '', method = 'get' } = attributes(tag);
    const inputs = [...inside.matchAll(/<input\b([^>]*)>/gi)].map(([, input]) => attributes(input));
    const pressed = [...inside.matchAll(/<button\b([^>]*)>/gi)].map(([, button]) => attributes(button));
    const isButton = ({ type }) => type === 'submit';
    return { action, method, fields: inputs.filter(input => !isButton(input)), buttons: [...pressed, ...inputs.filter(isButton)] };
  });
}

/** What the person does on a page: signs in, or allows. Gives the form and what is sent. */
function fillIn(page, where) {
  for (const form of forms(page)) {
    const sent = new URLSearchParams();
    const unticked = ({ type, checked }) => (type === 'checkbox' || type === 'radio') && checked === undefined;
    for (const field of form.fields) {
      if (field.name && !unticked(field)) sent.append(field.name, field.value ?? (field.type === 'checkbox' ? 'on' : ''));
    }
    if (form.fields.some(({ type }) => type === 'password')) {
      sent.set('username', username);
      sent.set('password', password);
      return { form, sent };
    }
    const allow = form.buttons.find(({ name, value }) => name === 'decision' && value === 'allow');
    if (allow) {
      sent.append(allow.name, allow.value);
      return { form, sent };
    }
  }
  const title = /<title>(.*?)<\/title>/is.exec(page)?.[1].trim();
  throw new Failure(`${where} ("${title}") has neither a password field nor a button decision=allow:\n${page}`);
}

/** Goes through the pages as a browser would, up to the redirection URI. Gives the parameters that came with it. */
async function signInAndAllow(start) {
  const cookies = new Map();
  let next = { url: new URL(start) };
  for (let pages = 0; pages < MOST_PAGES; pages += 1) {
    const { url, body, origin } = next;
    const headers = { accept: 'text/html' };
    if (cookies.size) headers.cookie = [...cookies].map(pair => pair.join('=')).join('; ');
    if (body) Object.assign(headers, { origin, 'sec-fetch-site': 'same-origin' });
    const response = await request(url, { method: body ? 'POST' : 'GET', body, headers, redirect: 'manual' });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
      if (/;\s*max-age=0\b/i.test(cookie)) cookies.delete(name);
      else cookies.set(name, value);
    }
    const where = `${body ? 'POST' : 'GET'} ${url.pathname}`;
    if (response.status >= 300 && response.status < 400) {
      check([302, 303].includes(response.status), `${where} answered ${response.status}: a browser would send the form again`);
      const location = response.headers.get('location');
      if (location?.startsWith(`${REDIRECT_URI}?`)) return new URL(location).searchParams;
      next = { url: new URL(location, url) };
      check(next.url.origin === url.origin, `${where} leads astray, to ${next.url}`);
      continue;
    }
    const page = await response.text();
    check(response.status === 200, `${where} answered ${response.status}:\n${page}`);
    const { form, sent } = fillIn(page, where);
    const action = new URL(form.action || url, url);
    check(form.method.toLowerCase() === 'post', `${where} has a form that is not posted`);
    check(action.origin === url.origin, `${where} has a form for another site, ${action}`);
    // A page that sends no referrer makes its browser post without an origin.
    const hidesOrigin = response.headers.get('referrer-policy') === 'no-referrer';
    next = { url: action, body: sent, origin: hidesOrigin ? 'null' : url.origin };
  }
  throw new Failure(`no end after ${MOST_PAGES} pages`);
}

async function whoami(token) {
  const response = await request(`${base}/api/whoami`, { headers: { authorization: `Bearer ${token}` } });
  const body = await response.text();
  check(response.status === 200, `GET /api/whoami answered ${response.status} to a fresh token: ${response.headers.get('www-authenticate')} ${body}`);
  return JSON.parse(body);
}

async function main() {
  check(base, 'usage: node client.mjs BASE_URL [USERNAME PASSWORD]');
  const serverUrl = `${base}/api/whoami`;
  const provider = new Provider();

  const refused = await request(serverUrl);
  check(refused.status === 401, `GET /api/whoami without a token answered ${refused.status}`);
  const { resourceMetadataUrl, scope, error } = extractWWWAuthenticateParams(refused);
  check(resourceMetadataUrl, `no resource_metadata in the challenge: ${refused.headers.get('www-authenticate')}`);
  check(!error, `an error code in the answer to a request without a token: ${error}`);

  const options = { serverUrl, resourceMetadataUrl, scope, fetchFn: request };
  check(await auth(provider, options) === 'REDIRECT', 'the SDK did not ask for the browser');
  const { authorizationServerMetadata: metadata, resourceMetadata } = provider.discovered;
  check(resourceMetadata, 'the SDK found no protected resource metadata');
  check(metadata, 'the SDK found no authorization server metadata');
  check(resourceMetadata.authorization_servers[0] === metadata.issuer, 'the resource names an issuer that calls itself otherwise');

  const answer = await signInAndAllow(provider.destination);
  check(answer.get('code'), `no code came back: ${answer}`);
  check(answer.get('state') === provider.expectedState, 'another state came back');
  // The SDK takes the code alone: RFC 9207 is checked here, as MCP asks of clients.
  check(metadata.authorization_response_iss_parameter_supported === true, 'the metadata does not promise iss (RFC 9207)');
  check(answer.get('iss') === metadata.issuer, `iss is ${answer.get('iss')}, the issuer ${metadata.issuer}`);

  check(await auth(provider, { ...options, authorizationCode: answer.get('code') }) === 'AUTHORIZED', 'the code gave no token');
  const first = provider.held;
  const before = await whoami(first.access_token);

  check(first.refresh_token, 'no refresh token came with the access token');
  check(await auth(provider, options) === 'AUTHORIZED', 'the refresh token gave no token');
  check(provider.held.access_token !== first.access_token, 'the refresh gave the same access token');
  const after = await whoami(provider.held.access_token);
  console.log(JSON.stringify({ client_id: provider.client.client_id, before, after }));
}

try {
  await main();
} catch (error) {
  const reason = error instanceof Failure ? error.message : (error.stack ?? String(error));
  const lines = [reason, error.cause, 'requests so far:', ...trace.map(line => `  ${line}`)];
  console.error(lines.filter(line => line !== undefined).join('\n'));
  process.exitCode = 1;
}
