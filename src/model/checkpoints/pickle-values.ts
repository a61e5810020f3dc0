/** A value that a pickle describes. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickleGlobal
  | PickleInstance
  | PickleList
  | PickleObject
  | readonly PickleValue[]
  | Map<PickleValue, PickleValue>;

/** A Python list; tuples are arrays. */
export class PickleList {
  readonly items: PickleValue[] = [];
}

/** An object made by a function of a dialect; the reader of pickles knows nothing about it. */
export abstract class PickleObject {
  abstract readonly kind: string;
}

/** The name of a class or function. Nothing is imported. */
export class PickleGlobal {
  readonly module: string;
  /** `module.name` */
  readonly path: string;

  constructor(module: string, name: string) {
    this.module = module;
    this.path = `${module}.${name}`;
  }
}

/** The result of an unknown class or function, which was not called: its state and its items. */
export class PickleInstance {
  state: PickleValue = null;
  /** The entries, if the class is a kind of dictionary. */
  readonly items = new Map<PickleValue, PickleValue>();

  readonly type: PickleGlobal;

  constructor(type: PickleGlobal) {
    this.type = type;
  }
}

/** The calls that a pickle may make. */
export interface PickleDialect {
  /** Callable functions, by `module.name`. */
  readonly functions: Readonly<Record<string, (args: readonly PickleValue[]) => PickleValue>>;
  /** The object with this persistent id. */
  persistent(id: PickleValue): PickleValue;
}

/** A pickle that is damaged or too large; the message gives the position. */
export class PickleError extends Error {}
