/**
 * The sentences a label is put into when none are given: plain, so that they hold for photos and drawings alike. `{}`
 * marks the place.
 */
export const defaultTemplates: readonly string[] = [
  "{}",
  "a photo of a {}",
  "a picture of a {}",
  "a drawing of a {}",
  "an icon of a {}",
];

/**
 * Labels that say nothing, put into the same templates as the others: how well an image matches them is how well it
 * matches any sentence of that kind.
 */
export const nullLabels: readonly string[] = ["", "thing", "object"];

/** What a classifier answers for the null labels. */
export const noneOfThese = "none of these";
