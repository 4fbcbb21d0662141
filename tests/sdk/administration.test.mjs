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
  await assert.rejects(as('alice').auditLogs.list(), AuthorizationError);
});
