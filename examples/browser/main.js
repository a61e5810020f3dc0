// A page that names images, at first with pictograms, which knows drawings, not photos: npm run example:browser
// Vite serves assets/ of the package at the page's root; in a project of your own, copy assets/pictogram-clip to where your
// pages are served from.
import { bestDevice, knownModels, loadClip } from "clip-ts";

const element = (id) => document.getElementById(id);
const [status, progress, frame, labels, answers] = ["status", "progress", "image", "labels", "answers"].map(element);
const samples = ["rocket", "pizza", "snail", "bicycle", "guitar", "house", "sunflower", "umbrella"];

/** How many answers the page has room for. */
const shown = 6;

let clip;
/** What is classified: an address or a file. */
let image = "samples/rocket.png";
/** Counts the runs, so that an answer that comes late replaces none that was asked for later. */
let runs = 0;
/** The same for models. */
let loads = 0;

async function load(model) {
  const run = ++loads;
  status.textContent = `Loading ${model} …`;
  try {
    element("drawings").hidden = model !== "pictograms";
    const loaded = await loadClip(model, { onProgress: (at) => run === loads && showProgress(at) });
    if (run !== loads) return loaded.release();
    const previous = clip;
    clip = loaded;
    await previous?.release();
    await classify();
  } catch (error) {
    if (run === loads) status.textContent = error.message;
  } finally {
    if (run === loads) progress.hidden = true;
  }
}

function showProgress({ received, total }) {
  progress.hidden = received === total;
  progress.value = total ? received / total : 0;
  if (received < total) status.textContent = `Fetching weights: ${megabytes(received)} of ${megabytes(total)} MB`;
}

const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

async function classify() {
  const run = ++runs;
  const lines = labels.value.split("\n").map((line) => line.trim());
  const names = [...new Set(lines.filter((line) => line !== ""))];
  if (!clip || names.length === 0) return;
  const { score } = clip.config;
  const start = performance.now();
  try {
    // A model that was trained with sigmoids gives each label a probability of its own.
    const none = element("none").checked && score !== "sigmoid";
    const ranked = await clip.classify(image, names, { none, topK: shown, onTruncate: () => undefined });
    if (run !== runs) return;
    answers.replaceChildren(...ranked.map(bar));
    const device = (await bestDevice()) === "webgpu" ? "WebGPU" : "WebAssembly";
    const threads = device === "WebGPU" || crossOriginIsolated ? "" : ", one thread (the page is not isolated)";
    const took = (performance.now() - start).toFixed(0);
    status.textContent = `${names.length} labels in ${took} ms, by ${device}${threads}`;
  } catch (error) {
    if (run === runs) status.textContent = error.message;
  }
}

/** A label with its probability, as text and as a bar. */
function bar({ label, probability }, rank) {
  const line = document.createElement("li");
  const [name, value, track] = ["bdi", "span", "span"].map((tag) => document.createElement(tag));
  name.textContent = label;
  value.textContent = `${(100 * probability).toFixed(1)} %`;
  value.className = "value";
  track.className = "track";
  track.style.setProperty("--share", probability);
  if (rank === 0) line.className = "best";
  line.append(name, value, track);
  return line;
}

/** @param {string | File} source */
async function look(source) {
  image = source;
  if (frame.src.startsWith("blob:")) URL.revokeObjectURL(frame.src);
  frame.src = typeof source === "string" ? source : URL.createObjectURL(source);
  await classify();
}

for (const name of samples) {
  const button = document.createElement("button");
  const thumbnail = new Image();
  [thumbnail.src, thumbnail.alt, button.type] = [`samples/${name}.png`, name, "button"];
  button.append(thumbnail);
  button.addEventListener("click", () => look(thumbnail.src));
  element("samples").append(button);
}

element("file").addEventListener("change", ({ target }) => target.files[0] && look(target.files[0]));
document.addEventListener("paste", ({ clipboardData }) => clipboardData.files[0] && look(clipboardData.files[0]));
const drop = element("drop");
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", type === "dragover");
    if (type === "drop" && event.dataTransfer.files[0]) look(event.dataTransfer.files[0]);
  });
}

let typing;
labels.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(classify, 300);
});
element("none").addEventListener("change", classify);

element("model").value = "pictograms";
for (const { name } of [{ name: "pictograms" }, ...knownModels]) {
  const option = document.createElement("option");
  option.value = name;
  element("models").append(option);
}
element("model-form").addEventListener("submit", (event) => {
  event.preventDefault();
  load(element("model").value);
});

labels.value = ["rocket", "pizza", "snail", "bicycle", "guitar", "house", "sunflower", "umbrella", "cat"].join("\n");
frame.src = image;
await load("pictograms");
