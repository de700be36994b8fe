// What can be drawn of two or more readings of /metrics.

import { type Buckets, difference, histograms, percentile, rate, type Sample, valueOf } from './openmetrics';

export interface Reading {
  time: number;
  samples: Sample[];
  /** Figures between this reading and the one before; `null` for the first one. */
  requests: number | null;
  refused: number | null;
  events: number | null;
  p50: number | null;
  p99: number | null;
  generation: number | null;
  memory: number | null;
}

export interface RouteLine {
  route: string;
  rate: number;
  count: number;
  p50: number | null;
  p90: number | null;
  p99: number | null;
}

/** Requests for the figures and the feed, which would only show this page watching. */
const WATCHING = (route: string): boolean => route === '/metrics' || route === '/v1/events/feed' || route.startsWith('/health');

const REQUESTS = 'foldin_requests_total';
const LATENCY = 'foldin_request_duration_seconds';
const GENERATION = 'foldin_recommendation_seconds';

function total(samples: Sample[], which: (sample: Sample) => boolean): number {
  let sum = 0;
  for (const sample of samples) {
    if (sample.name === REQUESTS && !WATCHING(sample.labels['route'] ?? '') && which(sample)) sum += sample.value;
  }
  return sum;
}

function all(samples: Sample[]): Buckets {
  const sum = new Map<number, number>();
  for (const [route, buckets] of histograms(samples, LATENCY, 'route')) {
    if (WATCHING(route)) continue;
    for (const [bound, n] of buckets) sum.set(bound, (sum.get(bound) ?? 0) + n);
  }
  return [...sum].sort((a, b) => a[0] - b[0]);
}

/** Turns a reading of figures into what is drawn, by what came before. */
export function reading(time: number, samples: Sample[], before: Reading | undefined): Reading {
  const seconds = before === undefined ? 0 : (time - before.time) / 1000;
  const since = (figure: (samples: Sample[]) => number): number | null =>
    before === undefined ? null : rate(figure(samples), figure(before.samples), seconds);
  const served = before === undefined ? null : difference(all(samples), all(before.samples));
  const one = (list: Sample[]): Buckets | undefined => histograms(list, GENERATION).get('');
  const generated = before === undefined ? null : difference(one(samples) ?? [], one(before.samples));
  return {
    time,
    samples,
    requests: since((list) => total(list, () => true)),
    refused: since((list) => total(list, (sample) => Number(sample.labels['status']) >= 400)),
    events: since((list) => valueOf(list, 'foldin_events_written_total') ?? 0),
    p50: served && percentile(served, 0.5),
    p99: served && percentile(served, 0.99),
    generation: generated && percentile(generated, 0.5),
    memory: valueOf(samples, 'foldin_resident_memory_bytes') ?? null,
  };
}

/** Each route between two readings; over all time where nothing was asked meanwhile. */
export function routes(now: Reading, before: Reading | undefined): RouteLine[] {
  const latencies = histograms(now.samples, LATENCY, 'route');
  const earlier = before === undefined ? new Map<string, Buckets>() : histograms(before.samples, LATENCY, 'route');
  const seconds = before === undefined ? 0 : (now.time - before.time) / 1000;
  const out: RouteLine[] = [];
  for (const [route, buckets] of latencies) {
    if (WATCHING(route)) continue;
    const recent = difference(buckets, earlier.get(route));
    const asked = before === undefined ? 0 : (recent.at(-1)?.[1] ?? 0);
    const shown = asked > 0 ? recent : buckets;
    out.push({
      route,
      rate: seconds > 0 ? asked / seconds : 0,
      count: buckets.at(-1)?.[1] ?? 0,
      p50: percentile(shown, 0.5),
      p90: percentile(shown, 0.9),
      p99: percentile(shown, 0.99),
    });
  }
  return out.sort((a, b) => b.rate - a.rate || b.count - a.count || a.route.localeCompare(b.route));
}
