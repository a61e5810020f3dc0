import type { Calibration, ReliabilityBin } from "../../learning/evaluate/classification-metrics.ts";
import { html, type Html } from "./html.ts";
import { count, counted, percent } from "./numbers.ts";

/** Sizes in SVG units: the diagram, the counts below it, the margin for axes. */
const [side, counts, margin] = [300, 46, 44];

/** A reliability diagram with a summary: accuracy and number of answers in each bin of confidences. */
export function reliabilityDiagram({ bins, error }: Calibration): Html {
  const filled = bins.filter((bin) => bin.count > 0);
  const most = Math.max(...bins.map((bin) => bin.count));
  const [width, height] = [side + margin + 12, side + counts + margin + 20];
  return html`<figure class="card" aria-labelledby="reliability-title">
    <h3 id="reliability-title">Calibration</h3>
    <p class="quiet">${courseInWords(filled)} The expected calibration error is ${percent(error)}.</p>
    <svg class="reliability" viewBox="0 0 ${width} ${height}" role="img" aria-label="Accuracy by confidence">
      <g transform="translate(${margin} 8)">
        ${[0, 0.25, 0.5, 0.75, 1].map(
          (at) =>
            html`<line class="grid" x1="0" x2="${side}" y1="${y(at)}" y2="${y(at)}" />
              <text class="tick" x="-8" y="${y(at) + 4}" text-anchor="end">${100 * at}</text>
              <text class="tick" x="${x(at)}" y="${side + counts + 26}" text-anchor="middle">${100 * at}</text>`,
        )}
        ${filled.map((bin) => bar(bin, most))}
        <line class="even" x1="0" y1="${side}" x2="${side}" y2="0" />
        <text class="axis" transform="translate(${-margin + 12} ${side / 2}) rotate(-90)" text-anchor="middle">
          right, %
        </text>
        <text class="axis" x="${side / 2}" y="${side + counts + 42}" text-anchor="middle">confidence, %</text>
      </g>
    </svg>
    <p class="quiet">
      Bars: share of right answers. Below the dashed line the model is overconfident, by the pale part. Below the axis:
      number of answers with this confidence, at most ${count(most)}.
    </p>
  </figure>`;
}

const rounded = (length: number): number => Math.round(10 * length) / 10;
const x = (confidence: number): number => rounded(side * confidence);
const y = (accuracy: number): number => rounded(side * (1 - accuracy));

function bar({ low, high, count: answers, accuracy = 0, confidence = 0 }: ReliabilityBin, most: number): Html {
  const [left, width] = [x(low) + 1, x(high) - x(low) - 2];
  const [top, bottom] = [Math.max(accuracy, confidence), Math.min(accuracy, confidence)];
  const share = (counts * answers) / most;
  return html`<g>
    <title>${percent(low)} to ${percent(high)} sure: ${counted(answers, "answer")}, ${percent(accuracy)} right</title>
    <rect class="gap" x="${left}" y="${y(top)}" width="${width}" height="${rounded(y(bottom) - y(top))}" />
    <rect class="right-share" x="${left}" y="${y(accuracy)}" width="${width}" height="${rounded(side - y(accuracy))}" />
    <rect class="answers" x="${left}" y="${side + 8}" width="${width}" height="${rounded(Math.max(1, share))}" />
  </g>`;
}

function courseInWords(bins: readonly ReliabilityBin[]): string {
  const total = bins.reduce((sum, { count }) => sum + count, 0);
  const mean = (of: "confidence" | "accuracy") => bins.reduce((sum, bin) => sum + bin.count * bin[of]!, 0) / total;
  const [confidence, accuracy] = [mean("confidence"), mean("accuracy")];
  const gap = Math.abs(100 * (confidence - accuracy));
  const verdict =
    gap < 1
      ? "well calibrated"
      : `${confidence > accuracy ? "overconfident" : "underconfident"} by ${gap.toFixed(0)} points`;
  return `Mean confidence ${percent(confidence)}, accuracy ${percent(accuracy)}: ${verdict}.`;
}

export const reliabilityStyles = `
.reliability { display: block; width: 100%; max-width: 24rem; margin: .75rem auto; forced-color-adjust: none; }
.reliability .grid { stroke: var(--line); }
.reliability .even { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 6 4; }
.reliability .right-share { fill: var(--series-1); }
.reliability .gap { fill: color-mix(in srgb, var(--series-2) 35%, transparent); }
.reliability .answers { fill: var(--series-quiet); }
.reliability text { fill: var(--ink-2); font: 12px system-ui, sans-serif; }
`;
