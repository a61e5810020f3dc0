import { maxImageBytes } from "../image/fetch-image.ts";
import { kindByContent, kindByName, type SkippedImage } from "./image-files.ts";
import { listTar, type TarEntry } from "./tar.ts";

/** Limit for files with captions or labels. */
export const maxTextBytes = 2 ** 20;
/** Bytes read to detect an image: one block of the archive. */
const headBytes = 512;

interface ShardListing {
  readonly images: readonly TarEntry[];
  /** The other files; wanted ones with their content. */
  readonly others: readonly TarEntry[];
  readonly skipped: readonly SkippedImage[];
  /** Why the rest of the shard could not be read. */
  readonly damage?: string;
}

/**
 * Lists a webdataset shard.
 *
 * @param shard - its name in messages.
 * @param wanted - selects files whose content is read, up to {@link maxTextBytes}.
 */
export async function listShard(file: string, shard: string, wanted: (name: string) => boolean): Promise<ShardListing> {
  const { entries, unusable, damage } = await listTar(file, (name, length) => {
    if (wanted(name)) return length <= maxTextBytes ? length : undefined;
    return kindByName(name) === "unknown" ? headBytes : undefined;
  });
  const images: TarEntry[] = [];
  const others: TarEntry[] = [];
  const skipped: SkippedImage[] = [];
  const skip = (name: string, reason: string) => void skipped.push({ image: `${shard}/${name}`, reason });
  for (const { name, reason } of unusable) if (kindByName(name) !== "other") skip(name, reason);
  const last = new Map(entries.map((entry) => [entry.name, entry]));
  for (const entry of entries) {
    const { name, offset, length, content = new Uint8Array(0) } = entry;
    const byName = wanted(name) ? "other" : kindByName(name);
    const kind = byName === "unknown" ? kindByContent(name, content) : byName;
    // As in unpacking, the last file of a name counts. With both, one image would get the captions of the other.
    if (last.get(name) !== entry) {
      if (kind !== "other") skip(name, "a file of the same name comes after it in the shard, and takes its place");
    } else if (kind === "other") others.push(wanted(name) ? entry : { name, offset, length });
    else if (kind !== "image") skip(name, kind.reason);
    else if (length > maxImageBytes) skip(name, `it has ${length} bytes, and at most ${maxImageBytes} are read`);
    else images.push({ name, offset, length });
  }
  return { images, others, skipped, ...(damage !== undefined && { damage }) };
}
