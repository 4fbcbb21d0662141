import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aggregateParams, clientOptions, filterText, listParams } from '../mapping.js';

test('url and token', () => {
  const { baseUrl, getAccessToken, ...rest } = clientOptions({ url: 'http://h', token: 'abc', timeout: 5 });
  assert.deepEqual([baseUrl, getAccessToken(), rest], ['http://h', 'abc', { timeout: 5 }]);
  const current = () => 'later';
  assert.equal(clientOptions({ url: 'http://h', token: current }).getAccessToken, current);
  for (const options of [{ url: 'http://h' }, { url: 'http://h', token: null }, { url: 'http://h', token: undefined }]) {
    assert.deepEqual(clientOptions(options), { baseUrl: 'http://h' });
  }
  assert.throws(() => clientOptions({ url: 'http://h', token: 5 }), TypeError);
  assert.throws(() => clientOptions({ url: 'http://h', token: Promise.resolve('abc') }), TypeError);
});

test('the names of the SDK win and pass', () => {
  const own = () => 'own';
  const options = { baseUrl: 'http://own', getAccessToken: own, accountId: 'acme' };
  assert.deepEqual(clientOptions({ url: 'http://other', token: 'other', ...options }), options);
  assert.deepEqual(clientOptions(options), options);
  assert.deepEqual(clientOptions(), {});
  const params = { skip: 5, limit: 7, sort: '-a', fields: ['x'], expand: 'y', filter: 'a = 1', cursor: '', include_count: true };
  assert.deepEqual(listParams(params), params);
  assert.equal(listParams(undefined), undefined);
});

test('the options of the caller stay as they were', () => {
  const params = Object.freeze({ filter: Object.freeze({ a: 1 }), sort: Object.freeze(['a']), page: 2, perPage: 5 });
  listParams(params);
  aggregateParams(params);
  clientOptions(Object.freeze({ url: 'http://h', token: 'abc' }));
});

test('filters', () => {
  for (const [filter, text] of [
    [{ active: true }, '{"active":true}'],
    [{ status: 'published', rating: { $gt: 4 } }, '{"status":"published","rating":{"$gt":4}}'],
    [{ $or: [{ a: null }, { b: ['x', 'y'] }] }, '{"$or":[{"a":null},{"b":["x","y"]}]}'],
    [{ field: 'a', operator: '=', value: 1 }, '{"field":"a","operator":"=","value":1}'],
    [{ day: { $gte: new Date(0) } }, '{"day":{"$gte":"1970-01-01T00:00:00.000Z"}}'],
    [Object.assign(Object.create(null), { a: 1 }), '{"a":1}'],
    [{}, '{}'],
    ['a = 1', 'a = 1'],
    [undefined, undefined],
  ]) {
    assert.equal(filterText(filter), text);
    assert.equal(listParams({ filter }).filter, text);
    assert.equal(aggregateParams({ functions: 'count()', filter }).filter, text);
  }
});

test('a filter that JSON cannot say is an error and not another filter', () => {
  const holes = [1, 2];
  delete holes[0];
  for (const value of [
    undefined, NaN, Infinity, -Infinity, () => 1, Symbol('x'), 10n, new Date('nonsense'), new Map([['a', 1]]), new Set([1]),
    /x/, new (class Query {})(), holes, [undefined],
  ]) {
    for (const filter of [{ a: value }, { a: { $eq: value } }, { $and: [{ a: value }] }]) {
      assert.throws(() => listParams({ filter }), (error) =>
        error instanceof TypeError && /^filter\..*a.* cannot be part of a filter/.test(error.message), String(value));
    }
  }
  for (const filter of [new Map([['a', 1]]), new Date(), new (class Query {})()]) {
    assert.throws(() => listParams({ filter }), TypeError);
  }
});

test('sorts', () => {
  assert.equal(listParams({ sort: ['-created_at', 'name'] }).sort, '-created_at,name');
  assert.equal(listParams({ sort: ['-created_at'] }).sort, '-created_at');
  assert.equal(listParams({ sort: [] }).sort, undefined);
});

test('pages', () => {
  for (const [params, skip, limit] of [
    [{ perPage: 20 }, undefined, 20],
    [{ per_page: 20 }, undefined, 20],
    [{ page: 3, perPage: 20 }, 40, 20],
    [{ page: 3, limit: 5, perPage: 20 }, 10, 5],
    [{ page: 2 }, 30, undefined],
    [{ page: 1 }, 0, undefined],
    [{ page: '2', perPage: '10' }, 10, '10'],
    [{ page: 9, skip: 4 }, 4, undefined],
    [{ page: 9, skip: 0 }, 0, undefined],
    [{}, undefined, undefined],
  ]) {
    const mapped = listParams(params);
    assert.deepEqual([mapped.skip, mapped.limit], [skip, limit], JSON.stringify(params));
    assert.ok(!('page' in mapped || 'perPage' in mapped || 'per_page' in mapped));
  }
  for (const params of [{ page: 0 }, { page: -1 }, { page: 1.5 }, { page: 'x' }, { page: 2, perPage: 0 }]) {
    assert.throws(() => listParams(params), RangeError, JSON.stringify(params));
  }
});
