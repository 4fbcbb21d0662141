import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthorizationError, ConflictError, NotFoundError, SnackBaseError } from '@snackbase/sdk';
import { as, client, password, people } from '../world.mjs';

const { invitations } = as('alice');
const status = (wanted) => (error) => error instanceof SnackBaseError && error.status === wanted;

test('invite, look, send again, accept with role and groups', async () => {
  const groups = [process.env.GROUP];
  const made = await invitations.create({ email: 'ivy@example.org', role_id: 1, groups });
  assert.equal(made.status, 'pending');
  await assert.rejects(invitations.create({ email: 'IVY@example.org' }), ConflictError);
  await assert.rejects(as('bob').invitations.create({ email: 'x@example.org' }), AuthorizationError);

  const visitor = client();
  const shown = await visitor.invitations.getPublic(made.token);
  assert.deepEqual({ ...shown, expires_at: null }, {
    email: 'ivy@example.org', account_name: 'Acme', invited_by_name: 'alice@example.com', expires_at: null, is_valid: true,
  });
  const again = await invitations.resend(made.id);
  assert.notEqual(again.token, made.token);
  await assert.rejects(visitor.invitations.getPublic(made.token), NotFoundError);
  await assert.rejects(visitor.invitations.accept(made.token, password), NotFoundError);

  const session = await visitor.invitations.accept(again.token, password);
  assert.equal(session.user.role, 'admin');
  assert.deepEqual(session.user.groups, ['pii_access']);
  assert.equal(session.account.id, people.alice.account.id);
  const ivy = client({ getAccessToken: () => session.token });
  assert.equal((await ivy.records.list('posts')).total, 0);
  await client().auth.login({ account: 'acme', email: 'ivy@example.org', password });
  await assert.rejects(visitor.invitations.accept(again.token, password), NotFoundError);
  await assert.rejects(visitor.invitations.getPublic(again.token), status(400));
  const listed = await invitations.list({ status_filter: 'accepted' });
  assert.deepEqual(listed.invitations.map((one) => [one.email, one.status, one.token]), [['ivy@example.org', 'accepted', null]]);
});

test('an invitation that is taken back is none', async () => {
  const made = await invitations.create({ email: 'jo@example.org' });
  await invitations.cancel(made.id);
  await assert.rejects(client().invitations.accept(made.token, password), NotFoundError);
  await assert.rejects(invitations.cancel(made.id), NotFoundError);
  assert.equal((await invitations.list({ status_filter: 'cancelled' })).total, 1);
  await assert.rejects(client().invitations.accept(made.token), status(422));
});
