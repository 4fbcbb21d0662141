// accounts.*, users.* and groups.* of the published client, by a superadmin, an administrator and a user.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthenticationError, AuthorizationError, ConflictError, NotFoundError, SnackBaseError, ValidationError } from '@snackbase/sdk';
import { as, client, password, people } from './world.mjs';

const root = as('root');
const alice = as('alice');
const bob = as('bob');
const acme = people.alice.account.id;
const nowhere = '11111111-2222-3333-4444-555555555555';

test('accounts from creation to deletion', async () => {
  const made = await root.accounts.create({ name: 'Umbrella Corp', slug: 'umbrella-inc' });
  assert.match(made.account_code, /^[A-Z]{2}[0-9]{4}$/);
  assert.deepEqual([made.slug, made.user_count, made.collections_used], ['umbrella-inc', 0, []]);
  for (const name of [made.id, made.slug, made.account_code]) {
    assert.equal((await root.accounts.get(name)).id, made.id);
  }
  await assert.rejects(root.accounts.create({ name: 'x', slug: 'umbrella-inc' }), ValidationError);
  await assert.rejects(root.accounts.create({ name: 'x', slug: 'Bad Slug' }), ValidationError);
  assert.equal((await root.accounts.update(made.id, { name: 'Umbrella' })).name, 'Umbrella');
  const page = await root.accounts.list({ search: 'umbr', page: 1, page_size: 1, sort_by: 'name', sort_order: 'asc' });
  assert.deepEqual([page.total, page.items[0].status, page.items[0].name], [1, 'active', 'Umbrella']);
  const user = await root.users.create({ email: 'hugo@example.com', password, account_id: made.id, role_id: 1 });
  const users = await root.accounts.getUsers(made.id, { page: 1, page_size: 10 });
  assert.deepEqual([users.total, users.items[0].email, users.items[0].role], [1, 'hugo@example.com', 'admin']);
  assert.deepEqual(await root.accounts.delete(made.id), { success: true });
  await assert.rejects(root.accounts.get(made.id), NotFoundError);
  await assert.rejects(root.users.get(user.id), NotFoundError);
  await assert.rejects(root.accounts.delete('system'), ValidationError);
  await assert.rejects(alice.accounts.list(), AuthorizationError);
});

test('users from creation to deactivation', async () => {
  const made = await alice.users.create({ email: 'ida@example.com', password, account_id: acme, role_id: 2 });
  assert.deepEqual([made.role, made.account_id, made.groups, made.is_active, made.email_verified], ['user', acme, [], true, false]);
  assert.equal((await alice.users.get(made.id)).email, 'ida@example.com');
  await assert.rejects(alice.users.create({ email: 'IDA@example.com', password, account_id: acme, role_id: 2 }), (error) =>
    error instanceof ConflictError && error.status === 409);
  await assert.rejects(alice.users.create({ email: 'x@example.com', password: 'short', account_id: acme, role_id: 2 }), (error) =>
    error instanceof SnackBaseError && error.status === 400);
  await assert.rejects(alice.users.create({ email: 'x@example.com', password, account_id: people.carol.account.id, role_id: 2 }), AuthorizationError);
  await assert.rejects(alice.users.create({ email: 'no address', password, account_id: acme, role_id: 2 }), (error) =>
    error instanceof ValidationError && 'email' in error.fields);

  const credentials = { email: 'ida@example.com', password, account: 'acme' };
  assert.ok((await alice.users.resendVerification(made.id)).message);
  assert.ok((await alice.users.verifyEmail(made.id)).message);
  assert.ok((await alice.users.verifyEmail(made.id)).message);
  await assert.rejects(alice.users.resendVerification(made.id), (error) => error.status === 400);
  await client().auth.login(credentials);

  assert.deepEqual([(await alice.users.update(made.id, { role: 'admin' })).role, (await alice.users.update(made.id, { role_id: 2 })).role], ['admin', 'user']);
  assert.deepEqual(await alice.users.setPassword(made.id, 'Another-Horse-8-Battery'), { success: true });
  await assert.rejects(client().auth.login(credentials), AuthenticationError);
  await client().auth.login({ ...credentials, password: 'Another-Horse-8-Battery' });
  assert.ok((await alice.users.resetPassword(made.id, { send_reset_link: true })).message);
  await assert.rejects(alice.users.resetPassword(made.id, {}), ValidationError);

  assert.deepEqual(await alice.users.delete(made.id), { success: true });
  assert.equal((await alice.users.get(made.id)).is_active, false);
  assert.equal((await alice.users.list({ is_active: false })).items[0].id, made.id);
  for (const attempt of [
    () => alice.users.get(people.carol.user.id),
    () => alice.users.update(people.root.user.id, { is_active: false }),
    () => alice.users.delete(nowhere),
    () => alice.users.setPassword(people.carol.user.id, 'Another-Horse-8-Battery'),
  ]) {
    await assert.rejects(attempt(), NotFoundError);
  }
  await assert.rejects(alice.users.update(people.alice.user.id, { role: 'user' }), AuthorizationError);
  await assert.rejects(bob.users.list(), AuthorizationError);
});

test('lists of users in both ways of paging', async () => {
  const names = async (params) => (await root.users.list(params)).items.map((user) => user.email);
  const account_id = acme;
  const all = await names({ account_id, sort: 'email', limit: 100 });
  assert.deepEqual(all, [...all].sort());
  assert.deepEqual(await names({ account_id, sort_by: 'email', sort_order: 'asc', page: 1, page_size: 100 }), all);
  assert.deepEqual(await names({ account_id, sort: '-email', limit: 100 }), [...all].reverse());
  assert.deepEqual(await names({ account_id, sort: 'email', skip: 1, limit: 1 }), [all[1]]);
  assert.deepEqual(await names({ account_id, sort_by: 'email', sort_order: 'asc', page: 2, page_size: 1 }), [all[1]]);
  assert.deepEqual(await names({ account_id, search: 'ALICE' }), ['alice@example.com']);
  assert.deepEqual(await names({ account_id, search: '%' }), []);
  await assert.rejects(root.users.list({ sort: 'password_hash' }), ValidationError);
});

test('groups and their members', async () => {
  const made = await alice.groups.create({ name: 'editors', description: 'edit' });
  assert.deepEqual([made.account_id, made.is_system, made.description], [acme, false, 'edit']);
  await assert.rejects(alice.groups.create({ name: 'editors' }), ConflictError);
  assert.equal((await alice.groups.update(made.id, { name: 'writers' })).name, 'writers');
  assert.deepEqual(await alice.groups.addMember(made.id, people.bob.user.id), { success: true });
  await assert.rejects(alice.groups.addMember(made.id, people.bob.user.id), ConflictError);
  await assert.rejects(alice.groups.addMember(made.id, people.carol.user.id), NotFoundError);
  const seen = await bob.groups.get(made.id);
  assert.deepEqual([seen.member_count, seen.users.map((user) => user.email)], [1, ['bob@example.com']]);
  assert.deepEqual((await bob.auth.getCurrentUser()).user.groups, ['writers']);
  const list = await bob.groups.list({ page: 1, page_size: 10, search: 'write' });
  assert.deepEqual([list.total, list.items[0].id], [1, made.id]);
  const [pii] = (await bob.groups.list({ search: 'pii' })).items;
  assert.equal(pii.is_system, true);
  await assert.rejects(alice.groups.delete(pii.id), ValidationError);
  await assert.rejects(bob.groups.addMember(pii.id, people.bob.user.id), AuthorizationError);
  await assert.rejects(bob.groups.create({ name: 'mine' }), AuthorizationError);
  for (let time = 0; time < 2; time += 1) {
    assert.deepEqual(await alice.groups.removeMember(made.id, people.bob.user.id), { success: true });
  }
  assert.deepEqual(await alice.groups.delete(made.id), { success: true });
  await assert.rejects(alice.groups.get(made.id), NotFoundError);
  assert.ok((await root.groups.list()).items.some((group) => group.account_id === people.carol.account.id));
});

test('a role that is in use', async () => {
  const role = await root.roles.create({ name: 'editor' });
  await root.users.update(people.bob.user.id, { role: 'editor' });
  await assert.rejects(root.roles.delete(role.id), ConflictError);
  await root.users.update(people.bob.user.id, { role: 'user' });
  await root.roles.delete(role.id);
});
