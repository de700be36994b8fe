// Which titles fit on a map without covering each other.

export interface Spot {
  x: number;
  y: number;
  text: string;
}

export interface Label extends Spot {
  /** Whether the text stands to the left of its point. */
  left: boolean;
}

interface Box {
  x0: number;
  x1: number;
  y0: number;
  y1: number;
}

/** In the order given, each title that covers none before it; `width` is that of the map, `letter` and `line` those of the text. */
export function place(spots: Spot[], width: number, most: number, letter = 6.2, line = 13): Label[] {
  const taken: Box[] = [];
  const out: Label[] = [];
  for (const spot of spots) {
    if (out.length >= most) break;
    const long = letter * spot.text.length;
    for (const left of [false, true]) {
      const x0 = left ? spot.x - 7 - long : spot.x + 7;
      const box = { x0, x1: x0 + long, y0: spot.y - line / 2, y1: spot.y + line / 2 };
      if (box.x0 < 0 || box.x1 > width) continue;
      if (taken.some((other) => box.x0 < other.x1 && other.x0 < box.x1 && box.y0 < other.y1 && other.y0 < box.y1)) continue;
      taken.push(box);
      out.push({ ...spot, left });
      break;
    }
  }
  return out;
}
