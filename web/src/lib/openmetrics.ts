// The server's figures: OpenMetrics text, and what can be worked out of two readings.

export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** Reads every sample. Comments and lines that are not samples are passed over. */
export function parseMetrics(text: string): Sample[] {
  const out: Sample[] = [];
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const sample = parseLine(line);
    if (sample !== null) out.push(sample);
  }
  return out;
}

function parseLine(line: string): Sample | null {
  const name = /^[a-zA-Z_:][a-zA-Z0-9_:]*/.exec(line)?.[0];
  if (name === undefined) return null;
  let at = name.length;
  const labels: Record<string, string> = {};
  if (line[at] === '{') {
    at += 1;
    while (at < line.length && line[at] !== '}') {
      const equals = line.indexOf('="', at);
      if (equals < 0) return null;
      const label = line.slice(at, equals).trim();
      let value = '';
      at = equals + 2;
      while (at < line.length && line[at] !== '"') {
        if (line[at] === '\\') {
          at += 1;
          value += line[at] === 'n' ? '\n' : (line[at] ?? '');
        } else value += line[at];
        at += 1;
      }
      if (line[at] !== '"') return null;
      labels[label] = value;
      at += 1;
      if (line[at] === ',') at += 1;
    }
    if (line[at] !== '}') return null;
    at += 1;
  }
  const word = line.slice(at).trim().split(/\s+/)[0] ?? '';
  const value = number(word);
  return value === null ? null : { name, labels, value };
}

function number(word: string): number | null {
  if (word === '+Inf' || word === 'Inf') return Infinity;
  if (word === '-Inf') return -Infinity;
  if (word === 'NaN') return NaN;
  const value = Number(word);
  return word === '' || Number.isNaN(value) ? null : value;
}

/** The value of the first sample of that name; `undefined` if there is none. */
export function valueOf(samples: Sample[], name: string): number | undefined {
  return samples.find((sample) => sample.name === name)?.value;
}

/** Cumulative counts by upper bound, ascending, the last one infinite. */
export type Buckets = [bound: number, count: number][];

/** A histogram's buckets by the value of one label, or all under '' if no label is named. */
export function histograms(samples: Sample[], name: string, label?: string): Map<string, Buckets> {
  const out = new Map<string, Buckets>();
  for (const sample of samples) {
    if (sample.name !== `${name}_bucket`) continue;
    const group = label === undefined ? '' : (sample.labels[label] ?? '');
    const bound = number(sample.labels['le'] ?? '');
    if (bound === null) continue;
    const buckets = out.get(group) ?? [];
    buckets.push([bound, sample.value]);
    out.set(group, buckets);
  }
  for (const buckets of out.values()) buckets.sort((a, b) => a[0] - b[0]);
  return out;
}

/** What was observed between two readings. A counter that went down began anew: then all of it counts. */
export function difference(now: Buckets, before: Buckets | undefined): Buckets {
  const total = now.at(-1)?.[1] ?? 0;
  if (before === undefined || (before.at(-1)?.[1] ?? 0) > total) return now;
  const earlier = new Map(before);
  return now.map(([bound, count]) => [bound, Math.max(0, count - (earlier.get(bound) ?? 0))]);
}

/**
 * The value below which a share of the observations lies, linear within its bucket; `null` if nothing was observed. In the bucket
 * without an upper bound all that is known is its lower one.
 */
export function percentile(buckets: Buckets, share: number): number | null {
  const total = buckets.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  const rank = share * total;
  let [lower, below] = [0, 0];
  for (const [bound, count] of buckets) {
    if (count >= rank && count > below) {
      return Number.isFinite(bound) ? lower + ((bound - lower) * (rank - below)) / (count - below) : lower;
    }
    [lower, below] = [Number.isFinite(bound) ? bound : lower, count];
  }
  return lower;
}

/** The rate of a counter a second; a counter that went down began anew. */
export function rate(now: number, before: number, seconds: number): number {
  if (seconds <= 0) return 0;
  return (now >= before ? now - before : now) / seconds;
}
