// The visitor of the page "Try it": what they rated and said of themselves. It never leaves this tab but in requests.

import type { Action, Features, Stats, Who } from './types';

const KEY = 'foldin-person';

export interface Rated {
  item: string;
  title: string;
  /** `null`: took it, from a model of clicks. */
  value: number | null;
}

interface Kept {
  rated: Rated[];
  features: [string, string][];
}

/** The kind of event that stands for "took it": the strongest that needs no value. */
export function takenKind(stats: Stats): string {
  const kinds = Object.entries(stats.kinds).filter(([, rule]) => rule.weight !== null && rule.seen);
  kinds.sort((a, b) => (b[1].weight ?? 0) - (a[1].weight ?? 0));
  return kinds[0]?.[0] ?? 'like';
}

class Person {
  rated = $state<Rated[]>([]);
  /** Names and values as they were typed. */
  features = $state<[string, string][]>([]);
  skipped = $state<string[]>([]);

  constructor() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(KEY) ?? 'null') as Kept | null;
      if (kept !== null) [this.rated, this.features] = [kept.rated, kept.features];
    } catch {
      // What cannot be read is begun anew.
    }
  }

  rate(item: string, title: string, value: number | null): void {
    const known = this.rated.find((rated) => rated.item === item);
    if (known) known.value = value;
    else this.rated.unshift({ item, title, value });
    this.keep();
  }

  remove(item: string): void {
    this.rated = this.rated.filter((rated) => rated.item !== item);
    this.keep();
  }

  clear(): void {
    this.rated = [];
    this.features = [];
    this.skipped = [];
    this.keep();
  }

  keep(): void {
    try {
      sessionStorage.setItem(KEY, JSON.stringify({ rated: this.rated, features: this.features } satisfies Kept));
    } catch {
      // It lasts until the page is left.
    }
  }

  /** As requests describe somebody; `taken` is the kind of event that stands for "took it". */
  who(taken: string, parse: (text: string) => number | string): Who {
    // Oldest first, as the server wants it.
    const history: Action[] = this.rated
      .map(({ item, value }) => (value === null ? { item, kind: taken } : { item, kind: 'rating', value }))
      .reverse();
    const features: Features = {};
    for (const [name, value] of this.features) if (name.trim() !== '' && value.trim() !== '') features[name.trim()] = parse(value);
    return { history, features };
  }
}

export const person = new Person();
