import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AuthenticationError, ConflictError, EmailVerificationRequiredError, SnackBaseError,
} from '@snackbase/sdk';
import { as, client, password, people } from './world.mjs';

const account = (name) => people[name].account;

test('register, confirm, log in', async () => {
  const frank = client();
  const made = await frank.auth.register({ email: 'frank@example.com', password, account_name: 'Frank and Sons' });
  assert.equal(made.account.slug, 'frank-and-sons');
  assert.equal(frank.isAuthenticated, false);
  const credentials = { email: 'frank@example.com', password, account: 'frank-and-sons' };
  await assert.rejects(frank.auth.login(credentials), EmailVerificationRequiredError);
  await as('root').users.verifyEmail(made.user.id);
  const session = await frank.auth.login(credentials);
  assert.equal(session.user.email, 'frank@example.com');
  assert.equal(frank.isAuthenticated, true);
  assert.equal(frank.isSuperadmin, false);
  assert.equal(frank.account.slug, 'frank-and-sons');
});

test('the superadmin is one right after login, under every name of the system account', async () => {
  for (const name of ['system', 'SY0000', '00000000-0000-0000-0000-000000000000']) {
    const root = client();
    await root.auth.login({ email: 'root@example.com', password, account: name });
    assert.equal(root.isSuperadmin, true, name);
  }
});

test('a taken account name is a conflict', async () => {
  const attempt = client().auth.register({ email: 'g@example.com', password, account_name: 'Acme' });
  await assert.rejects(attempt, (error) => error instanceof ConflictError && error.status === 409);
});

test('a weak password names its field', async () => {
  const attempt = client().auth.register({ email: 'g@example.com', password: 'short', account_name: 'Weak' });
  await assert.rejects(attempt, (error) => error instanceof SnackBaseError && error.status === 400);
});

test('a wrong password is an authentication error and nothing else', async () => {
  const attempt = client().auth.login({ email: 'alice@example.com', password: 'Wrong-Horse-7', account: 'acme' });
  await assert.rejects(attempt, (error) =>
    error instanceof AuthenticationError && !(error instanceof EmailVerificationRequiredError)
    && error.message === 'Invalid credentials');
});

test('the current user keeps account slug and name', async () => {
  const alice = client();
  await alice.auth.login({ email: 'alice@example.com', password, account: 'acme' });
  await alice.auth.getCurrentUser();
  assert.equal(alice.account.slug, 'acme');
  assert.equal(alice.account.name, 'Acme');
  assert.equal(alice.user.email, 'alice@example.com');
  assert.equal(alice.account.id, account('alice').id);
});

test('refresh renews the session, logout ends it', async () => {
  const alice = client();
  const first = await alice.auth.login({ email: 'alice@example.com', password, account: 'acme' });
  await alice.auth.refreshToken();
  await alice.auth.getCurrentUser();
  assert.deepEqual(await alice.auth.logout(), { success: true });
  assert.equal(alice.isAuthenticated, false);
  const stale = client({ getAccessToken: () => first.token });
  await assert.rejects(stale.records.list('posts'), AuthenticationError);
});
