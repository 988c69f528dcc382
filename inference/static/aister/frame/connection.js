/** How the session of the tab in view is doing: a word in the top bar, and a line of words where something is to be said. */

import { byId } from "../dom.js";
import { stateDetail, stateWords } from "../session/words.js";

export class Connection {
  #keeper = null;
  #tick = null;

  constructor() {
    byId("try-now").addEventListener("click", () => this.#keeper.open());
  }

  /** Show this session's state from now on. @param {import("../session/keeper.js").Keeper} keeper */
  watch(keeper) {
    this.#keeper = keeper;
    keeper.addEventListener("state", () => this.#keeper === keeper && this.#show());
    this.#show();
  }

  #show() {
    const { state } = this.#keeper;
    clearInterval(this.#tick);
    if (state.name === "waiting") this.#tick = setInterval(() => this.#write(), 500);
    byId("connection").dataset.state = state.name;
    byId("connection-word").textContent = stateWords(state);
    byId("try-now").hidden = state.name !== "waiting" && state.name !== "refused";
    this.#write();
  }

  #write() {
    byId("notice").textContent = stateDetail(this.#keeper.state);
  }
}
