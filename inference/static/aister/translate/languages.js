/** The two language lists: what can be translated into what, and languages by their names. */

import { byId, el } from "../dom.js";

const RIGHT_TO_LEFT = new Set(["ar", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"]);

/** The direction of a language's script. @param {string} code */
export function direction(code) {
  return RIGHT_TO_LEFT.has(code.split(/[-_]/)[0]) ? "rtl" : "ltr";
}

/** Fills and reads the two `<select>`s; both always hold a pair that can be translated. */
export class LanguagePair {
  #source = byId("source-language");
  #target = byId("target-language");
  #languages = [];
  #onChange;

  /** @param {(pair: {source: string, target: string}) => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#source.addEventListener("change", () => this.choose(this.source, this.target));
    this.#target.addEventListener("change", () => this.choose(this.source, this.target));
  }

  get source() {
    return this.#source.value;
  }

  get target() {
    return this.#target.value;
  }

  /** @param {{code: string, name: string, targets: string[]}[]} languages @param {{source: string, target: string|null}} wanted */
  fill(languages, { source, target }) {
    this.#languages = languages;
    const named = languages.filter((language) => language.targets.length);
    this.#source.replaceChildren(el("option", { value: "auto" }, "Detect language"), ...named.map(option));
    this.choose(named.some(({ code }) => code === source) ? source : "auto", target);
  }

  /** Show a pair; a target that the source can't be translated into gives way to one that it can. */
  choose(source, target) {
    this.#source.value = source;
    const targets = this.#targetsOf(source);
    this.#target.replaceChildren(...targets.map(option));
    const codes = targets.map(({ code }) => code);
    this.#target.value = codes.includes(target) ? target : (codes.find((code) => code !== "en") ?? codes[0] ?? "");
    this.#onChange({ source: this.source, target: this.target });
  }

  /** The name of a language. @param {string} code */
  name(code) {
    return this.#languages.find((language) => language.code === code)?.name ?? code;
  }

  #targetsOf(source) {
    const codes = new Set(this.#languages.filter(({ code }) => source === "auto" || code === source).flatMap(({ targets }) => targets));
    return [...codes].map((code) => ({ code, name: this.name(code) })).sort((one, other) => one.name.localeCompare(other.name));
  }
}

function option({ code, name }) {
  return el("option", { value: code }, name);
}
