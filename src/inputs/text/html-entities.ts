import { decodeHTML } from "entities";

/** A character reference as in Python's `html.unescape`: a number, or a name of at most 32 characters. */
const reference = /&(?:#(?:[0-9]+|[xX][0-9a-fA-F]+);?|[^\t\n\f <&#;]{1,32};?)/gu;
/** Control codes and noncharacters; Python drops numeric references to them, browsers keep them. */
const notACharacter = /[\x01-\x08\x0b\x0e-\x1f\x7f\p{Noncharacter_Code_Point}]/gu;

/**
 * Replaces HTML character references by their characters, once.
 *
 * Equals Python's `html.unescape`: the longest known name wins, some names need no semicolon, numbers 128–159 mean
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
 * Replaces unambiguous references, which end in a semicolon, once. A lower-case name in capitals means the capital
 * letter: `&EACUTE;`.
 *
 * Equals ftfy 6.3.1, which treats text that may not be HTML this way.
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

/** True if the semicolon was consumed with the name; `&semi;` decodes to one. */
const isWhole = (decoded: string) => !decoded.endsWith(";") || decoded === ";";
