// What a version's figures say: an object that each way of training fills with what it knows.

import { duration, fixed } from './format';
import type { Epoch } from './types';

/** Entries that are no figures of how good a version is: how it was begun, how far its events went, and its curve, which is drawn. */
const NO_FIGURES = new Set(['seed', 'trained_through', 'learning_curve']);

function numbers(metrics: Record<string, unknown>, prefix = ''): [string, number][] {
  return Object.entries(metrics).flatMap(([name, value]): [string, number][] => {
    if (NO_FIGURES.has(name)) return [];
    if (typeof value === 'number') return [[prefix + name, value]];
    return value !== null && typeof value === 'object' ? numbers(value as Record<string, unknown>, `${prefix}${name} `) : [];
  });
}

/** Names and values of figures, wherever in the object they stand, as people read them. */
export function figures(metrics: Record<string, unknown>): [string, string][] {
  return numbers(metrics)
    .map(([name, value]): [string, string] =>
      name.endsWith('seconds') ? [name.replace(/_?seconds$/, ' time'), duration(value)] : [name, fixed(value, 4)],
    )
    .map(([name, value]): [string, string] => [name.replaceAll('_', ' ').replace('rmse', 'RMSE').replace('ndcg', 'nDCG'), value]);
}

/** The epochs of the fit; none of a model in closed form, or of a version from before they were kept. */
export function curve(metrics: Record<string, unknown>): Epoch[] {
  const found = metrics['learning_curve'];
  return Array.isArray(found) ? (found as Epoch[]) : [];
}
