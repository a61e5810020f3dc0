// Peak memory of decoding many images at once, each just under the pixel limit: npx tsx scripts/decode-memory.ts [count] [side]
import sharp from "sharp";
import { mapInOrder } from "../src/core/streams.ts";
import { useImage } from "../src/inputs/image/decode.ts";
import { clipPreprocess } from "../src/inputs/image/preprocess-config.ts";
import { preprocessImage } from "../src/inputs/image/preprocess.ts";

const [count = 8, side = 13_000] = process.argv.slice(2).map(Number);
const png = await sharp({ create: { width: side, height: side, channels: 3, background: "#3366cc" } })
  .png({ compressionLevel: 1 })
  .toBuffer();
const mebibytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
console.log(`${count} PNGs of ${side} × ${side} pixels, ${mebibytes(png.length)} each`);
console.log(`before: peak RSS ${mebibytes(process.resourceUsage().maxRSS * 1024)}`);
const start = performance.now();
const images = Array.from({ length: count }, () => png);
for await (const { pixels } of mapInOrder(images, (image) =>
  useImage(image, {}, (raster) => preprocessImage(raster, clipPreprocess)),
))
  if (pixels.length === 0) throw new Error("no pixels");
console.log(
  `after: peak RSS ${mebibytes(process.resourceUsage().maxRSS * 1024)}, ${((performance.now() - start) / 1000).toFixed(1)} s`,
);
