// The pages, in the order in which they are offered. One more is a line here, a picture of its name in components/Icon.svelte and what
// shows it in pages/index.ts; the compiler asks for both. App.svelte leaves out of the navigation what the server cannot do.

export const PAGES = [
  { page: 'try', name: 'Try it' },
  { page: 'model', name: 'Model' },
  { page: 'users', name: 'Users' },
  { page: 'live', name: 'Live' },
  { page: 'items', name: 'Items' },
  { page: 'design', name: 'Design' },
  { page: 'settings', name: 'Settings' },
] as const;

export type PageName = (typeof PAGES)[number]['page'];
