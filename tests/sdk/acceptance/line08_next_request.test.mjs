// What an administrator does to a user is true of the user's next request.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthenticationError, AuthorizationError } from '@snackbase/sdk';
import { as, client, password, people } from '../world.mjs';

const alice = as('alice');
const account = 'acme';

async function newcomer(name) {
  const email = `${name}@example.com`;
  const made = await alice.users.create({ email, password, account_id: people.alice.account.id, role_id: 2 });
  await alice.users.verifyEmail(made.id);
  const session = await client().auth.login({ email, password, account });
  return { id: made.id, email, api: client({ getAccessToken: () => session.token }) };
}

test('another role', async () => {
  const { id, api } = await newcomer('dora');
  await assert.rejects(api.users.list(), AuthorizationError);
  await alice.users.update(id, { role: 'admin' });
  assert.ok((await api.users.list()).total >= 3);
  assert.equal((await api.auth.getCurrentUser()).role, 'admin');
  await alice.users.update(id, { role: 'user' });
  await assert.rejects(api.users.list(), AuthorizationError);
});

test('deactivated', async () => {
  const { id, email, api } = await newcomer('emil');
  await api.records.list('posts');
  await alice.users.delete(id);
  await assert.rejects(api.records.list('posts'), AuthenticationError);
  await assert.rejects(client().auth.login({ email, password, account }), AuthenticationError);
  await alice.users.update(id, { is_active: true });
  await assert.rejects(api.records.list('posts'), AuthenticationError);
  await client().auth.login({ email, password, account });
});

test('another password', async () => {
  const { id, email, api } = await newcomer('fred');
  await alice.users.setPassword(id, 'Another-Horse-8-Battery');
  await assert.rejects(api.auth.getCurrentUser(), AuthenticationError);
  await assert.rejects(client().auth.login({ email, password, account }), AuthenticationError);
  await client().auth.login({ email, password: 'Another-Horse-8-Battery', account });
});
