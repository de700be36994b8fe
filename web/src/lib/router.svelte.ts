// Pages by the part of the address behind `#`, which never reaches the server.

import { type PageName, PAGES } from './pages';

export interface Route {
  page: PageName;
  /** The key behind the page's name, such as that of a user. */
  key: string | null;
}

export function parseRoute(hash: string): Route {
  const [name = '', ...rest] = hash.replace(/^#\/?/, '').split('/');
  const page = PAGES.find((known) => known.page === name)?.page ?? PAGES[0].page;
  let key: string | null = rest.length > 0 && rest[0] !== '' ? rest.join('/') : null;
  try {
    if (key !== null) key = decodeURIComponent(key);
  } catch {
    // A percent sign that somebody typed: the text stands for itself.
  }
  return { page, key };
}

export function href(page: PageName, key?: string): string {
  return key === undefined ? `#/${page}` : `#/${page}/${encodeURIComponent(key)}`;
}

class Router {
  route = $state<Route>(parseRoute(location.hash));

  constructor() {
    addEventListener('hashchange', () => {
      this.route = parseRoute(location.hash);
      scrollTo(0, 0);
    });
  }

  go(page: PageName, key?: string): void {
    location.hash = href(page, key);
  }
}

export const router = new Router();
