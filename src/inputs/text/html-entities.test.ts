import { describe, expect, it } from "vitest";
import { decodeHtmlEntities } from "./html-entities.ts";

/** Made with `html.unescape` of Python 3.11. */
const python: readonly (readonly [text: string, unescaped: string])[] = [
  ["&lt;b&gt;", "<b>"],
  ["&amp;amp;", "&amp;"],
  ["&amp", "&"],
  ["&ampersand", "&ersand"],
  ["&notit; &notin; &notin", "¬it; ∉ ¬in"],
  ["&eacute &EACUTE; &Eacute;", "é &EACUTE; É"],
  ["&CounterClockwiseContourIntegral;", "∳"],
  ["&ngE; &NotEqualTilde;", "≧̸ ≂̸"],
  ["&#65;&#65B&#x41;&#X41g", "AABAAg"],
  ["&#150;&#x80;&#129;&#x9f;", "–€\u0081Ÿ"],
  ["&#0;&#xD800;&#x110000;&#99999999999999999999;", "\ufffd\ufffd\ufffd\ufffd"],
  ["a&#1;b&#11;c&#127;d&#xFFFE;e&#xFDD0;f&#x1FFFF;g", "abcdefg"],
  ["&#13;&#9;&#10;", "\r\t\n"],
  ["& &; &# &#; &#x; &#xg; &nosuch;", "& &; &# &#; &#x; &#xg; &nosuch;"],
  ["&&lt;&#38;lt;", "&<&lt;"],
  ["&😀lt;", "&😀lt;"],
];

describe("decodeHtmlEntities", () => {
  it.each(python)("equals Python's html.unescape for %j", (text, unescaped) => {
    expect(decodeHtmlEntities(text)).toBe(unescaped);
  });
});
