import { expect, it } from 'vitest';
import { place } from '../src/lib/labels';

it('titles on a map cover neither each other nor its edge', () => {
  const labels = place(
    [
      { x: 10, y: 50, text: 'first' },
      { x: 12, y: 52, text: 'too near' },
      { x: 190, y: 50, text: 'at the edge' },
      { x: 10, y: 90, text: 'below' },
      { x: 10, y: 130, text: 'one too many' },
    ],
    200,
    3,
  );
  expect(labels.map(({ text, left }) => [text, left])).toEqual([['first', false], ['at the edge', true], ['below', false]]);
});
