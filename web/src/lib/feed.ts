// The latest events out of a stream of writes.

import type { Told, Write } from './types';

/** Events that are kept to be shown. */
export const KEPT = 30;

/** An event with its number, which no other has. */
export interface Seen extends Told {
  number: number;
}

export interface Seeing {
  /** The newest first. */
  latest: Seen[];
  /** Events that were told, shown or not any more. */
  told: number;
  /** Events that were only counted: a bulk tells its first ones alone. */
  more: number;
}

export const NOTHING: Seeing = { latest: [], told: 0, more: 0 };

export function take(before: Seeing, { events, more }: Write): Seeing {
  const seen = events.map((event, at) => ({ ...event, number: before.told + at })).reverse();
  return {
    latest: [...seen, ...before.latest].slice(0, KEPT),
    told: before.told + events.length,
    more: before.more + more,
  };
}

/** Milliseconds before the server is asked again after so many attempts that failed: a second, doubled up to half a minute. */
export function patience(failed: number): number {
  return Math.min(30_000, 1000 * 2 ** failed);
}
