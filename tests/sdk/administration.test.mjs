import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthorizationError, ConflictError } from '@snackbase/sdk';
import { as, people } from './world.mjs';

const root = as('root');

test('rules', async () => {
  const rules = await root.collectionRules.get('posts');
  assert.equal(rules.create_rule, '');
  const changed = await root.collectionRules.update('posts', { delete_rule: '@owns_record()' });
  assert.equal(changed.delete_rule, '@owns_record()');
  await assert.rejects(root.collectionRules.update('posts', { list_rule: 'nothing = 1' }), (error) =>
    error.status === 400 && error.message.startsWith('Invalid list_rule'));
});

test('macros', async () => {
  const made = await root.macros.create({ name: 'is_mine', sql_query: 'SELECT :who = @request.auth.id', parameters: ['who'] });
  assert.equal((await root.macros.get(made.id)).name, 'is_mine');
  const listed = await as('alice').macros.list();
  assert.ok((listed.items ?? listed).some((macro) => macro.name === 'is_mine'));
  const changed = await root.macros.update(made.id, { description: 'asks for the caller' });
  assert.equal(changed.sql_query, made.sql_query);
  const run = await root.macros.test(made.id, [people.root.user.id]);
  assert.deepEqual([run.result, run.rows_affected], ['true', 0]);
  await root.collectionRules.update('posts', { delete_rule: '@is_mine(created_by)' });
  await assert.rejects(root.macros.delete(made.id), (error) =>
    error instanceof ConflictError && error.message === "Cannot delete macro 'is_mine': it is used in 1 collection rule(s)");
  await root.collectionRules.update('posts', { delete_rule: null });
  await root.macros.delete(made.id);
  await assert.rejects(as('alice').macros.create({ name: 'x', sql_query: 'true' }), AuthorizationError);
});

test('roles and their permissions', async () => {
  const made = await root.roles.create({ name: 'auditor', description: 'reads' });
  assert.ok((await root.roles.list()).items.some((role) => role.name === 'auditor'));
  assert.equal((await root.roles.update(made.id, { name: 'reader' })).name, 'reader');
  assert.equal((await root.roles.get(made.id)).description, 'reads');
  await assert.rejects(root.roles.create({ name: 'admin' }), ConflictError);
  const done = await root.roles.updatePermissionsBulk(made.id, {
    updates: [{ collection: 'posts', operation: 'read', rule: '@owns_record()', fields: '*' }],
  });
  assert.deepEqual([done.success_count, done.failure_count], [1, 0]);
  const [entry] = (await root.roles.getPermissions(made.id)).permissions;
  assert.equal(entry.read.rule, '@owns_record()');
  assert.ok((await root.roles.getPermissionsMatrix(made.id)).permissions.some((one) => one.collection === 'posts'));
  await root.roles.deletePermission(entry.permission_id);
  assert.deepEqual((await root.roles.getPermissions(made.id)).permissions, []);
  assert.equal((await root.roles.validateRule('title = = 1')).valid, false);
  assert.equal((await root.roles.testRule('title = "a"', { title: 'a' })).allowed, true);
  await root.roles.delete(made.id);
});

test('rules before they are saved', async () => {
  assert.equal((await root.collectionRules.validateRule('title = "a"', 'list', ['title'])).valid, true);
  const bad = await root.collectionRules.validateRule('nosuch = 1', 'list', ['title']);
  assert.ok(!bad.valid && bad.errors[0].includes('nosuch'));
  assert.equal((await root.collectionRules.testRule('title = "a"', { record: { title: 'a' } })).result, true);
});

test('accounts and users', async () => {
  const made = await root.accounts.create({ name: 'Umbrella' });
  assert.match(made.account_code, /^[A-Z]{2}[0-9]{4}$/);
  assert.equal((await root.accounts.get(made.id)).slug, 'umbrella');
  assert.ok((await root.accounts.list({ search: 'umbr' })).items.length === 1);
  const user = await root.users.create({
    email: 'hugo@example.com', password: 'Correct-Horse-7-Battery', account_id: made.id, role_id: 1,
  });
  assert.equal(user.role, 'admin');
  await root.users.verifyEmail(user.id);
});

test('audit logs', async () => {
  const post = await as('alice').records.create('posts', { title: 'audited' });
  const page = await root.auditLogs.list({ table_name: 'col_posts', record_id: post.id, limit: 50 });
  assert.equal(page.total, page.items.length);
  assert.equal(page.audit_logging_enabled, true);
  const title = page.items.find((entry) => entry.column_name === 'title');
  assert.equal(title.new_value, 'audited');
  assert.equal(title.user_id, people.alice.user.id);
  assert.equal((await root.auditLogs.get(title.id)).checksum, title.checksum);
  await assert.rejects(as('bob').auditLogs.list(), AuthorizationError);
  // an admin reads the trail of her own account
  const hers = await as('alice').auditLogs.list({ table_name: 'col_posts', record_id: post.id });
  assert.deepEqual(hers.items, page.items);
  // as an application does it: the filters of the list on the screen
  const filters = { table_name: 'col_posts', record_id: post.id, skip: 0, limit: 2, sort_by: 'occurred_at', sort_order: 'asc' };
  const exported = await root.auditLogs.export(filters);
  assert.equal(exported.length, page.total);
  assert.ok(exported.some((entry) => entry.column_name === 'title' && entry.new_value === 'audited'));
  const csv = await root.auditLogs.export(filters, 'csv');
  assert.equal(csv.trim().split('\r\n').length, page.total + 1);
  const pdf = Buffer.from(await root.auditLogs.export(filters, 'pdf'), 'base64');
  assert.equal(pdf.subarray(0, 5).toString(), '%PDF-');
  await assert.rejects(as('bob').auditLogs.export({}), AuthorizationError);
});
