/** As much of opentype.js as is used; it brings no types of its own. */
declare module "opentype.js" {
  interface Path {
    getBoundingBox(): { readonly x1: number; readonly y1: number; readonly x2: number; readonly y2: number };
    toPathData(decimals: number): string;
  }
  interface Glyph {
    /** In units of the font. */
    readonly advanceWidth: number;
    /** Its outlines, the baseline beginning at x, y. */
    getPath(x: number, y: number, fontSize: number): Path;
  }
  export interface Font {
    readonly unitsPerEm: number;
    charToGlyph(character: string): Glyph;
  }
  const opentype: { parse(font: ArrayBuffer): Font };
  export default opentype;
}
