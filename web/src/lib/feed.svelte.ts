// Watches what is written, for as long as somebody looks.

import { api, problem, type Problem } from './api';
import { NOTHING, patience, type Seeing, take } from './feed';

/** Milliseconds between two drawings, so that thousands of writes a second are drawn a few times. */
const DRAWN_EVERY = 100;

export class Feed {
  seeing = $state.raw<Seeing>(NOTHING);
  link = $state<'opening' | 'open' | 'lost'>('opening');
  /** Why the server does not let this page watch; it is asked again all the same. */
  trouble = $state.raw<Problem | null>(null);
  #taken = NOTHING;
  #drawing: ReturnType<typeof setTimeout> | undefined;

  /** Begins; the function that it gives ends it. What was seen stays. */
  watch(): () => void {
    const stop = new AbortController();
    void this.#follow(stop.signal);
    return () => stop.abort();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    let failed = 0;
    this.link = 'opening';
    for (;;) {
      try {
        const writes = await api.feed(signal);
        failed = 0;
        this.trouble = null;
        this.link = 'open';
        for await (const write of writes) this.#take(write);
      } catch (error) {
        // A stream that breaks off is no more than one that ends.
        if (!signal.aborted && this.link !== 'open') this.trouble = problem(error);
      }
      if (signal.aborted) return;
      this.link = 'lost';
      await sleep(patience(failed), signal);
      if (signal.aborted) return;
      failed += 1;
    }
  }

  #take(write: Parameters<typeof take>[1]): void {
    this.#taken = take(this.#taken, write);
    this.#drawing ??= setTimeout(() => {
      this.#drawing = undefined;
      this.seeing = this.#taken;
    }, DRAWN_EVERY);
  }
}

/** Waits, or until nobody does any more. */
function sleep(millis: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, millis);
    signal.addEventListener('abort', end);
  });
}
