import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EmailVerificationRequiredError, SnackBaseError } from '@snackbase/sdk';
import { client, password } from '../world.mjs';

const credentials = { email: 'hugo@example.org', password, account: 'hugo-s-house' };

test('register, and be refused until the address is confirmed', { skip: process.env.STEP !== 'register' }, async () => {
  const hugo = client();
  const made = await hugo.auth.register({ email: 'hugo@example.org', password, account_name: "Hugo's House" });
  assert.equal(made.account.slug, credentials.account);
  assert.equal(hugo.isAuthenticated, false);
  await assert.rejects(hugo.auth.login(credentials), EmailVerificationRequiredError);
  await assert.rejects(hugo.auth.login({ ...credentials, password: 'Wrong-Horse-7' }),
    (error) => !(error instanceof EmailVerificationRequiredError));
});

test('confirm, and log in', { skip: process.env.STEP !== 'confirm' }, async () => {
  const hugo = client();
  const confirmed = await hugo.auth.verifyEmail(process.env.TOKEN);
  assert.equal(typeof confirmed.message, 'string');
  await assert.rejects(hugo.auth.verifyEmail(process.env.TOKEN), (error) => error instanceof SnackBaseError && error.status === 400);
  await hugo.auth.login(credentials);
  assert.equal(hugo.isAuthenticated, true);
  assert.equal(hugo.isSuperadmin, false);
  // Whoever is confirmed is told the same as everybody else.
  assert.equal(typeof (await hugo.auth.sendVerification('hugo@example.org')).message, 'string');
  assert.equal(typeof (await hugo.auth.resendVerificationEmail()).message, 'string');
});
