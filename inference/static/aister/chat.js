/**
 * The chat: one conversation, one answer at a time. The page keeps what the server's conversation holds (turns with an answer) and
 * whatever was typed but not answered, so that a new session starts where the last one was lost.
 */

import { announce } from "./announce.js";
import { Composer } from "./chat/composer.js";
import { Follower } from "./chat/scroll.js";
import { SettingsForm } from "./chat/settings.js";
import { Turn } from "./chat/turn.js";
import { byId, el } from "./dom.js";
import { errorWords, stateDetail } from "./session/words.js";

const SETTINGS_PAUSE_MS = 300;

export class Chat {
  /** @type {import("./session/keeper.js").Keeper} */
  keeper = null;
  /** @type {Turn[]} */
  #turns = [];
  #current = null;
  #store;
  #models;
  #composer;
  #follower;
  #form;
  #settingsTimer = null;
  #settingsPending = false;

  /** @param {import("./store.js").Store} store @param {import("./frame/models.js").Models} models */
  constructor(store, models) {
    this.#store = store;
    this.#models = models;
    this.#composer = new Composer({ onSend: (text) => this.send(text), onStop: () => this.#stopAndWrite() });
    this.#follower = new Follower(byId("log"), byId("log-content"), byId("latest"));
    this.#form = new SettingsForm(store);
    store.watch("settings", () => this.#settingsChanged());
    byId("new-conversation").addEventListener("click", () => this.clear());
    byId("panel-chat").addEventListener("keydown", (event) => event.key === "Escape" && this.stop());
    this.#refresh();
  }

  /** Whether something would be lost from sight if the chat were hidden. */
  get hasContent() {
    return this.#turns.length > 0 || !this.#composer.isEmpty;
  }

  focus() {
    this.#composer.focus();
  }

  /** Give a new session what the last one had. @param {import("./client.js").Session} session */
  async restore(session) {
    if (this.#hasSettings) this.#sendSettings(session);
    const kept = [...this.#turns.filter((turn) => turn.isKept), ...(this.#current?.replaced ?? [])];
    if (!kept.length) return;
    const messages = await session.load(kept.flatMap((turn) => turn.messages));
    kept.forEach((turn, index) => (turn.userId = messages[2 * index].id));
  }

  /** Say something. @param {string} text */
  send(text) {
    if (this.#current) return;
    const turn = this.#newTurn(text);
    this.#append(turn);
    this.#store.set({ message: text });
    this.#run({ turn, start: (session) => session.send(text), retry: () => this.#resend(turn) });
  }

  /** Stop the answer, or the wait for one. */
  stop() {
    this.#current?.abort.abort(new DOMException("Stopped", "AbortError"));
    this.#current?.stream?.cancel().catch(() => {}); // a lost connection has ended the answer already
  }

  #stopAndWrite() {
    this.stop();
    this.focus();
  }

  /** Start over. */
  async clear() {
    this.stop();
    for (const turn of this.#turns.splice(0)) turn.remove();
    this.#refresh();
    this.focus();
    if (this.keeper.state.name === "ready") await (await this.keeper.ready()).load([]).catch(() => this.keeper.open());
  }

  /** Before the first message: what this model is, and texts that work well with it. @param {{description: string, examples: string[]}} model */
  introduce({ description, examples }) {
    byId("about-model").textContent = description;
    const chip = (text) => el("button", { type: "button", class: "chip example", onclick: () => this.send(text) }, text);
    byId("examples").replaceChildren(...examples.map(chip));
  }

  // -- asking -----------------------------------------------------------------------------------------------------------

  #edit(turn, text) {
    if (this.#current) return announce("Stop the answer first.");
    if (!turn.isKept) return this.#resend(turn, text);
    const { replacement, replaced } = this.#replace(turn, text);
    const retry = () => {
      this.#drop(replacement);
      this.#edit(turn, text);
    };
    const undo = () => this.#putBack(replaced, replacement);
    this.#run({ turn: replacement, replaced, start: (session) => session.edit(turn.userId, text), undo, retry });
  }

  /** Answer again; if that fails, the old answer comes back and says so. */
  #regenerate(turn) {
    if (this.#current) return;
    const { replacement, replaced } = this.#replace(turn, turn.text);
    const undo = (error) => {
      this.#putBack(replaced, replacement);
      this.#drop(replacement);
      if (error) turn.fail(error, () => this.#regenerate(turn));
    };
    this.#run({ turn: replacement, replaced, start: (session) => session.regenerate(), undo, retry: () => {} });
  }

  #resend(turn, text = turn.text) {
    if (this.#current) return announce("Stop the answer first.");
    this.#drop(turn);
    this.send(text);
    this.focus();
  }

  /** Put a new turn where `from` and all after it were. */
  #replace(from, text) {
    const replaced = this.#turns.splice(this.#turns.indexOf(from));
    const replacement = this.#newTurn(text);
    for (const old of replaced) old.element.remove();
    this.#append(replacement);
    this.focus();
    return { replacement, replaced };
  }

  #putBack(replaced, replacement) {
    const at = this.#turns.indexOf(replacement);
    if (at < 0) return; // the conversation was started over meanwhile
    replacement.element.before(...replaced.map((turn) => turn.element));
    this.#turns.splice(at, 0, ...replaced);
  }

  /**
   * Ask, and follow the answer to its end.
   * @param {object} request
   * @param {Turn} request.turn that shows it
   * @param {(session: object) => object} request.start sends it and returns its ResponseStream
   * @param {() => void} request.retry
   * @param {Turn[]} [request.replaced] turns that the server drops once it answers
   * @param {(error?: Error) => void} [request.undo] puts them back when it came to nothing
   */
  async #run({ turn, start, retry, replaced = [], undo = () => {} }) {
    const current = (this.#current = { turn, replaced, abort: new AbortController(), stream: null });
    this.#refresh();
    announce("Answering");
    try {
      const done = await this.#follow(current, start);
      if (!turn.finish(done)) undo();
      announce(done.message?.text ?? "Stopped");
    } catch (error) {
      this.#failed(error, turn, retry);
      undo(error.name === "AbortError" ? undefined : error);
    } finally {
      this.#current = null;
      this.#refresh();
    }
  }

  #failed(error, turn, retry) {
    if (error.name === "AbortError") turn.finish({ message: null });
    else turn.fail(error, retry);
    announce(error.name === "AbortError" ? "Stopped" : `Not answered. ${errorWords(error)}`);
  }

  async #follow(current, start) {
    const { turn } = current;
    const waiting = () => turn.wait(stateDetail(this.keeper.state) || "Connecting");
    if (this.keeper.state.name !== "ready") waiting();
    this.keeper.addEventListener("state", waiting);
    const session = await this.keeper.ready(current.abort.signal).finally(() => this.keeper.removeEventListener("state", waiting));
    this.#flushSettings(session);
    turn.wait(this.#models.chosen("chat")?.loaded === false ? "Loading the model" : "Sending");
    current.stream = start(session);
    let text = "";
    for await (const event of current.stream.events()) {
      if (event.type === "response.delta") text += event.text;
      turn.receive(event, text);
    }
    return current.stream.done;
  }

  // -- settings ---------------------------------------------------------------------------------------------------------

  get #hasSettings() {
    return Object.values(this.#store.values.settings).some((value) => value !== null);
  }

  #settingsChanged() {
    this.#settingsPending = true;
    clearTimeout(this.#settingsTimer);
    this.#settingsTimer = setTimeout(async () => {
      if (this.keeper.state.name === "ready") this.#flushSettings(await this.keeper.ready());
    }, SETTINGS_PAUSE_MS);
  }

  #flushSettings(session) {
    if (this.#settingsPending) this.#sendSettings(session);
  }

  #sendSettings(session) {
    clearTimeout(this.#settingsTimer);
    this.#settingsPending = false;
    session.update(this.#store.values.settings).catch((error) => this.#form.refuse(error));
  }

  // -- showing ----------------------------------------------------------------------------------------------------------

  #newTurn(text) {
    return new Turn(text, {
      edit: (turn, changed) => this.#edit(turn, changed),
      regenerate: (turn) => this.#regenerate(turn),
      retry: (turn) => this.#resend(turn),
      dismiss: (turn) => {
        this.#drop(turn);
        this.focus();
      },
    });
  }

  #append(turn) {
    this.#turns.push(turn);
    byId("turns").append(turn.element);
    this.#refresh();
    this.#follower.jump();
  }

  #drop(turn) {
    this.#turns = this.#turns.filter((other) => other !== turn);
    turn.remove();
    this.#refresh();
  }

  #refresh() {
    const last = this.#turns.findLast((turn) => turn.isKept);
    for (const turn of this.#turns) turn.allowRegenerate(turn === last && !this.#current);
    this.#composer.answering = this.#current !== null;
    byId("turns").classList.toggle("answering", this.#current !== null);
    byId("empty").hidden = this.#turns.length > 0;
    byId("new-conversation").disabled = this.#turns.length === 0;
    byId("composer-hint").textContent = this.#current ? "Escape stops the answer." : "Enter sends, Shift+Enter starts a new line.";
  }
}
