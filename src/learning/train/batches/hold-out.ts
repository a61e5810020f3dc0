import { ClipError } from "../../../core/errors.ts";
import { Random } from "../../../core/random.ts";
import type { MixedPairs } from "../../../inputs/data/pairs.ts";
import { purposes } from "./sampling.ts";
import type { Sample } from "../../../inputs/data/sources/samples.ts";

/**
 * Keeps a share of the images from training, drawn by the seed. Of those with the same captions, such as the images of a class, the
 * same share is kept, as nearly as whole numbers allow; all rows of an image are on one side.
 *
 * @param share - in (0, 1).
 * @throws {ClipError} `CLIP_DATA` if that is not one image.
 */
export function holdOut(
  pairs: MixedPairs,
  share: number,
  seed: number,
): { readonly train: MixedPairs; readonly heldOut: readonly Sample[] } {
  const ofCaptions = new Map<string, Set<string>>();
  const met = new Set<string>();
  for (const { image, captions } of pairs.samples) {
    if (met.has(image)) continue;
    met.add(image);
    const list = JSON.stringify(captions);
    ofCaptions.set(list, (ofCaptions.get(list) ?? new Set()).add(image));
  }
  // One after the other, so that every so many images one falls due, whether in a long list or in several short ones.
  const random = new Random(seed, purposes.heldOut);
  const shuffled = <Item>(items: readonly Item[]) => Array.from(random.permutation(items.length), (i) => items[i]!);
  const order = shuffled([...ofCaptions.values()]).flatMap((images) => shuffled([...images]));
  const held = new Set(order.filter((_, i) => Math.floor((i + 1) * share) > Math.floor(i * share)));
  if (held.size === 0) {
    const few = `a share of ${share} of ${order.length} images is not one to validate on`;
    throw new ClipError("CLIP_DATA", `${few}; raise it, add images, or name others for validation`);
  }
  const isHeld = ({ image }: Sample) => held.has(image);
  let first = 0;
  const mixture = pairs.mixture.map(({ count, weight }) => {
    const own = pairs.samples.slice(first, (first += count));
    return { count: own.filter((sample) => !isHeld(sample)).length, weight };
  });
  return {
    train: { ...pairs, samples: pairs.samples.filter((sample) => !isHeld(sample)), mixture },
    heldOut: pairs.samples.filter(isHeld),
  };
}
