// The login and the consent page. Whatever a client calls itself is put in as text, never as HTML.

const ENDPOINT = '/auth/authorize';
const interaction = new URLSearchParams(location.search).get('interaction') ?? '';
const $ = id => document.getElementById(id);

function show(id) {
  for (const section of document.querySelectorAll('section')) section.hidden = section.id !== id;
  document.title = $(id).querySelector('h1').textContent;
}

function say(heading, text) {
  $('said').querySelector('h1').textContent = heading;
  $('said').querySelector('p').textContent = text;
  show('said');
}

/** An answer of the server that is no success, in words. */
function explain(status, answer) {
  const words = {
    403: ['Not accepted', 'Somebody else may have signed in meanwhile. Load this page again.'],
    404: ['This request has expired', 'Go back to the application and start again.'],
    409: ['Already answered', 'An answer is final. You can close this page.'],
  };
  say(...(words[status] ?? ['This does not work', answer.error_description ?? 'Try again in a moment.']));
}

async function ask() {
  const headers = { accept: 'application/json' };
  const response = await fetch(`${ENDPOINT}?interaction=${encodeURIComponent(interaction)}`, { headers });
  const pending = await response.json();
  if (!response.ok) return explain(response.status, pending);
  if (pending.next === 'login') return location.replace(pending.login);
  if (pending.next === 'continue') return location.replace(pending.continue);
  render(pending);
}

function render({ client, scope, redirect_uri, device, signed_in, csrf }) {
  $('consent').querySelector('h1').textContent = `May ${client.client_name ?? client.client_id} use your account?`;
  $('stranger').hidden = client.vouched_for;
  $('device').hidden = !device;
  $('code').textContent = device?.user_code ?? '';
  $('where').hidden = !redirect_uri;
  $('address').textContent = redirect_uri ?? '';
  $('person').textContent = signed_in.name ?? signed_in.sub;
  $('scopes').replaceChildren(...scope.map(({ scope, description }) => {
    const [label, box] = [document.createElement('label'), document.createElement('input')];
    Object.assign(box, { type: 'checkbox', name: 'scope', value: scope, checked: true });
    label.append(box, description ?? scope);
    return label;
  }));
  $('consent').querySelector('form').onsubmit = event => {
    event.preventDefault();
    const chosen = new FormData(event.target).getAll('scope').join(' ');
    // Nothing ticked is a no.
    const decision = chosen ? event.submitter.value : 'deny';
    answer(decision === 'allow' ? { interaction, csrf, decision, scope: chosen } : { interaction, csrf, decision });
  };
  show('consent');
}

async function answer(decided) {
  const headers = { 'content-type': 'application/json', accept: 'application/json' };
  const response = await fetch(ENDPOINT, { method: 'POST', headers, body: JSON.stringify(decided) });
  const answered = await response.json();
  if (!response.ok) return explain(response.status, answered);
  if (answered.redirect_to) return location.assign(answered.redirect_to);
  if (answered.status === 'device_connected') return say('Device connected', 'You can go back to it.');
  say('Denied', 'Nothing was given to the device.');
}

if (location.pathname === '/login') {
  $('login').querySelector('form').action = `/session${location.search}`;
  show('login');
} else {
  ask().catch(() => say('This does not work', 'The server cannot be reached. Load this page again.'));
}
