// The library knows a limit for what it is, and how long it lasts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthenticationError, EmailVerificationRequiredError, RateLimitError } from '@snackbase/sdk';
import { as, client } from '../world.mjs';

test('a limit is a RateLimitError that says when to come back', async () => {
  const bob = as('bob');
  for (let number = 0; number < 3; number += 1) await bob.records.list('posts');
  await assert.rejects(bob.records.list('posts'), (error) =>
    error instanceof RateLimitError && error.status === 429 && error.retryAfter >= 1 && error.retryAfter <= 60);
});

test('a missing session is an AuthenticationError and nothing else', async () => {
  await assert.rejects(client().auth.getCurrentUser(), (error) =>
    error instanceof AuthenticationError && !(error instanceof EmailVerificationRequiredError));
});
