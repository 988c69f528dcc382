/** One turn of a conversation on the page: what the user said, and the answer in each of its states. */

import { copyButton, el, icon, iconButton } from "../dom.js";
import { MarkdownView } from "../markdown.js";
import { errorWords, loadingWords, secondsUntil } from "../session/words.js";

/**
 * @typedef {object} TurnActions
 * @property {(turn: Turn, text: string) => void} edit
 * @property {(turn: Turn) => void} regenerate
 * @property {(turn: Turn) => void} retry
 * @property {(turn: Turn) => void} dismiss
 */

export class Turn {
  #actions;
  #frame = 0;
  #countdown = null;

  /** @param {string} text @param {TurnActions} actions */
  constructor(text, actions) {
    this.text = text;
    this.#actions = actions;
    this.userId = null;
    /** The answer as `response.done` gave it; a turn without one is not part of the conversation. */
    this.answer = null;
    this.#build();
  }

  /** Whether the server's conversation holds this turn. */
  get isKept() {
    return this.answer !== null;
  }

  /** The two messages, as `conversation.load` takes them. */
  get messages() {
    return [{ role: "user", text: this.text }, { role: "assistant", text: this.answer.text, status: this.answer.status }];
  }

  /** Say why there is no text yet. @param {string} words */
  wait(words) {
    this.#status.replaceChildren(el("span", { class: "dots", "aria-hidden": "true" }), words);
    this.#answer.setAttribute("aria-busy", "true");
    this.element.dataset.state = "waiting";
  }

  /** Take in an event of the answer. @param {import("../client.js").ServerEvent} event @param {string} text so far */
  receive(event, text) {
    if (event.type === "response.loading") this.wait(loadingWords(event));
    if (event.type === "response.queued") this.wait(event.position === 1 ? "Next in line" : `${ordinal(event.position)} in line`);
    if (event.type === "response.created") {
      this.userId = event.message_id ?? null;
      this.wait("Thinking");
    }
    if (event.type === "response.delta") this.#stream(text);
  }

  /** The answer has ended; whether the conversation holds it. @param {import("../client.js").Done} done @returns {boolean} */
  finish(done) {
    this.#settle("done");
    if (!done.message) return this.#withdraw();
    this.answer = done.message;
    this.#view.show(done.message.text);
    this.#showEnd(done);
    return true;
  }

  /** It did not work: say what to do, and keep what was typed. @param {import("../client.js").AisterError} error @param {() => void} retry */
  fail(error, retry) {
    if (!this.isKept) this.#settle("failed");
    const again = el("button", { type: "button", class: "button", onclick: retry }, "Retry");
    const words = el("p", {}, icon("alert"), el("strong", {}, this.#isBegun ? "Not finished. " : "Not answered. "), errorWords(error));
    if (error.requestId) words.append(" ", el("span", { class: "request-id" }, error.requestId));
    this.#note(el("div", { class: "failure" }, words, el("div", { class: "row" }, again, this.#dismiss())));
    if (error.retryAfter) this.#count(again, Date.now() + error.retryAfter * 1000);
  }

  /** Only the last answer can be made again, and only while nothing else is answered. @param {boolean} can */
  allowRegenerate(can) {
    this.#regenerate.hidden = !can;
  }

  remove() {
    clearInterval(this.#countdown);
    this.element.remove();
  }

  // -- making it --------------------------------------------------------------------------------------------------------

  #user;
  #answer;
  #body;
  #view;
  #status;
  #notes;
  #regenerate;

  #build() {
    this.#user = el("div", { class: "user" });
    this.#body = el("div", { class: "markdown", dir: "auto" });
    this.#view = new MarkdownView(this.#body);
    this.#status = el("p", { class: "status" });
    this.#notes = el("div", { class: "notes" });
    this.#regenerate = iconButton("again", "Regenerate", () => this.#actions.regenerate(this));
    this.#answer = el("div", { class: "answer", role: "group", "aria-label": "Answer" }, this.#body, this.#status, this.#notes);
    this.element = el("li", { class: "turn" }, this.#user, this.#answer);
    this.#showUser();
  }

  #showUser() {
    const edit = iconButton("edit", "Edit", () => this.#startEditing());
    edit.classList.add("edit");
    const bubble = el("div", { class: "bubble", role: "group", "aria-label": "You", dir: "auto" }, this.text);
    this.#user.replaceChildren(bubble, el("div", { class: "row tools" }, edit));
  }

  #showEnd(done) {
    const tools = el("div", { class: "row tools" }, copyButton(() => this.answer.text), this.#regenerate, figures(done));
    this.#notes.replaceChildren(...endNotes(done).map((words) => el("p", { class: "status" }, words)), tools);
  }

  #stream(text) {
    this.element.dataset.state = "streaming";
    this.#status.replaceChildren();
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#view.show(text));
  }

  #settle(state) {
    cancelAnimationFrame(this.#frame);
    clearInterval(this.#countdown);
    this.#answer.removeAttribute("aria-busy");
    this.#status.replaceChildren();
    this.element.dataset.state = state;
  }

  /** Cancelled before the first word: the conversation is as it was. */
  #withdraw() {
    this.element.dataset.state = "failed";
    const again = el("button", { type: "button", class: "button", onclick: () => this.#actions.retry(this) }, "Send again");
    const words = el("p", {}, "Stopped before the first word. The message is not part of the conversation.");
    this.#note(el("div", { class: "failure mild" }, words, el("div", { class: "row" }, again, this.#dismiss())));
    return false;
  }

  get #isBegun() {
    return this.#body.hasChildNodes() && !this.isKept;
  }

  /** Under a kept answer the note is what goes, under another the whole turn. */
  #dismiss() {
    const away = () => (this.isKept ? this.#notes.querySelector(".failure").remove() : this.#actions.dismiss(this));
    return el("button", { type: "button", class: "button quiet", onclick: away }, "Dismiss");
  }

  #note(box) {
    this.#notes.querySelector(".failure")?.remove();
    this.#notes.prepend(box);
  }

  #count(button, time) {
    const tick = () => {
      const left = time - Date.now();
      button.disabled = left > 0;
      button.textContent = left > 0 ? `Retry in ${secondsUntil(time)} s` : "Retry";
      if (left <= 0) clearInterval(this.#countdown);
    };
    tick();
    this.#countdown = setInterval(tick, 500);
  }

  #startEditing() {
    const field = el("textarea", { class: "field", "aria-label": "Edit your message", rows: "3", dir: "auto" });
    const save = () => field.value.trim() && this.#actions.edit(this, field.value);
    const stop = () => {
      this.#showUser();
      this.#user.querySelector("button").focus();
    };
    field.value = this.text;
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") return event.stopPropagation(), stop();
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) event.preventDefault(), save();
    });
    const buttons = el("div", { class: "row" }, el("button", { type: "button", class: "button primary", onclick: save }, "Save and answer"));
    buttons.append(el("button", { type: "button", class: "button quiet", onclick: stop }, "Keep as it was"));
    this.#user.replaceChildren(el("div", { class: "editing" }, field, buttons));
    field.focus();
  }
}

/** "42 tokens, 31 cached, first in 9 ms, all in 300 ms": of the answer, of what was read, and of the clock. */
export function figures({ usage, timing }) {
  const parts = [`${usage.output_tokens} ${usage.output_tokens === 1 ? "token" : "tokens"}`];
  if (usage.cached_tokens) parts.push(`${usage.cached_tokens} cached`);
  if (timing.first_token_ms !== null) parts.push(`first in ${milliseconds(timing.first_token_ms)}`);
  parts.push(`all in ${milliseconds(timing.total_ms)}`);
  const title = `${usage.input_tokens} tokens read, ${usage.cached_tokens} of them from the cache; ${usage.output_tokens} written`;
  return el("span", { class: "figures", title }, parts.join(", "));
}

function milliseconds(ms) {
  return ms < 1000 ? `${Math.max(1, Math.round(ms))} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function endNotes({ status, finish_reason: reason, usage }) {
  const notes = [];
  if (status === "cancelled") notes.push("Stopped.");
  if (reason === "length") notes.push("Cut off at the most tokens an answer may have. Raise “Max tokens” in the settings for more.");
  if (usage.truncated) notes.push(`The conversation is longer than the model reads: the oldest ${usage.truncated} messages were left out.`);
  return notes;
}

function ordinal(position) {
  const ending = { one: "st", two: "nd", few: "rd", other: "th" }[new Intl.PluralRules("en", { type: "ordinal" }).select(position)];
  return `${position}${ending}`;
}
