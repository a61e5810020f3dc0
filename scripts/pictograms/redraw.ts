import type { Random } from "../../src/core/random.ts";
import type { Drawing } from "./drawings.ts";

/**
 * Draws an image again as another artist might: every shape moves, turns and grows a little on its own, every colour
 * gets a little lighter or duller (never another hue), shading is flattened, faint details are left out, outlines are
 * added. What the image shows, where its parts lie and which way it faces stay.
 */
export function redraw(drawing: Drawing, random: Random): string {
  const outline = random.uniform() < 0.25 ? outlineOf(drawing.side, random) : undefined;
  const changeColour = recolouring(random);
  const flatten = random.uniform() < 0.5;
  const restyle = (body: string) => (flatten ? flattenGradients(body) : body);
  return moveShapes(restyle(drawing.body), drawing.side, outline, random).replace(
    /#(?:[0-9a-f]{6}|[0-9a-f]{3})\b/gi,
    changeColour,
  );
}

/** An SVG document of the drawing, `size` pixels square. */
export function svgDocument({ side }: Pick<Drawing, "side">, body: string, size: number): string {
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ` +
    `width="${size}" height="${size}" viewBox="0 0 ${side} ${side}">${body}</svg>`
  );
}

/** Stroke attributes in a dark colour, 1.5–4 % of the image wide. */
function outlineOf(side: number, random: Random): string {
  const shade = Math.floor(random.uniform(0, 70));
  const width = (side * random.uniform(0.015, 0.04)).toFixed(2);
  return ` stroke="rgb(${shade},${shade},${shade})" stroke-width="${width}" stroke-linejoin="round"`;
}

/** Definitions hold shapes that are clipped with or repeated: they keep their place. */
const definitions = /<(clipPath|defs|mask|symbol)\b[\s\S]*?<\/\1>/g;
const shape = /<(path|circle|ellipse|rect)\b([^>]*?)\/>/g;

function moveShapes(body: string, side: number, outline: string | undefined, random: Random): string {
  const strength = random.uniform(0.2, 1);
  const manyShapes = (body.match(shape)?.length ?? 0) > 5;
  const move = (_: string, element: string, attributes: string): string => {
    const opacity = Number(/\bopacity="([\d.]+)"/.exec(attributes)?.[1] ?? 1);
    if (random.uniform() < (opacity < 0.5 ? 0.4 : manyShapes ? 0.02 : 0)) return "";
    const [x, y] = pivot(element, attributes, side);
    const shift = () => (random.normal() * 0.012 * strength * side).toFixed(2);
    const turn = (random.normal() * 3 * strength).toFixed(1);
    const grow = () => Math.exp(random.normal() * 0.06 * strength).toFixed(3);
    const place = `translate(${x} ${y}) translate(${shift()} ${shift()}) rotate(${turn}) scale(${grow()} ${grow()}) translate(${-x} ${-y})`;
    const stroke = outline !== undefined && opacity === 1 && !attributes.includes("stroke") ? outline : "";
    return `<g transform="${place}"><${element}${attributes}${stroke}/></g>`;
  };
  let moved = "";
  let end = 0;
  for (const definition of body.matchAll(definitions)) {
    moved += body.slice(end, definition.index).replace(shape, move) + definition[0];
    end = definition.index + definition[0].length;
  }
  return moved + body.slice(end).replace(shape, move);
}

/** A point on or in the shape: its centre, or where its path begins. */
function pivot(element: string, attributes: string, side: number): [number, number] {
  const numberOf = (attribute: string) => Number(new RegExp(`\\b${attribute}="([-\\d.]+)`).exec(attributes)?.[1] ?? 0);
  if (element === "circle" || element === "ellipse") return [numberOf("cx"), numberOf("cy")];
  if (element === "rect") return [numberOf("x") + numberOf("width") / 2, numberOf("y") + numberOf("height") / 2];
  const start = /\bd="M\s*(-?[\d.]+?)[\s,]*(-?(?:\d+\.?\d*|\.\d+))/.exec(attributes);
  return start ? [Number(start[1]), Number(start[2])] : [side / 2, side / 2];
}

/** Gives all stops of a gradient the colour of its middle stop. */
function flattenGradients(body: string): string {
  return body.replace(/<(linear|radial)Gradient\b[\s\S]*?<\/\1Gradient>/g, (gradient) => {
    const colours = gradient.match(/stop-color="[^"]*"/g) ?? [];
    const middle = colours[colours.length >> 1];
    return middle === undefined ? gradient : gradient.replace(/stop-color="[^"]*"/g, middle);
  });
}

/** The same colour changes alike wherever it occurs; the whole image's light and saturation change together too. */
function recolouring(random: Random): (colour: string) => string {
  const light = random.normal() * 0.07;
  const vividness = Math.exp(random.normal() * 0.12);
  const seen = new Map<string, string>();
  return (colour) => {
    const known = seen.get(colour);
    if (known !== undefined) return known;
    const saturation = vividness * Math.exp(random.normal() * 0.1);
    const result = recolour(colour, saturation, light + random.normal() * 0.07);
    seen.set(colour, result);
    return result;
  };
}

/**
 * A colour of the same hue: its distance from grey times `saturation` as far as it stays a colour, then mixed with white
 * (`light` > 0) or black (< 0) by that share.
 */
export function recolour(colour: string, saturation: number, light: number): string {
  const digits = colour.slice(1);
  const channels = digits.length === 3 ? [...digits].map((digit) => digit + digit) : (digits.match(/../g) ?? []);
  const rgb = channels.map((channel) => parseInt(channel, 16) / 255);
  const grey = rgb.reduce((sum, channel) => sum + channel, 0) / rgb.length;
  const room = rgb.map((channel) =>
    channel > grey ? (1 - grey) / (channel - grey) : channel < grey ? grey / (grey - channel) : Infinity,
  );
  const factor = Math.min(saturation, ...room);
  const ground = light > 0 ? 1 : 0;
  const share = Math.min(1, Math.abs(light));
  const changed = rgb.map((channel) => (grey + (channel - grey) * factor) * (1 - share) + ground * share);
  return `#${changed
    .map((channel) =>
      Math.round(channel * 255)
        .toString(16)
        .padStart(2, "0"),
    )
    .join("")}`;
}
