import { ClipError } from "../../../core/errors.ts";
import { Random } from "../../../core/random.ts";
import { purposes } from "./sampling.ts";
import type { Pairs, Sample } from "../../../inputs/data/sources/samples.ts";

/**
 * Splits off a share of the images for validation, drawn by the seed. The split is stratified: each class, or group of equal captions,
 * loses the same share. All rows of an image are on one side.
 *
 * @param share - in (0, 1).
 * @throws {ClipError} `CLIP_DATA` if the share is less than one image.
 */
export function holdOut(pairs: Pairs, share: number, seed: number): { train: Pairs; heldOut: readonly Sample[] } {
  const ofCaptions = new Map<string, Set<string>>();
  const seen = new Set<string>();
  for (const { image, captions } of pairs.samples) {
    if (seen.has(image)) continue;
    seen.add(image);
    const list = JSON.stringify(captions);
    ofCaptions.set(list, (ofCaptions.get(list) ?? new Set()).add(image));
  }
  // All groups in one list: one of every 1/share images is held out, within a long group or across several short ones.
  const random = new Random(seed, purposes.heldOut);
  const shuffled = <Item>(items: readonly Item[]) => Array.from(random.permutation(items.length), (i) => items[i]!);
  const order = shuffled([...ofCaptions.values()]).flatMap((images) => shuffled([...images]));
  const held = new Set(order.filter((_, i) => Math.floor((i + 1) * share) > Math.floor(i * share)));
  if (held.size === 0) {
    const few = `a share of ${share} of ${order.length} images is less than one image`;
    throw new ClipError("CLIP_DATA", `${few}; raise validationShare, add images, or set validation to another source`);
  }
  const isHeld = ({ image }: Sample) => held.has(image);
  let first = 0;
  const mixture = pairs.mixture?.map(({ count, weight }) => {
    const own = pairs.samples.slice(first, (first += count));
    return { count: own.filter((sample) => !isHeld(sample)).length, weight };
  });
  return {
    train: { ...pairs, samples: pairs.samples.filter((sample) => !isHeld(sample)), ...(mixture && { mixture }) },
    heldOut: pairs.samples.filter(isHeld),
  };
}
