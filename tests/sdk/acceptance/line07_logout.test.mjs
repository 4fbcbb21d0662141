import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthenticationError } from '@snackbase/sdk';
import { client, password, url } from '../world.mjs';

const refresh = (token) => fetch(`${url}/api/v1/auth/refresh`, {
  method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ refresh_token: token }),
});

test('after logout both tokens are refused', async () => {
  const alice = client();
  const session = await alice.auth.login({ email: 'alice@example.com', password, account: 'acme' });
  const other = await client().auth.login({ email: 'alice@example.com', password, account: 'acme' });
  assert.deepEqual(await alice.auth.logout(), { success: true });
  assert.equal(alice.isAuthenticated, false);
  const stale = client({ getAccessToken: () => session.token });
  await assert.rejects(stale.records.list('posts'), AuthenticationError);
  await assert.rejects(stale.auth.getCurrentUser(), AuthenticationError);
  assert.equal((await refresh(session.refresh_token)).status, 401);
  // Another session of the same user goes on.
  assert.equal((await refresh(other.refresh_token)).status, 200);
});
