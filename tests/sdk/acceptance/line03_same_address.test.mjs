// One address in two accounts is two people.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthenticationError, ConflictError } from '@snackbase/sdk';
import { as, client, people } from '../world.mjs';

const email = 'both@example.com';
const places = [
  { admin: 'alice', account: 'acme', password: 'First-Horse-7-Battery', role_id: 1, role: 'admin' },
  { admin: 'carol', account: 'globex', password: 'Second-Horse-8-Battery', role_id: 2, role: 'user' },
];

test('the same address in two accounts', async () => {
  for (const { admin, password, role_id } of places) {
    const { users } = as(admin);
    const made = await users.create({ email, password, account_id: people[admin].account.id, role_id });
    await users.verifyEmail(made.id);
    // Once in each account, whatever the case.
    await assert.rejects(users.create({ email: 'BOTH@example.com', password, account_id: people[admin].account.id, role_id }), ConflictError);
  }
  for (const here of places) {
    const session = await client().auth.login({ email, password: here.password, account: here.account });
    assert.deepEqual([session.user.role, session.account.slug], [here.role, here.account]);
    const there = places.find((place) => place !== here);
    await assert.rejects(client().auth.login({ email, password: here.password, account: there.account }), AuthenticationError);
  }
});

test('what happens to one leaves the other alone', async () => {
  const [first, second] = places;
  const { users } = as(first.admin);
  const { items } = await users.list({ search: email });
  assert.equal(items.length, 1);
  const other = await client();
  const session = await other.auth.login({ email, password: second.password, account: second.account });
  await users.setPassword(items[0].id, 'Third-Horse-9-Battery');
  await users.delete(items[0].id);
  await assert.rejects(client().auth.login({ email, password: 'Third-Horse-9-Battery', account: first.account }), AuthenticationError);
  await client().auth.login({ email, password: second.password, account: second.account });
  const me = await client({ getAccessToken: () => session.token }).auth.getCurrentUser();
  assert.equal(me.account_id, people.carol.account.id);
});
