// What shows each page.

import type { Component } from 'svelte';
import type { PageName } from '../lib/pages';
import type { Stats } from '../lib/types';
import Design from './Design.svelte';
import Item from './Item.svelte';
import Items from './Items.svelte';
import Live from './Live.svelte';
import Model from './Model.svelte';
import Settings from './Settings.svelte';
import Try from './Try.svelte';
import User from './User.svelte';
import Users from './Users.svelte';

export interface View {
  all: Component<{ stats: Stats }>;
  /** What shows one thing of the page, such as one user; a page without shows itself, whatever key is asked for. */
  one?: Component<{ id: string; stats: Stats }>;
}

export const VIEWS: Record<PageName, View> = {
  try: { all: Try },
  model: { all: Model },
  users: { all: Users, one: User },
  live: { all: Live },
  items: { all: Items, one: Item },
  design: { all: Design },
  settings: { all: Settings },
};
