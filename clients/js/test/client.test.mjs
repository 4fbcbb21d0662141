// What is put on the wire. The SDK is the real one, only the network is not.
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import * as sdk from '@snackbase/sdk';
import * as ours from '@snackbase/postgres-client';

const sent = [];
globalThis.fetch = async (url, { method, headers, body }) => {
  const { pathname, searchParams } = new URL(url);
  sent.push({ method, path: pathname, query: Object.fromEntries(searchParams), headers, body });
  return new Response('{"items":[],"total":0}', { headers: { 'content-type': 'application/json' } });
};
beforeEach(() => sent.splice(0));

const quiet = { maxRetries: 0, storageBackend: 'memory', enableAutoRefresh: false, logLevel: 'error' };
const client = (options) => new ours.SnackBaseClient({ url: 'http://127.0.0.1:1', ...quiet, ...options });

test('everything of the SDK is exported, and the client is one of its clients', () => {
  for (const name of Object.keys(sdk)) {
    assert.ok(name in ours, name);
    if (name !== 'SnackBaseClient') assert.equal(ours[name], sdk[name], name);
  }
  assert.ok(client() instanceof sdk.SnackBaseClient);
  assert.throws(() => new ours.SnackBaseClient({}), /baseUrl is required/);
});

test('lists', async () => {
  const sb = client({ token: 'abc' });
  await sb.records.list('products', { filter: { active: true }, sort: ['-created_at', 'name'], perPage: 20, page: 3 });
  assert.deepEqual(sent, [{
    method: 'GET', path: '/api/v1/records/products', headers: { Authorization: 'Bearer abc' }, body: undefined,
    query: { skip: '40', limit: '20', sort: '-created_at,name', filter: '{"active":true}' },
  }]);
  await sb.records.list('products');
  assert.deepEqual(sent[1].query, {});
});

test('a token that changes is read anew for each request', async () => {
  let token = 'first';
  const sb = client({ token: () => token });
  await sb.records.get('a', '1');
  token = 'second';
  await sb.records.get('a', '1');
  assert.deepEqual(sent.map((request) => request.headers.Authorization), ['Bearer first', 'Bearer second']);
});

test('nobody names an account', async () => {
  await client({ accountId: 'acme' }).records.list('a');
  assert.deepEqual(sent[0].headers, { 'X-Account-ID': 'acme' });
});

test('aggregations', async () => {
  await client().records.aggregate('orders', { functions: 'count()', filter: { quantity: { $gt: 1 } } });
  assert.deepEqual([sent[0].path, sent[0].query],
    ['/api/v1/records/orders/aggregate', { functions: 'count()', filter: '{"quantity":{"$gt":1}}' }]);
});

test('everything else is the SDK\'s own', async () => {
  const { records } = client();
  assert.equal(client().records.batchCreate, Object.getPrototypeOf(records).batchCreate);
  await records.query('a').select(['id']).filter('status', '=', 'x').sort('name', 'desc').page(2, 10).get();
  assert.deepEqual(sent[0].query, { skip: '10', limit: '10', sort: '-name', fields: 'id', filter: "status = 'x'" });
  await records.batchDelete('a', ['1']);
  assert.deepEqual([sent[1].method, sent[1].path, sent[1].body], ['DELETE', '/api/v1/records/a/batch', '{"ids":["1"]}']);
  await records.create('a', { b: 1 });
  assert.deepEqual([sent[2].method, sent[2].body], ['POST', '{"b":1}']);
  const sb = client();
  assert.equal(sb.records, sb.records);
});
