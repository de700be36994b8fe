import { describe, expect, it } from 'vitest';
import { difference, histograms, parseMetrics, percentile, rate, valueOf } from '../src/lib/openmetrics';

const TEXT = `# HELP foldin_requests Requests answered.
# TYPE foldin_requests counter
foldin_requests_total{method="GET",route="/v1/users/{id}/recommendations",status="200"} 12
foldin_requests_total{method="POST",route="/v1/events",status="201"} 3
# HELP foldin_request_duration_seconds From the head of a request to the head of its answer.
# TYPE foldin_request_duration_seconds histogram
# UNIT foldin_request_duration_seconds seconds
foldin_request_duration_seconds_sum{route="/a"} 0.5
foldin_request_duration_seconds_count{route="/a"} 10
foldin_request_duration_seconds_bucket{le="0.001",route="/a"} 0
foldin_request_duration_seconds_bucket{le="0.01",route="/a"} 8
foldin_request_duration_seconds_bucket{le="+Inf",route="/a"} 10
foldin_resident_memory_bytes 1.234e8
odd{text="a \\"quoted\\" back\\\\slash, and } brace"} NaN 1700000000
not a sample
broken{label="no end
# EOF
`;

describe('the text of figures', () => {
  const samples = parseMetrics(TEXT);

  it('gives labels and values, and passes over what is no sample', () => {
    expect(samples).toHaveLength(9);
    expect(samples[0]).toEqual({
      name: 'foldin_requests_total',
      labels: { method: 'GET', route: '/v1/users/{id}/recommendations', status: '200' },
      value: 12,
    });
    expect(valueOf(samples, 'foldin_resident_memory_bytes')).toBe(123_400_000);
    expect(valueOf(samples, 'none')).toBeUndefined();
  });

  it('takes quotes, backslashes and braces in labels, and times behind values', () => {
    const odd = samples.at(-1);
    expect(odd?.labels['text']).toBe('a "quoted" back\\slash, and } brace');
    expect(odd?.value).toBeNaN();
  });

  it('reads histograms by a label', () => {
    expect(histograms(samples, 'foldin_request_duration_seconds', 'route').get('/a')).toEqual([[0.001, 0], [0.01, 8], [Infinity, 10]]);
    expect(histograms(samples, 'none').size).toBe(0);
  });
});

describe('what lies between two readings', () => {
  it('is the difference of buckets, and everything after a restart', () => {
    const before: [number, number][] = [[1, 2], [Infinity, 5]];
    expect(difference([[1, 3], [Infinity, 9]], before)).toEqual([[1, 1], [Infinity, 4]]);
    expect(difference([[1, 1], [Infinity, 2]], before)).toEqual([[1, 1], [Infinity, 2]]);
    expect(difference([[1, 1]], undefined)).toEqual([[1, 1]]);
  });

  it('is a rate, which a restart does not make negative', () => {
    expect(rate(30, 10, 4)).toBe(5);
    expect(rate(8, 10, 4)).toBe(2);
    expect(rate(8, 4, 0)).toBe(0);
  });

  it('has percentiles, linear within a bucket', () => {
    const buckets: [number, number][] = [[1, 0], [2, 10], [4, 20], [Infinity, 20]];
    expect(percentile(buckets, 0.5)).toBeCloseTo(2);
    expect(percentile(buckets, 0.25)).toBeCloseTo(1.5);
    expect(percentile(buckets, 0.99)).toBeCloseTo(3.96);
    expect(percentile([[1, 0], [Infinity, 0]], 0.5)).toBeNull();
    expect(percentile([], 0.5)).toBeNull();
    // Of what lies beyond the last bound only that bound is known.
    expect(percentile([[1, 0], [2, 1], [Infinity, 10]], 0.9)).toBe(2);
  });
});
