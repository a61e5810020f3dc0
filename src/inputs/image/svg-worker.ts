// The process that renders SVG for `svg.ts`, which kills it at the time limit: native code on a thread could not be stopped.
import sharp from "sharp";
import type { SvgAnswer, SvgRequest } from "./svg.ts";

/** Memory limit of this process: a small file can request any number of layers. */
const maxBytes = 2 ** 31;

const end = (): void => void process.kill(process.pid, "SIGKILL"); // a normal exit would wait for the drawing

const send = (answer: SvgAnswer): void => void process.send!(answer);

process.on("disconnect", end);
// Ctrl-C reaches all processes of a terminal; this one ends with its parent.
process.on("SIGINT", () => undefined);
setInterval(() => {
  if (process.memoryUsage.rss() > maxBytes) end();
}, 20).unref();

process.on("message", (request: SvgRequest) => {
  answer(request).then(send, (error: Error) => send({ error: error.message }));
});
send({ ready: true });

async function answer({ bytes, render }: SvgRequest): Promise<SvgAnswer> {
  const image = sharp(bytes, { limitInputPixels: false });
  if (!render) {
    const { width, height } = await image.metadata();
    return { width, height };
  }
  const { data, info } = await image.ensureAlpha().raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, pixels: data };
}
