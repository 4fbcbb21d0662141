import assert from 'node:assert/strict';
import { test } from 'node:test';
import { client, password, people } from '../world.mjs';

test('the current user keeps the account in the state', async () => {
  const alice = client();
  await alice.auth.login({ email: 'alice@example.com', password, account: 'acme' });
  const before = { ...alice.account };
  await alice.auth.getCurrentUser();
  assert.equal(alice.account.slug, 'acme');
  assert.equal(alice.account.name, 'Acme');
  assert.deepEqual({ ...alice.account }, before);
  assert.equal(alice.account.id, people.alice.account.id);
  assert.equal(alice.user.email, 'alice@example.com');
  assert.equal(alice.user.role, 'admin');
  assert.equal(alice.isSuperadmin, false);
});
