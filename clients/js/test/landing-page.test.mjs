// The snippet of the landing page, unchanged, against a running gateway: tests/sdk/mod.rs starts one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SnackBaseClient } from '@snackbase/postgres-client';

const url = process.env.SNACKBASE_URL;
const people = JSON.parse(process.env.SNACKBASE_PEOPLE);
const quiet = { maxRetries: 0, storageBackend: 'memory', enableAutoRefresh: false, logLevel: 'error' };
const as = (name) => new SnackBaseClient({ url, token: people[name].token, ...quiet });

const open = { list_rule: '', view_rule: '', create_rule: '', update_rule: '', delete_rule: '' };
await as('root').collections.create({
  name: 'products', fields: [{ name: 'name', type: 'text' }, { name: 'active', type: 'boolean' }], ...open,
});
await as('root').collections.create({
  name: 'orders',
  fields: [
    { name: 'product_id', type: 'reference', collection: 'products', on_delete: 'restrict', required: true },
    { name: 'quantity', type: 'number' },
  ],
  ...open,
});
const products = [];
for (let number = 1; number <= 30; number += 1) {
  products.push(await as('bob').records.create('products', { name: `p${number}`, active: number % 6 !== 0 }));
}
// Another account's rows are neither listed nor counted.
await as('carol').records.create('products', { name: 'foreign', active: true });

test('the snippet of the landing page runs as it stands there', async () => {
  // What the page leaves to its reader.
  Object.assign(globalThis, { url, token: people.alice.token, product_id: products[0].id, quantity: 3 });
  const exchanges = [];
  const { fetch } = globalThis;
  globalThis.fetch = async (address, options) => {
    const response = await fetch(address, options);
    exchanges.push({ method: options.method, address: new URL(address), status: response.status, body: await response.clone().json() });
    return response;
  };
  try {
    await import('./landing-page.mjs');
  } finally {
    globalThis.fetch = fetch;
  }
  assert.equal(exchanges.length, 2);
  const [list, create] = exchanges;
  assert.equal(list.status, 200);
  assert.deepEqual(Object.fromEntries(list.address.searchParams), { limit: '20', sort: '-created_at', filter: '{"active":true}' });
  assert.equal(list.body.total, 25);
  const newest = products.filter((product) => product.active).reverse().slice(0, 20).map((product) => product.name);
  assert.deepEqual(list.body.items.map((item) => item.name), newest);

  assert.equal(create.status, 201);
  const { items: orders } = await as('bob').records.list('orders', { filter: { product_id: products[0].id } });
  assert.deepEqual(orders.map((order) => [order.id, order.quantity]), [[create.body.id, 3]]);
  const trail = await as('root').auditLogs.list({ table_name: 'col_orders', record_id: create.body.id });
  assert.ok(trail.items.length > 0 && trail.items.every((entry) => entry.user_id === people.alice.user.id));
});

test('filters as objects select what the same expression selects', async () => {
  const { records } = as('alice');
  for (const [object, expression] of [
    [{ active: true }, 'active = true'],
    [{ active: false }, 'active = false'],
    [{ name: ['p1', 'p6', 'nothing'] }, 'name IN ("p1", "p6", "nothing")'],
    [{ name: [] }, 'name = "nothing"'],
    [{ active: null }, 'active IS NULL'],
    [{ $or: [{ name: 'p1' }, { active: false, name: { $gte: 'p3' } }] }, 'name = "p1" || (active = false && name >= "p3")'],
    [{ $not: { active: true } }, '!(active = true)'],
    [{ field: 'name', operator: '~', value: 'p2%' }, 'name ~ "p2%"'],
    [{ created_at: { $lte: new Date(products[9].created_at) } }, `created_at <= "${new Date(products[9].created_at).toISOString()}"`],
    [{ name: 'it\'s "quoted" \\' }, 'name = "nothing"'],
    [{}, undefined],
  ]) {
    const [ours, theirs] = await Promise.all([object, expression].map((filter) => records.list('products', { filter, sort: 'name' })));
    assert.deepEqual(ours, theirs, JSON.stringify(object));
  }
});

test('pages by number follow each other', async () => {
  const { records } = as('alice');
  const names = [];
  for (let page = 1; page <= 4; page += 1) {
    const { items, total } = await records.list('products', { sort: ['-active', 'name'], page, perPage: 9 });
    assert.equal(total, 30);
    names.push(...items.map((item) => item.name));
  }
  const inOrder = [...products].sort((a, b) => b.active - a.active || (a.name < b.name ? -1 : 1));
  assert.deepEqual(names, inOrder.map((product) => product.name));
});

test('a reference into another account is refused', async () => {
  const [foreign] = (await as('carol').records.list('products')).items;
  await assert.rejects(as('alice').records.create('orders', { product_id: foreign.id, quantity: 1 }), (error) =>
    error.status === 400 && error.details.details[0].code === 'invalid_reference');
});
