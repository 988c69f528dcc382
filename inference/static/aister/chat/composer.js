/** Where messages are written: grows to eight lines, Enter sends, Shift+Enter breaks the line, Send turns into Stop in its place. */

import { byId, icon } from "../dom.js";

const MOST_LINES = 8;

export class Composer {
  #field = byId("message");
  #button = byId("send");
  #onSend;
  #onStop;
  #answering = false;

  /** @param {{onSend: (text: string) => void, onStop: () => void}} actions */
  constructor({ onSend, onStop }) {
    this.#onSend = onSend;
    this.#onStop = onStop;
    this.#field.addEventListener("keydown", (event) => this.#keydown(event));
    this.#field.addEventListener("input", () => this.#changed());
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#answering) this.#onStop();
      else this.#send();
    });
    this.answering = false;
  }

  get isEmpty() {
    return this.#field.value.trim() === "";
  }

  /** @param {boolean} is whether there is an answer to stop */
  set answering(is) {
    this.#answering = is;
    const label = is ? "Stop" : "Send";
    this.#button.setAttribute("aria-label", label);
    this.#button.title = is ? "Stop (Escape)" : "Send (Enter)";
    this.#button.replaceChildren(icon(is ? "stop" : "send"));
    this.#changed();
  }

  focus() {
    this.#field.focus();
  }

  /** An input method's Enter picks a word; Safari reports it as key code 229 after composing has ended. */
  #keydown(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (!this.#answering) this.#send();
  }

  #send() {
    if (this.isEmpty) return;
    const text = this.#field.value;
    this.#field.value = "";
    this.#onSend(text);
    this.#changed();
    this.#field.focus();
  }

  #changed() {
    this.#button.disabled = !this.#answering && this.isEmpty;
    const line = parseFloat(getComputedStyle(this.#field).lineHeight);
    this.#field.style.height = "auto";
    this.#field.style.height = `${Math.min(this.#field.scrollHeight, line * MOST_LINES + 20)}px`;
  }
}
