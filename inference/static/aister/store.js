/** What the parts of the playground share: the tab, the models, the languages, the settings and the texts the code shows. */

export class Store extends EventTarget {
  #values;

  constructor(values) {
    super();
    this.#values = values;
  }

  /** The values as they stand; change them with `set` only. */
  get values() {
    return this.#values;
  }

  /** Change some values; whoever watches one of them that did change is told. @param {object} changes */
  set(changes) {
    const names = Object.keys(changes).filter((name) => changes[name] !== this.#values[name]);
    this.#values = { ...this.#values, ...changes };
    for (const name of names) this.dispatchEvent(new Event(name));
    if (names.length) this.dispatchEvent(new Event("change"));
  }

  /** Call `then` with a value whenever it changes. @param {string} name @param {(value: any) => void} then */
  watch(name, then) {
    this.addEventListener(name, () => then(this.#values[name]));
  }
}
