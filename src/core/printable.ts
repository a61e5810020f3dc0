/** Control characters, bidirectional marks and line separators, which can manipulate a terminal. */
const steering = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** Text from outside as one safe line: terminal control characters become JSON escapes. */
export function printable(text: string): string {
  return text.replace(steering, (met) => `\\u${met.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
