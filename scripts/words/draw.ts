import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import opentype, { type Font } from "opentype.js";
import sharp from "sharp";

/** The share of an image's side that a word may fill, in width and in height. */
const [maxWidth, maxHeight] = [0.9, 0.5];

/** A face by the name of its file, from the package of its family: `roboto-latin-700-normal`. */
export async function readFace(face: string): Promise<Font> {
  const family = face.replace(/-latin-.*/, "");
  const file = fileURLToPath(import.meta.resolve(`@fontsource/${family}/files/${face}.woff`));
  return opentype.parse(Uint8Array.from(await readFile(file)).buffer);
}

/**
 * A word, black on white, in the middle of a square PNG and as large as fits: letter beside letter, since English needs no shaping and is
 * read without kerning. Letters are drawn as outlines, so that the image does not depend on the fonts of a machine.
 *
 * @param size - the side in pixels.
 */
export async function drawWord(text: string, font: Font, size: number): Promise<Buffer> {
  let advance = 0;
  const letters = Array.from(text, (letter) => {
    const glyph = font.charToGlyph(letter);
    const path = glyph.getPath(advance, 0, size);
    advance += (glyph.advanceWidth * size) / font.unitsPerEm;
    return path;
  });
  const boxes = letters.map((letter) => letter.getBoundingBox());
  const [left, right] = [Math.min(...boxes.map(({ x1 }) => x1)), Math.max(...boxes.map(({ x2 }) => x2))];
  const [top, bottom] = [Math.min(...boxes.map(({ y1 }) => y1)), Math.max(...boxes.map(({ y2 }) => y2))];
  const scale = Math.min((maxWidth * size) / (right - left), (maxHeight * size) / (bottom - top));
  const toMiddle = `translate(${-(left + right) / 2} ${-(top + bottom) / 2})`;
  const outlines = letters.map((letter) => letter.toPathData(2)).join("");
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}"><rect width="100%" height="100%" fill="white"/>` +
    `<path transform="translate(${size / 2} ${size / 2}) scale(${scale}) ${toMiddle}" d="${outlines}"/></svg>`;
  return sharp(Buffer.from(svg)).removeAlpha().png().toBuffer();
}
