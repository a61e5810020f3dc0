const beginsWithArticle = /^(?:an?|the)\s+\S/i;

/**
 * Inserts a label into a template. If both have an article, the label's is kept: "an apple" in "a photo of a {}"
 * becomes "a photo of an apple". A label without one is inserted unchanged, as with CLIP's published templates: "a
 * photo of a apple".
 */
export function fillTemplate(template: string, label: string): string {
  const place = beginsWithArticle.test(label) ? /(?:\b(?:an?|the)\s+)?\{\}/gi : /\{\}/g;
  // A function, so that "$&" in a label has no special meaning.
  return template.replace(place, () => label);
}
