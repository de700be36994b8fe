import { describe, expect, it } from 'vitest';
import { climb, FORM, frames, keys, liked, options, same, stage, typed, withKey } from '../src/lib/designs';
import type { Design, Designed, DesignRun } from '../src/lib/types';

function run(step: number, preference?: number): DesignRun {
  const shown = preference === undefined ? [] : [{ picture: 'data:,', preference, realism: 0.9 }];
  return {
    id: 1, state: 'running', person: 'ada', category: 'women-tops', tailor: null, step, steps: 40, shown, started: 7, ended: null, design: null, error: null,
  };
}

describe('keys of what somebody bought', () => {
  it('are separated by spaces, commas or lines, and each is told once', () => {
    expect(keys(' 0108775015 0111565001  0108775015 ')).toEqual(['0108775015', '0111565001']);
    expect(keys('a, b\nc,,')).toEqual(['a', 'b', 'c']);
    expect(keys('red hat.jpg, blue hat.jpg')).toEqual(['red hat.jpg', 'blue hat.jpg']);
    expect(keys('  ')).toEqual([]);
  });

  it('take one more', () => {
    expect(withKey('a b', 'c')).toBe('a, b, c, ');
    expect(withKey('a, b', 'b')).toBe('a, b, ');
    expect(keys(withKey('', 'red hat.jpg'))).toEqual(['red hat.jpg']);
  });
});

describe('what is asked for', () => {
  it('names a user or what they bought, never both', () => {
    const form = { ...FORM, user: ' ada ', bought: 'a b', category: 'women-tops' };
    const figures = { category: 'women-tops', starts: 16, steps: 40, keep: 4, realism: 1, seed: 1 };
    expect(options(form)).toEqual({ user: 'ada', ...figures });
    expect(options({ ...form, by: 'bought' })).toEqual({ bought: ['a', 'b'], ...figures });
  });

  it('can be typed again, without what was started from', () => {
    for (const by of ['user', 'bought'] as const) {
      const asked = options({ ...FORM, by, user: 'ada', bought: 'a b', category: 'women-tops' });
      const form = { ...FORM, ...typed({ ...asked, tailor: 'x' }) };
      expect(options(form)).toEqual(asked);
      expect(form).not.toHaveProperty('tailor');
    }
  });
});

describe('a run', () => {
  it('is prepared before its first step', () => {
    expect(stage(run(0))).toBe('being prepared');
    expect(stage({ ...run(0), tailor: '12345.jpg' })).toContain('nearest to 12345.jpg');
    expect(stage(run(0, 0.1))).toBe('step 0 of 40');
    expect(stage(run(12, 0.4))).toBe('step 12 of 40');
  });

  it('climbs step by step, each of them once', () => {
    let seen = climb([], run(0));
    expect(seen).toEqual([]);
    for (const [step, preference] of [[0, 0.1], [1, 0.3], [1, 0.3], [3, 0.5]] as const) seen = climb(seen, run(step, preference));
    expect(seen).toEqual([[0, 0.1], [1, 0.3], [3, 0.5]]);
  });

  it('is another where the server was started again', () => {
    expect(same(run(0), run(3))).toBe(true);
    expect(same(run(0), { id: 1, started: 8 })).toBe(false);
  });
});

describe('a design among the real items', () => {
  it('is told in words, and never as more than it is', () => {
    const words = (percentile: number): string => liked(percentile, 'women-tops').replace('\u00a0', ' ');
    expect(words(0.93)).toBe('liked more than 93 % of the real women-tops');
    expect(words(0.29)).toContain('29 %');
    expect(words(0.9899)).toContain('98 %');
    expect(words(0.99973)).toContain('99.9 %');
    expect(words(1)).toBe('liked more than all of the real women-tops');
    expect(words(0.004)).toContain('hardly any');
    expect(words(0)).toContain('none');
  });
});

describe('the steps of a design', () => {
  const designed: Designed = { pictures: ['a', 'b', 'c'], preference: [0, 1, 2, 3, 4], realism: [], percentile: 0.5, nearest: [] };
  const design: Design = { used: 3, shown_steps: [0, 2, 4], designs: [designed], best: [], tailored: null };

  it('lead from the start to the result, each with its own preference', () => {
    expect(frames(designed, design)).toEqual([
      { picture: 'a', step: 0, name: 'start', preference: 0 },
      { picture: 'b', step: 2, name: 'step 2', preference: 2 },
      { picture: 'c', step: 4, name: 'result', preference: 4 },
    ]);
  });

  it('are as many as there are pictures', () => {
    expect(frames({ ...designed, pictures: ['a'] }, design)).toHaveLength(1);
  });
});
