import { copyFile, readdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { getRepoFolderName, listFiles, type ListFileEntry, modelInfo } from "@huggingface/hub";
import { z } from "zod";
import { cannotWrite, makeFolder, writeFileAtomic } from "../../core/atomic-write.ts";
import { ClipError } from "../../core/errors.ts";
import { exists, fileSize } from "../../core/files.ts";
import { undefinedIfMissing } from "../../core/missing-file.ts";
import { maxConfigBytes, maxVocabularyBytes } from "../../core/limits.ts";
import { hubFolder } from "./cache.ts";
import { nearestName } from "./known-models.ts";
import {
  assertRoom,
  authorization,
  BusyServer,
  type Checksum,
  download,
  isBusy,
  isUnreachable,
  isWebPage,
  maxBytes,
  networkProblem,
  pageInstead,
  withRetries,
  proxiedFetch,
  stallSeconds,
} from "../../core/download.ts";
import { hubToken, hubUrl, offlineByDefault } from "./environment.ts";
import type { FetchOptions } from "../../core/fetch-options.ts";
import { companions, weightsAmong } from "./model-file-names.ts";

const branch = "main";

/** Limit of pages in a repository's file list, of 1,000 files each. */
const maxPages = 20;
/** Time limit for the whole list. */
const maxListingSeconds = 120;
/** Time limit for the start of an answer; short, since the user has seen no progress yet. */
const answerSeconds = () => Math.min(stallSeconds(), 15);

/** The used fields of a file list. */
const listingSchema = z.array(
  z.looseObject({
    type: z.string(),
    path: z.string(),
    size: z.number().int().min(0).max(maxBytes),
    oid: z.string().optional(),
    lfs: z.looseObject({ oid: z.string(), size: z.number().int().min(0).max(maxBytes) }).optional(),
  }),
);

/**
 * Fetches a model's files from a repository on Hugging Face's hub and returns their folder. The cache is shared with Hugging
 * Face's Python libraries.
 *
 * @param name - "organisation/name".
 * @throws {ClipError} `CLIP_DOWNLOAD` if the repository does not exist, has no weights, or cannot be fetched.
 */
export async function fetchRepository(name: string, options: FetchOptions = {}): Promise<string> {
  const cached = join(hubFolder(), getRepoFolderName({ name, type: "model" }));
  if (options.offline ?? offlineByDefault()) return cachedSnapshot(name, cached);
  const token = await hubToken();
  let listed: { readonly commit: string; readonly files: readonly ListFileEntry[] };
  try {
    listed = await listRepository(name, token, options.signal);
  } catch (cause) {
    options.signal?.throwIfAborted();
    if (cause instanceof ClipError) throw cause;
    const before = isRefusal(cause) ? undefined : await snapshotIn(cached);
    if (before === undefined) throw cannotAsk(name, cause, token);
    options.onStale?.(`${hubUrl()} cannot be asked (${networkProblem(cause)}): the cached ${name} is used`);
    return before;
  }
  const { commit, files } = listed;
  const wanted = neededFiles(files);
  assertSums(name, wanted.map(sumOf));
  if (wanted.length === 0)
    throw new ClipError("CLIP_DOWNLOAD", `${name} on ${hubUrl()} has no weights that can be read`);
  const snapshot = join(cached, "snapshots", commit);
  try {
    await makeFolder(snapshot, "HF_HUB_CACHE names another place");
    const bytes = await missingBytes(cached, snapshot, wanted);
    if (bytes > 0) {
      options.onFetch?.({ name, bytes, folder: cached });
      await assertRoom(cached, bytes, "free some, or name another place by HF_HUB_CACHE");
    }
    for (const file of wanted) await fetchFile({ name, cached, commit, file, token }, options);
  } catch (error) {
    throw (await snapshotIn(cached)) ? withOlderSnapshot(error) : error;
  }
  const ref = join(cached, "refs", branch);
  if ((await readFile(ref, "utf8").catch(() => "")) !== commit) {
    // If this fails, the model is in the cache all the same; only --offline will not find it.
    await makeFolder(join(cached, "refs"))
      .then(() => writeFileAtomic(ref, [commit]))
      .catch(() => undefined);
  }
  return snapshot;
}

/** The newest commit of a repository and its files. */
async function listRepository(name: string, token: string | undefined, signal: AbortSignal | undefined) {
  const base = hubUrl();
  const at = { hubUrl: base, fetch: boundedFetch(base, token, signal) };
  const commit = (await modelInfo({ name, revision: branch, additionalFields: ["sha"], ...at })).sha;
  assertSums(name, [commit]);
  const files: ListFileEntry[] = [];
  for await (const file of listFiles({ repo: { name, type: "model" }, revision: commit, ...at })) files.push(file);
  const { success } = listingSchema.safeParse(files);
  if (success) return { commit, files };
  throw new ClipError("CLIP_DOWNLOAD", `${base} gives a malformed list of the files of ${name}; is it a hub?`);
}

/**
 * A `fetch` for the hub's API that does not trust the server: it requests list pages from no other host, follows redirects to
 * other hosts without the token, and bounds answers in size, number and time.
 */
function boundedFetch(base: string, token: string | undefined, signal: AbortSignal | undefined): typeof fetch {
  const whole = timeLimit(maxListingSeconds, "no whole list");
  const either = AbortSignal.any([whole.signal, ...(signal ? [signal] : [])]);
  let requests = 0;
  const ask = async (url: string) => {
    if (new URL(url).origin !== new URL(base).origin)
      throw new ClipError(
        "CLIP_DOWNLOAD",
        `${base} names ${new URL(url).origin} for the rest of its list; only it is asked`,
      );
    if (++requests > maxPages)
      throw new ClipError("CLIP_DOWNLOAD", `${base} gives a list of more than ${maxPages} pages; is it a hub?`);
    const attempt = async () => {
      const headers = { accept: "application/json", ...authorization(url, token) };
      const answer = timeLimit(answerSeconds(), "no answer");
      const response = await proxiedFetch(url, { headers, signal: AbortSignal.any([either, answer.signal]) }).finally(
        answer.clear,
      );
      if (isBusy(response.status)) {
        await response.body?.cancel();
        throw new BusyServer(response);
      }
      if (isWebPage(response) && response.ok) {
        await response.body?.cancel();
        throw new Error(pageInstead);
      }
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      for await (const chunk of response.body ?? []) {
        chunks.push(chunk as Uint8Array);
        if ((bytes += (chunk as Uint8Array).length) > maxConfigBytes)
          throw new ClipError("CLIP_DOWNLOAD", `${base} answers with more than ${maxConfigBytes} bytes; is it a hub?`);
      }
      const link = response.headers.get("link");
      return new Response(response.status === 204 ? null : Buffer.concat(chunks), {
        status: response.status,
        headers: { "content-type": response.headers.get("content-type") ?? "", ...(link !== null && { link }) },
      });
    };
    return withRetries(attempt, () => Promise.resolve(false), either, isUnreachable);
  };
  return ((url: string) => ask(url)) as typeof fetch;
}

/** A replacement for `AbortSignal.timeout`: Node garbage-collects that one if only `AbortSignal.any` refers to it. */
function timeLimit(seconds: number, problem: string): { readonly signal: AbortSignal; readonly clear: () => void } {
  const stop = new AbortController();
  const late = Object.assign(new Error(`${problem} within ${seconds} seconds`), { code: "ETIMEDOUT" });
  const timer = setTimeout(() => stop.abort(late), 1000 * seconds).unref();
  return { signal: stop.signal, clear: () => clearTimeout(timer) };
}

/** Whether the hub answered with a refusal. */
function isRefusal(cause: unknown): boolean {
  return [401, 403, 404].includes((cause as { statusCode?: number }).statusCode ?? 0);
}

/** Bytes left to download, considering partial downloads. */
async function missingBytes(cached: string, snapshot: string, wanted: readonly ListFileEntry[]): Promise<number> {
  let bytes = 0;
  for (const file of wanted) {
    const blob = join(cached, "blobs", sumOf(file));
    if ((await exists(join(snapshot, file.path))) || (await exists(blob))) continue;
    bytes += Math.max(0, file.size - ((await fileSize(`${blob}.part`)) ?? 0));
  }
  return bytes;
}

/** A model's files in a repository: its configs, its vocabulary, and one format of weights. */
export function neededFiles(files: readonly ListFileEntry[]): ListFileEntry[] {
  const plain = files.filter(({ type }) => type === "file");
  const weights = weightsAmong(plain.map(({ path }) => path));
  const isCompanion = ({ path, size }: ListFileEntry) => companions.test(path) && size <= maxVocabularyBytes;
  return weights.length === 0 ? [] : plain.filter((file) => weights.includes(file.path) || isCompanion(file));
}

/** Adds a hint to errors of an unwritable cache that holds an older version. */
function withOlderSnapshot(error: unknown): unknown {
  if (!(error instanceof ClipError) || error.code !== "CLIP_FILE") return error;
  const wayOut = "the cache has an older version of the model, which --offline uses";
  return new ClipError("CLIP_FILE", `${error.message}; ${wayOut}`, { cause: error });
}

interface RepositoryFile {
  readonly name: string;
  readonly cached: string;
  readonly commit: string;
  readonly file: ListFileEntry;
  readonly token: string | undefined;
}

/** Stores a file like Hugging Face's Python library: the content under its checksum, and a link with its name. */
async function fetchFile({ name, cached, commit, file, token }: RepositoryFile, options: FetchOptions): Promise<void> {
  const link = join(cached, "snapshots", commit, file.path);
  if (await exists(link)) return;
  const sum = sumOf(file);
  const checksum: Checksum = file.lfs ? { sha256: sum } : { gitSha1: sum };
  const blob = join(cached, "blobs", sum);
  const url = `${hubUrl()}/${name}/resolve/${commit}/${file.path}`;
  await download(url, blob, { ...options, token, size: file.size, checksum });
  // Some Windows users may not create links, so the file is copied.
  await symlink(join("..", "..", "blobs", sum), link).catch(async () => {
    if (await exists(link)) return;
    await copyFile(blob, link).catch((cause) => {
      throw cannotWrite(link, cause, `its content is ${blob}`);
    });
  });
}

/** Checksums become file names, so malformed ones from a hostile mirror are refused. */
function assertSums(name: string, sums: readonly string[]): void {
  if (sums.every((sum) => /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(sum))) return;
  throw new ClipError("CLIP_DOWNLOAD", `${hubUrl()} gives malformed checksums of ${name}; is it a hub?`);
}

/** SHA-256 of a large (LFS) file, git's SHA-1 of another. */
function sumOf({ lfs, oid = "" }: ListFileEntry): string {
  return lfs?.oid ?? oid;
}

/** The cached snapshot of a repository, if it has weights: Python may have fetched only a config. */
async function snapshotIn(cached: string): Promise<string | undefined> {
  const ref = join(cached, "refs", branch);
  const commit = ((await undefinedIfMissing(ref, readFile(ref, "utf8"))) ?? "").trim();
  if (!/^[\w.-]+$/.test(commit)) return undefined;
  const snapshot = join(cached, "snapshots", commit);
  return weightsAmong((await undefinedIfMissing(snapshot, readdir(snapshot))) ?? []).length > 0 ? snapshot : undefined;
}

async function cachedSnapshot(name: string, cached: string): Promise<string> {
  const snapshot = await snapshotIn(cached);
  if (snapshot) return snapshot;
  const why = `${name} is not in the cache (${cached}), and offline nothing is fetched`;
  throw new ClipError("CLIP_DOWNLOAD", `${why}; ${waysOut(name)}`);
}

/** Ways to get a missing model. */
function waysOut(name: string): string {
  return (
    `go online once, or run "clip-ts models fetch ${name}" on a machine that is and copy its cache here (HF_HUB_CACHE or ` +
    `HF_HOME names the folder); or name a folder or weight file that you have; or take "pictograms", which comes with this package and knows drawings, not photos`
  );
}

function cannotAsk(name: string, cause: unknown, token: string | undefined): ClipError {
  if (isRefusal(cause)) {
    const nearest = nearestName(name);
    const isKnown = nearest === name;
    const unsent = token !== undefined && !hubUrl().startsWith("https://") ? "; no token is sent over plain http" : "";
    const hint =
      nearest && !isKnown ? `; did you mean "${nearest}"?` : `: set HF_TOKEN to one that may read it${unsent}`;
    const why = `it does not exist there, or asks for a token${hint}${isKnown ? `; ${waysOut(name)}` : ""}`;
    return new ClipError("CLIP_DOWNLOAD", `no ${name} here, and cannot find it on ${hubUrl()}: ${why}`);
  }
  const problem = networkProblem(cause);
  const network = "HTTPS_PROXY names a proxy, HF_ENDPOINT a mirror";
  return new ClipError(
    "CLIP_DOWNLOAD",
    `no ${name} here, and cannot ask ${hubUrl()} for it: ${problem}; ${network}; ${waysOut(name)}`,
    { cause },
  );
}
