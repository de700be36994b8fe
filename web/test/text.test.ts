import { describe, expect, it } from 'vitest';
import { curl, quote } from '../src/lib/curl';
import { bytes, duration, parseFeature, signed } from '../src/lib/format';
import { parseEvent, readEvents } from '../src/lib/sse';

describe('a request as a command', () => {
  it('survives the shell', () => {
    expect(quote("Schindler's")).toBe(`'Schindler'\\''s'`);
    const command = curl('http://127.0.0.1:8080', '/v1/recommend', { history: [{ item: "O'Brien" }] }, true);
    expect(command).toContain(`-d '{"history":[{"item":"O'\\''Brien"}]}'`);
    expect(command).toContain('"authorization: Bearer $FOLDIN_API_KEY"');
    expect(curl('http://a', '/b', {}, false)).not.toContain('authorization');
  });
});

describe('figures', () => {
  it('read well from microseconds to days', () => {
    expect(duration(0.000081)).toBe('81 µs');
    expect(duration(0.00214)).toBe('2.14 ms');
    expect(duration(0.214)).toBe('214 ms');
    expect(duration(3.25)).toBe('3.3 s');
    expect(duration(125)).toBe('2 min 5 s');
    expect(duration(7300)).toBe('2 h 1 min');
    expect(duration(200_000)).toBe('2 days 7 h');
    expect(bytes(512)).toBe('512 B');
    expect(bytes(123_400_000)).toBe('118 MiB');
    expect(signed(-0.5)).toBe('−0.50');
  });

  it('tell numbers from words', () => {
    expect(parseFeature(' 31 ')).toBe(31);
    expect(parseFeature('writer')).toBe('writer');
    expect(parseFeature('')).toBe('');
  });
});

describe('server-sent events', () => {
  it('are read across chunks, without comments', async () => {
    const chunks = ['event: job\nda', 'ta: {"id":1}\n\n: keep', '-alive\n\nevent: job\ndata: {"id":2}\n', '\n'];
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk));
        controller.close();
      },
    });
    const seen: string[] = [];
    for await (const { name, data } of readEvents(body)) seen.push(`${name} ${data}`);
    expect(seen).toEqual(['job {"id":1}', 'job {"id":2}']);
    expect(parseEvent(':only a comment')).toBeNull();
    expect(parseEvent('data: a\ndata: b')).toEqual({ name: 'message', data: 'a\nb' });
  });
});
