// A list that follows somebody: asked for anew whenever they, or what is wished for, change.

import { api, givenUp, problem, recommendBody, type Problem } from './api';
import type { Recommendations, Who, Wish } from './types';

const EXPLAINED = 2;

export class Ranking {
  answer = $state.raw<Recommendations | null>(null);
  /** Places in the answer before, by key. */
  before = $state.raw<Map<string, number>>(new Map());
  trouble = $state<Problem | null>(null);
  /** What was asked, for whoever wants to ask it elsewhere. */
  body = $state.raw<Record<string, unknown>>({});
  #request: AbortController | undefined;

  /** Asks for the list, which is shown at once, and for its reasons, which take longer and follow. */
  async ask(who: Who, wish: Wish, version?: string): Promise<void> {
    this.#request?.abort();
    const request = new AbortController();
    this.#request = request;
    this.body = recommendBody(who, { ...wish, explain: EXPLAINED }, version);
    try {
      const plain = await api.recommend(recommendBody(who, wish, version), request.signal);
      const shown = new Map((this.answer?.items ?? []).map(({ item }, at) => [item, at] as const));
      this.before = this.answer?.source === plain.source ? shown : new Map();
      this.answer = plain;
      this.trouble = null;
      if (plain.source === 'popular') return;
      const told = await api.recommend(this.body, request.signal);
      const because = new Map(told.items.map((item) => [item.item, item.because]));
      this.answer = { ...plain, items: plain.items.map((item) => ({ ...item, because: because.get(item.item) })) };
    } catch (error) {
      if (!givenUp(error) && this.#request === request) this.trouble = problem(error);
    }
  }
}

/** Whether the server takes the version that is to answer, so that two can be shown side by side. */
export async function takesVersion(): Promise<boolean> {
  try {
    const { components } = await api.openapi();
    return 'version' in (components?.schemas?.['RecommendIn']?.properties ?? {});
  } catch {
    return false;
  }
}
