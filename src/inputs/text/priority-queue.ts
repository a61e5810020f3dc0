/** A binary heap; `isBefore` defines the order. */
export class Heap<Element> {
  readonly #elements: Element[] = [];
  readonly #isBefore: (a: Element, b: Element) => boolean;

  constructor(isBefore: (a: Element, b: Element) => boolean) {
    this.#isBefore = isBefore;
  }

  add(element: Element): void {
    const elements = this.#elements;
    let i = elements.length;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.#isBefore(element, elements[parent]!)) break;
      elements[i] = elements[parent]!;
      i = parent;
    }
    elements[i] = element;
  }

  /** Removes and returns the first element; undefined if empty. */
  take(): Element | undefined {
    const elements = this.#elements;
    const first = elements[0];
    const last = elements.pop();
    if (last === undefined || elements.length === 0) return first;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= elements.length) break;
      if (child + 1 < elements.length && this.#isBefore(elements[child + 1]!, elements[child]!)) child++;
      if (!this.#isBefore(elements[child]!, last)) break;
      elements[i] = elements[child]!;
      i = child;
    }
    elements[i] = last;
    return first;
  }
}
