// The installation that tests/src/world.rs built, seen through the published client.
import { SnackBaseClient } from '@snackbase/sdk';

export const url = process.env.SNACKBASE_URL;
export const people = JSON.parse(process.env.SNACKBASE_PEOPLE);
export const password = 'Correct-Horse-7-Battery';

// Retries hide what the server said first.
const quiet = { baseUrl: url, maxRetries: 0, storageBackend: 'memory', enableAutoRefresh: false, logLevel: 'error' };

/** A client without a session. */
export const client = (options = {}) => new SnackBaseClient({ ...quiet, ...options });

/** A client with the session of one of the people. */
export const as = (name) => client({ getAccessToken: () => people[name].token });
