import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthenticationError, SnackBaseError } from '@snackbase/sdk';
import { client, password } from '../world.mjs';

const { auth } = client();

test('known and unknown are told the same', { skip: process.env.STEP !== 'forget' }, async () => {
  const known = await auth.forgotPassword({ email: 'bob@example.com', account: 'acme' });
  const unknown = await auth.forgotPassword({ email: 'nobody@example.com', account: 'acme' });
  assert.deepEqual(known, unknown);
  assert.deepEqual(await auth.verifyResetToken('x'), { valid: false, expires_at: null });
});

test('a token is good once', { skip: process.env.STEP !== 'reset' }, async () => {
  const token = process.env.TOKEN;
  const before = await auth.verifyResetToken(token);
  assert.equal(before.valid, true);
  assert.ok(Date.parse(before.expires_at) > Date.now());
  const fresh = 'Another-Horse-8-Battery';
  await auth.resetPassword({ token, new_password: fresh });
  assert.deepEqual(await auth.verifyResetToken(token), { valid: false, expires_at: null });
  await assert.rejects(auth.resetPassword({ token, new_password: fresh }),
    (error) => error instanceof SnackBaseError && error.status === 400);
  await assert.rejects(client().auth.login({ account: 'acme', email: 'bob@example.com', password }), AuthenticationError);
  await client().auth.login({ account: 'acme', email: 'bob@example.com', password: fresh });
});
