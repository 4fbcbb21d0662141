// A superadmin under every name of the system account: one directly after login, and in fact, not in name alone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthenticationError, AuthorizationError } from '@snackbase/sdk';
import { client, password, people } from '../world.mjs';

const email = 'root@example.com';
const NIL = '00000000-0000-0000-0000-000000000000';

for (const account of ['system', 'SY0000', 'sy0000', NIL]) {
  test(`as ${account}`, async () => {
    const root = client();
    assert.equal(root.isSuperadmin, false);
    const session = await root.auth.login({ email, password, account });
    assert.equal(root.isSuperadmin, true);
    assert.equal(root.isAuthenticated, true);
    assert.deepEqual([session.user.account_id, session.account.slug], [NIL, 'system']);
    assert.equal((await root.accounts.get(people.alice.account.id)).name, 'Acme');
    assert.ok((await root.users.list({ account_id: people.carol.account.id })).total >= 1);
  });
}

test('nobody else is one', async () => {
  const alice = client();
  await alice.auth.login({ email: 'alice@example.com', password, account: 'acme' });
  assert.equal(alice.isSuperadmin, false);
  await assert.rejects(alice.accounts.list(), AuthorizationError);
  // Her password opens no account of superadmins, nor does the superadmin's open hers.
  await assert.rejects(client().auth.login({ email: 'alice@example.com', password, account: 'system' }), AuthenticationError);
  await assert.rejects(client().auth.login({ email, password, account: 'acme' }), AuthenticationError);
});
