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
