// What every page needs to know: the server's figures, whether a key is wanted, notices at the foot of the page.

import { api, apiKey, onUnauthorised, type Problem, problem, setApiKey } from './api';
import type { Role, Stats } from './types';

/** Each may do what those before it may. */
const ROLES: readonly Role[] = ['read', 'write', 'admin'];

export interface Notice {
  id: number;
  kind: 'done' | 'problem';
  text: string;
  requestId?: string | undefined;
}

class Session {
  stats = $state<Stats | null>(null);
  trouble = $state<Problem | null>(null);
  /** The server wants a key, or another one. */
  locked = $state(false);
  hasKey = $state(apiKey() !== null);
  notices = $state<Notice[]>([]);
  #number = 0;

  constructor() {
    onUnauthorised(() => (this.locked = true));
  }

  /** Whether whoever looks at the page may do what needs a role; without keys anybody may do anything. */
  may(role: Role): boolean {
    const key = this.stats?.key ?? null;
    return key === null || ROLES.indexOf(key.role) >= ROLES.indexOf(role);
  }

  async refresh(): Promise<void> {
    try {
      this.stats = await api.stats();
      this.trouble = null;
    } catch (error) {
      this.trouble = problem(error);
    }
  }

  /** Takes a key if the server takes it. */
  async signIn(key: string): Promise<void> {
    const before = apiKey();
    setApiKey(key);
    try {
      this.stats = await api.stats();
      this.trouble = null;
      this.locked = false;
      this.hasKey = true;
    } catch (error) {
      setApiKey(before);
      throw error;
    }
  }

  signOut(): void {
    setApiKey(null);
    this.hasKey = false;
    this.stats = null;
    void this.refresh();
  }

  done(text: string): void {
    this.#show({ kind: 'done', text }, 5000);
  }

  failed(error: unknown): void {
    const { message, requestId } = problem(error);
    this.#show({ kind: 'problem', text: message, requestId }, 12_000);
  }

  dismiss(id: number): void {
    this.notices = this.notices.filter((notice) => notice.id !== id);
  }

  #show(notice: Omit<Notice, 'id'>, millis: number): void {
    this.#number += 1;
    const id = this.#number;
    this.notices = [...this.notices.slice(-3), { id, ...notice }];
    setTimeout(() => this.dismiss(id), millis);
  }
}

export const session = new Session();
