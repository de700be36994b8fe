// Names and values of side information that users of the store have, to suggest to whoever types them.

import { feature } from './format';
import type { UserLine } from './types';

export function knownFeatures(users: UserLine[]): Map<string, Set<string>> {
  const out = new Map<string, Set<string>>();
  for (const { features } of users) {
    for (const [name, value] of Object.entries(features)) {
      const values = out.get(name) ?? new Set();
      values.add(feature(value));
      out.set(name, values);
    }
  }
  return out;
}
