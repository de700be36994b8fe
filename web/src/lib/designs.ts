// New items for one person: what is asked for, and what its figures say in words.

import { percent } from './format';
import type { Design, Designed, DesignOptions, DesignRun } from './types';

/** What the form of the page holds, as it was typed. */
export interface DesignForm {
  by: 'user' | 'bought';
  user: string;
  bought: string;
  category: string;
  starts: number;
  steps: number;
  keep: number;
  realism: number;
  seed: number;
}

/** With the server's own defaults. */
export const FORM: DesignForm = { by: 'user', user: '', bought: '', category: '', starts: 16, steps: 40, keep: 4, realism: 1, seed: 1 };

/** Keys in a text, each once: separated by commas or lines where there are any, so that a key may have a space in it, else by spaces. */
export function keys(text: string): string[] {
  const parts = text.split(/[,\n]/.test(text.trim()) ? /[,\n]/ : /\s+/);
  return [...new Set(parts.map((part) => part.trim()).filter((part) => part !== ''))];
}

/** The text with one more key; the comma at its end says that a space is none. */
export function withKey(text: string, key: string): string {
  return `${[...new Set([...keys(text), key])].join(', ')}, `;
}

export function options({ by, user, bought, ...rest }: DesignForm): DesignOptions {
  return by === 'user' ? { user: user.trim(), ...rest } : { bought: keys(bought), ...rest };
}

/** What was asked for, as the form would hold it. */
export function typed({ user = '', bought, tailor: _, ...rest }: DesignOptions): Partial<DesignForm> {
  return bought === undefined ? { by: 'user', user, ...rest } : { by: 'bought', bought: bought.reduce(withKey, ''), ...rest };
}

/** Preference of the best after each step that was seen. */
export type Climb = [step: number, preference: number][];

/** With what a run says now; a stream that is opened again repeats a step. */
export function climb(before: Climb, { step, shown }: DesignRun): Climb {
  const [best] = shown;
  return best === undefined ? before : [...before.filter(([seen]) => seen < step), [step, best.preference]];
}

/** Whether two answers are of one run: a server that was started again numbers from the beginning. */
export function same(one: { id: number; started: number }, other: { id: number; started: number }): boolean {
  return one.id === other.id && one.started === other.started;
}

/** What a run that goes on is at. */
export function stage({ step, steps, shown, tailor }: DesignRun): string {
  if (shown.length > 0) return `step ${step} of ${steps}`;
  return tailor === null ? 'being prepared' : `looking for the noise whose picture is nearest to ${tailor}`;
}

/** How a design stands among the real items of its category. Never rounded up: more than 99.97 % is not more than all. */
export function liked(percentile: number, category: string): string {
  const digits = percentile >= 0.99 ? 1 : 0;
  const steps = 100 * 10 ** digits;
  // A hair more, so that 0.29 is not 28 % by its last bit.
  const share = Math.floor(percentile * steps + 1e-9) / steps;
  const part = share >= 1 ? 'all' : percentile <= 0 ? 'none' : share <= 0 ? 'hardly any' : percent(share, digits);
  return `liked more than ${part} of the real ${category}`;
}

export interface Frame {
  picture: string;
  step: number;
  name: string;
  preference: number | undefined;
}

/** A design from its start to its result. */
export function frames({ pictures, preference }: Designed, { shown_steps }: Design): Frame[] {
  const last = shown_steps.length - 1;
  return shown_steps.flatMap((step, at) => {
    const picture = pictures[at];
    if (picture === undefined) return [];
    const name = at === 0 ? 'start' : at === last ? 'result' : `step ${step}`;
    return [{ picture, step, name, preference: preference[step] }];
  });
}
