// Readings of /metrics over the last minutes.

import { api, problem, type Problem } from './api';
import { parseMetrics } from './openmetrics';
import { type Reading, reading } from './readings';

const EVERY = 2000;
/** Six minutes. */
const KEPT = 180;

class Live {
  readings = $state.raw<Reading[]>([]);
  trouble = $state<Problem | null>(null);
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Begins to read, and goes on until the page is closed, so that the last minutes are there whenever somebody looks. */
  start(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(() => {
      if (!document.hidden) void this.read();
    }, EVERY);
    void this.read();
  }

  async read(): Promise<void> {
    try {
      const samples = parseMetrics(await api.metrics());
      const next = reading(Date.now(), samples, this.readings.at(-1));
      this.readings = [...this.readings.slice(1 - KEPT), next];
      this.trouble = null;
    } catch (error) {
      this.trouble = problem(error);
    }
  }
}

export const live = new Live();
