import { copyFile, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { getRepoFolderName, listFiles, type ListFileEntry, modelInfo } from "@huggingface/hub";
import { cannotWrite, makeFolder, writeFileAtomic } from "../core/atomic-write.ts";
import { ClipError } from "../core/errors.ts";
import { exists } from "../core/files.ts";
import { hubFolder } from "./cache.ts";
import { nearestName } from "./known-models.ts";
import { type Checksum, download, type DownloadOptions, proxiedFetch } from "./download.ts";
import { hubToken, hubUrl, offlineByDefault } from "./environment.ts";
import type { FetchOptions } from "./fetch-options.ts";

const branch = "main";

/** What belongs to a model beside its weights. */
const companions =
  /^(config|preprocessor_config|open_clip_config|tokenizer|tokenizer_config|vocab)\.json$|^merges\.txt$/;
/** Weights in the order of preference: one kind is fetched. */
const weights = [
  /^model\.safetensors$/,
  /^model(\.safetensors\.index\.json|-\d+-of-\d+\.safetensors)$/,
  /^open_clip_model\.safetensors$/,
  /^pytorch_model\.bin$/,
  /^open_clip_pytorch_model\.bin$/,
];

/**
 * The folder of a repository of Hugging Face's hub, with the files of a model, in the layout of its cache: what Python has
 * fetched is found, and the other way round.
 *
 * @param name - "organisation/name".
 * @throws {ClipError} `CLIP_DOWNLOAD` if there is no such repository, none of its files are weights, or it cannot be fetched.
 */
export async function fetchRepository(name: string, options: FetchOptions = {}): Promise<string> {
  const cached = join(hubFolder(), getRepoFolderName({ name, type: "model" }));
  if (options.offline ?? offlineByDefault()) return cachedSnapshot(name, cached);
  const accessToken = await hubToken();
  let commit: string;
  let files: ListFileEntry[];
  try {
    const asking: typeof proxiedFetch = (url, init) =>
      proxiedFetch(url, { ...init, ...(options.signal && { signal: options.signal }) });
    const at = {
      ...(accessToken !== undefined && { accessToken }),
      hubUrl: hubUrl(),
      fetch: asking as unknown as typeof fetch,
    };
    commit = (await modelInfo({ name, revision: branch, additionalFields: ["sha"], ...at })).sha;
    assertSums(name, [commit]);
    files = [];
    for await (const file of listFiles({ repo: { name, type: "model" }, revision: commit, ...at })) files.push(file);
  } catch (cause) {
    options.signal?.throwIfAborted();
    if (cause instanceof ClipError) throw cause;
    throw cannotAsk(name, cause as Error);
  }
  const wanted = neededFiles(files);
  assertSums(name, wanted.map(sumOf));
  if (wanted.length === 0)
    throw new ClipError("CLIP_DOWNLOAD", `${name} on ${hubUrl()} has no weights that can be read`);
  const snapshot = join(cached, "snapshots", commit);
  try {
    await makeFolder(snapshot, "HF_HUB_CACHE names another place");
    for (const file of wanted) await fetchFile({ name, cached, commit, file, accessToken }, options);
  } catch (error) {
    throw (await snapshotIn(cached)) ? withOlderSnapshot(error) : error;
  }
  const ref = join(cached, "refs", branch);
  if ((await readFile(ref, "utf8").catch(() => "")) !== commit) {
    // A cache that cannot be written has the model all the same: only --offline does not find it.
    await makeFolder(join(cached, "refs"))
      .then(() => writeFileAtomic(ref, [commit]))
      .catch(() => undefined);
  }
  return snapshot;
}

/** The files of a model among those of a repository: its configs and vocabulary, and one kind of weights. */
export function neededFiles(files: readonly ListFileEntry[]): ListFileEntry[] {
  const kind = weights.find((pattern) => files.some(({ path }) => pattern.test(path)));
  if (!kind) return [];
  return files.filter(({ type, path }) => type === "file" && (kind.test(path) || companions.test(path)));
}

/** A cache that cannot be written may have what the hub had before. */
function withOlderSnapshot(error: unknown): unknown {
  if (!(error instanceof ClipError) || error.code !== "CLIP_FILE") return error;
  const wayOut = "an older state of the model is in the cache, and --offline takes it";
  return new ClipError("CLIP_FILE", `${error.message}; ${wayOut}`, { cause: error });
}

interface RepositoryFile {
  readonly name: string;
  readonly cached: string;
  readonly commit: string;
  readonly file: ListFileEntry;
  readonly accessToken: string | undefined;
}

/** As Python keeps it: the content under its checksum, its name a link to that. */
async function fetchFile(
  { name, cached, commit, file, accessToken }: RepositoryFile,
  options: FetchOptions,
): Promise<void> {
  const link = join(cached, "snapshots", commit, file.path);
  if (await exists(link)) return;
  const sum = sumOf(file);
  const checksum: Checksum = file.lfs ? { sha256: sum } : { gitSha1: sum };
  const blob = join(cached, "blobs", sum);
  const url = `${hubUrl()}/${name}/resolve/${commit}/${file.path}`;
  const headers: Record<string, string> = accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` };
  await download(url, blob, { ...options, headers, size: file.size, checksum });
  // Where links are not allowed, as for some users of Windows, it is there twice.
  await symlink(join("..", "..", "blobs", sum), link).catch(async () => {
    if (await exists(link)) return;
    await copyFile(blob, link).catch((cause) => {
      throw cannotWrite(link, cause, `its content is ${blob}`);
    });
  });
}

/** They become names of files: what a mirror says is no more trusted than any other input. */
function assertSums(name: string, sums: readonly string[]): void {
  if (sums.every((sum) => /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(sum))) return;
  throw new ClipError("CLIP_DOWNLOAD", `${hubUrl()} gives checksums of ${name} that are none; is it a hub?`);
}

/** Of large files that of the content, of others git's. */
function sumOf({ lfs, oid = "" }: ListFileEntry): string {
  return lfs?.oid ?? oid;
}

/** What the cache has of a repository, if anything. */
async function snapshotIn(cached: string): Promise<string | undefined> {
  const commit = (await readFile(join(cached, "refs", branch), "utf8").catch(() => "")).trim();
  const snapshot = join(cached, "snapshots", commit);
  return commit !== "" && (await exists(snapshot)) ? snapshot : undefined;
}

async function cachedSnapshot(name: string, cached: string): Promise<string> {
  const snapshot = await snapshotIn(cached);
  if (snapshot) return snapshot;
  throw new ClipError("CLIP_DOWNLOAD", `${name} is not in the cache (${cached}), and offline nothing is fetched`);
}

function cannotAsk(name: string, cause: Error): ClipError {
  if ([401, 403, 404].includes((cause as { statusCode?: number }).statusCode ?? 0)) {
    const nearest = nearestName(name);
    const hint = nearest ? `; did you mean "${nearest}"?` : ": set HF_TOKEN to one that may read it";
    const why = `it does not exist there, or asks for a token${hint}`;
    return new ClipError("CLIP_DOWNLOAD", `no ${name} here, and cannot find it on ${hubUrl()}: ${why}`);
  }
  const problem = (cause.cause instanceof Error ? cause.cause : cause).message;
  const wayOut = "what is in the cache is used with --offline";
  return new ClipError("CLIP_DOWNLOAD", `no ${name} here, and cannot ask ${hubUrl()} for it: ${problem}; ${wayOut}`, {
    cause,
  });
}
