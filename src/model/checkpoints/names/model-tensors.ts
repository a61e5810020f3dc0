import { ClipError } from "../../../core/errors.ts";
import { cut, listed } from "../../../core/listing.ts";

/** A weight file's tensors by the dictionary that contains them, such as "state_dict." or "optimizer.state.0.". */
export type TensorGroups<Value> = ReadonlyMap<string, ReadonlyMap<string, Value>>;

/** Names of the token embedding, which every layout has; longest first. */
const tokenTables = [
  "text_model.embeddings.token_embedding.weight",
  "text.token_embedding.weight",
  "token_embedding.weight",
  "text.tokenEmbedding",
];

/** Name parts that PyTorch's wrappers (data parallel, compilers, recomputation) add. */
const wrappers = new Set([
  "module",
  "_orig_mod",
  "_forward_module",
  "_fsdp_wrapped_module",
  "_checkpoint_wrapped_module",
]);

/** Copies of a model that training keeps (averages, teachers), and optimizer states. */
const secondary =
  /(^|[._])(ema|swa|avg|averaged?|shadow|teacher|momentum|target|old|frozen|ref|reference|optim\w*)(?=[._]|$)/i;

/** A model in a file. */
interface Candidate {
  readonly group: string;
  /** Prefix of all its tensor names in the file. */
  readonly prefix: string;
}

/**
 * Picks the model's tensors in a file and strips their prefixes. Other frameworks put a model into a dictionary, under a
 * prefix, or both. Copies that training keeps (averages, teachers) are left out. Without a model, returns the largest
 * dictionary.
 *
 * @throws {ClipError} `CLIP_CHECKPOINT` if several models are equally likely.
 */
export function modelTensors<Value>(groups: TensorGroups<Value>, path: string): Map<string, Value> {
  const candidates = [...groups].flatMap(([group, names]) =>
    prefixesIn(names.keys()).map((prefix) => ({ group, prefix })),
  );
  const [first, second] = candidates.sort((a, b) => rank(a) - rank(b));
  if (!first) return largest(groups);
  if (second && rank(first) === rank(second)) {
    const equals = candidates.filter((other) => rank(other) === rank(first));
    const places = listed(equals.map(({ group, prefix }) => `"${group}${prefix}"`)).join(", ");
    throw new ClipError(
      "CLIP_CHECKPOINT",
      `${cut(path)} holds several models, ${places}; save the wanted one separately`,
    );
  }
  const others = candidates.filter(({ group, prefix }) => group === first.group && prefix.startsWith(first.prefix));
  const copies = others.map(({ prefix }) => prefix).filter((prefix) => prefix !== first.prefix);
  const found = new Map<string, Value>();
  for (const [name, value] of groups.get(first.group)!) {
    if (!name.startsWith(first.prefix) || copies.some((prefix) => name.startsWith(prefix))) continue;
    found.set(withoutWrappers(name.slice(first.prefix.length)), value);
  }
  return found;
}

/** Prefixes of the models in a dictionary. */
function prefixesIn(names: Iterable<string>): string[] {
  const prefixes = new Set<string>();
  for (const name of names) {
    const bare = withoutWrappers(name);
    const table = tokenTables.find((ending) => bare === ending || bare.endsWith(`.${ending}`));
    if (table === undefined) continue;
    // Skip as many parts as the bare name has before the ending, and any wrappers among them.
    let parts = bare.slice(0, -table.length).split(".").length - 1;
    let at = 0;
    for (const part of name.split(".")) {
      if (!wrappers.has(part) && parts-- === 0) break;
      at += part.length + 1;
    }
    prefixes.add(name.slice(0, at));
  }
  return [...prefixes];
}

function withoutWrappers(name: string): string {
  return name
    .split(".")
    .filter((part) => !wrappers.has(part))
    .join(".");
}

/** Sort key: models before their copies, then by depth. */
function rank({ group, prefix }: Candidate): number {
  const place = group + prefix;
  return place.split(".").length + (secondary.test(place) ? 1_000_000 : 0);
}

function largest<Value>(groups: TensorGroups<Value>): Map<string, Value> {
  let most: ReadonlyMap<string, Value> = new Map();
  for (const [group, names] of groups) if (!secondary.test(group) && names.size > most.size) most = names;
  if (![...most.keys()].every((name) => wrappers.has(name.split(".", 1)[0]!))) return new Map(most);
  return new Map([...most].map(([name, value]) => [withoutWrappers(name), value]));
}
