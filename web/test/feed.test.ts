import { describe, expect, it } from 'vitest';
import { KEPT, NOTHING, patience, take } from '../src/lib/feed';
import { date, moment } from '../src/lib/format';
import type { Told } from '../src/lib/types';

function told(...items: string[]): Told[] {
  return items.map((item) => ({ user: 'ada', item, title: item, kind: 'rating', value: 5, time: 7 }));
}

describe('what is seen of writes', () => {
  it('has the newest first, each with a number of its own', () => {
    const seeing = take(take(NOTHING, { events: told('a', 'b'), more: 0 }), { events: told('c'), more: 40 });
    expect(seeing.latest.map(({ item }) => item)).toEqual(['c', 'b', 'a']);
    expect(seeing.latest.map(({ number }) => number)).toEqual([2, 1, 0]);
    expect(seeing).toMatchObject({ told: 3, more: 40 });
  });

  it('keeps the latest alone, and counts all', () => {
    let seeing = NOTHING;
    for (let at = 0; at < 50; at += 1) seeing = take(seeing, { events: told(`i${at}`), more: 2 });
    expect(seeing.latest).toHaveLength(KEPT);
    expect(seeing.latest[0]?.item).toBe('i49');
    expect(seeing).toMatchObject({ told: 50, more: 100 });
  });
});

describe('a server that does not answer', () => {
  it('is asked again soon at first, and seldom later', () => {
    expect([0, 1, 2, 3].map(patience)).toEqual([1000, 2000, 4000, 8000]);
    expect(patience(500)).toBe(30_000);
  });
});

describe('the time of an event', () => {
  it('is that of day today, and a date otherwise', () => {
    const now = Date.UTC(2026, 4, 3, 12);
    expect(moment(now - 60_000, now)).toMatch(/^\d\d:\d\d:\d\d$/);
    expect(moment(Date.UTC(1998, 0, 7, 12), now)).toBe('7 Jan 1998');
  });

  it('may be any number', () => {
    expect(date(9e18)).toBe('9000000000000000000');
    expect(moment(-9e18, 0)).toBe('-9000000000000000000');
  });
});
