import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AuthenticationError, AuthorizationError, NotFoundError, SnackBaseError, ValidationError,
} from '@snackbase/sdk';
import { as, client } from './world.mjs';

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
