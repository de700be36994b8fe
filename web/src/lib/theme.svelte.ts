// Light or dark: the system's choice until somebody makes one here.

const KEY = 'foldin-theme';

export type Theme = 'light' | 'dark';

class Themes {
  #system = matchMedia('(prefers-color-scheme: dark)');
  #systemDark = $state(this.#system.matches);
  #chosen = $state<Theme | null>(null);

  constructor() {
    const chosen = document.documentElement.dataset['theme'];
    if (chosen === 'light' || chosen === 'dark') this.#chosen = chosen;
    this.#system.addEventListener('change', (event) => (this.#systemDark = event.matches));
  }

  get current(): Theme {
    return this.#chosen ?? (this.#systemDark ? 'dark' : 'light');
  }

  toggle(): void {
    const next: Theme = this.current === 'dark' ? 'light' : 'dark';
    this.#chosen = next;
    document.documentElement.dataset['theme'] = next;
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // It lasts until the page is left.
    }
  }
}

export const themes = new Themes();
