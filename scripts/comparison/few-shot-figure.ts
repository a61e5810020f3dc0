import { html, type Html, trusted } from "../../src/interfaces/report/html.ts";
import { percent } from "../../src/interfaces/report/numbers.ts";

/** Accuracies over the number of labelled images of each class. */
export interface FewShotFigure {
  readonly title: string;
  /** Without any labelled image: a star. */
  readonly zeroShot: number;
  readonly curves: readonly FewShotCurve[];
  /** With all images: marks at the right, side by side in the order of the legend. */
  readonly whole: readonly { readonly label: string; readonly accuracy: number }[];
}

export interface FewShotCurve {
  readonly label: string;
  readonly points: readonly {
    readonly shots: number;
    readonly accuracy: number;
    /** The least and the most of several draws. */
    readonly range: readonly [number, number];
  }[];
}

/** The plot's sides, and what is left around it for the axes and, above, the legend; in the units of the drawing. */
const [width, height] = [520, 300];
const margin = { top: 64, right: 24, bottom: 56, left: 52 };
const colours = ["--series-1", "--series-2"];
const marks = ["diamond", "square", "triangle"] as const;

/** As figure 6 of the CLIP paper (Radford et al. 2021): a drawing that stands alone, light or dark as the reader's system is. */
export function fewShotFigure({ title, zeroShot, curves, whole }: FewShotFigure): Html {
  const shots = curves[0]!.points.map((point) => point.shots);
  const columns = ["0", ...shots.map(String), "all"];
  const x = (column: number) => rounded((width * (column + 0.5)) / columns.length);
  const y = (accuracy: number) => rounded(height * (1 - accuracy));
  const [drawingWidth, drawingHeight] = [margin.left + width + margin.right, margin.top + height + margin.bottom];
  const legend: [string, Html][] = [
    ["zero-shot", star(0, 0)],
    ...curves.map(({ label }, i): [string, Html] => [label, swatch(colours[i]!)]),
    ...whole.map(({ label }, i): [string, Html] => [label, mark(marks[i]!, 0, 0)]),
  ];
  return html`<svg
    xmlns="http://www.w3.org/2000/svg"
    viewBox="0 0 ${drawingWidth} ${drawingHeight}"
    role="img"
    aria-label="${inWords({ title, zeroShot, curves, whole })}"
  >
    <style>
      ${trusted(svgStyles)}
    </style>
    <rect class="surface" width="${drawingWidth}" height="${drawingHeight}" rx="8" />
    ${legend.map(([label, symbol], i) => {
      const [left, top] = [margin.left + (i % 3) * 178, 18 + 20 * Math.floor(i / 3)];
      return html`<g transform="translate(${left} ${top})">${symbol}<text x="14" y="4">${label}</text></g>`;
    })}
    <g transform="translate(${margin.left} ${margin.top})">
      ${[0, 0.2, 0.4, 0.6, 0.8, 1].map(
        (at) =>
          html`<line class="grid" x1="0" x2="${width}" y1="${y(at)}" y2="${y(at)}" />
            <text x="-8" y="${y(at) + 4}" text-anchor="end">${Math.round(100 * at)}</text>`,
      )}
      ${columns.map((column, i) => html`<text x="${x(i)}" y="${height + 20}" text-anchor="middle">${column}</text>`)}
      <text x="${width / 2}" y="${height + 42}" text-anchor="middle">labelled images of each class</text>
      <text transform="translate(-38 ${height / 2}) rotate(-90)" text-anchor="middle">accuracy, %</text>
      <line class="level" x1="${x(0)}" x2="${width}" y1="${y(zeroShot)}" y2="${y(zeroShot)}" />
      ${curves.map(({ label, points }, i) => curve(label, points, colours[i]!, (column) => x(column + 1), y))}
      ${whole.map(
        ({ label, accuracy }, i) =>
          html`<g
            ><title>${label}: ${percent(accuracy)}</title
            >${mark(marks[i]!, rounded(x(columns.length - 1) + 16 * (i - (whole.length - 1) / 2)), y(accuracy))}</g
          >`,
      )}
      <g>
        <title>zero-shot: ${percent(zeroShot)}</title>
        ${star(x(0), y(zeroShot))}
      </g>
    </g>
  </svg>`;
}

const rounded = (length: number): number => Math.round(10 * length) / 10;

function curve(
  label: string,
  points: FewShotCurve["points"],
  colour: string,
  x: (column: number) => number,
  y: (accuracy: number) => number,
): Html {
  const path = points.map(({ accuracy }, i) => `${x(i)},${y(accuracy)}`).join(" ");
  return html`<polyline points="${path}" style="stroke:var(${colour})" /> ${points.map(
      ({ shots, accuracy, range: [least, most] }, i) =>
        html`<g style="stroke:var(${colour});fill:var(${colour})">
          <title>${label}, ${shots} of each class: ${percent(accuracy)} (${percent(least)} to ${percent(most)})</title>
          <line x1="${x(i)}" x2="${x(i)}" y1="${y(least)}" y2="${y(most)}" />
          <circle cx="${x(i)}" cy="${y(accuracy)}" r="3.5" />
        </g>`,
    )}`;
}

function inWords({ title, zeroShot, curves, whole }: FewShotFigure): string {
  const ofCurves = curves.map(({ label, points }) => {
    const [first, last] = [points[0]!, points.at(-1)!];
    return `${label} from ${percent(first.accuracy)} with ${first.shots} of each class to ${percent(last.accuracy)} with ${last.shots}`;
  });
  const ofWhole = whole.map(({ label, accuracy }) => `${label} ${percent(accuracy)}`);
  return `${title}: zero-shot ${percent(zeroShot)}; ${[...ofCurves, ...ofWhole].join("; ")}.`;
}

const swatch = (colour: string): Html =>
  html`<line x1="-8" x2="8" y1="0" y2="0" style="stroke:var(${colour});stroke-width:2.5" />
    <circle r="3.5" style="fill:var(${colour})" />`;

const star = (x: number, y: number): Html => {
  const points = Array.from({ length: 10 }, (_, i) => {
    const [angle, radius] = [(Math.PI * i) / 5, i % 2 === 0 ? 9 : 3.8];
    return `${rounded(x + radius * Math.sin(angle))},${rounded(y - radius * Math.cos(angle))}`;
  });
  return html`<polygon class="mark" points="${points.join(" ")}" />`;
};

function mark(kind: (typeof marks)[number], x: number, y: number): Html {
  const corners = {
    diamond: [0, -7, 7, 0, 0, 7, -7, 0],
    square: [-5.5, -5.5, 5.5, -5.5, 5.5, 5.5, -5.5, 5.5],
    triangle: [0, -7, 7, 6, -7, 6],
  }[kind];
  const points = corners.map((at, i) => rounded(at + (i % 2 === 0 ? x : y)));
  return html`<polygon class="mark" points="${points.join(" ")}" />`;
}

const svgStyles = `
svg { --surface: #fff; --ink: #111; --ink-2: #55544f; --line: #e3e2dc; --series-1: #2a78d6; --series-2: #d9540b; }
@media (prefers-color-scheme: dark) {
  svg { --surface: #1c1c1a; --ink: #f4f3ef; --ink-2: #b6b4ac; --line: #34332f; --series-1: #4a94ea; --series-2: #ea7a3c; }
}
.surface { fill: var(--surface); }
text { fill: var(--ink-2); font: 13px system-ui, sans-serif; }
.grid { stroke: var(--line); }
.level { stroke: var(--ink-2); stroke-dasharray: 4 4; }
.mark { fill: var(--ink); }
polyline { fill: none; stroke-width: 2; }
`;
