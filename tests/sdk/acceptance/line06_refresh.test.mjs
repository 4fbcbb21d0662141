import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthenticationError } from '@snackbase/sdk';
import { client, password } from '../world.mjs';

test('refresh rotates both tokens', async () => {
  const alice = client();
  const first = await alice.auth.login({ email: 'alice@example.com', password, account: 'acme' });
  const second = await alice.auth.refreshToken();
  assert.notEqual(second.token, first.token);
  assert.notEqual(second.refresh_token, first.refresh_token);
  await alice.auth.getCurrentUser();
  const third = await alice.auth.refreshToken();
  assert.notEqual(third.refresh_token, second.refresh_token);
  await alice.auth.getCurrentUser();
});

test('two clients with one token: one is refused', async () => {
  const alice = client();
  await alice.auth.login({ email: 'alice@example.com', password, account: 'acme' });
  const outcomes = await Promise.allSettled([alice.auth.refreshToken(), alice.auth.refreshToken(), alice.auth.refreshToken()]);
  assert.equal(outcomes.filter((one) => one.status === 'fulfilled').length, 1);
  for (const one of outcomes.filter((outcome) => outcome.status === 'rejected')) {
    assert.ok(one.reason instanceof AuthenticationError, one.reason);
  }
});
