// A published authorization server, for tests/third_party.rs: `node server.mjs PORT API_KEY` listens on 127.0.0.1 and says where.
// API_KEY is the public JWK of a client.
//
// A job gets tokens by client credentials, and an app by a code, for "ada", who is signed in without being asked. Added to the
// provider are POST /rotate, from which on it signs with new keys and publishes those before them too, but none that is older, and
// POST /openid-alone, from which on its metadata is no longer where RFC 8414 puts it.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const [port, apiKey] = process.argv.slice(2);
const notes = 'https://api.example/notes';
const other = 'https://api.example/other';
const jwt = (audience, alg) => ({
  audience, scope: 'notes:read notes:write', accessTokenTTL: 600, accessTokenFormat: 'jwt', jwt: { sign: { alg } },
});
const opaque = (audience) => ({
  audience, scope: 'notes:read notes:write', accessTokenTTL: 600, accessTokenFormat: 'opaque',
});

// What clients ask for (RFC 8707), and whom the token is then meant for.
const resources = {
  'https://api.example/RS256': jwt(notes, 'RS256'),
  'https://api.example/PS256': jwt(notes, 'PS256'),
  'https://api.example/ES256': jwt(notes, 'ES256'),
  'https://api.example/EdDSA': jwt(notes, 'EdDSA'),
  'https://api.example/Ed25519': jwt(notes, 'Ed25519'),
  'https://api.example/ES512': jwt(notes, 'ES512'),
  'https://api.example/list': jwt(notes, 'ES256'),
  'https://api.example/other': jwt(other, 'ES256'),
  'https://api.example/opaque': opaque(notes),
  'https://api.example/opaque/other': opaque(other),
};

const client = (client_id, members) => ({
  client_id, grant_types: [], response_types: [], redirect_uris: [], token_endpoint_auth_method: 'client_secret_basic', ...members,
});
const clients = [
  client('job', { client_secret: 'job-secret', grant_types: ['client_credentials'], scope: 'notes:read notes:write' }),
  client('app', {
    token_endpoint_auth_method: 'none', redirect_uris: ['https://app.example/cb'],
    grant_types: ['authorization_code'], response_types: ['code'], scope: 'openid notes:read',
  }),
  client('api basic', { client_secret: 's3cret+with %/:chars' }),
  client('api-post', { client_secret: 's3cret+with %/:chars', token_endpoint_auth_method: 'client_secret_post' }),
  client('api-key', {
    token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256',
    jwks: { keys: [JSON.parse(apiKey)] },
  }),
];

const configuration = (keys) => ({
  clients,
  jwks: { keys },
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
  cookies: { keys: ['of tests alone'] },
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'Ed25519', 'EdDSA', 'ES512'] },
  scopes: ['openid', 'notes:read', 'notes:write'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo: (_, resource) => resources[resource],
      useGrantedResource: () => true,
    },
    revocation: { enabled: true },
  },
  formats: {
    customizers: {
      jwt(_, token, { payload }) {
        if (token.resourceServer.identifier().endsWith('/list')) payload.aud = [other, payload.aud];
      },
    },
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  async loadExistingGrant(ctx) {
    const { client: { clientId }, provider, session: { accountId } } = ctx.oidc;
    const grant = new provider.Grant({ accountId, clientId });
    grant.addOIDCScope('openid notes:read');
    for (const resource of Object.keys(resources)) grant.addResourceScope(resource, 'notes:read');
    await grant.save();
    return grant;
  },
});

// One key of each kind. The provider names the algorithm where a kind has only one.
const makeKeys = () => [
  ['rsa', { modulusLength: 2048 }],
  ['ec', { namedCurve: 'P-256' }],
  ['ed25519'],
  ['ec', { namedCurve: 'P-521' }],
].map(([kind, options]) => generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' }));

let keys = makeKeys();
let openidAlone = false;
let provider;
let handle;
const server = createServer(async (request, response) => {
  if (request.method === 'POST' && request.url === '/rotate') {
    const made = makeKeys();
    serve([...made, ...keys]);
    keys = made;
    response.end();
  } else if (request.method === 'POST' && request.url === '/openid-alone') {
    openidAlone = true;
    response.end();
  } else if (openidAlone && request.url === '/.well-known/oauth-authorization-server') {
    response.writeHead(404).end();
  } else if (request.url.startsWith('/interaction/')) {
    await provider.interactionFinished(request, response, { login: { accountId: 'ada' } });
  } else {
    handle(request, response);
  }
});

function serve(published) {
  provider = new Provider(`http://127.0.0.1:${server.address().port}`, configuration(published));
  for (const event of ['server_error', 'grant.error', 'introspection.error']) {
    provider.on(event, (_, error) => console.error(event, error.message, error.error_description, error.error_detail));
  }
  handle = provider.callback();
}

server.listen(Number(port), '127.0.0.1', () => {
  serve(keys);
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
