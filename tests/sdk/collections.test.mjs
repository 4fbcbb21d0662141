// `client.collections`: what the contract of collections §7 says the client reads and sends.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthorizationError, ConflictError, NotFoundError, SnackBaseError, ValidationError } from '@snackbase/sdk';
import { as } from './world.mjs';

const root = as('root');

test('create, get, list, names, update, delete', async () => {
  const made = await root.collections.create({
    name: 'parts', list_rule: '', fields: [{ name: 'sku', type: 'text', unique: true }],
  });
  assert.equal(made.fields[0].name, 'sku');
  assert.deepEqual(await root.collections.get(made.id), made);
  assert.ok((await root.collections.listNames()).includes('parts'));
  assert.ok((await root.collections.list()).some((item) => item.name === 'parts' && item.has_public_access));
  const page = await root.collections.listPaginated({ page: 1, page_size: 1, sort_by: 'name', sort_order: 'asc', search: 'PART' });
  assert.equal(page.total, 1);
  assert.equal(page.total_pages, 1);
  assert.equal(page.items[0].record_count, 0);
  assert.equal(page.items[0].field_count, 1);
  const fields = [{ name: 'sku', type: 'text', unique: true }, { name: 'weight', type: 'number', options: { index: true } }];
  const changed = await root.collections.update(made.id, { fields, view_rule: '' });
  assert.equal(changed.fields.length, 2);
  assert.equal((await root.collectionRules.get('parts')).view_rule, '');
  assert.deepEqual(await root.collections.delete(made.id), { success: true });
  await assert.rejects(root.collections.get(made.id), NotFoundError);
  await assert.rejects(root.collections.delete(made.id), NotFoundError);
});

test('refusals have the classes that the client promises', async () => {
  const field = { name: 'a', type: 'text' };
  await assert.rejects(root.collections.create({ name: 'Posts', fields: [field] }), ConflictError);
  await assert.rejects(root.collections.create({ name: 'bad name', fields: [field] }), (error) =>
    error instanceof SnackBaseError && error.status === 400 && error.message.startsWith('Validation failed: name: '));
  await assert.rejects(root.collections.create({ name: 'ab', fields: [field] }), ValidationError);
  for (const call of [
    (client) => client.collections.list(), (client) => client.collections.create({ name: 'mine', fields: [field] }),
    (client) => client.collections.export(), (client) => client.collections.delete('posts'),
  ]) {
    await assert.rejects(call(as('alice')), AuthorizationError);
  }
  await root.collections.create({ name: 'links', fields: [{ name: 'to', type: 'reference', collection: 'posts', on_delete: 'cascade' }] });
  await assert.rejects(root.collections.delete('posts'), ConflictError);
});

test('export and import', async () => {
  const made = await root.collections.create({ name: 'shelves', fields: [{ name: 'label', type: 'text' }], list_rule: '@owns_record()' });
  const file = await root.collections.export({ collection_ids: [made.id] });
  assert.equal(file.version, '1.0');
  assert.deepEqual(file.collections.map((item) => item.name), ['shelves']);
  assert.ok((await root.collections.export()).collections.length > 1);
  // A conflict is an answer, not an error.
  const conflict = await root.collections.import({ data: file, strategy: 'error' });
  assert.equal(conflict.success, false);
  assert.deepEqual(conflict.collections.map((item) => item.status), ['error']);
  assert.equal((await root.collections.import({ data: file, strategy: 'skip' })).skipped_count, 1);
  await root.collections.delete(made.id);
  const done = await root.collections.import({ data: file });
  assert.equal(done.imported_count, 1);
  assert.equal(done.migrations_created.length, 1);
  assert.equal((await root.collectionRules.get('shelves')).list_rule, '@owns_record()');
  file.collections[0].schema.push({ ...file.collections[0].schema[0], name: 'height', type: 'number' });
  assert.equal((await root.collections.import({ data: file, strategy: 'update' })).updated_count, 1);
});

test('migrations', async () => {
  const list = await root.migrations.list();
  assert.ok(list.total >= 1);
  assert.equal(list.currentRevision, list.revisions[0].revision);
  assert.equal(list.revisions[0].isApplied, true);
  const current = await root.migrations.getCurrent();
  assert.equal(current.revision, list.currentRevision);
  assert.equal(current.isDynamic, true);
  const history = await root.migrations.getHistory();
  assert.equal(history.total, list.total);
  assert.equal(history.history.at(-1).revision, current.revision);
});
