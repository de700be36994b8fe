import { describe, expect, it } from 'vitest';
import { fill, picker, place, step, valueAt } from '../src/lib/scale';

function stars(min: number, max: number, by: number): { stars: number; values: number[] } {
  const how = picker({ min, max, step: by });
  if (how.kind !== 'stars') throw new Error('no stars');
  return how;
}

describe('the scale', () => {
  it('becomes stars where values count them', () => {
    expect(stars(1, 5, 1)).toMatchObject({ stars: 5, values: [1, 2, 3, 4, 5] });
    expect(stars(0.5, 5, 0.5).values).toHaveLength(10);
    expect(stars(0, 10, 1)).toMatchObject({ stars: 10 });
    expect(stars(1, 5, 0.1).values).toContain(2.3);
  });

  it('becomes a slider elsewhere', () => {
    expect(picker({ min: -10, max: 10, step: null })).toEqual({ kind: 'slider', min: -10, max: 10, step: 0.2 });
    expect(picker({ min: -10, max: 10, step: 0.5 })).toMatchObject({ kind: 'slider', step: 0.5 });
    expect(picker({ min: 0, max: 100, step: 1 }).kind).toBe('slider');
    expect(picker({ min: 1, max: 5, step: null }).kind).toBe('slider');
  });

  it('gives the star that is pointed at', () => {
    const whole = stars(1, 5, 1).values;
    expect(valueAt(whole, 5, 0.01)).toBe(1);
    expect(valueAt(whole, 5, 0.59)).toBe(3);
    expect(valueAt(whole, 5, 1)).toBe(5);
    const halves = stars(0.5, 5, 0.5).values;
    expect(valueAt(halves, 5, 0.41)).toBe(2.5);
    expect(valueAt(halves, 5, 0.39)).toBe(2);
    expect(valueAt(stars(0, 5, 1).values, 5, 0.001)).toBe(1);
    expect(valueAt(stars(3, 5, 1).values, 5, 0.1)).toBe(3);
  });

  it('steps by keys and stays within', () => {
    const values = [1, 2, 3, 4, 5];
    expect(step(values, null, 1)).toBe(1);
    expect(step(values, null, -1)).toBe(5);
    expect(step(values, 3, 1)).toBe(4);
    expect(step(values, 5, 1)).toBe(5);
    expect(step(values, 1, -1)).toBe(1);
    expect(step(values, 3.4, -1)).toBe(3);
  });

  it('fills stars in part and places values', () => {
    expect([0, 1, 2, 3].map((index) => fill(2.5, index))).toEqual([1, 1, 0.5, 0]);
    expect(place({ min: -10, max: 10, step: null }, 5)).toBe(0.75);
    expect(place({ min: 1, max: 5, step: 1 }, 9)).toBe(1);
    expect(place({ min: 3, max: 3, step: null }, 3)).toBe(0);
  });
});
