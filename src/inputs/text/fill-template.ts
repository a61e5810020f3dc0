const beginsWithArticle = /^(?:an?|the)\s+\S/i;

/**
 * A label in a template. Where both have an article the label's stays: "an apple" in "a photo of a {}" is "a photo of an apple".
 * A label without one is put in as it is, as with CLIP's published templates: "a photo of a apple".
 */
export function fillTemplate(template: string, label: string): string {
  const place = beginsWithArticle.test(label) ? /(?:\b(?:an?|the)\s+)?\{\}/gi : /\{\}/g;
  // A function as replacement, since "$&" in a label is no pattern.
  return template.replace(place, () => label);
}
