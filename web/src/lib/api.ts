// Talks to the server that sent this page, and to no other.

import { readEvents } from './sse';
import type {
  Backup,
  DesignOptions,
  DesignRun,
  FactorMap,
  Features,
  Item,
  ItemPage,
  Job,
  KeyInfo,
  Near,
  NewKey,
  Question,
  Reach,
  Recommendations,
  Role,
  Stats,
  TrainOptions,
  User,
  UserLine,
  Version,
  Who,
  Wish,
  Write,
} from './types';

const KEY = 'foldin-api-key';

/** A request that the server refused, or that did not reach it. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly field?: string,
    readonly requestId?: string,
  ) {
    super(message);
    this.name = 'Problem';
  }
}

/** Any thrown thing as a problem. */
export function problem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(0, 'unexpected', error instanceof Error ? error.message : String(error));
}

/** Whether a request was given up because nobody waits for it any more. */
export function givenUp(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

export function apiKey(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export function setApiKey(key: string | null): void {
  try {
    if (key === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, key);
  } catch {
    // Without storage the key lasts as long as nothing is asked again; there is nothing better to do.
  }
}

let unauthorised: () => void = () => {};

/** Calls `then` whenever the server asks for a key, or for another one. */
export function onUnauthorised(then: () => void): void {
  unauthorised = then;
}

async function refused(response: Response): Promise<Problem> {
  const id = response.headers.get('x-request-id') ?? undefined;
  try {
    const { error } = (await response.json()) as { error: { code: string; message: string; field?: string; request_id: string } };
    return new Problem(response.status, error.code, error.message, error.field, error.request_id);
  } catch {
    return new Problem(response.status, 'unexpected', `the server answered ${response.status}`, undefined, id);
  }
}

async function send(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const key = apiKey();
  if (key !== null) headers.set('authorization', `Bearer ${key}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (givenUp(error)) throw error;
    throw new Problem(0, 'unreachable', 'The server cannot be reached. Is `foldin serve` still running?');
  }
  if (!response.ok) {
    if (response.status === 401) unauthorised();
    throw await refused(response);
  }
  return response;
}

async function json<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const init: RequestInit = { method, signal: signal ?? null };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { 'content-type': 'application/json' };
  }
  const response = await send(path, init);
  if (response.status === 204) return undefined as T;
  return (await response.json()) as T;
}

/** Server-sent events of one name, once the server has begun to send them, until it ends. `EventSource` could not send the key. */
async function follow<T>(path: string, name: string, signal: AbortSignal): Promise<AsyncIterable<T>> {
  const { body } = await send(path, { signal });
  return (async function* () {
    if (body === null) return;
    for await (const event of readEvents(body)) if (event.name === name) yield JSON.parse(event.data) as T;
  })();
}

const part = encodeURIComponent;

function query(values: Record<string, string | number | undefined>): string {
  const out = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== undefined && value !== '') out.set(name, String(value));
  const text = out.toString();
  return text === '' ? '' : `?${text}`;
}

/** The body of a request for a list; `version` is sent to servers that take one. */
export function recommendBody(who: Who, wish: Wish, version?: string): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  if (who.user !== undefined) body['user'] = who.user;
  if (who.history && who.history.length > 0) body['history'] = who.history;
  if (who.features && Object.keys(who.features).length > 0) body['features'] = who.features;
  body['wish'] = wish;
  if (version !== undefined) body['version'] = version;
  return body;
}

export const api = {
  stats: () => json<Stats>('GET', '/v1/stats'),
  metrics: async () => (await send('/metrics')).text(),
  openapi: () => json<{ components?: { schemas?: Record<string, { properties?: Record<string, unknown> }> } }>('GET', '/openapi.json'),

  recommend: (body: Record<string, unknown>, signal?: AbortSignal) =>
    json<Recommendations>('POST', '/v1/recommend', body, signal),
  askNext: (who: Who, n: number, signal?: AbortSignal) => json<Question[]>('POST', '/v1/ask-next', { who, n }, signal),
  map: (items: number, users: number) => json<FactorMap>('GET', `/v1/map${query({ items, users })}`),
  similarUsers: (who: Who, n: number) => json<Near[]>('POST', '/v1/similar-users', { who, n }),

  items: (search: string, limit: number, offset = 0, signal?: AbortSignal) =>
    json<ItemPage>('GET', `/v1/items${query({ search, limit, offset })}`, undefined, signal),
  item: (id: string) => json<Item>('GET', `/v1/items/${part(id)}`),
  putItem: (id: string, item: { title?: string; categories: string[]; attributes: Features; hidden: boolean }) =>
    json<void>('PUT', `/v1/items/${part(id)}`, item),
  similarItems: (id: string, n: number) => json<Near[]>('GET', `/v1/items/${part(id)}/similar${query({ n })}`),
  coverage: (users: number, n: number, signal?: AbortSignal) =>
    json<Reach>('GET', `/v1/coverage${query({ users, n })}`, undefined, signal),
  categories: () => json<Record<string, number>>('GET', '/v1/categories'),

  users: (after: string | undefined, limit: number) => json<UserLine[]>('GET', `/v1/users${query({ after, limit })}`),
  user: (id: string, limit: number) => json<User>('GET', `/v1/users/${part(id)}${query({ limit })}`),
  putUser: (id: string, features: Record<string, unknown>) => json<void>('PUT', `/v1/users/${part(id)}`, { features }),
  forget: (id: string) => json<{ events: number }>('DELETE', `/v1/users/${part(id)}`),

  versions: () => json<Version[]>('GET', '/v1/models'),
  promote: (name: string) => json<{ serving: string }>('POST', `/v1/models/${part(name)}/promote`),
  rollBack: () => json<{ serving: string }>('POST', '/v1/models/rollback'),
  removeVersion: (name: string) => json<void>('DELETE', `/v1/models/${part(name)}`),
  train: (options: TrainOptions) => json<Job>('POST', '/v1/train', options),
  jobs: () => json<Job[]>('GET', '/v1/jobs'),
  cancel: (id: number) => json<Job>('DELETE', `/v1/jobs/${id}`),
  /** The run as it is, and again at every change, until it ends. */
  watch: (id: number, signal: AbortSignal) => follow<Job>(`/v1/jobs/${id}/events`, 'job', signal),

  design: (options: DesignOptions) => json<DesignRun>('POST', '/v1/design', options),
  designRun: (id: number) => json<DesignRun>('GET', `/v1/design/${id}`),
  cancelDesign: async (id: number) => void (await send(`/v1/design/${id}`, { method: 'DELETE' })),
  /** The design as it is, and again at every step, until it ends. */
  watchDesign: (id: number, signal: AbortSignal) => follow<DesignRun>(`/v1/design/${id}/events`, 'design', signal),

  /** Every write from now on. */
  feed: (signal: AbortSignal) => follow<Write>('/v1/events/feed', 'write', signal),

  backup: () => json<Backup>('POST', '/v1/backup'),
  keys: () => json<KeyInfo[]>('GET', '/v1/keys'),
  createKey: (label: string, role: Role) => json<NewKey>('POST', '/v1/keys', { label, role }),
  revokeKey: (id: string) => json<void>('DELETE', `/v1/keys/${part(id)}`),
};
