/** Control characters, marks that turn the direction of text, and separators of lines: what steers a terminal. */
const steering = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** A name or a text from outside, to stand within one line: what would steer a terminal is written as JSON writes it. */
export function printable(text: string): string {
  return text.replace(steering, (met) => `\\u${met.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
