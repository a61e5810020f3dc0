import { expect, it } from "vitest";
import { fewShotFigure } from "./few-shot-figure.ts";

const points = [1, 2].map((shots) => ({ shots, accuracy: shots / 4, range: [0.2, 0.6] as const }));
const figure = fewShotFigure({
  title: `Cats <"&">`,
  zeroShot: 0.5,
  curves: [{ label: "few-shot", points }],
  whole: [{ label: "linear probe", accuracy: 1 }],
}).text.replaceAll("\u00a0", " ");

it("draws each accuracy at its height, and says all in words", () => {
  // 520 wide in four columns, 300 high.
  expect(figure).toContain('points="195,225 325,150"');
  expect(figure).toContain('<line class="level" x1="65" x2="520" y1="150" y2="150" />');
  expect(figure).toContain("<title>few-shot, 2 of each class: 50.0 % (20.0 % to 60.0 %)</title>");
  expect(figure).toContain(
    'aria-label="Cats &lt;&quot;&amp;&quot;&gt;: zero-shot 50.0 %; few-shot from 25.0 % with 1 of each class to 50.0 % with 2; linear probe 100.0 %."',
  );
  expect(figure).not.toMatch(/NaN|undefined/);
});
