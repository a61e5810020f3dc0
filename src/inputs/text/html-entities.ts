import { decodeHTML } from "entities";

/** A character reference as Python's `html.unescape` finds one: by number, or by a name of at most 32 characters. */
const reference = /&(?:#(?:[0-9]+|[xX][0-9a-fA-F]+);?|[^\t\n\f <&#;]{1,32};?)/gu;
/** Numbers that name no character; Python drops them, browsers keep them. */
const notACharacter = /[\x01-\x08\x0b\x0e-\x1f\x7f\p{Noncharacter_Code_Point}]/gu;

/**
 * Replaces HTML character references by their characters, once.
 *
 * Agrees with Python's `html.unescape`: the longest known name counts, some need no semicolon, numbers 128–159 mean
 * Windows-1252, surrogates and numbers out of range become U+FFFD.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/parsing.html#character-reference-state | HTML, 13.2.5.72}
 */
export function decodeHtmlEntities(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(reference, (entity) => {
    const decoded = decodeHTML(entity);
    return entity.startsWith("&#") ? decoded.replace(notACharacter, "") : decoded;
  });
}

/**
 * Replaces references that end in a semicolon and are no doubt meant as such, once. A name of small letters may be written in
 * capitals, and then means the capital letter: `&EACUTE;`.
 *
 * Agrees with ftfy 6.3.1, which reads a text so that is not known to be HTML.
 */
export function decodeTerminatedEntities(text: string): string {
  return text.replace(/&#?[0-9A-Za-z]{1,24};/g, (entity) => {
    const decoded = decodeHtmlEntities(entity);
    if (entity.startsWith("&#")) return decoded.includes(";") ? entity : decoded;
    if (isWhole(decoded)) return decoded;
    if (decoded !== entity || entity !== entity.toUpperCase()) return entity;
    const small = decodeHtmlEntities(entity.toLowerCase());
    return isWhole(small) ? small.toUpperCase() : entity;
  });
}

/** Whether the semicolon was read with the name; `&semi;` is one itself. */
const isWhole = (decoded: string) => !decoded.endsWith(";") || decoded === ";";
