import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AuthenticationError, AuthorizationError, NotFoundError, SnackBaseError, ValidationError,
} from '@snackbase/sdk';
import { as, client, password, people } from './world.mjs';

const open = { list_rule: '', view_rule: '', create_rule: '', update_rule: '', delete_rule: '' };
await as('root').collections.create({
  name: 'films',
  fields: [
    { name: 'title', type: 'text', required: true },
    { name: 'year', type: 'number' },
    { name: 'seen', type: 'boolean', default: false },
  ],
  ...open,
});

test('create, get, update, patch, delete', async () => {
  const { records } = as('alice');
  const made = await records.create('films', { title: 'Metropolis', year: 1927 });
  assert.equal(made.seen, false);
  assert.equal((await records.get('films', made.id)).title, 'Metropolis');
  assert.equal((await records.update('films', made.id, { title: 'M', year: 1931 })).year, 1931);
  assert.equal((await records.patch('films', made.id, { seen: true })).title, 'M');
  assert.equal((await records.get('films', made.id, { fields: ['title'] })).year, undefined);
  assert.deepEqual(await records.delete('films', made.id), { success: true });
  await assert.rejects(records.get('films', made.id), NotFoundError);
});

test('lists in every form the client can write', async () => {
  const { records } = as('bob');
  for (let year = 1990; year < 2000; year += 1) {
    await records.create('films', { title: `Film's "${year}"`, year, seen: year % 2 === 0 });
  }
  const page = await records.list('films', { filter: 'seen = true && year >= 1994', sort: '-year', limit: 2 });
  assert.deepEqual([page.total, page.items.map((film) => film.year)], [3, [1998, 1996]]);
  const built = await records.query('films').select(['year']).filter('year', '>', 1994).filter('seen', '=', false)
    .sort('year', 'asc').page(1, 2).get();
  assert.deepEqual([built.total, built.items.map((film) => film.year)], [3, [1995, 1997]]);
  const quoted = await records.query('films').filter('title', '=', 'Film\'s "1993"').get();
  assert.equal(quoted.total, 1);
  const several = await records.query('films').filter('year', 'IN', [1990, 1991, -5, 1.5e-7]).get();
  assert.equal(several.total, 2);
  const raw = await records.query('films').filterRaw('year = 1990 || year = 1999').sort('seen', 'desc').sort('year').get();
  assert.deepEqual(raw.items.map((film) => film.year), [1990, 1999]);
  const json = await records.list('films', { filter: JSON.stringify({ seen: true, year: { $gt: 1995 } }) });
  assert.equal(json.total, 2);
  const first = await records.query('films').sort('year', 'desc').first();
  assert.equal(first.year, 1999);
});

test('an object as filter is refused with a reason, never ignored', async () => {
  await assert.rejects(as('bob').records.list('films', { filter: { seen: true } }), (error) =>
    error instanceof SnackBaseError && error.status === 400);
});

test('accounts do not see each other', async () => {
  const made = await as('carol').records.create('films', { title: 'Private', year: 2020 });
  await assert.rejects(as('alice').records.get('films', made.id), NotFoundError);
  await assert.rejects(as('alice').records.patch('films', made.id, { year: 1 }), NotFoundError);
  await assert.rejects(as('alice').records.delete('films', made.id), NotFoundError);
  const list = await as('alice').records.list('films', { filter: 'title = "Private"' });
  assert.equal(list.total, 0);
});

test('the classes of refusals', async () => {
  const alice = as('alice').records;
  await assert.rejects(alice.list('nothing'), NotFoundError);
  await assert.rejects(alice.create('films', { id: 'x', title: 'x' }), ValidationError);
  await assert.rejects(alice.create('films', { year: 'old' }), (error) =>
    error.status === 400 && error.details.details.length === 2);
  const post = await alice.create('posts', { title: 'mine' });
  await assert.rejects(alice.delete('posts', post.id), (error) =>
    error instanceof AuthorizationError && error.message.includes('locked'));
  await assert.rejects(client().records.list('films'), (error) => error.status === 400);
  await assert.rejects(client({ accountId: 'acme' }).records.list('posts'), AuthenticationError);
});

test('anonymous callers read public collections of the account they name', async () => {
  const page = await client({ accountId: 'acme' }).records.list('films', { limit: 1 });
  assert.equal(page.items.length, 1);
  const made = await client({ accountId: 'globex' }).records.create('films', { title: 'Guest' });
  assert.equal(made.created_by, 'anonymous');
});

test('what the client puts on the wire is understood, call by call', async () => {
  const { records } = as('alice');
  const [first, second] = (await records.list('films', { sort: '-year', limit: 2 })).items;
  const wire = [];
  const { fetch } = globalThis;
  globalThis.fetch = (address, options) => {
    wire.push(new URL(address).search);
    return fetch(address, options);
  };
  try {
    const years = (page) => page.items.map((film) => film.year);
    const working = await records.list('films', { filter: 'seen = true', sort: '-year', limit: 20 });
    assert.deepEqual([working.total, working.skip, working.limit], [years(working).length, 0, 20]);
    await records.list('films', { sort: '-created_at,title', limit: 1 });
    const sorted = await records.list('films', { sort: ['-seen', 'year'], filter: 'year >= 1990 && year < 2000', limit: 100 });
    assert.deepEqual(years(sorted), [1990, 1992, 1994, 1996, 1998, 1991, 1993, 1995, 1997, 1999]);
    const trimmed = await records.list('films', { fields: ['id', 'title'], limit: 1 });
    assert.ok('title' in trimmed.items[0] && !('year' in trimmed.items[0]));
    await assert.rejects(records.list('films', { filter: ['seen = true', 'year = 1990'] }), { status: 400 });
    assert.equal((await records.list('films', { filter: JSON.stringify({ year: 1990 }) })).total, 1);
    assert.equal((await records.list('films', { cursor: '', limit: 1 })).total, null);
    assert.equal((await records.query('films').get()).limit, 30);
    const built = await records.query('films').select(['id']).filter('title', '!=', 'x').filterRaw('year = 1990 || year = 1991')
      .sort('created_at', 'desc').sort('title').page(2, 1).get();
    assert.deepEqual([built.total, built.skip, built.limit, built.items.length], [2, 1, 1, 1]);
    await records.query('films').filter('year', 'IN', [1, 2.5, -3]).filter('title', 'IS NOT NULL').get();
    await assert.rejects(records.query('films').filter('created_at', '=', new Date(0)).get(), { status: 400 });
    assert.equal((await records.query('films').filter('year', '>', -5).get()).total, (await records.list('films', { filter: 'year > 1.5e-7' })).total);
    assert.equal((await records.list('films', { filter: null, fields: '', expand: undefined, limit: 1 })).items.length, 1);
    assert.equal((await records.get('films', first.id, { fields: ['year'] })).year, first.year);
    assert.ok(second.id);
  } finally {
    globalThis.fetch = fetch;
  }
  assert.deepEqual(wire.slice(0, 4), [
    '?limit=20&sort=-year&filter=seen+%3D+true',
    '?limit=1&sort=-created_at%2Ctitle',
    '?limit=100&sort=-seen%2Cyear&filter=year+%3E%3D+1990+%26%26+year+%3C+2000',
    '?limit=1&fields=id%2Ctitle',
  ]);
  assert.ok(wire.includes('?limit=1&cursor=') && wire.includes('?skip=0&limit=30'), wire.join('\n'));
});

test('nothing that a value of the query builder holds reaches beyond the rules', async () => {
  const { records } = as('alice');
  // Only the quote is escaped by the builder: a backslash at the end takes the closing quote with it.
  for (const value of ['x\\', "\\' || title != '", '" || true = true || title = "', "'; drop table films; --"]) {
    const { items } = await records.query('films').filter('title', '=', value).get().catch((error) => {
      assert.equal(error.status, 400, value);
      return { items: [] };
    });
    assert.ok(items.every((film) => film.account_id === people.alice.account.id), value);
  }
});

test('cursors lead forward and back through every record', async () => {
  const { records } = as('bob');
  const wanted = { filter: 'year >= 1990 && year < 2000', sort: 'seen,-year', limit: 3 };
  const all = (await records.list('films', { ...wanted, limit: 100 })).items.map((film) => film.id);
  const pages = [];
  let cursor = '';
  while (cursor !== null) {
    const page = await records.list('films', { ...wanted, cursor, include_count: true });
    assert.equal(page.total, 10);
    assert.equal(page.has_more, page.next_cursor !== null);
    assert.equal(page.prev_cursor === null, pages.length === 0);
    pages.push(page);
    cursor = page.next_cursor;
  }
  assert.deepEqual(pages.map((page) => page.items.length), [3, 3, 3, 1]);
  assert.deepEqual(pages.flatMap((page) => page.items.map((film) => film.id)), all);
  for (let number = pages.length - 1; number > 0; number -= 1) {
    const back = await records.list('films', { ...wanted, cursor_before: pages[number].prev_cursor });
    assert.deepEqual(back.items, pages[number - 1].items);
  }
  const query = () => records.query('films').filterRaw(wanted.filter).sort('seen').sort('year', 'desc').limit(3);
  // The builder has no word for the first page of a list with cursors.
  const first = await records.list('films', { filter: `(${wanted.filter})`, sort: '+seen,-year', limit: 3, cursor: '' });
  assert.deepEqual(first.items, pages[0].items);
  const second = await query().cursor(first.next_cursor).get();
  assert.deepEqual(second.items, pages[1].items);
  assert.deepEqual((await query().cursorBefore(second.prev_cursor).get()).items, first.items);
  await assert.rejects(records.list('films', { ...wanted, sort: 'year', cursor: pages[0].next_cursor }), { status: 400 });
  await assert.rejects(records.list('films', { cursor: 'x', cursor_before: 'y' }), (error) =>
    error.status === 400 && error.details.error === 'Invalid pagination parameters');
});

test('references and users are expanded in place', async () => {
  await as('root').collections.create({
    name: 'reviews',
    fields: [
      { name: 'film', type: 'reference', collection: 'films', on_delete: 'set_null' },
      { name: 'critic', type: 'user' },
      { name: 'stars', type: 'number' },
    ],
    ...open,
  });
  const { records } = as('alice');
  const film = await records.create('films', { title: 'Sunrise', year: 1927 });
  const review = await records.create('reviews', { film: film.id, critic: people.bob.user.id, stars: 5 });
  const got = await records.get('reviews', review.id, { expand: ['film', 'critic'] });
  assert.deepEqual([got.film.title, got.film.id, got.film.account_name], ['Sunrise', film.id, undefined]);
  assert.deepEqual(Object.keys(got.critic).sort(), ['avatar_url', 'email', 'first_name', 'id', 'last_name']);
  assert.equal(got.critic.email, 'bob@example.com');
  const { items } = await records.query('reviews').expand('film').select(['film', 'stars']).get();
  assert.deepEqual([items[0].film.year, items[0].stars, 'critic' in items[0]], [1927, 5, false]);
  await records.delete('films', film.id);
  assert.equal((await records.get('reviews', review.id, { expand: 'film' })).film, null);
  await assert.rejects(records.get('reviews', review.id, { expand: 'stars' }), (error) =>
    error.status === 400 && error.details.error === 'Invalid expand field');
});

test('aggregations', async () => {
  await as('root').collections.create({
    name: 'sales', fields: [{ name: 'price', type: 'number' }, { name: 'status', type: 'text' }], ...open,
  });
  const { records } = as('alice');
  for (const [price, status] of [[10, 'a'], [20, 'a'], [50, 'p'], [15, 'p'], [5, 'x']]) {
    await records.create('sales', { price, status });
  }
  await as('carol').records.create('sales', { price: 1000, status: 'a' });
  const aggregate = (params) => records.aggregate('sales', params);
  assert.deepEqual(await aggregate({ functions: 'count(),sum(price),avg(price),min(price),max(price)' }), {
    results: [{ count: 5, sum_price: 100, avg_price: 20, min_price: 5, max_price: 50 }], total_groups: 1,
  });
  const groups = await aggregate({ functions: 'count()', group_by: 'status', having: 'count() > 1' });
  assert.deepEqual([groups.total_groups, groups.results], [2, [{ status: 'a', count: 2 }, { status: 'p', count: 2 }]]);
  const few = await aggregate({ functions: 'count(),sum(price)', filter: "status = 'a' || price > 40" });
  assert.deepEqual(few.results, [{ count: 3, sum_price: 80 }]);
  const both = { functions: 'count(),sum(price),avg(price)', having: '(count() > 3 AND avg_price < 100) OR sum_price > 1000' };
  assert.equal((await aggregate(both)).results.length, 1);
  assert.deepEqual(await aggregate({ functions: 'count()', having: 'count() > 5' }), { results: [], total_groups: 0 });
  for (const params of [
    { functions: 'count(),count()' }, { functions: 'sum(status)' }, { functions: 'median(price)' }, { functions: 'sum(price' },
    { functions: 'sum()' }, { functions: 'count()', having: 'sum_price > 1' }, { functions: 'count()', group_by: 'nothing' },
  ]) {
    await assert.rejects(aggregate(params), { status: 400 }, JSON.stringify(params));
  }
});

test('batches are all or nothing', async () => {
  const { records } = as('alice');
  const made = await records.batchCreate('films', [{ title: 'One', year: 1 }, { title: 'Two', year: 2 }, { title: 'Three', year: 3 }]);
  assert.deepEqual([made.count, made.created.map((film) => film.title)], [3, ['One', 'Two', 'Three']]);
  const ids = made.created.map((film) => film.id);
  const changed = await records.batchUpdate('films', [{ id: ids[2], data: { year: 33 } }, { id: ids[0], data: { year: 11 } }]);
  assert.deepEqual([changed.count, changed.updated.map((film) => film.year)], [2, [33, 11]]);

  const count = async () => (await records.list('films', { limit: 1 })).total;
  const before = await count();
  await assert.rejects(records.batchCreate('films', [{ title: 'Four' }, { year: 5 }]), (error) =>
    error.status === 400 && error.details.error === 'validation_error' && error.details.index === 1
    && error.details.details[0].code === 'required_missing');
  await assert.rejects(records.batchUpdate('films', [{ id: ids[0], data: { year: 0 } }, { id: people.bob.user.id, data: {} }]), NotFoundError);
  await assert.rejects(records.batchDelete('films', [ids[0], people.bob.user.id]), NotFoundError);
  await assert.rejects(records.batchCreate('films', []), ValidationError);
  await assert.rejects(records.batchCreate('films', Array(101).fill({ title: 'x' })), (error) =>
    error.status === 400 && error.details.error === 'batch_too_large');
  const foreign = await as('carol').records.create('films', { title: 'Theirs' });
  await assert.rejects(records.batchDelete('films', [ids[0], foreign.id]), NotFoundError);
  assert.equal(await count(), before);
  assert.equal((await records.get('films', ids[0])).year, 11);

  assert.deepEqual(await records.batchDelete('films', ids), { deleted: ids, count: 3 });
  assert.equal(await count(), before - 3);
  await as('carol').records.get('films', foreign.id);
});

test('a signed write: an interceptor adds the headers of the signature', async () => {
  await as('root').collections.create({
    name: 'releases',
    fields: [{ name: 'version', type: 'text' }],
    ...open,
    options: { signature: { create: 'reason', update: 'signature' } },
  });
  const signing = (headers) => {
    const alice = as('alice');
    alice.httpClient.addRequestInterceptor((request) => ({ ...request, headers: { ...request.headers, ...headers } }));
    return alice.records;
  };
  const signature = {
    'X-ES-Username': 'alice@example.com',
    'X-ES-Password': password,
    'X-ES-Meaning': 'approval',
    'X-ES-Reason': "UTF-8''released%20%E2%9C%93",
  };
  await assert.rejects(as('alice').records.create('releases', { version: '1' }), AuthorizationError);
  const made = await signing({ 'X-ES-Reason': 'first draft' }).create('releases', { version: '1' });
  await assert.rejects(as('alice').records.patch('releases', made.id, { version: '2' }), AuthorizationError);
  await assert.rejects(
    signing({ ...signature, 'X-ES-Password': 'Wrong-Horse-7-Battery' }).patch('releases', made.id, { version: '2' }),
    AuthorizationError,
  );
  assert.equal((await signing(signature).patch('releases', made.id, { version: '2' })).version, '2');
  const { items } = await as('root').auditLogs.list({ table_name: 'col_releases', record_id: made.id, operation: 'UPDATE' });
  const entry = items.find((item) => item.column_name === 'version');
  assert.deepEqual([entry.es_username, entry.es_reason], ['alice@example.com', 'approval: released ✓']);
  assert.ok(entry.es_timestamp && items.every((item) => item.es_username === 'alice@example.com'));
});
