/**
 * Translation: two panes. It translates 350 ms after typing stops and cancels the request before; what arrives for an older request
 * is not shown.
 */

import { announce } from "./announce.js";
import { figures } from "./chat/turn.js";
import { byId, copyButton, el } from "./dom.js";
import { errorWords, loadingWords, stateDetail } from "./session/words.js";
import { direction, LanguagePair } from "./translate/languages.js";

const PAUSE_MS = 350;

export class Translate {
  /** @type {import("./session/keeper.js").Keeper} */
  keeper = null;
  #store;
  #fetchLanguages;
  #languages = null;
  #pair;
  #text = byId("source-text");
  #target = byId("target-text");
  #copy = copyButton(() => this.#target.textContent);
  #timer = null;
  #current = null;
  #detected = null;
  #limit = null;

  /** @param {import("./store.js").Store} store @param {() => Promise<{languages: object[]}>} fetchLanguages */
  constructor(store, fetchLanguages) {
    this.#store = store;
    this.#fetchLanguages = fetchLanguages;
    this.#pair = new LanguagePair((pair) => this.#pairChanged(pair));
    this.#text.addEventListener("input", () => this.#typed(PAUSE_MS));
    byId("swap").addEventListener("click", () => this.swap());
    byId("source-clear").addEventListener("click", () => this.#use(""));
    byId("source-paste").addEventListener("click", () => this.#paste());
    byId("source-paste").hidden = !navigator.clipboard?.readText;
    byId("translate-retry").addEventListener("click", () => this.#typed(0));
    byId("panel-translate").addEventListener("keydown", (event) => this.#keydown(event));
    byId("translate-tools").append(this.#copy);
    this.#empty();
    this.#count();
  }

  get hasContent() {
    return this.#text.value.trim() !== "";
  }

  focus() {
    this.#text.focus();
  }

  /** A new session: its limits and its model's languages hold. @param {import("./client.js").Session} session */
  async restore(session) {
    const { limits, languages } = session.info;
    this.#languages ??= (await this.#fetchLanguages()).languages;
    this.#pair.fill(this.#languages.filter(({ code }) => !languages.length || languages.includes(code)), this.#store.values);
    this.#limit = limits.text_characters;
    this.#count();
  }

  /** Before the first text: some that work well. @param {{examples: string[]}} model */
  introduce({ examples }) {
    const chip = (text) => el("button", { type: "button", class: "chip example", onclick: () => this.#use(text) }, text);
    byId("translate-examples").replaceChildren(...examples.map(chip));
  }

  /** Put the translation where the text was, and the other way round. */
  swap() {
    const source = this.#pair.source === "auto" ? this.#detected : this.#pair.source;
    const result = this.#target.textContent;
    if (source === null || source === undefined) return this.#say("Write something first: the language to swap to is not known yet.");
    this.#pair.choose(this.#pair.target, source);
    if (result) this.#text.value = result;
    this.#typed(0);
    this.focus();
  }

  // -- asking -----------------------------------------------------------------------------------------------------------

  #typed(pause_ms) {
    clearTimeout(this.#timer);
    this.#count();
    byId("translate-examples").hidden = this.hasContent;
    this.#store.set({ text: this.#text.value });
    this.#abandon();
    if (!this.hasContent) return this.#empty();
    if (this.#isTooLong) return this.#say(`The text is longer than ${this.#limit.toLocaleString("en")} characters. Shorten it.`, true);
    this.#say("");
    this.#timer = setTimeout(() => this.#translate(), pause_ms);
  }

  #abandon() {
    this.#current?.abort.abort(new DOMException("Overtaken", "AbortError"));
    this.#current?.stream?.cancel().catch(() => {}); // it may have ended, or its session
    this.#current = null;
    this.#warn();
  }

  async #translate() {
    const current = (this.#current = { abort: new AbortController(), stream: null });
    this.#target.setAttribute("aria-busy", "true");
    this.#say(this.keeper.state.name === "ready" ? "Translating" : stateDetail(this.keeper.state) || "Connecting");
    try {
      const done = await this.#follow(current);
      if (this.#current === current) this.#show(done);
    } catch (error) {
      if (this.#current === current) this.#fail(error);
    }
  }

  async #follow(current) {
    const { source, target } = this.#pair;
    const session = await this.keeper.ready(current.abort.signal);
    if (this.#current === current) this.#say("Translating");
    current.stream = session.translate(this.#text.value, { source, target });
    for await (const event of current.stream.events()) {
      if (this.#current !== current) continue;
      if (event.type === "response.loading") this.#say(loadingWords(event));
      if (event.type === "response.created") this.#say("Translating");
      if (event.type === "response.delta") this.#write(current.stream.text, target);
    }
    return current.stream.done;
  }

  // -- showing ----------------------------------------------------------------------------------------------------------

  #write(text, target) {
    this.#target.lang = target;
    this.#target.dir = direction(target);
    this.#target.textContent = text;
  }

  #show(done) {
    this.#target.removeAttribute("aria-busy");
    if (!done.translations) return this.#say("Stopped.");
    const [translation] = done.translations;
    this.#write(translation.text, this.#pair.target);
    this.#warn(translation.warning);
    this.#detect(translation);
    this.#text.lang = translation.source;
    this.#copy.hidden = false;
    byId("translate-status").replaceChildren(figures(done));
    byId("translate-retry").hidden = true;
    announce(translation.warning ? `${translation.text} ${translation.warning.message}` : translation.text);
  }

  /** What the model says against its own translation. @param {import("./client.js").TranslationWarning} [warning] */
  #warn(warning) {
    byId("translate-warning").textContent = warning?.message ?? "";
    byId("translate-warning").hidden = !warning;
  }

  #fail(error) {
    this.#target.removeAttribute("aria-busy");
    this.#say(errorWords(error), true);
    byId("translate-retry").hidden = false;
    announce(`Not translated. ${errorWords(error)}`);
  }

  #detect({ source, confidence, uncertain }) {
    this.#detected = source;
    const line = byId("detected");
    if (this.#pair.source !== "auto") return line.replaceChildren();
    const name = this.#pair.name(source);
    const sure = `${name} ${Math.round(confidence * 100)}%`;
    if (!uncertain) return line.replaceChildren(el("span", { class: "detected-label" }, "Detected: "), sure);
    const choose = () => this.#pair.choose(source, this.#pair.target);
    line.replaceChildren("Could be ", el("button", { type: "button", class: "chip", title: `Translate from ${name}`, onclick: choose }, name));
  }

  #empty() {
    this.#detected = null;
    this.#target.textContent = "";
    this.#target.removeAttribute("aria-busy");
    byId("detected").replaceChildren();
    byId("translate-examples").hidden = false;
    this.#copy.hidden = true;
    this.#say("");
  }

  #say(words, isError = false) {
    byId("translate-status").textContent = words;
    byId("translate-status").classList.toggle("error", isError);
    byId("translate-retry").hidden = true;
    this.#text.setAttribute("aria-invalid", String(isError && this.#isTooLong));
  }

  get #isTooLong() {
    return this.#limit !== null && [...this.#text.value].length > this.#limit;
  }

  #count() {
    const count = [...this.#text.value].length.toLocaleString("en");
    byId("source-count").textContent = this.#limit === null ? count : `${count} of ${this.#limit.toLocaleString("en")}`;
    byId("source-clear").disabled = this.#text.value === "";
  }

  // -- doing ------------------------------------------------------------------------------------------------------------

  #pairChanged({ source, target }) {
    this.#text.lang = source === "auto" ? "" : source;
    this.#text.dir = source === "auto" ? "auto" : direction(source);
    this.#store.set({ source, target });
    if (this.hasContent) this.#typed(0);
  }

  #keydown(event) {
    if (event.altKey && event.code === "KeyS") {
      event.preventDefault();
      this.swap();
    }
    if (event.key === "Escape") this.#current?.stream?.cancel().catch(() => {}); // it may have ended already
  }

  #use(text) {
    this.#text.value = text;
    this.#typed(0);
    this.focus();
  }

  async #paste() {
    const text = await navigator.clipboard.readText().catch(() => null);
    if (text === null) return this.#say("The browser did not allow reading the clipboard. Press Ctrl+V in the field.", true);
    this.#use(text);
  }
}
