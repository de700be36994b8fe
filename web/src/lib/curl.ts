// A request as a command line.

/** Quoted for a POSIX shell. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The command that sends `body`; the key is named, never shown. */
export function curl(origin: string, path: string, body: unknown, withKey: boolean): string {
  const lines = [`curl -s ${quote(origin + path)}`, `-H 'content-type: application/json'`];
  if (withKey) lines.push('-H "authorization: Bearer $FOLDIN_API_KEY"');
  lines.push(`-d ${quote(JSON.stringify(body))}`);
  return lines.join(' \\\n  ');
}

/** Puts a text on the clipboard; `false` if the browser would not. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages that came over plain HTTP from elsewhere have no clipboard of the new kind.
    const area = document.createElement('textarea');
    area.value = text;
    area.style.position = 'fixed';
    area.style.opacity = '0';
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}
