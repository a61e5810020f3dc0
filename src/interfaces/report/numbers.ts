// Number formats of the pages: English, with non-breaking spaces (U+00A0) before units.

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** 12,345 */
export const count = (value: number): string => grouped.format(value);

/** 1 image, 12,345 images */
export const counted = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;

/** Four significant digits without trailing zeros: 2.071, 0.0005, 1.667e-6. */
export function short(value: number): string {
  const rounded = Number(value.toPrecision(4));
  return rounded !== 0 && Math.abs(rounded) < 1e-4 ? rounded.toExponential() : String(rounded);
}

/** A fraction as 12.3 %. Values that would round to 0 or 100 % become < 0.1 % and > 99.9 %. */
export function percent(fraction: number): string {
  if (fraction > 0 && fraction < 0.0005) return "<\u00a00.1\u00a0%";
  if (fraction < 1 && fraction >= 0.9995) return ">\u00a099.9\u00a0%";
  return `${(100 * fraction).toFixed(1)}\u00a0%`;
}

/** 42 s, 12 min 5 s, 3 h 20 min */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}\u00a0s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}\u00a0min ${whole % 60}\u00a0s`;
  const minutes = Math.round(whole / 60);
  return `${count(Math.floor(minutes / 60))}\u00a0h ${minutes % 60}\u00a0min`;
}
