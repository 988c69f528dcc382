/** The card that asks for a key: paste, show, and words that say why a key won't do. */

import { byId } from "../dom.js";
import { errorWords, retryWords } from "./words.js";

export class KeyCard {
  #access;
  #onAccepted;
  #field = byId("key");
  #error = byId("key-error");
  #submit = byId("key-submit");

  /** @param {import("./access.js").Access} access @param {() => void} onAccepted */
  constructor(access, onAccepted) {
    this.#access = access;
    this.#onAccepted = onAccepted;
    byId("key-form").addEventListener("submit", (event) => this.#try(event));
    byId("key-show").addEventListener("click", () => this.#toggle());
    byId("key-paste").addEventListener("click", () => this.#paste());
    byId("key-paste").hidden = !navigator.clipboard?.readText;
    this.#field.addEventListener("input", () => this.#say(""));
  }

  /** Show the card, with the reason where there is one. @param {string} [reason] */
  show(reason = "") {
    byId("access").hidden = false;
    this.#say(reason);
    this.#field.focus();
  }

  hide() {
    byId("access").hidden = true;
    this.#field.value = "";
    this.#say("");
  }

  async #try(event) {
    event.preventDefault();
    const key = this.#field.value.trim();
    if (!key) return this.#refuse("Paste an API key first.");
    this.#busy(true);
    try {
      await this.#access.useKey(key, byId("key-remember").checked);
      this.hide();
      this.#onAccepted();
    } catch (error) {
      this.#refuse(errorWords(error) + retryWords(error));
    } finally {
      this.#busy(false);
    }
  }

  #busy(is) {
    this.#submit.disabled = is;
    this.#submit.textContent = is ? "Checking" : "Use this key";
  }

  #refuse(words) {
    this.#say(words);
    this.#field.focus();
  }

  #say(words) {
    this.#error.textContent = words;
    this.#field.setAttribute("aria-invalid", String(words !== ""));
  }

  #toggle() {
    const shown = this.#field.type === "text";
    this.#field.type = shown ? "password" : "text";
    byId("key-show").textContent = shown ? "Show" : "Hide";
    byId("key-show").setAttribute("aria-pressed", String(!shown));
  }

  async #paste() {
    const text = await navigator.clipboard.readText().catch(() => "");
    if (text) this.#field.value = text.trim();
    this.#say(text ? "" : "The browser did not allow reading the clipboard. Press Ctrl+V in the field.");
    this.#field.focus();
  }
}
