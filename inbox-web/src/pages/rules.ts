// What the forms accept: the same rules as the server's, said before anything is sent.

/** Names as the server takes them: 1 to 60 characters after trimming, no control, bidi-control or zero-width ones. */
export function goodName(text: string): boolean {
  const name = text.trim();
  const length = [...name].length;
  return length >= 1 && length <= 60 && !/[\p{Cc}\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/u.test(name);
}

export function goodEmail(text: string): boolean {
  return text.length >= 3 && text.length <= 254 && /^[^@\s]+@[^@\s]+$/.test(text);
}

export function goodPassword(text: string): boolean {
  const length = [...text].length;
  return length >= 10 && length <= 200;
}

/** The colour for words on a ground, black or white, whichever has more contrast (WCAG 2.2 relative luminance). */
export function inkOn(accent: string): '#000000' | '#ffffff' {
  const part = (from: number) => {
    const value = Number.parseInt(accent.slice(from, from + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  const light = 0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5);
  // Both contrasts are equal where (1.05)/(l+0.05) = (l+0.05)/0.05.
  return light > 0.179 ? '#000000' : '#ffffff';
}

/** An origin as browsers send it: scheme, host, port, and nothing after it. */
export function goodOrigin(text: string): boolean {
  try {
    const url = new URL(text);
    return (url.protocol === 'https:' || url.protocol === 'http:') && url.origin === text.toLowerCase();
  } catch {
    return false;
  }
}
