import { describe, expect, it } from "vitest";
import { repairMojibake } from "./mojibake.ts";

/** Results of ftfy 6.3.1 with all other repairs turned off. */
const repaired: readonly (readonly [cause: string, text: string, meant: string])[] = [
  ["Latin-1", "cafÃ©", "café"],
  ["Windows-1252", "â€œquotesâ€\x9d", "“quotes”"],
  ["Windows-1252", "VÃ„HENNÃ„!", "VÄHENNÄ!"],
  ["Windows-1252", "doesnâ€™t", "doesn’t"],
  ["Windows-1252", "æ—¥æœ¬èªž", "日本語"],
  ["Windows-1252", "ðŸ˜€", "😀"],
  ["Windows-1252", "Å™eka", "řeka"],
  ["Windows-1252", "20Â°C", "20°C"],
  ["Windows-1251", "РџСЂРёРІРµС‚", "Привет"],
  ["Windows-1250", "pĂˇska", "páska"],
  ["Windows-1253", "MIΔ\x98SO", "MIĘSO"],
  ["Windows-1254", "Ä±ÅŸÄ±k", "ışık"],
  ["Windows-1257", "hĆ¥nd", "hånd"],
  ["ISO 8859-2", "gĹ\x82owa", "głowa"],
  ["Mac OS Roman", "√©t√©", "été"],
  ["Mac OS Roman", "let‚Äôs", "let’s"],
  ["code page 437", "├⌐t├⌐", "été"],
  ["Windows-1252, twice", "Ã¢â‚¬â„¢", "’"],
  ["Windows-1252, in a sound text", "naïve â€œquotesâ€\x9d", "naïve “quotes”"],
  ["Windows-1252, beside another script", "Привет Ã©", "Привет é"],
  ["bytes of Windows-1252 as control characters", "a\x80b \x93c\x94", "a€b “c”"],
  ["Windows-1252, a no-break space taken for a blank", "voilÃ  le travail", "voilà le travail"],
  ["Windows-1252, a no-break space taken for a blank in a word", "Ã s vezes", "às vezes"],
  ["Windows-1252, a byte lost", "â€œquotesâ€\ufffd", "“quotes\ufffd"],
  ["Windows-1252, a byte become a question mark", "caf\u00c3? â€œok", "caf\ufffd “ok"],
  ["Latin-1, surrogates of CESU-8", "í\xa0½í¸\x8d ok", "😍 ok"],
  ["Latin-1, the zero of Java", "Ã©À\x80", "é\0"],
  ["two code pages in one text", "РџСЂРёРІРµС‚ Ã©tÃ©", "Привет été"],
];

/** Each is, in part or in full, valid UTF-8 in some code page. ftfy 6.3.1 leaves them unchanged too. */
const plausible = [
  "É…",
  "l’âme",
  "Ні",
  "AMANHÃ…",
  "×…",
  "«×»",
  "POKÉ®",
  "À —",
  "ß»",
  "Ã",
  "ÀÈÌÒÙ",
  "naïve café €5",
  "日本語",
];

describe("repairMojibake", () => {
  it.each(repaired)("undoes %s: %j", (_, text, meant) => {
    expect(repairMojibake(text)).toBe(meant);
  });

  it.each(plausible)("leaves plausible text: %j", (text) => {
    expect(repairMojibake(text)).toBe(text);
  });

  it("leaves text in many languages unchanged", () => {
    const texts = [
      "Falsches Üben von Xylophonmusik quält jeden größeren Zwerg",
      "Portez ce vieux whisky au juge blond qui fume : « déjà » — l’été…",
      "El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío, añoraba… ¿qué?",
      "Příliš žluťoučký kůň úpěl ďábelské ódy",
      "Pijamalı hasta yağız şoföre çabucak güvendi",
      "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
      "Съешь ещё этих мягких французских булок, да выпей же чаю",
      "Ці їжаки з’їли ґанок",
      "いろはにほへとちりぬるを",
      "नमस्ते दुनिया",
    ];
    expect(texts.map((text) => repairMojibake(text))).toEqual(texts);
  });
});
