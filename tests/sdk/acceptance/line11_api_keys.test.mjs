// An API key: created once in clear, masked later, works in X-API-Key and Bearer, revoked at once, dies with its user.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiKeyRestrictedError, AuthenticationError, AuthorizationError, NotFoundError, SnackBaseError } from '@snackbase/sdk';
import { as, client } from '../world.mjs';

const { apiKeys } = as('alice');

test('an API key', async () => {
  const made = await apiKeys.create({ name: 'reports', scopes: ['records:secrets:read'] });
  assert.match(made.key, /^sb_ak\.[\w-]{22}\.[\w-]{43}$/);
  const shown = await apiKeys.get(made.id);
  assert.equal(shown.key, `${made.key.slice(0, 10)}...${made.key.slice(-4)}`);
  const { items, total } = await apiKeys.list();
  assert.deepEqual([total, items[0].id, items[0].key], [1, made.id, shown.key]);

  const byHeader = client({ apiKey: made.key });
  const byBearer = client({ getAccessToken: () => made.key });
  for (const one of [byHeader, byBearer]) {
    assert.equal((await one.auth.getCurrentUser()).email, 'alice@example.com');
    assert.ok(Array.isArray((await one.records.list('posts')).items));
    // Not what the library takes for a limited key.
    await assert.rejects(one.apiKeys.create({ name: 'more' }), (error) =>
      error instanceof AuthorizationError && !(error instanceof ApiKeyRestrictedError));
  }
  assert.ok((await apiKeys.get(made.id)).last_used_at);

  await apiKeys.revoke(made.id);
  await apiKeys.revoke(made.id);
  for (const one of [byHeader, byBearer]) {
    await assert.rejects(one.records.list('posts'), AuthenticationError);
  }
  assert.equal((await apiKeys.get(made.id)).is_active, false);
});

test('keys that are not made, and not shown', async () => {
  await assert.rejects(apiKeys.create({ name: 'x' }), (error) => error.status === 422);
  await assert.rejects(apiKeys.create({ name: 'wide', scopes: ['everything'] }), (error) => error instanceof SnackBaseError && error.status === 400);
  await assert.rejects(as('bob').apiKeys.list(), AuthorizationError);
  const made = await apiKeys.create({ name: 'own' });
  await assert.rejects(as('carol').apiKeys.get(made.id), NotFoundError);
  await assert.rejects(as('root').apiKeys.revoke(made.id), NotFoundError);
});
