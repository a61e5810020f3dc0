/** Default templates, which suit photos and drawings. */
export const defaultTemplates: readonly string[] = [
  "{}",
  "a photo of a {}",
  "a picture of a {}",
  "a drawing of a {}",
  "an icon of a {}",
];

/** Meaningless labels in the same templates. An image's similarity to them is the baseline for other labels. */
export const nullLabels: readonly string[] = ["", "thing", "object"];

/** Answer for the null labels. */
export const noneOfThese = "none of these";
