// The client of @snackbase/sdk, unmodified, that also understands the short spellings of `mapping.js`.
import { SnackBaseClient as SdkClient } from '@snackbase/sdk';
import { aggregateParams, clientOptions, listParams } from './mapping.js';

// Names declared here win over those of the SDK.
export * from '@snackbase/sdk';

/** `new SnackBaseClient({ url, token })`; everything the SDK's client takes and does is there too. */
export class SnackBaseClient extends SdkClient {
  #records;

  constructor(options) {
    super(clientOptions(options));
  }

  get records() {
    this.#records ??= withShortSpellings(super.records);
    return this.#records;
  }
}

/** The service itself, with two methods in front of its own; its query builder calls the first of them. */
function withShortSpellings(service) {
  return Object.assign(Object.create(service), {
    list: (collection, params) => service.list(collection, listParams(params)),
    aggregate: (collection, params) => service.aggregate(collection, aggregateParams(params)),
  });
}
