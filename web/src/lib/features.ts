// Names and values of side information that the model can use, to suggest to whoever types them.

import type { UserField } from './types';

export function knownFeatures(fields: UserField[]): Map<string, string[]> {
  return new Map(fields.map(({ name, values }) => [name, values]));
}
