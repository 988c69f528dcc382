/**
 * Keeps one session open: connects, says how that goes, and connects again after 1, 2, 4 and then every 8 seconds, with a new token.
 * Never by itself after a refusal (key, endpoint, broken protocol): that needs a person.
 */

import { connect } from "../client.js";

const PAUSES_S = [1, 2, 4, 8];
const STEADY_MS = 5_000;
const REFUSED_CLOSES = new Set([1009, 4400, 4401, 4403, 4404]);
const REFUSED_CODES = new Set(["unknown_model", "wrong_task", "forbidden_model"]);

/** @typedef {{name: "idle"|"connecting"|"ready"|"closing"|"waiting"|"refused", error?: import("../client.js").AisterError, retryAt?: number}} State */

/** Dispatches "state" whenever its state changes. */
export class Keeper extends EventTarget {
  #options;
  #session = null;
  #failures = 0;
  #timer = null;
  #attempt = 0;

  /** @param {{access: object, task: string, restore: (session: object) => Promise<void>, onFrame: Function}} options */
  constructor(options) {
    super();
    this.#options = options;
    /** @type {State} */
    this.state = { name: "idle" };
    this.model = null;
    window.addEventListener("online", () => this.state.name === "waiting" && this.open());
  }

  /** Connect now, whatever went before. A slower attempt that is overtaken closes what it opened. */
  async open() {
    const attempt = ++this.#attempt;
    clearTimeout(this.#timer);
    this.#session?.close();
    this.#session = null;
    this.#become({ name: "connecting" });
    try {
      const session = await this.#connect();
      if (attempt !== this.#attempt) return session.close();
      await this.#options.restore(session);
      if (attempt === this.#attempt) this.#opened(session);
    } catch (error) {
      if (attempt === this.#attempt) this.#ended(error);
    }
  }

  /** Connect with another model. @param {string|null} model */
  useModel(model) {
    if (model === this.model) return;
    this.model = model;
    if (this.state.name !== "idle") this.open();
  }

  /** The session, as soon as there is one; rejects with why there can't be, or when `signal` says to stop waiting. */
  ready(signal) {
    if (this.#session) return Promise.resolve(this.#session);
    if (this.state.name === "refused") return Promise.reject(this.state.error);
    return new Promise((resolve, reject) => {
      const settle = () => {
        if (this.#session) resolve(this.#session);
        else if (this.state.name === "refused") reject(this.state.error);
        else return;
        this.removeEventListener("state", settle);
      };
      this.addEventListener("state", settle);
      signal?.addEventListener("abort", () => {
        this.removeEventListener("state", settle);
        reject(signal.reason);
      });
    });
  }

  #connect() {
    const { access, task, onFrame } = this.#options;
    return connect({ task, model: this.model ?? undefined, getToken: () => access.token(), onFrame });
  }

  #opened(session) {
    this.#session = session;
    const openedAt = Date.now();
    session.addEventListener("session.closing", () => this.#session === session && this.#become({ name: "closing" }));
    session.closed.then((error) => {
      if (this.#session !== session) return;
      if (Date.now() - openedAt > STEADY_MS) this.#failures = 0;
      this.#ended(error);
    });
    this.#become({ name: "ready" });
  }

  #ended(error) {
    this.#session = null;
    this.#options.access.renew();
    if (isRefusal(error)) return this.#become({ name: "refused", error });
    const pause_s = Math.max(PAUSES_S[Math.min(this.#failures++, PAUSES_S.length - 1)], error.retryAfter ?? 0);
    this.#timer = setTimeout(() => this.open(), pause_s * 1000);
    this.#become({ name: "waiting", error, retryAt: Date.now() + pause_s * 1000 });
  }

  #become(state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}

/** Whether trying again by itself can't help. @param {import("../client.js").AisterError} error */
function isRefusal(error) {
  if (REFUSED_CLOSES.has(error.closeCode) || REFUSED_CODES.has(error.code)) return true;
  if (error.closeCode) return false;
  if (error.status) return error.status < 500 && error.status !== 429;
  return error.code !== "unreachable" && error.code !== "disconnected";
}
