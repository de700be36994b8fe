// The design that was asked for last. It outlives its page, since the server goes on whether or not anybody watches.

import { api, Problem, problem } from './api';
import { climb, type Climb, type DesignForm, FORM, same, typed } from './designs';
import type { DesignOptions, DesignRun } from './types';

const KEY = 'foldin-design';

/** What is enough to find a run again after the page was loaded anew, without which nobody could cancel it. */
interface Kept {
  id: number;
  started: number;
  asked: DesignOptions;
}

class Designing {
  form = $state<DesignForm>({ ...FORM });
  run = $state.raw<DesignRun | null>(null);
  /** What the run was asked for with; the form may have been changed since. */
  asked = $state.raw<DesignOptions | null>(null);
  climb = $state.raw<Climb>([]);
  asking = $state(false);
  /** Why the run cannot be watched. */
  lost = $state.raw<Problem | null>(null);
  #watching: AbortController | undefined;

  /** Asks for a design; whoever asks shows a refusal. */
  async start(asked: DesignOptions): Promise<void> {
    this.asking = true;
    try {
      const run = await api.design(asked);
      [this.asked, this.climb] = [asked, []];
      this.#take(run);
      this.#keep({ id: run.id, started: run.started, asked });
    } finally {
      this.asking = false;
    }
  }

  /** Finds the run from before the page was loaded anew, if the server still has it. */
  async recall(): Promise<void> {
    const kept = this.run === null ? this.#kept() : null;
    if (kept === null) return;
    try {
      const run = await api.designRun(kept.id);
      // Another may have been asked for meanwhile.
      if (this.run !== null) return;
      if (!same(run, kept)) return this.#keep(null);
      this.asked = kept.asked;
      Object.assign(this.form, typed(kept.asked));
      this.#take(run);
    } catch (error) {
      // The page is as it is for whoever designs for the first time; what is gone is not asked for again.
      if (problem(error).status === 404) this.#keep(null);
    }
  }

  /** Watches the run; the function that it gives ends the watching, not the run. */
  watch(): () => void {
    this.#watching?.abort();
    const watching = (this.#watching = new AbortController());
    this.lost = null;
    void this.#follow(watching.signal);
    return () => this.#watching?.abort();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { run } = this;
    if (run === null) return;
    try {
      const runs = await api.watchDesign(run.id, signal);
      try {
        for await (const next of runs) {
          if (signal.aborted) return;
          if (!same(next, run)) return this.#gone(run);
          this.#take(next);
        }
      } catch {
        // A stream that breaks off is no more than one that ends.
      }
      if (!signal.aborted && this.run?.state === 'running') this.lost = new Problem(0, 'ended', 'The server stopped telling how the design goes on.');
    } catch (error) {
      if (signal.aborted) return;
      const found = problem(error);
      if (found.status === 404) this.#gone(run);
      else this.lost = found;
    }
  }

  #take(run: DesignRun): void {
    this.run = run;
    this.climb = climb(this.climb, run);
  }

  #gone(run: DesignRun): void {
    this.run = { ...run, state: 'failed', error: 'The server does not know this design any more; it may have been started again.' };
  }

  #keep(kept: Kept | null): void {
    try {
      sessionStorage.setItem(KEY, JSON.stringify(kept));
    } catch {
      // It lasts until the page is left.
    }
  }

  #kept(): Kept | null {
    try {
      return JSON.parse(sessionStorage.getItem(KEY) ?? 'null') as Kept | null;
    } catch {
      return null;
    }
  }
}

export const designing = new Designing();
