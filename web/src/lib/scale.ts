// How a rating scale is shown and picked. The scale is data: 1 to 5, half stars, 0 to 10, −10 to 10, whatever the model learned.

import type { Scale } from './types';

export type Picker =
  /** `stars` stars, of which every value fills `value` of them; `values` can be picked, ascending. */
  | { kind: 'stars'; stars: number; values: number[] }
  /** A slider; `step` is `null` where every number between may be given. */
  | { kind: 'slider'; min: number; max: number; step: number };

const MOST_STARS = 10;

/** Stars where a value can be read as a number of stars, a slider elsewhere. */
export function picker(scale: Scale): Picker {
  const { min, max, step } = scale;
  const countable = Number.isInteger(max) && max >= 1 && max <= MOST_STARS && min >= 0;
  if (countable && step !== null && step > 0 && step <= 1) {
    const values: number[] = [];
    const n = Math.round((max - min) / step);
    for (let at = 0; at <= n; at += 1) values.push(round(min + at * step));
    return { kind: 'stars', stars: max, values };
  }
  return { kind: 'slider', min, max, step: step ?? round((max - min) / 100) };
}

/** Without the dust of adding fractions. */
function round(value: number): number {
  return Number(value.toPrecision(6));
}

/** The value picked by pointing at a place of the row of stars, 0 at its left end to 1 at its right. */
export function valueAt(values: number[], stars: number, place: number): number {
  const pointed = place * stars;
  // The least value that fills what is pointed at, so that a click on the third star means three.
  return values.find((value) => value >= pointed && value > 0) ?? values.at(-1) ?? 0;
}

/** The value one step up or down; from nothing, up is the least and down the greatest. */
export function step(values: number[], from: number | null, by: number): number {
  const [first, last] = [values[0] ?? 0, values.at(-1) ?? 0];
  if (from === null) return by > 0 ? first : last;
  const at = values.findIndex((value) => value >= from);
  return values[Math.min(values.length - 1, Math.max(0, (at < 0 ? values.length - 1 : at) + by))] ?? first;
}

/** How full star number `index` (from 0) is at a value, 0 to 1. */
export function fill(value: number, index: number): number {
  return Math.min(1, Math.max(0, value - index));
}

/** Where a value lies on the scale, 0 to 1. */
export function place(scale: Scale, value: number): number {
  const width = scale.max - scale.min;
  return width > 0 ? Math.min(1, Math.max(0, (value - scale.min) / width)) : 0;
}
