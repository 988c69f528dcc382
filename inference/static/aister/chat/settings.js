/** The settings drawer: what a chat session may set, checked as it is typed; an empty field is the model's own default. */

import { byId } from "../dom.js";

/** Field name -> how its text becomes a value, and the words for a text that doesn't. */
const FIELDS = {
  system: { read: (text) => text },
  temperature: { read: number(0, 2), words: "A number from 0 to 2." },
  top_p: { read: number(0.001, 1), words: "A number above 0, at most 1." },
  max_tokens: { read: whole(1, 32768), words: "A whole number from 1 to 32,768." },
  seed: { read: whole(0, 2 ** 31 - 1), words: "A whole number from 0 to 2,147,483,647." },
  stop: { read: stops, words: "At most 8 lines of at most 64 characters." },
};

export const DEFAULTS = Object.freeze(Object.fromEntries(Object.keys(FIELDS).map((name) => [name, null])));

export class SettingsForm {
  #store;

  /** @param {import("../store.js").Store} store whose `settings` it changes */
  constructor(store) {
    this.#store = store;
    for (const name of Object.keys(FIELDS)) byId(`setting-${name}`).addEventListener("input", () => this.#read(name));
    byId("settings-reset").addEventListener("click", () => this.#reset());
    byId("settings-form").addEventListener("submit", (event) => event.preventDefault());
  }

  /** Tie the server's refusal to its field. @param {import("../client.js").AisterError} error */
  refuse(error) {
    const name = error.param?.replace(/^settings\./, "").split("[")[0];
    if (name in FIELDS) this.#say(name, error.message);
    else byId("settings-error").textContent = error.message;
  }

  #read(name) {
    const text = byId(`setting-${name}`).value;
    const value = text.trim() === "" ? null : FIELDS[name].read(text);
    this.#say(name, value === undefined ? FIELDS[name].words : "");
    if (value !== undefined) this.#store.set({ settings: { ...this.#store.values.settings, [name]: value } });
  }

  #say(name, words) {
    byId("settings-error").textContent = "";
    byId(`setting-${name}-error`).textContent = words;
    byId(`setting-${name}`).setAttribute("aria-invalid", String(words !== ""));
  }

  #reset() {
    for (const name of Object.keys(FIELDS)) {
      byId(`setting-${name}`).value = "";
      this.#say(name, "");
    }
    this.#store.set({ settings: DEFAULTS });
  }
}

function number(least, most) {
  return (text) => (Number(text) >= least && Number(text) <= most ? Number(text) : undefined);
}

function whole(least, most) {
  return (text) => (Number.isInteger(Number(text)) && Number(text) >= least && Number(text) <= most ? Number(text) : undefined);
}

function stops(text) {
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.length <= 8 && lines.every((line) => line.length <= 64) ? lines : undefined;
}
