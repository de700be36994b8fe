import { describe, expect, it } from 'vitest';
import { parseMetrics } from '../src/lib/openmetrics';
import { reading, routes } from '../src/lib/readings';

function figures(answered: number, refused: number, slow: number, events: number): ReturnType<typeof parseMetrics> {
  const all = answered + refused;
  return parseMetrics(`
foldin_requests_total{method="POST",route="/v1/recommend",status="200"} ${answered}
foldin_requests_total{method="POST",route="/v1/recommend",status="400"} ${refused}
foldin_requests_total{method="GET",route="/metrics",status="200"} 1000
foldin_request_duration_seconds_bucket{le="0.001",route="/v1/recommend"} ${all - slow}
foldin_request_duration_seconds_bucket{le="0.1",route="/v1/recommend"} ${all}
foldin_request_duration_seconds_bucket{le="+Inf",route="/v1/recommend"} ${all}
foldin_request_duration_seconds_bucket{le="+Inf",route="/metrics"} 1000
foldin_events_written_total ${events}
foldin_resident_memory_bytes 5e7
`);
}

describe('readings of figures', () => {
  const first = reading(10_000, figures(100, 0, 50, 7), undefined);
  const second = reading(12_000, figures(118, 2, 50, 9), first);

  it('say nothing of rates at first', () => {
    expect(first).toMatchObject({ requests: null, events: null, p50: null, memory: 5e7 });
  });

  it('give what happened between them, without those who watch', () => {
    expect(second).toMatchObject({ requests: 10, refused: 1, events: 1 });
    // None of the twenty was slow, whatever came before.
    expect(second.p99).toBeLessThanOrEqual(0.001);
  });

  it('compare routes, by all time where nothing was asked meanwhile', () => {
    expect(routes(second, first)).toMatchObject([{ route: '/v1/recommend', rate: 10, count: 120 }]);
    const idle = reading(14_000, second.samples, second);
    const [line] = routes(idle, second);
    expect(line).toMatchObject({ rate: 0, count: 120 });
    expect(line?.p99).toBeGreaterThan(0.001);
    expect(idle.p50).toBeNull();
  });
});
