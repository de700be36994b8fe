// Numbers and times as people read them.

const whole = new Intl.NumberFormat('en-GB');

export function count(n: number): string {
  return whole.format(n);
}

/** At most `digits` after the point, without trailing zeros. */
export function decimal(n: number, digits = 2): string {
  return new Intl.NumberFormat('en-GB', { maximumFractionDigits: digits }).format(n);
}

/** Exactly `digits` after the point. */
export function fixed(n: number, digits = 2): string {
  return n.toFixed(digits).replace('-', '−');
}

/** With its sign. */
export function signed(n: number, digits = 2): string {
  const text = Math.abs(n).toFixed(digits);
  return n < 0 ? `−${text}` : `+${text}`;
}

export function percent(share: number, digits = 0): string {
  return `${(100 * share).toFixed(digits)}\u00a0%`;
}

/** A duration, given in seconds. */
export function duration(seconds: number): string {
  if (seconds < 0.001) return `${decimal(seconds * 1e6, 0)} µs`;
  if (seconds < 1) return `${decimal(seconds * 1e3, seconds < 0.01 ? 2 : seconds < 0.1 ? 1 : 0)} ms`;
  if (seconds < 60) return `${decimal(seconds, 1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} days ${hours % 24} h`;
}

export function bytes(n: number): string {
  if (n < 1024) return `${n} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let at = -1;
  let value = n;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${decimal(value, value < 10 ? 1 : 0)} ${units[at]}`;
}

const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium' });
const minute = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' });

const second = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });

/** Whoever writes an event says when it was, in any number: what no calendar reaches stays a number. */
function told(format: Intl.DateTimeFormat, millis: number): string {
  return Math.abs(millis) <= 8.64e15 ? format.format(millis) : String(millis);
}

/** Milliseconds since 1970 as a date. */
export function date(millis: number): string {
  return told(day, millis);
}

export function dateTime(millis: number): string {
  return told(minute, millis);
}

/** When something was: the time of day where it was in the last day, the date where it was not. */
export function moment(millis: number, now: number): string {
  return told(Math.abs(now - millis) < 24 * 3_600_000 ? second : day, millis);
}

/** A value of side information. */
export function feature(value: unknown): string {
  if (typeof value === 'number') return decimal(value, 4).replaceAll(',', '');
  if (Array.isArray(value)) return value.join(', ');
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** What somebody typed as a value of side information: a number where it reads as one, otherwise a word. */
export function parseFeature(text: string): number | string {
  const trimmed = text.trim();
  const number = Number(trimmed);
  return trimmed !== '' && Number.isFinite(number) ? number : trimmed;
}
