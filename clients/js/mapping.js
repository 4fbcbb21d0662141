// From the short spellings to those of @snackbase/sdk. Nothing here knows a server.
//
// Where a value cannot be turned into what the caller meant, an error is thrown: a filter that is lost on the way
// would answer with rows that were meant to be left out.

/** What the server takes when no limit is given; a page number needs it. */
const DEFAULT_LIMIT = 30;

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** `url` and `token` as `baseUrl` and `getAccessToken`; the SDK's own names win. */
export function clientOptions({ url, token, ...options } = {}) {
  if (url !== undefined) options.baseUrl ??= url;
  if (token !== undefined && token !== null) {
    if (typeof token !== 'string' && typeof token !== 'function') {
      throw new TypeError('token must be a string, or a function that returns one');
    }
    options.getAccessToken ??= typeof token === 'function' ? token : () => token;
  }
  return options;
}

/** The parameters of `records.list`: object filters, lists of sort keys, pages by number. */
export function listParams(params) {
  if (!isObject(params)) return params;
  const { page, perPage, per_page: perPageToo, ...rest } = params;
  if ('filter' in rest) rest.filter = filterText(rest.filter);
  if (Array.isArray(rest.sort)) rest.sort = rest.sort.length > 0 ? rest.sort.join(',') : undefined;
  const limit = rest.limit ?? perPage ?? perPageToo;
  if (limit !== undefined && limit !== null) rest.limit = limit;
  if (page !== undefined && page !== null && (rest.skip === undefined || rest.skip === null)) {
    rest.skip = (count('page', page) - 1) * count('perPage', rest.limit ?? DEFAULT_LIMIT);
  }
  return rest;
}

/** The parameters of `records.aggregate`: object filters. */
export function aggregateParams(params) {
  return isObject(params) && 'filter' in params ? { ...params, filter: filterText(params.filter) } : params;
}

/** An object as JSON text; anything else as it is. */
export function filterText(filter) {
  if (!isObject(filter)) return filter;
  if (!isPlain(filter)) throw new TypeError(`filter cannot be a ${describe(filter)}`);
  check(filter, 'filter');
  return JSON.stringify(filter);
}

/** JSON drops or changes what it has no word for: `{ owner: undefined }` would become `{}`, which selects every row. */
function check(value, path) {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return;
    case 'number':
      if (Number.isFinite(value)) return;
      break;
    case 'object':
      if (value === null) return;
      if (Array.isArray(value)) {
        // By index: a list with holes hides them from its own methods.
        for (let index = 0; index < value.length; index += 1) check(value[index], `${path}[${index}]`);
        return;
      }
      if (value instanceof Date && !Number.isNaN(value.getTime())) return;
      if (isPlain(value)) {
        for (const [key, member] of Object.entries(value)) check(member, `${path}.${key}`);
        return;
      }
      break;
    default:
  }
  throw new TypeError(`${path} cannot be part of a filter: ${describe(value)}`);
}

function isPlain(value) {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function describe(value) {
  if (typeof value === 'object') return value.constructor?.name ?? 'an object';
  return typeof value === 'number' ? String(value) : typeof value;
}

function count(name, value) {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 1) throw new RangeError(`${name} must be a whole number from 1`);
  return number;
}
